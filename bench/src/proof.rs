//! The proof that what a broker acknowledged can be read: what was promised, and what is there.

pub mod journal;
pub mod read_back;

use crate::proof::journal::Verdict;

/// Tells on standard error what a proof found.
pub fn print(verdict: &Verdict) {
    for finding in &verdict.findings {
        eprintln!("  {finding}");
    }
    let outcome = match verdict.is_proved() {
        true => "proved",
        false if verdict.acknowledged == 0 => "NOT proved, for want of acknowledgements",
        false => "NOT proved",
    };
    eprintln!(
        "verify: {outcome}: {} acknowledged, {} read, {} findings",
        verdict.acknowledged, verdict.read, verdict.findings_count
    );
}

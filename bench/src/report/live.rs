//! The line of each second.

use crate::record::latencies;
use crate::record::tally::Second;

/// Prints the line of one second on standard error, so that `--json` stays clean.
pub fn line(second: &Second, warming_up: bool) {
    let per_second = |count: u64| count as f64 / second.seconds.max(f64::MIN_POSITIVE);
    let backlog = match second.backlog {
        0 => String::new(),
        backlog => format!("  backlog {backlog}"),
    };
    let latency = |us| latencies::told(us, 0);
    let note = if warming_up { "  warm-up" } else { "" };
    eprintln!(
        "{:>6.1} s  {:>9.0} msg/s  {:>8.1} MB/s  p50 {:>8} us  p99 {:>8}  p99.9 {:>8}  \
         max {:>9.0}  errors {}{backlog}{note}",
        second.from_s + second.seconds,
        per_second(second.messages),
        per_second(second.bytes) / 1e6,
        latency(second.p50_us),
        latency(second.p99_us),
        latency(second.p999_us),
        second.max_us,
        second.errors,
    );
}

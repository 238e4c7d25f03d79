//! The words below the table of rows.

use crate::args::versus::Contestant;
use crate::compare::student::CONFIDENCE_PERCENT;
use crate::versus::limit::SHARE_MIN;
use crate::versus::pairs::{BRACKET_RATIO_MAX, FAILED_MAX_PERCENT, STOLEN_MAX_PERCENT};
use crate::versus::scenario::SCENARIOS;
use crate::versus::verdict::PAIRS_MIN;

/// What the columns of the rows mean, and what counts.
pub fn text() -> String {
    let (figures, scenarios) = (unlimited().join("; "), without_null().join(", "));
    format!(
        "Before each run the file systems are synced: what others wrote would stall its groups. x \
         better: geometric mean over the pairs, with its {CONFIDENCE_PERCENT} % interval; above \
         1 ours is better. Pairs count where the probes that bind the figure differ by no more \
         than {BRACKET_RATIO_MAX} x beside them, and for latencies where the host took no more \
         than {STOLEN_MAX_PERCENT} % of the CPU time, else they are discarded. Overloaded: more \
         requests were due and not sent at the end than lie beyond the percentile (one in a \
         hundred, of a p99.9 one in a thousand), so the longest waits are not in it, and it does \
         not count, for or against anybody. A run of which more than {FAILED_MAX_PERCENT} % of the \
         requests failed has failed; ours, if it failed in any pair, wins nothing by the others \
         and reaches no goal. A win or a loss takes \
         {PAIRS_MIN} pairs and lies beyond what the control (ours against ours) differs from \
         itself. A goal of two numbers: at least, and aimed at, of one: at least; with x it binds \
         the lower end of the interval, else our value. null: what the null broker has in the same \
         blocks; at most: how many times better than the rival that is, so what a broker built as \
         ours could have here; of null: ours by the null broker's, the fraction of that limit, \
         or - where there is none: for {figures}, which it does not bind; in {scenarios}, in which \
         it has no part; in rows against ours and against shipped, since it runs in the blocks of \
         the tuned broker; and where it was not asked for (--against) or came to nothing. Closed \
         loop: each answer sends the next request, so this is no latency under load. Limited: a \
         goal that is missed, where the whole interval of that factor, or without x of the null \
         broker's value, misses it as well and ours is {SHARE_MIN} of the null broker or more. RSS \
         counts the files that a broker has mapped, as Apache's has its log: \"of it files\" tells \
         them."
    )
}

/// Names of the figures whose rows have no limit.
fn unlimited() -> Vec<&'static str> {
    let raced = SCENARIOS.iter().flat_map(|scenario| scenario.figures);
    let mut figures: Vec<_> = raced.filter(|figure| !figure.has_limit()).collect();
    figures.sort_unstable();
    figures.dedup();
    figures.into_iter().map(|figure| figure.name()).collect()
}

/// Names of the scenarios in which the null broker takes no part.
fn without_null() -> Vec<&'static str> {
    let null = Contestant::Null;
    let others = SCENARIOS.iter().filter(|scenario| !scenario.rivals(&[null]).contains(&null));
    others.map(|scenario| scenario.name).collect()
}

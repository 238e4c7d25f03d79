//! What is compared, and how a difference is judged.

use crate::compare::student::Interval;
use crate::record::tally::Second;
use crate::report::outcome::Outcome;

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Throughput.
    Higher,
    /// Latency, CPU time.
    Lower,
}

/// A figure that a run, and mostly also a second of it, has.
#[derive(Clone, Copy)]
pub struct Metric {
    /// Its name in the table.
    pub name: &'static str,
    /// Which way is good.
    pub better: Better,
    /// Of a latency the percentile that it is, or the finest of the others: it says nothing of a
    /// run that was overloaded by that. None of what is no latency.
    pub percentile: Option<f64>,
    /// Its value of a repetition.
    pub of_run: fn(&Outcome) -> Option<f64>,
    /// Its value of a second.
    pub of_second: fn(&Second) -> Option<f64>,
}

/// A run without an answer has no latency, not one of zero; and one with too few of them has no
/// percentile that rests on nothing.
fn percentile(run: &Outcome, name: &str) -> Option<f64> {
    run.response.percentile_us(name)
}

/// Everything that is compared.
pub const METRICS: [Metric; 6] = [
    Metric {
        name: "msg/s",
        better: Better::Higher,
        percentile: None,
        of_run: |run| Some(run.messages_per_second),
        of_second: |second| Some(second.messages as f64 / second.seconds),
    },
    Metric {
        name: "p50 us",
        better: Better::Lower,
        percentile: Some(50.0),
        of_run: |run| percentile(run, "p50"),
        of_second: |second| second.p50_us,
    },
    Metric {
        name: "p99 us",
        better: Better::Lower,
        percentile: Some(99.0),
        of_run: |run| percentile(run, "p99"),
        of_second: |second| second.p99_us,
    },
    Metric {
        name: "p99.9 us",
        better: Better::Lower,
        percentile: Some(99.9),
        of_run: |run| percentile(run, "p99.9"),
        of_second: |second| second.p999_us,
    },
    Metric {
        name: "max us",
        better: Better::Lower,
        percentile: Some(99.9),
        of_run: |run| (run.response.count > 0).then_some(run.response.max_us),
        of_second: |second| (second.messages > 0).then_some(second.max_us),
    },
    Metric {
        name: "broker CPU us/msg",
        better: Better::Lower,
        percentile: None,
        of_run: |run| {
            let broker = run.broker.filter(|_| run.messages > 0)?;
            Some(broker.cpu_us_per_message)
        },
        of_second: |_| None,
    },
];

/// What an interval says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The whole interval lies beyond the tolerance, on the good side.
    Better,
    /// The whole interval lies beyond the tolerance, on the bad side.
    Worse,
    /// The whole interval lies within the tolerance.
    Same,
    /// The interval is too wide to say.
    Unclear,
    /// There is too little to draw an interval from.
    TooShort,
    /// A side was overloaded: what waited longest was not sent and is in no percentile.
    Overloaded,
}

impl Judgement {
    /// All of them, in the order in which they are counted up.
    pub const ALL: [Self; 6] =
        [Self::Worse, Self::Better, Self::Same, Self::Unclear, Self::TooShort, Self::Overloaded];

    /// Its word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
            Self::Unclear => "unclear",
            Self::TooShort => "too short",
            Self::Overloaded => "overloaded",
        }
    }
}

/// Judges the ratio of the second file to the first; `tolerance` is a share such as 0.05.
pub fn judge(interval: Interval, better: Better, tolerance: f64) -> Judgement {
    let (rose, fell) = (interval.low > 1.0 + tolerance, interval.high < 1.0 - tolerance);
    match (better, rose, fell) {
        (Better::Higher, true, _) | (Better::Lower, _, true) => Judgement::Better,
        (Better::Higher, _, true) | (Better::Lower, true, _) => Judgement::Worse,
        _ if interval.low >= 1.0 - tolerance && interval.high <= 1.0 + tolerance => Judgement::Same,
        _ => Judgement::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_interval_beyond_the_tolerance_is_a_difference() {
        let check = |low, high, higher, lower| {
            let interval = Interval { low, ratio: (low + high) / 2.0, high };
            assert_eq!(judge(interval, Better::Higher, 0.05), higher, "{low}..{high}");
            assert_eq!(judge(interval, Better::Lower, 0.05), lower, "{low}..{high}");
        };
        check(1.10, 1.20, Judgement::Better, Judgement::Worse);
        check(0.80, 0.90, Judgement::Worse, Judgement::Better);
        check(0.97, 1.03, Judgement::Same, Judgement::Same);
        check(0.90, 1.20, Judgement::Unclear, Judgement::Unclear);
        check(1.02, 1.20, Judgement::Unclear, Judgement::Unclear);
    }
}

//! What keeps a rate from being good.

use crate::knee::{ATTEMPTS, Bound, Trial};
use crate::report::outcome::Outcome;

/// Least share of a rate that must be answered.
const SERVED_MIN: f64 = 0.95;

/// Why a rate is too much, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Requests failed.
    Failures,
    /// Too many were due and not sent at the end.
    Backlog,
    /// Too few were answered in the time.
    Unserved,
    /// They took too long, or too few are known.
    Bound,
}

impl Fault {
    /// What a person should know who got no rate for it.
    fn cause(self, trial: &Trial) -> String {
        let Trial { rate, outcome, .. } = trial;
        match self {
            Self::Failures => {
                let commonest = outcome.errors.kinds().max_by_key(|(_, count, _)| *count);
                let (kind, ..) = commonest.expect("some failed");
                format!("{} requests failed, most with {kind}", outcome.failures())
            }
            Self::Backlog => outcome.unsent(),
            Self::Unserved => {
                format!("only {:.1}/s of {rate:.1}/s were answered", served(outcome))
            }
            Self::Bound => "the machine is too disturbed or the bound too tight".to_owned(),
        }
    }
}

/// Requests answered per second.
fn served(outcome: &Outcome) -> f64 {
    outcome.response.count as f64 / outcome.seconds
}

/// What keeps a rate from being good; none if it was served within the bound, without a failure,
/// and as fast as it was due.
pub fn fault(outcome: &Outcome, rate: f64, bound: &Bound) -> Option<Fault> {
    let at_bound = outcome.response.percentile_us(&bound.percentile);
    match () {
        () if outcome.failures() > 0 => Some(Fault::Failures),
        () if outcome.fell_behind(bound.percent()) => Some(Fault::Backlog),
        () if served(outcome) < SERVED_MIN * rate => Some(Fault::Unserved),
        () if at_bound.is_none_or(|us| us > bound.limit.as_secs_f64() * 1e6) => Some(Fault::Bound),
        () => None,
    }
}

/// What to say of a search that ended at its lowest rate: what that came to, at best.
pub fn none_is_good(trials: &[Trial], bound: &Bound) -> String {
    let Bound { percentile, limit } = bound;
    let last = trials.iter().rev().take(ATTEMPTS as usize);
    let faults = last.filter_map(|trial| Some((fault(&trial.outcome, trial.rate, bound)?, trial)));
    let reached = |trial: &Trial| trial.outcome.response.percentile_us(percentile);
    let reached = |trial: &Trial| reached(trial).unwrap_or(f64::INFINITY);
    let (fault, best) = faults
        .max_by(|(a, of_a), (b, of_b)| a.cmp(b).then(reached(of_b).total_cmp(&reached(of_a))))
        .expect("a rate was too much");
    let response = &best.outcome.response;
    let half = Some("p50").filter(|half| half != percentile);
    let names = half.into_iter().chain([percentile.as_str()]);
    let reached = names.map(|name| match response.percentile_us(name) {
        Some(us) => format!("{name} {us:.1} us"),
        None => format!("{name} not known of {} answers", response.count),
    });
    format!(
        "{percentile} under {limit:?}: {}: {} at {:.0}/s, the lowest that was tried (--min, \
         --start)",
        fault.cause(best),
        reached.collect::<Vec<_>>().join(", "),
        best.rate
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::window::Window;

    /// A second at 100/s with `answers` after `ms` each, failures, and unsent requests.
    fn trial(answers: u64, ms: u64, failures: u64, backlog: u64) -> Trial {
        let mut window = Window::default();
        window.response.record_many(Duration::from_millis(ms), answers);
        (0..failures).for_each(|_| window.errors.count("SYSTEM_BUSY (2): too many in the queue"));
        let outcome = Outcome { seconds: 1.0, backlog, ..Outcome::new(&window, &[]) };
        Trial { rate: 100.0, good: false, percentile: "p50".to_owned(), outcome }
    }

    #[test]
    fn a_rate_is_too_much_that_leaves_more_unsent_than_lie_beyond_the_percentile() {
        let of = |percentile: &str, unsent: u64| {
            let limit = Duration::from_millis(10);
            let bound = Bound { percentile: percentile.to_owned(), limit };
            fault(&trial(2_000, 5, 0, unsent).outcome, 100.0, &bound)
        };
        assert_eq!([of("p99", 20), of("p99", 21)], [None, Some(Fault::Backlog)]);
        assert_eq!([of("p99.9", 2), of("p99.9", 3)], [None, Some(Fault::Backlog)]);
    }

    #[test]
    fn a_search_without_a_good_rate_names_what_failed_in_the_better_of_its_last_trials() {
        let bound = Bound { percentile: "p50".to_owned(), limit: Duration::from_millis(10) };
        let told = |a, b| none_is_good(&[a, b], &bound);
        let failed = || trial(100, 5, 3, 0);
        for (a, b, cause) in [
            (failed(), failed(), "3 requests failed, most with SYSTEM_BUSY (2): p50 5"),
            (failed(), trial(100, 5, 0, 20), "20 requests were due and not sent"),
            (trial(90, 5, 0, 0), trial(100, 5, 0, 20), "only 90.0/s of 100.0/s were answered"),
            (trial(100, 20, 0, 0), trial(100, 30, 0, 0), "or the bound too tight: p50 2"),
            (trial(100, 20, 0, 0), failed(), "or the bound too tight: p50 2"),
        ] {
            let text = told(a, b);
            assert!(text.starts_with("p50 under 10ms: "), "{text}");
            assert!(text.contains(cause) && text.contains("at 100/s"), "{cause}: {text}");
        }
    }
}

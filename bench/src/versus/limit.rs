//! What the null broker came to in the blocks in which ours meets Apache's: how far a broker built
//! as ours could get on this machine, under this load, in that hour.
//!
//! A goal is a factor over Apache's broker, or a value such as a share of the device. Where the
//! null broker itself stays below it, no broker that stores anything reaches it here, and the row
//! says so. That is never a pass: it is told as `limited`, and only of a broker that comes close to
//! the null broker itself. A row that is missed for both reasons is missed.

use serde::Serialize;

use crate::args::versus::Contestant;
use crate::compare::metric::Better;
use crate::compare::student::{Interval, geometric_mean};
use crate::versus::figures::Figure;
use crate::versus::goals::{Goal, Of, Reached};
use crate::versus::pairs::Pair;
use crate::versus::scenario::Scenario;
use crate::versus::verdict::{self, PAIRS_MIN, Row};

/// Least that ours must be of the null broker, or the machine is not what keeps it from a goal: as
/// where a goal is a share of it.
pub const SHARE_MIN: f64 = 0.8;

/// The null broker against a rival of ours, and ours against it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// Geometric mean of its runs, in the unit of the figure.
    pub value: f64,
    /// The better end of the interval of that mean.
    pub best: f64,
    /// How many times better than the rival it is: what a broker built as ours could reach.
    pub gain: Interval,
    /// Ours by the null broker; above 1 ours is better.
    pub share: Option<Interval>,
    /// Pairs of ours and it that count; where none does, the share is that of discarded ones.
    pub share_pairs: usize,
    /// Pairs of ours and it in which ours failed, so that the share lacks the worst that it did.
    pub share_failed_ours: usize,
    /// Pairs of it and the rival that count.
    pub pairs: usize,
}

impl Limit {
    /// The limit of a figure: `pairs` are of the null broker and the rival, `shares` of ours and
    /// the null broker. None where it has no such figure, or none that limits ours.
    pub fn of(
        scenario: &'static Scenario,
        figure: Figure,
        pairs: &[Pair],
        shares: &[Pair],
    ) -> Option<Self> {
        let row = |pairs| verdict::row(scenario, Contestant::Null, figure, pairs, None);
        let against = row(pairs).filter(|_| figure.has_limit())?;
        let share = row(shares);
        let of_share = |count: fn(&Row) -> usize| share.as_ref().map_or(0, count);
        let share_pairs = of_share(|share| share.pairs);
        let share_failed_ours = of_share(|share| share.failed_ours);
        let share = share.and_then(|share| share.gain);
        let (value, gain) = (against.ours?, against.gain?);
        let best = best(figure, &verdict::our_values(scenario, figure, pairs))?;
        let pairs = against.pairs;
        Some(Self { value, best, gain, share, share_pairs, share_failed_ours, pairs })
    }

    /// Whether the mean of the null broker stays below a goal, in any pair that counts.
    pub fn is_below(&self, goal: &Goal) -> bool {
        let is_below = match goal.of {
            Of::Gain => self.gain.ratio < goal.at_least,
            Of::Value => !goal.is_had_by(self.value),
        };
        is_below && self.pairs > 0
    }

    /// What a miss of a goal is: that of the machine if the null broker misses it with its whole
    /// interval, and ours is close to the null broker with its own; else that of ours.
    pub fn judge(&self, goal: &Goal) -> Reached {
        let misses = match goal.of {
            Of::Gain => self.gain.high < goal.at_least,
            Of::Value => !goal.is_had_by(self.best),
        };
        let forbids = misses && self.pairs >= PAIRS_MIN;
        let is_decided = self.share_pairs >= PAIRS_MIN && self.share_failed_ours == 0;
        let is_close = is_decided && self.share.is_some_and(|share| share.low >= SHARE_MIN);
        if forbids && is_close { Reached::Limited } else { Reached::Missed }
    }
}

/// The better end of what these values of a figure have in the mean.
fn best(figure: Figure, values: &[f64]) -> Option<f64> {
    let Interval { low, high, .. } = (!values.is_empty()).then(|| geometric_mean(values))?;
    Some(if figure.better() == Better::Higher { high } else { low })
}

impl Row {
    /// The same with the limit beside it, in whose view a miss is judged.
    pub fn beside(mut self, limit: Option<Limit>) -> Self {
        self.limit = limit;
        if let (Some(Reached::Missed), Some(goal), Some(limit)) = (self.reached, self.goal, limit) {
            self.reached = Some(limit.judge(goal));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::bracket::Bracket;
    use crate::versus::figures::Figures;
    use crate::versus::scenario::by_name;

    fn at(ratio: f64) -> Interval {
        Interval { low: ratio * 0.95, ratio, high: ratio * 1.05 }
    }

    fn limit(gain: f64, share: f64, pairs: usize) -> Limit {
        let (share, share_pairs, share_failed_ours) = (Some(at(share)), PAIRS_MIN, 0);
        let (value, best, gain) = (276.0, 262.2, at(gain));
        Limit { value, best, gain, share, share_pairs, share_failed_ours, pairs }
    }

    /// A pair of the null broker and a rival with these rates, with such round trips beside it.
    fn pair(rate: f64, round_trips_us: [f64; 2]) -> Pair {
        let figures = |messages_per_second| {
            let messages = 1_000;
            Some(Figures { messages, messages_per_second, ..Figures::default() })
        };
        let bracket = |round_trip_us| Bracket { write_and_flush_us: 300.0, round_trip_us };
        let brackets = round_trips_us.map(bracket).to_vec();
        Pair { ours: figures(rate), theirs: figures(1_000.0), brackets, error: None }
    }

    #[test]
    fn the_better_end_is_that_of_the_pairs_that_count() {
        let scenario = by_name("async-64x32").unwrap();
        let best = |pairs: &[Pair]| {
            let limit = Limit::of(scenario, Figure::Rate, pairs, &[]).unwrap();
            ((limit.value).round(), limit.best.round(), limit.pairs)
        };
        let mut pairs: Vec<Pair> =
            [4_000.0, 4_100.0, 3_900.0, 4_000.0].map(|rate| pair(rate, [20.0, 21.0])).into();
        let kept = best(&pairs);
        assert!(kept.0 < kept.1 && kept.1 < 4_300.0, "{kept:?}");
        pairs.push(pair(40_000.0, [20.0, 90.0]));
        assert_eq!(best(&pairs), kept, "the round trip was another one");
        let (value, best, counted) = best(&pairs[4..]);
        assert_eq!((value, counted), (40_000.0, 0), "what does not count is all there is");
        assert!(best.is_infinite(), "and is one");
    }

    /// At least 5 x.
    fn goal() -> &'static Goal {
        Goal::of("end-to-end-5k", Figure::P50, Contestant::Tuned).unwrap()
    }

    #[test]
    fn a_miss_is_the_machines_only_if_the_null_broker_misses_and_ours_is_close_to_it() {
        let judged = |gain, share, pairs| limit(gain, share, pairs).judge(goal());
        assert_eq!(judged(4.4, 0.9, PAIRS_MIN), Reached::Limited);
        assert_eq!(judged(4.4, 0.9, PAIRS_MIN - 1), Reached::Missed, "too few pairs");
        assert_eq!(judged(4.9, 0.9, PAIRS_MIN), Reached::Missed, "its interval reaches the goal");
        assert_eq!(judged(4.4, 0.82, PAIRS_MIN), Reached::Missed, "ours is slow, too");
        assert_eq!(judged(9.0, 0.9, PAIRS_MIN), Reached::Missed, "nothing keeps ours from it");
        let alone = Limit { share: None, ..limit(4.4, 0.9, PAIRS_MIN) };
        assert_eq!(alone.judge(goal()), Reached::Missed);
    }

    #[test]
    fn pairs_that_do_not_count_bring_nobody_close_to_the_null_broker() {
        let scenario = by_name("async-64x32").unwrap();
        let goal = Goal::of("async-64x32", Figure::Rate, Contestant::Tuned).unwrap();
        let pairs = |count: usize, rate: f64, trips| vec![pair(rate, trips); count];
        let judged = |shares: &[Pair]| {
            // Three times the rival's rate, where four are asked for.
            let against = pairs(PAIRS_MIN, 3_000.0, [20.0, 21.0]);
            let limit = Limit::of(scenario, Figure::Rate, &against, shares).unwrap();
            (limit.share_pairs, limit.judge(goal))
        };
        let (calm, disturbed) = ([20.0, 21.0], [20.0, 90.0]);
        let all = pairs(PAIRS_MIN, 950.0, calm);
        assert_eq!(judged(&all), (PAIRS_MIN, Reached::Limited));
        assert_eq!(judged(&all[1..]), (PAIRS_MIN - 1, Reached::Missed));
        assert_eq!(judged(&pairs(PAIRS_MIN, 950.0, disturbed)), (0, Reached::Missed));
        let failing = Pair { ours: None, ..all[0].clone() };
        assert_eq!(judged(&[all, vec![failing]].concat()), (PAIRS_MIN, Reached::Missed));
    }

    #[test]
    fn a_value_is_the_machines_limit_if_all_that_the_null_broker_may_have_lies_below_it() {
        let goal = Goal::of("cold-1024", Figure::DeviceShare, Contestant::Tuned).unwrap();
        let judged = |value, best, share, pairs| {
            let limit = Limit { value, best, ..limit(4.0, share, pairs) };
            (limit.is_below(goal), limit.judge(goal))
        };
        assert_eq!(judged(78.0, 82.0, 0.9, PAIRS_MIN), (true, Reached::Limited));
        assert_eq!(judged(84.0, 86.0, 0.9, PAIRS_MIN), (true, Reached::Missed), "it may have it");
        assert_eq!(judged(78.0, 82.0, 0.82, PAIRS_MIN), (true, Reached::Missed), "ours is slow");
        assert_eq!(judged(78.0, 82.0, 0.9, PAIRS_MIN - 1), (true, Reached::Missed), "too few");
        assert_eq!(judged(91.0, 95.0, 0.9, PAIRS_MIN), (false, Reached::Missed));
    }

    #[test]
    fn a_mean_below_the_goal_is_told_whatever_its_interval() {
        assert!(limit(4.9, 0.2, 1).is_below(goal()) && !limit(5.1, 0.9, 8).is_below(goal()));
        assert!(!limit(4.9, 0.2, 0).is_below(goal()), "those that were discarded say nothing");
        let value = Goal::of("async-64x32", Figure::Rss, Contestant::Tuned).unwrap();
        let small = Limit { value: 90.0, ..limit(0.1, 0.9, 8) };
        assert!(!small.is_below(value), "no factor binds it");
    }
}

//! What our broker shall reach: the goals that were set before it was fast.

use serde::Serialize;

use crate::args::versus::Contestant;
use crate::compare::metric::Better;
use crate::versus::figures::Figure;
use crate::versus::verdict::Row;

/// A goal of a figure in a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Goal {
    #[serde(skip)]
    scenario: &'static str,
    #[serde(skip)]
    figure: Figure,
    #[serde(skip)]
    rival: Contestant,
    /// What of the row it binds.
    pub of: Of,
    /// Less than this is a miss.
    pub at_least: f64,
    /// What is aimed at; none where no more was named than what is asked at least.
    pub aim: Option<f64>,
}

/// What a goal binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// How many times better than the rival: the lower end of the interval.
    Gain,
    /// Our own value, in the unit of the figure.
    Value,
}

/// How far a row got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reached {
    /// Not far enough.
    Missed,
    /// Not far enough either, where the null broker is as far away: see
    /// [`crate::versus::limit`].
    Limited,
    /// What was asked.
    Met,
    /// What was aimed at.
    Aim,
}

impl Goal {
    /// The goal of a row, if it has one.
    pub fn of(scenario: &str, figure: Figure, rival: Contestant) -> Option<&'static Self> {
        let is_it =
            |goal: &&Self| (goal.scenario, goal.figure, goal.rival) == (scenario, figure, rival);
        GOALS.iter().find(is_it)
    }

    /// Whether a scenario has a goal against `rival`.
    pub fn is_set(scenario: &str, rival: Contestant) -> bool {
        GOALS.iter().any(|goal| goal.scenario == scenario && goal.rival == rival)
    }

    /// How far `row` got.
    pub fn reached(&self, row: &Row) -> Reached {
        let reaches = |wanted: f64| match self.of {
            Of::Gain => row.gain.is_some_and(|gain| gain.low >= wanted),
            Of::Value => row.ours.is_some_and(|ours| self.is_as_good(ours, wanted)),
        };
        match (self.aim.is_some_and(reaches), reaches(self.at_least)) {
            (true, _) => Reached::Aim,
            (false, true) => Reached::Met,
            (false, false) => Reached::Missed,
        }
    }

    /// Whether a value of the figure is at least what is asked at least.
    pub fn is_had_by(&self, value: f64) -> bool {
        self.is_as_good(value, self.at_least)
    }

    fn is_as_good(&self, value: f64, wanted: f64) -> bool {
        match self.figure.better() {
            Better::Higher => value >= wanted,
            Better::Lower => value <= wanted,
        }
    }

    /// Both bounds, for the table; one where no other is aimed at.
    pub fn describe(&self) -> String {
        let Self { at_least, aim, .. } = self;
        let number = |value: f64| format!("{}", (value * 1_000.0).round() / 1_000.0);
        let aim = aim.map_or(String::new(), |aim| format!(" / {}", number(aim)));
        let unit = if self.of == Of::Gain { " x" } else { "" };
        format!("{}{aim}{unit}", number(*at_least))
    }
}

const fn times(
    scenario: &'static str,
    figure: Figure,
    rival: Contestant,
    at_least: f64,
    aim: f64,
) -> Goal {
    Goal { scenario, figure, rival, of: Of::Gain, at_least, aim: Some(aim) }
}

/// More than this is not aimed at.
const fn times_at_least(scenario: &'static str, figure: Figure, at_least: f64) -> Goal {
    let rival = Contestant::Tuned;
    Goal { scenario, figure, rival, of: Of::Gain, at_least, aim: None }
}

/// Stated in the rows against the tuned rival alone.
const fn value(scenario: &'static str, figure: Figure, at_least: f64, aim: f64) -> Goal {
    let rival = Contestant::Tuned;
    Goal { scenario, figure, rival, of: Of::Value, at_least, aim: Some(aim) }
}

/// Against Apache's broker as tuned, and the null broker as limit. Where the limit must not be
/// exceeded by a factor, the gain is its inverse.
static GOALS: [Goal; 35] = [
    times("sync-1x1", Figure::P50, Contestant::Null, 1.0 / 1.25, 1.0 / 1.1),
    times("sync-64x1", Figure::Rate, Contestant::Null, 0.8, 0.95),
    times_at_least("sync-64x1", Figure::Cpu, 5.0),
    times("sync-64x32", Figure::Rate, Contestant::Tuned, 4.0, 8.0),
    times("sync-open-10k", Figure::P99, Contestant::Tuned, 10.0, 25.0),
    times("sync-open-10k", Figure::P999, Contestant::Tuned, 10.0, 25.0),
    times("async-64x32", Figure::Cpu, Contestant::Tuned, 10.0, 20.0),
    times("async-64x32", Figure::Rate, Contestant::Tuned, 4.0, 8.0),
    times("async-64x1", Figure::Rate, Contestant::Null, 0.8, 0.95),
    times("async-open-10k", Figure::P99, Contestant::Tuned, 10.0, 50.0),
    times("async-open-10k", Figure::P999, Contestant::Tuned, 10.0, 50.0),
    times("stock-async-64", Figure::Rate, Contestant::Tuned, 1.5, 2.2),
    times("pull-32", Figure::Cpu, Contestant::Tuned, 4.0, 10.0),
    times("pull-1024", Figure::Cpu, Contestant::Tuned, 3.0, 6.0),
    times_at_least("pull-1024", Figure::Rate, 2.0),
    value("cold-1024", Figure::DeviceShare, 85.0, 95.0),
    times_at_least("cold-beside-10k", Figure::P99, 5.0),
    value("cold-beside-10k", Figure::TimesAlone, 1.5, 1.5),
    times("end-to-end-5k", Figure::P50, Contestant::Tuned, 5.0, 10.0),
    times("end-to-end-5k", Figure::P99, Contestant::Tuned, 5.0, 10.0),
    times("end-to-end-5k", Figure::P999, Contestant::Tuned, 5.0, 10.0),
    times("topics-10k", Figure::Rate, Contestant::Tuned, 4.0, 8.0),
    value("topics-10k", Figure::Rss, 300.0, 200.0),
    value("topics-10k", Figure::Restart, 2.0, 1.0),
    value("idle-10k", Figure::RssIdle, 128.0, 64.0),
    value("idle-10k", Figure::CoreShare, 1.0, 0.3),
    value("async-64x32", Figure::Rss, 256.0, 192.0),
    value("sync-64x32", Figure::Rss, 256.0, 192.0),
    value("async-64x1", Figure::Rss, 256.0, 192.0),
    value("sync-64x1", Figure::Rss, 256.0, 192.0),
    value("pull-1024", Figure::Rss, 256.0, 192.0),
    value("pull-32", Figure::Rss, 256.0, 192.0),
    times("durability-64x32", Figure::Rate, Contestant::Otherwise, 0.85, 0.95),
    times("shards-64x32", Figure::Cpu, Contestant::Otherwise, 1.0 / 1.3, 1.0 / 1.1),
    times("stages-64x32", Figure::Cpu, Contestant::Otherwise, 1.0 / 1.02, 1.0 / 1.01),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::student::Interval;
    use crate::versus::overloaded::Overloaded;
    use crate::versus::scenario::{Field, by_name};
    use crate::versus::verdict::Verdict;

    fn row(scenario: &'static str, figure: Figure, ours: f64, low: f64) -> Row {
        Row {
            scenario,
            figure,
            rival: Contestant::Tuned,
            ours: Some(ours),
            theirs: Some(1.0),
            gain: Some(Interval { low, ratio: low, high: low }),
            pairs: 6,
            unsteady: 0,
            stolen: 0,
            overloaded: Overloaded::default(),
            failed: 0,
            failed_ours: 0,
            claimable: None,
            verdict: Verdict::Win,
            goal: None,
            reached: None,
            limit: None,
            reason: None,
        }
    }

    #[test]
    fn every_goal_is_of_a_row_that_a_race_can_have() {
        for goal in &GOALS {
            let scenario = by_name(goal.scenario).unwrap();
            assert!(scenario.figures.contains(&goal.figure), "{goal:?}");
            let against_itself = matches!(scenario.field, Field::Ourselves { .. });
            assert_eq!(against_itself, goal.rival == Contestant::Otherwise, "{goal:?}");
            assert_eq!(Goal::of(goal.scenario, goal.figure, goal.rival), Some(goal));
        }
    }

    #[test]
    fn a_gain_is_reached_by_the_lower_end_of_its_interval() {
        let goal = Goal::of("sync-64x32", Figure::Rate, Contestant::Tuned).unwrap();
        let reached = |low| goal.reached(&row("sync-64x32", Figure::Rate, 1.0, low));
        assert_eq!(
            [reached(3.9), reached(4.0), reached(8.0)],
            [Reached::Missed, Reached::Met, Reached::Aim]
        );
        assert_eq!(goal.describe(), "4 / 8 x");
    }

    #[test]
    fn without_an_aim_a_goal_is_met_and_no_more() {
        let goal = Goal::of("sync-64x1", Figure::Cpu, Contestant::Tuned).unwrap();
        let reached = |low| goal.reached(&row("sync-64x1", Figure::Cpu, 1.0, low));
        assert_eq!([reached(4.9), reached(50.0)], [Reached::Missed, Reached::Met]);
        assert_eq!(goal.describe(), "5 x");
        let same = |goal: &&Goal| goal.aim == Some(goal.at_least);
        let names: Vec<_> = GOALS.iter().filter(same).map(|goal| goal.figure).collect();
        assert_eq!(names, [Figure::TimesAlone], "the one aim that nothing less was asked beside");
    }

    #[test]
    fn a_value_is_reached_on_its_good_side() {
        let reached = |figure, scenario, ours| {
            let goal = Goal::of(scenario, figure, Contestant::Tuned).unwrap();
            goal.reached(&row(scenario, figure, ours, 1.0))
        };
        let share = |ours| reached(Figure::DeviceShare, "cold-1024", ours);
        assert_eq!([share(80.0), share(96.0)], [Reached::Missed, Reached::Aim]);
        let restart = |ours| reached(Figure::Restart, "topics-10k", ours);
        assert_eq!([restart(2.5), restart(1.5)], [Reached::Missed, Reached::Met]);
    }
}

//! Counts over time by topic and group: VIEW_BROKER_STATS_DATA (315).
//!
//! Nothing is counted while messages pass: the sum of the ends of a topic's queues, and of a
//! group's progress in them, is sampled every ten seconds, and the differences are the counts. A
//! group that goes back counts as zero for that sample.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_protocol::bodies::stats::{BrokerStatsData, BrokerStatsItem};
use ringmq_protocol::codes::response;
use ringmq_protocol::headers::admin::BrokerStatsRequest;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::task;

use super::super::control::{Answer, decode, json_answer};
use super::Parts;
use crate::metrics::Totals;
use crate::outcome::Refusal;

/// Topics and groups that are sampled at most; 24 MiB.
const SERIES_MAX: usize = 40_000;

/// A sample that comes so much early is on time: the sampler's own period wavers.
const EARLY_MS: u64 = MINUTE.period_ms / 2;

/// A view over time: how often it takes a sample, and how many it keeps.
#[derive(Clone, Copy)]
struct Window {
    period_ms: u64,
    samples: usize,
}

/// Apache's windows: a minute by ten seconds, an hour by ten minutes, a day by the hour.
const MINUTE: Window = Window { period_ms: 10_000, samples: 7 };
const HOUR: Window = Window { period_ms: 600_000, samples: 7 };
const DAY: Window = Window { period_ms: 3_600_000, samples: 25 };

/// A growing number at one moment of the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Sample {
    clock_ms: u64,
    sum: u64,
}

/// Samples of one growing number in three windows.
#[derive(Debug, Default)]
struct Series {
    minute: VecDeque<Sample>,
    hour: VecDeque<Sample>,
    day: VecDeque<Sample>,
}

/// Samples of all topics and groups, and of the broker.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// By `topic`, and by `topic@group`: neither name can contain the other's `@`. With the round
    /// in which each was last seen.
    series: HashMap<String, (u64, Series)>,
    /// Counts samples.
    round: u64,
    messages_in: Series,
    messages_out: Series,
}

impl Samples {
    /// Takes the counts of the broker and the sums of one moment; times are monotonic milliseconds.
    /// Names that are missing are dropped. The shard does other work between two names, of which
    /// there may be many.
    pub(super) async fn sample(
        samples: &RefCell<Self>,
        clock_ms: u64,
        totals: &Totals,
        sums: HashMap<String, u64>,
    ) {
        let round = samples.borrow_mut().begin_round(clock_ms, totals);
        let mut unknown = Vec::new();
        for (name, sum) in sums {
            match samples.borrow_mut().series.get_mut(&name) {
                Some((seen_in, series)) => {
                    *seen_in = round;
                    series.sample(clock_ms, sum);
                }
                None if unknown.len() < SERIES_MAX => unknown.push((name, sum)),
                None => {}
            }
            task::yield_if_needed().await;
        }
        samples.borrow_mut().series.retain(|_, (seen_in, _)| *seen_in == round);
        let free = SERIES_MAX - samples.borrow().series.len();
        for (name, sum) in unknown.into_iter().take(free) {
            let mut series = Series::default();
            series.sample(clock_ms, sum);
            samples.borrow_mut().series.insert(name, (round, series));
            task::yield_if_needed().await;
        }
    }

    fn begin_round(&mut self, clock_ms: u64, totals: &Totals) -> u64 {
        self.messages_in.sample(clock_ms, totals.messages_in);
        self.messages_out.sample(clock_ms, totals.messages_out);
        self.round += 1;
        self.round
    }

    /// Messages per second over the last minute; 0 for unknown names.
    pub(super) fn rate(&self, name: &str) -> f64 {
        self.series.get(name).map_or(0.0, |(_, series)| difference(&series.minute).tps)
    }

    fn view(&self, name: &str) -> Option<BrokerStatsData> {
        self.series.get(name).map(|(_, series)| series.view())
    }
}

impl Series {
    fn sample(&mut self, clock_ms: u64, sum: u64) {
        for (window, samples) in
            [(MINUTE, &mut self.minute), (HOUR, &mut self.hour), (DAY, &mut self.day)]
        {
            let due = |last: &Sample| clock_ms + EARLY_MS >= last.clock_ms + window.period_ms;
            if samples.back().is_none_or(due) {
                if samples.len() == window.samples {
                    samples.pop_front();
                }
                samples.push_back(Sample { clock_ms, sum });
            }
        }
    }

    fn view(&self) -> BrokerStatsData {
        BrokerStatsData {
            stats_day: difference(&self.day),
            stats_hour: difference(&self.hour),
            stats_minute: difference(&self.minute),
        }
    }
}

fn difference(samples: &VecDeque<Sample>) -> BrokerStatsItem {
    let (Some(first), Some(last)) = (samples.front(), samples.back()) else {
        return BrokerStatsItem::default();
    };
    let sum = last.sum.saturating_sub(first.sum);
    let elapsed_ms = last.clock_ms.saturating_sub(first.clock_ms);
    let tps = if elapsed_ms == 0 { 0.0 } else { sum as f64 * 1_000.0 / elapsed_ms as f64 };
    BrokerStatsItem { avgpt: 0.0, sum: i64::try_from(sum).unwrap_or(i64::MAX), tps }
}

pub(super) fn view(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Answer, Refusal> {
    let request: BrokerStatsRequest<'_> = decode(command)?;
    let (name, key) = (request.stats_name, request.stats_key);
    let samples = parts.runtime.samples();
    let found = match name {
        "TOPIC_PUT_NUMS" | "GROUP_GET_NUMS" => samples.view(key),
        "BROKER_PUT_NUMS" if key == parts.directory.identity.cluster => {
            Some(samples.messages_in.view())
        }
        "BROKER_GET_NUMS" if key == parts.directory.identity.cluster => {
            Some(samples.messages_out.view())
        }
        _ => None,
    };
    match found {
        Some(stats) => json_answer(&stats),
        None => {
            let remark = format!("The stats <{name}> <{key}> not exist");
            Err(Refusal::new(response::SYSTEM_ERROR, remark))
        }
    }
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::shards;

    use super::*;

    fn sums(pairs: &[(&str, u64)]) -> HashMap<String, u64> {
        pairs.iter().map(|(name, sum)| ((*name).to_owned(), *sum)).collect()
    }

    /// The samples of these moments.
    fn sampled(moments: impl IntoIterator<Item = (u64, Totals, HashMap<String, u64>)>) -> Samples {
        let samples = RefCell::new(Samples::default());
        shards::block_on(async {
            for (clock_ms, totals, sums) in moments {
                Samples::sample(&samples, clock_ms, &totals, sums).await;
            }
        });
        samples.into_inner()
    }

    #[test]
    fn a_minute_an_hour_and_a_day_see_their_own_span() {
        // 10 messages per second for two hours.
        let moment = |step: u64| (step * 10_000, Totals::default(), sums(&[("t", step * 100)]));
        let samples = sampled((0..=720).map(moment));
        let view = samples.view("t").expect("known");
        assert_eq!((view.stats_minute.sum, view.stats_minute.tps), (600, 10.0));
        assert_eq!((view.stats_hour.sum, view.stats_hour.tps), (36_000, 10.0));
        assert_eq!((view.stats_day.sum, view.stats_day.tps), (72_000, 10.0));
    }

    #[test]
    fn an_hour_of_the_broker_is_an_hour_and_what_is_missing_is_not_guessed() {
        let moment = |step: u64| {
            let totals = Totals { messages_in: step * 100, ..Totals::default() };
            (step * 10_000, totals, HashMap::default())
        };
        let begun = sampled((0..=3).map(moment));
        assert_eq!(begun.messages_in.view().stats_hour.sum, 0, "one sample of ten minutes");
        let view = sampled((0..=720).map(moment)).messages_in.view();
        let sums = [&view.stats_minute, &view.stats_hour, &view.stats_day].map(|item| item.sum);
        assert_eq!(sums, [600, 36_000, 72_000]);
    }

    #[test]
    fn progress_that_goes_back_and_names_that_vanish_count_nothing() {
        let at = |clock_ms, pairs| (clock_ms, Totals::default(), sums(pairs));
        let back = [at(0, &[("t@g", 100)]), at(10_000, &[("t@g", 40)])];
        assert_eq!(sampled(back.clone()).view("t@g").expect("known").stats_minute.sum, 0);
        let samples = sampled(back.into_iter().chain([at(20_000, &[])]));
        assert_eq!(samples.view("t@g"), None);
        assert_eq!(samples.rate("t@g"), 0.0);
    }

    #[test]
    fn a_name_that_vanishes_makes_room_for_a_new_one_in_the_same_sample() {
        let names = |range: std::ops::Range<usize>| -> HashMap<String, u64> {
            range.map(|number| (number.to_string(), 1)).collect()
        };
        let first = (0, Totals::default(), names(0..SERIES_MAX));
        let second = (10_000, Totals::default(), names(1..SERIES_MAX + 2));
        let samples = sampled([first, second]);
        assert_eq!(samples.series.len(), SERIES_MAX);
        assert!(samples.view("0").is_none());
        let new = [SERIES_MAX, SERIES_MAX + 1].map(|number| samples.view(&number.to_string()));
        assert_eq!(new.iter().flatten().count(), 1, "room for one");
    }
}

//! The search for the highest rate that is still good: doubling, then halving the gap.

use std::f64::consts::LN_2;
use std::ops::RangeInclusive;

/// A search at work. Rates are requests per second.
#[derive(Clone, Debug)]
pub struct Search {
    /// Highest rate that was good.
    good: Option<f64>,
    /// Lowest rate that was not.
    bad: Option<f64>,
    next: Option<f64>,
    /// The lowest and the highest to be tried.
    range: RangeInclusive<f64>,
    /// Largest gap between good and bad, as a share.
    precision: f64,
}

impl Search {
    /// A search that begins at `from`, a rate of `range`; it ends when the lowest bad rate is at
    /// most `precision` (a share, positive) above the highest good one, or at an end of the range.
    pub fn new(from: f64, range: RangeInclusive<f64>, precision: f64) -> Self {
        assert!(precision > 0.0, "a search with precision {precision} would not end");
        assert!(*range.start() > 0.0 && range.contains(&from), "{from} of {range:?}");
        Self { good: None, bad: None, next: Some(from), range, precision }
    }

    /// Most rates that are still to be tried: doubled or halved to an end of the range, and then
    /// until a gap of two is as small as the precision.
    pub fn rates_max(&self) -> u32 {
        let Some(from) = self.next else { return 0 };
        let doublings = (self.range.end() / from).max(from / self.range.start()).log2().ceil();
        let halvings = (LN_2 / self.precision.ln_1p()).log2().ceil().max(0.0);
        1 + doublings as u32 + halvings as u32
    }

    /// The rate to try; none when the search has ended.
    pub fn next(&self) -> Option<f64> {
        self.next
    }

    /// The highest good rate found.
    pub fn found(&self) -> Option<f64> {
        self.good
    }

    /// True when the highest good rate is the highest that was to be tried: of higher ones nothing
    /// is known.
    pub fn is_at_max(&self) -> bool {
        self.good.is_some_and(|good| good >= *self.range.end())
    }

    /// Takes what came of the rate that [`Search::next`] gave.
    pub fn observe(&mut self, good: bool) {
        let rate = self.next.expect("asked only while there is a rate to try");
        if good {
            self.good = Some(rate);
        } else {
            self.bad = Some(rate);
        }
        let (min, max) = (*self.range.start(), *self.range.end());
        self.next = match (self.good, self.bad) {
            (Some(good), Some(bad)) if bad <= good * (1.0 + self.precision) => None,
            (Some(good), Some(bad)) => Some((good * bad).sqrt()),
            (Some(good), None) if good >= max => None,
            (Some(good), None) => Some((good * 2.0).min(max)),
            (None, Some(bad)) if bad <= min => None,
            (None, Some(bad)) => Some((bad / 2.0).max(min)),
            (None, None) => unreachable!("one of them was just set"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::driver::schedule::{Arrivals, Schedule, Step};
    use crate::record::latencies::Latencies;

    /// Runs a search against a server that is good up to `knee`; the rates that were tried.
    fn tried(knee: f64, search: &mut Search) -> Vec<f64> {
        let mut rates = Vec::new();
        while let Some(rate) = search.next() {
            rates.push(rate);
            search.observe(rate <= knee);
        }
        rates
    }

    #[test]
    fn the_knee_is_found_within_the_precision() {
        for knee in [3.0, 700.0, 1_000.0, 123_456.0] {
            let mut search = Search::new(1_000.0, 1.0..=1e6, 0.05);
            let most = search.rates_max() as usize;
            let rates = tried(knee, &mut search);
            let found = search.found().unwrap();
            assert!(found <= knee && knee < found * 1.05, "{found} for {knee}: {rates:?}");
            assert!(rates.len() <= most && most < 20, "{most}: {rates:?}");
            assert!(!search.is_at_max(), "{rates:?}");
        }
    }

    #[test]
    fn a_server_without_a_knee_ends_the_search_at_the_maximum() {
        let mut search = Search::new(1_000.0, 1.0..=5_000.0, 0.05);
        assert_eq!(tried(1e9, &mut search), [1_000.0, 2_000.0, 4_000.0, 5_000.0]);
        assert_eq!(search.found(), Some(5_000.0));
        assert!(search.is_at_max());
    }

    #[test]
    fn a_server_that_is_never_good_ends_the_search_with_nothing_at_the_lowest_rate() {
        for (lowest, expected) in [(1.0, [8.0, 4.0, 2.0, 1.0]), (1.5, [8.0, 4.0, 2.0, 1.5])] {
            let mut search = Search::new(8.0, lowest..=8.0, 0.05);
            assert!(search.rates_max() >= 4);
            assert_eq!(tried(0.0, &mut search), expected);
            assert_eq!((search.found(), search.rates_max()), (None, 0));
        }
    }

    /// 99 of 100 requests of a Poisson stream get through a server with 1 ms of work each, one
    /// after the other, within this time (Lindley's recursion).
    fn p99_of_a_queue(rate: f64) -> Duration {
        const WORK: Duration = Duration::from_millis(1);
        let step = Step { length: Duration::from_secs(100), rate };
        let mut schedule = Schedule::new(vec![step], Arrivals::Poisson, 3);
        let mut latencies = Latencies::default();
        let mut free_at = Duration::ZERO;
        for _ in 0..50_000 {
            let arrival = schedule.next_due();
            schedule.advance();
            free_at = free_at.max(arrival) + WORK;
            latencies.record(free_at - arrival);
        }
        Duration::from_secs_f64(latencies.percentile_us(99.0) / 1e6)
    }

    #[test]
    fn the_knee_of_a_queue_lies_below_its_capacity() {
        let bound = Duration::from_millis(10);
        let mut search = Search::new(100.0, 1.0..=1e6, 0.02);
        while let Some(rate) = search.next() {
            search.observe(p99_of_a_queue(rate) <= bound);
        }
        let found = search.found().unwrap();
        // Capacity is 1,000/s; an M/D/1 queue has a 99th percentile of 10 ms at about 78 % of it.
        assert!((720.0..860.0).contains(&found), "{found}");
    }
}

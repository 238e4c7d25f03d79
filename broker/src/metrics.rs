//! What the broker counts: one set of plain counters per shard, added up and sampled by shard 0.
//!
//! Counting costs an increment and no memory, so nothing switches it off. Shard 0 collects the
//! [`Totals`] of all shards every [`SAMPLE_PERIOD_MS`] into a [`History`], from which the rates
//! over ten seconds, one minute and ten minutes come that tools show.

mod history;
mod send_times;

use std::cell::RefCell;
use std::fmt::Write as _;

pub use self::history::{History, SAMPLE_PERIOD_MS};
pub use self::send_times::percentile_ms;
use self::send_times::{CLASSES, FINE_CLASSES, SEND_TIME_CLASSES, fine_class, send_time_class};

/// Counters of one shard.
#[derive(Debug)]
pub struct Counters {
    totals: RefCell<Totals>,
    fine: RefCell<Box<[u64; FINE_CLASSES]>>,
}

impl Default for Counters {
    fn default() -> Self {
        Self { totals: RefCell::default(), fine: RefCell::new(Box::new([0; FINE_CLASSES])) }
    }
}

/// Sums since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages stored, whether their senders wait for an answer or not; also those that a log
    /// held when it was fenced.
    pub messages_in: u64,
    /// Their records, in bytes.
    pub bytes_in: u64,
    /// Send requests that stored them.
    pub sends: u64,
    /// Send requests that were refused or failed.
    pub sends_failed: u64,
    /// Longest time from request to acknowledgement, in milliseconds.
    pub send_time_max_ms: u64,
    /// Acknowledged sends, of senders that waited for it, by the classes of
    /// `putMessageDistributeTime`.
    pub send_times: [u64; CLASSES],
    /// Messages handed to consumers.
    pub messages_out: u64,
    /// Their records, in bytes.
    pub bytes_out: u64,
    /// Pulls answered with messages.
    pub pulls_found: u64,
    /// Pulls that found none when they arrived.
    pub pulls_missed: u64,
    /// Longest reading time of a pull, in milliseconds.
    pub read_time_max_ms: u64,
}

impl Counters {
    /// A send stored `messages` with `bytes` of records.
    pub fn stored(&self, messages: u64, bytes: u64) {
        self.update(|totals| {
            totals.messages_in += messages;
            totals.bytes_in += bytes;
            totals.sends += 1;
        });
    }

    /// A send whose sender waited was acknowledged after `time_us`.
    pub fn acknowledged(&self, time_us: u64) {
        let time_ms = time_us / 1_000;
        self.update(|totals| {
            totals.send_time_max_ms = totals.send_time_max_ms.max(time_ms);
            totals.send_times[send_time_class(time_ms)] += 1;
        });
        self.fine.borrow_mut()[fine_class(time_us)] += 1;
    }

    /// A send was refused or failed.
    pub fn send_failed(&self) {
        self.update(|totals| totals.sends_failed += 1);
    }

    /// A pull was answered with `messages` of `bytes`, read in `time_us`.
    pub fn pulled(&self, messages: u64, bytes: u64, time_us: u64) {
        self.update(|totals| {
            totals.messages_out += messages;
            totals.bytes_out += bytes;
            totals.pulls_found += 1;
            totals.read_time_max_ms = totals.read_time_max_ms.max(time_us / 1_000);
        });
    }

    /// A pull found nothing.
    pub fn pull_missed(&self) {
        self.update(|totals| totals.pulls_missed += 1);
    }

    /// The sums so far.
    pub fn totals(&self) -> Totals {
        *self.totals.borrow()
    }

    /// The send times so far, for percentiles over all shards.
    pub fn send_time_histogram(&self) -> Vec<u64> {
        self.fine.borrow().to_vec()
    }

    fn update(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.totals.borrow_mut());
    }
}

impl Totals {
    /// The sums of two shards.
    pub fn add(&mut self, other: &Self) {
        self.messages_in += other.messages_in;
        self.bytes_in += other.bytes_in;
        self.sends += other.sends;
        self.sends_failed += other.sends_failed;
        self.send_time_max_ms = self.send_time_max_ms.max(other.send_time_max_ms);
        for (mine, theirs) in self.send_times.iter_mut().zip(other.send_times) {
            *mine += theirs;
        }
        self.messages_out += other.messages_out;
        self.bytes_out += other.bytes_out;
        self.pulls_found += other.pulls_found;
        self.pulls_missed += other.pulls_missed;
        self.read_time_max_ms = self.read_time_max_ms.max(other.read_time_max_ms);
    }

    /// `putMessageDistributeTime` of runtime information.
    pub fn send_times_text(&self) -> String {
        let mut text = String::new();
        for ((_, name), count) in SEND_TIME_CLASSES.iter().zip(self.send_times) {
            let _ = write!(text, "[{name}]:{count} ");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_of_shards_add_up_and_maxima_stay_maxima() {
        let (a, b) = (Counters::default(), Counters::default());
        a.stored(10, 1_000);
        a.acknowledged(300);
        b.stored(1, 100);
        b.acknowledged(12_000);
        b.send_failed();
        b.pulled(5, 500, 2_500);
        b.pull_missed();
        let mut sum = a.totals();
        sum.add(&b.totals());
        assert_eq!((sum.messages_in, sum.bytes_in, sum.sends, sum.sends_failed), (11, 1_100, 2, 1));
        assert_eq!((sum.send_time_max_ms, sum.read_time_max_ms), (12, 2));
        assert_eq!((sum.messages_out, sum.pulls_found, sum.pulls_missed), (5, 1, 1));
    }

    #[test]
    fn send_times_read_as_exporters_expect_them() {
        let counters = Counters::default();
        for time_us in [500, 9_000, 30_000, 20_000_000] {
            counters.acknowledged(time_us);
        }
        let text = counters.totals().send_times_text();
        assert!(text.starts_with("[<=0ms]:1 [0~10ms]:1 [10~50ms]:1 [50~100ms]:0 "), "{text}");
        assert!(text.ends_with("[5~10s]:0 [10s~]:1 "), "{text}");
    }

    #[test]
    fn percentiles_are_within_an_eighth_of_the_truth() {
        let counters = Counters::default();
        for time_us in 1..=10_000 {
            counters.acknowledged(time_us);
        }
        let histogram = counters.send_time_histogram();
        for (share, truth_ms) in [(0.5, 5.0), (0.99, 9.9), (0.999, 9.99)] {
            let found = percentile_ms(&histogram, share);
            assert!((found / truth_ms - 1.0).abs() < 0.125, "{share}: {found} is near {truth_ms}");
        }
        assert_eq!(percentile_ms(&[0; 4], 0.99), 0.0);
    }
}

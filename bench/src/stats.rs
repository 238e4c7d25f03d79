//! What a run counts: latencies, bytes, errors; per second for the live line and in total.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies are kept from 1 ns to 10 min with 3 significant digits; longer ones count as 10 min.
const LATENCY_MAX_NS: u64 = 600_000_000_000;
const LATENCY_DIGITS: u8 = 3;

/// The percentiles that tables and JSON show.
pub const PERCENTILES: [(&str, f64); 7] = [
    ("p50", 50.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
    ("p99.999", 99.999),
];

/// A histogram of latencies in nanoseconds.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_NS, LATENCY_DIGITS);
        Self(histogram.expect("the bounds are constants that hdrhistogram accepts"))
    }
}

impl Latencies {
    /// Counts one latency.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_MAX_NS));
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms here have the same bounds");
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// Values counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value at a percentile, in microseconds.
    pub fn percentile_us(&self, percentile: f64) -> f64 {
        self.0.value_at_percentile(percentile) as f64 / 1e3
    }

    /// The largest value, in microseconds.
    pub fn max_us(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    /// The summary that reports print.
    pub fn summary(&self) -> LatencySummary {
        LatencySummary {
            count: self.count(),
            mean_us: self.0.mean() / 1e3,
            percentiles_us: PERCENTILES
                .iter()
                .map(|&(name, percentile)| (name, self.percentile_us(percentile)))
                .collect(),
            max_us: self.max_us(),
        }
    }
}

/// Latencies of a run, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct LatencySummary {
    /// Values counted.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_us: f64,
    /// Value by percentile name.
    pub percentiles_us: BTreeMap<&'static str, f64>,
    /// Largest value.
    pub max_us: f64,
}

/// What happened between two points in time.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// From the time a message was meant to be sent to its answer.
    pub response: Latencies,
    /// From the time it was sent to its answer.
    pub service: Latencies,
    /// Messages acknowledged or received.
    pub messages: u64,
    /// Body bytes of those messages.
    pub bytes: u64,
    /// Requests that failed, by what the answer said.
    pub errors: BTreeMap<String, u64>,
}

impl Window {
    /// Counts one answered message.
    pub fn success(&mut self, response: Duration, service: Duration, bytes: u64) {
        self.response.record(response);
        self.service.record(service);
        self.messages += 1;
        self.bytes += bytes;
    }

    /// Counts one failed request.
    pub fn failure(&mut self, what: &str) {
        match self.errors.get_mut(what) {
            Some(count) => *count += 1,
            None => {
                self.errors.insert(what.to_owned(), 1);
            }
        }
    }

    /// All failures.
    pub fn failures(&self) -> u64 {
        self.errors.values().sum()
    }

    fn add(&mut self, other: &Self) {
        self.response.add(&other.response);
        self.service.add(&other.service);
        self.messages += other.messages;
        self.bytes += other.bytes;
        for (what, count) in &other.errors {
            *self.errors.entry(what.clone()).or_default() += count;
        }
    }

    fn reset(&mut self) {
        self.response.reset();
        self.service.reset();
        self.messages = 0;
        self.bytes = 0;
        self.errors.clear();
    }
}

/// The current second and everything since the warm-up.
#[derive(Debug, Default)]
pub struct Stats {
    /// Since the last [`Stats::turn`].
    pub second: Window,
    /// Since the end of the warm-up, without the current second.
    pub total: Window,
}

impl Stats {
    /// Ends the current second: adds it to the total when `measured`, and starts a new one.
    pub fn turn(&mut self, measured: bool) {
        if measured {
            self.total.add(&self.second);
        }
        self.second.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_warm_up_does_not_count() {
        let mut stats = Stats::default();
        stats.second.success(Duration::from_millis(5), Duration::from_millis(4), 10);
        stats.turn(false);
        stats.second.success(Duration::from_millis(1), Duration::from_millis(1), 10);
        stats.second.failure("SYSTEM_BUSY");
        stats.turn(true);
        assert_eq!((stats.total.messages, stats.total.bytes, stats.total.failures()), (1, 10, 1));
        assert!(stats.total.response.max_us() < 1_100.0);
        assert_eq!(stats.second.messages, 0);
    }
}

//! A histogram of latencies, and what reports say of it.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{self, Serializer, V2DeflateSerializer};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// Latencies are kept from 1 ns to 1 h with 3 significant digits; longer ones count as 1 h.
const LATENCY_MAX_NS: u64 = 3_600_000_000_000;
const LATENCY_DIGITS: u8 = 3;

/// Bytes before the deflated part of an encoded histogram: a cookie and a length.
const DEFLATED_FROM: usize = 8;

/// Largest inflated histogram: these bounds have 80,000 counts of up to 9 bytes.
const INFLATED_MAX_BYTES: u32 = 1 << 20;

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
        self.record_many(latency, 1);
    }

    /// Counts the same latency `count` times: messages that arrived together.
    pub fn record_many(&mut self, latency: Duration, count: u64) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_MAX_NS);
        self.0.saturating_record_n(ns, count);
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

    /// The same for a reader: none if no value lies beyond, since it would be the largest one by
    /// another name.
    pub fn told_percentile_us(&self, percentile: f64) -> Option<f64> {
        (beyond(self.count(), percentile) > 0).then(|| self.percentile_us(percentile))
    }

    /// The largest value, in microseconds.
    pub fn max_us(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    /// The histogram itself, for the formats that HdrHistogram's own tools read.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// The summary that reports print.
    pub fn summary(&self) -> LatencySummary {
        let told = |&(name, at): &(&str, f64)| (name.to_owned(), self.told_percentile_us(at));
        LatencySummary {
            count: self.count(),
            mean_us: self.0.mean() / 1e3,
            percentiles_us: PERCENTILES.iter().map(told).collect(),
            max_us: self.max_us(),
        }
    }

    /// The whole histogram in HdrHistogram's compressed form (V2, deflated, Base64).
    pub fn encoded(&self) -> String {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.0, &mut bytes)
            .expect("a histogram within its bounds is written to memory");
        STANDARD.encode(bytes)
    }

    /// Reads what [`Latencies::encoded`] wrote; none for anything else.
    pub fn decoded(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        is_of_our_bounds(&bytes).then_some(())?;
        serialization::Deserializer::new().deserialize(&mut bytes.as_slice()).ok().map(Self)
    }
}

/// Whether an encoded histogram is whole and says that it has our bounds. The library makes room
/// for what a histogram says of itself, and does not miss the last bytes of the deflated part, so
/// this is looked at before: cookie and length of what is deflated; in there cookie, length,
/// offset, digits, lowest and highest value, as HdrHistogram's V2 lays them out.
fn is_of_our_bounds(encoded: &[u8]) -> bool {
    let mut head = [0; 32];
    let Some((outer, deflated)) = encoded.split_at_checked(DEFLATED_FROM) else { return false };
    let deflated_bytes = u32::from_be_bytes(outer[4..].try_into().expect("4 bytes"));
    if usize::try_from(deflated_bytes) != Ok(deflated.len())
        || ZlibDecoder::new(deflated).read_exact(&mut head).is_err()
    {
        return false;
    }
    let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("4 bytes"));
    let long = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().expect("8 bytes"));
    word(4) <= INFLATED_MAX_BYTES
        && word(12) == u32::from(LATENCY_DIGITS)
        && (long(16), long(24)) == (1, LATENCY_MAX_NS)
}

/// Latencies of a run, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// Values counted.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_us: f64,
    /// Value by percentile name; all of [`PERCENTILES`] are there, without a value if none lies
    /// beyond: it would be the largest one by another name.
    #[serde(deserialize_with = "all_percentiles")]
    pub percentiles_us: BTreeMap<String, Option<f64>>,
    /// Largest value.
    pub max_us: f64,
}

/// Refuses what lacks one of [`PERCENTILES`].
fn all_percentiles<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, Option<f64>>, D::Error> {
    let values = BTreeMap::<String, Option<f64>>::deserialize(from)?;
    match PERCENTILES.into_iter().find(|(name, _)| !values.contains_key(*name)) {
        Some((name, _)) => Err(D::Error::custom(format!("{name} is missing"))),
        None => Ok(values),
    }
}

impl LatencySummary {
    /// Whole values that lie beyond a percentile: what the figure rests on.
    pub fn beyond(&self, percentile: f64) -> u64 {
        beyond(self.count, percentile)
    }

    /// The percentile of that name in microseconds; none if no value lies beyond it. Results of
    /// older releases have one there, too.
    pub fn percentile_us(&self, name: &str) -> Option<f64> {
        let (_, at) = PERCENTILES.into_iter().find(|(known, _)| *known == name)?;
        self.percentiles_us.get(name).copied().flatten().filter(|_| self.beyond(at) > 0)
    }

    /// The same for a table, with `digits` behind the point; a dash for none.
    pub fn told(&self, name: &str, digits: usize) -> String {
        told(self.percentile_us(name), digits)
    }

    /// In words: half of the values, and 99 of 100.
    pub fn describe(&self) -> String {
        format!("p50 {} us, p99 {} us", self.told("p50", 0), self.told("p99", 0))
    }
}

/// A latency for a reader, with `digits` behind the point; a dash for none.
pub fn told(us: Option<f64>, digits: usize) -> String {
    us.map_or("-".to_owned(), |us| format!("{us:.digits$}"))
}

/// How many of `count` values lie beyond a percentile, in whole values.
pub fn beyond(count: u64, percentile: f64) -> u64 {
    /// Most by which a percentile's share is off as a binary fraction.
    const INEXACT: f64 = 1e-6;
    (count as f64 * (1.0 - percentile / 100.0) + INEXACT).floor() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_histogram_is_read_again() {
        let mut latencies = Latencies::default();
        for us in 1..=1_000 {
            latencies.record(Duration::from_micros(us));
        }
        let read = Latencies::decoded(&latencies.encoded()).unwrap();
        assert_eq!(read.histogram(), latencies.histogram());
    }

    #[test]
    fn histograms_that_are_not_ours_are_refused() {
        let encoded = |histogram: &Histogram<u64>| {
            let mut bytes = Vec::new();
            V2DeflateSerializer::new().serialize(histogram, &mut bytes).unwrap();
            bytes
        };
        let wide = encoded(&Histogram::<u64>::new_with_bounds(1, u64::MAX, 5).unwrap());
        assert!(Latencies::decoded(&STANDARD.encode(wide)).is_none(), "of 50 MB");
        let ours = encoded(Latencies::default().histogram());
        for cut in [0, 7, 8, 20, ours.len() - 1] {
            assert!(Latencies::decoded(&STANDARD.encode(&ours[..cut])).is_none(), "cut at {cut}");
        }
        assert!(Latencies::decoded("no base 64").is_none());
    }

    #[test]
    fn a_summary_without_one_of_its_percentiles_is_refused() {
        let mut json = serde_json::to_value(Latencies::default().summary()).unwrap();
        assert!(serde_json::from_value::<LatencySummary>(json.clone()).is_ok());
        json["percentiles_us"].as_object_mut().unwrap().remove("p99.9");
        let error = serde_json::from_value::<LatencySummary>(json).unwrap_err();
        assert_eq!(error.to_string(), "p99.9 is missing");
    }

    #[test]
    fn a_summary_tells_how_many_values_a_percentile_rests_on() {
        let mut latencies = Latencies::default();
        latencies.record_many(Duration::from_millis(1), 100_000);
        let summary = latencies.summary();
        assert_eq!((summary.beyond(99.9), summary.beyond(99.999)), (100, 1));
    }

    #[test]
    fn a_percentile_with_no_value_beyond_it_is_none() {
        let told = |count| {
            let mut latencies = Latencies::default();
            latencies.record_many(Duration::from_millis(1), count);
            let summary = latencies.summary();
            let json = serde_json::to_value(&summary).unwrap();
            let known = PERCENTILES.iter().filter(|(name, _)| {
                let is_known = summary.percentile_us(name).is_some();
                assert_eq!(json["percentiles_us"][name].is_number(), is_known, "{json}");
                assert_eq!(summary.told(name, 1) == "-", !is_known);
                is_known
            });
            known.count()
        };
        assert_eq!([told(0), told(1), told(2), told(9), told(10), told(99)], [0, 0, 1, 1, 2, 3]);
        assert_eq!([told(10_000), told(99_999), told(100_000)], [6, 6, 7]);
    }
}

//! The way to a broker that somebody else started, and back: what the network takes of every
//! latency measured against it.

use std::time::Duration;

use comfy_table::Table;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::net;
use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::limits::MEASURED;
use crate::record::latencies::Latencies;
use crate::report::table;
use crate::target::Target;
use crate::target::caller::{self, Caller};

/// Connections that are made, one after the other.
const CONNECTS: u32 = 20;

/// Requests that are timed at least, however far away the broker is.
const REQUESTS_MIN: u64 = 20;

/// Longest time that is spent on it, where even those take long.
const LIMIT: Duration = Duration::from_secs(10);

/// A request code that RocketMQ has given to nobody. Every broker since 4.0 answers it with
/// REQUEST_CODE_NOT_SUPPORTED, from memory, and needs no topic, group or permission for it.
const CODE_OF_NOBODY: i32 = 32_000;

/// Times of one broker, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// Its address.
    pub broker: String,
    /// Median time of a TCP connect, which its kernel answers: the network alone.
    pub connect_us: f64,
    /// Median round trip of the smallest request, one in flight: the network and the broker's way
    /// of taking a request.
    pub p50_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
    /// Round trips that were timed.
    pub requests: u64,
}

impl RoundTrip {
    /// Measures the broker at `addr`.
    ///
    /// # Errors
    /// It cannot be reached, or does not answer.
    pub async fn measure(addr: &str) -> Result<Self, BenchError> {
        let mut caller = Caller::connect(addr).await?;
        // Who a name stands for is asked once, and is no part of the way.
        let resolved = net::resolve(addr).await;
        let resolved = resolved
            .map_err(|error| BenchError::Connect { addr: addr.to_owned(), error })?
            .to_string();
        let mut connects = Latencies::default();
        let begun = Instant::now();
        while connects.count() < u64::from(CONNECTS) && begun.elapsed() < LIMIT {
            let begin = Instant::now();
            caller::connect(&resolved).await?.shutdown();
            connects.record(begin.elapsed());
        }
        let mut requests = Latencies::default();
        let begun = Instant::now();
        while begun.elapsed() < MEASURED
            || (requests.count() < REQUESTS_MIN && begun.elapsed() < LIMIT)
        {
            let begin = Instant::now();
            caller.ask(CODE_OF_NOBODY, &(), |_| ()).await?;
            requests.record(begin.elapsed());
        }
        Ok(Self {
            broker: addr.to_owned(),
            connect_us: connects.percentile_us(50.0),
            p50_us: requests.percentile_us(50.0),
            p99_us: requests.percentile_us(99.0),
            requests: requests.count(),
        })
    }

    /// Measures all brokers of a target, one after the other.
    ///
    /// # Errors
    /// As for [`RoundTrip::measure`].
    pub async fn measure_all(target: &Target) -> Result<Vec<Self>, BenchError> {
        let mut all = Vec::new();
        for broker in 0..target.broker_count() {
            all.push(Self::measure(target.broker_addr(broker)).await?);
        }
        Ok(all)
    }

    /// In words.
    pub fn describe(&self) -> String {
        let Self { broker, connect_us, p50_us, p99_us, .. } = self;
        format!(
            "smallest request to {broker}: p50 {p50_us:.0} us, p99 {p99_us:.0} us; TCP connect \
             {connect_us:.0} us"
        )
    }
}

/// The shortest median of several brokers; none without a broker.
pub fn shortest_us(round_trips: &[RoundTrip]) -> Option<f64> {
    round_trips.iter().map(|round_trip| round_trip.p50_us).reduce(f64::min)
}

/// A row for each broker.
pub fn overview(round_trips: &[RoundTrip]) -> Table {
    let mut rows = table::plain();
    rows.set_header(["broker", "TCP connect us p50", "smallest request us p50", "p99", "requests"]);
    for round_trip in round_trips {
        rows.add_row([
            round_trip.broker.clone(),
            format!("{:.0}", round_trip.connect_us),
            format!("{:.0}", round_trip.p50_us),
            format!("{:.0}", round_trip.p99_us),
            round_trip.requests.to_string(),
        ]);
    }
    table::align_numbers(&mut rows, 1);
    rows
}

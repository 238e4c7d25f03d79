//! What a run came to, in the figures that are raced.

use serde::{Deserialize, Serialize};

use crate::args::target::Flush;
use crate::compare::metric::Better;
use crate::error::BenchError;
use crate::report::broker_use::BrokerUse;
use crate::report::outcome::{self, Outcome};
use crate::versus::costs::Spent;
use crate::versus::pairs::{FAILED_MAX_PERCENT, STOLEN_MAX_PERCENT};
use crate::versus::scenario::Scenario;

/// A figure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Messages per second.
    Rate,
    /// Median of the response time.
    P50,
    /// 99 of 100.
    P99,
    /// 999 of 1,000.
    P999,
    /// The 99th percentile as multiple of what the same load had alone, in the same run.
    TimesAlone,
    /// User and system time of the broker's processes per message.
    Cpu,
    /// The same in percent of a core.
    CoreShare,
    /// Resident memory of the broker's processes before the load.
    RssIdle,
    /// And at its end.
    Rss,
    /// Bodies that were read per second beside the sends.
    ReadRate,
    /// Stored bytes that were read per second, in percent of what the device gives.
    DeviceShare,
    /// Seconds until a broker that has ended answers again.
    Restart,
}

impl Figure {
    /// Its name and unit in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "msg/s",
            Self::P50 => "p50 us",
            Self::P99 => "p99 us",
            Self::P999 => "p99.9 us",
            Self::TimesAlone => "p99, times alone",
            Self::Cpu => "CPU us/msg",
            Self::CoreShare => "CPU % of a core",
            Self::RssIdle => "RSS MB, idle",
            Self::Rss => "RSS MB",
            Self::ReadRate => "reads beside, MB/s",
            Self::DeviceShare => "% of device",
            Self::Restart => "restart s",
        }
    }

    /// Which way is good.
    pub fn better(self) -> Better {
        match self {
            Self::Rate | Self::ReadRate | Self::DeviceShare => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// The probes that must be alike beside both runs of a pair, or this figure of it does not
    /// count. What a probe measures decides about some figures and has no part in others; which
    /// ones is fixed here, before anything runs.
    pub fn bound_by(self, flush: Flush) -> &'static [Probe] {
        match self {
            // Clients and broker exchange each request over loopback. With SYNC_FLUSH each answer
            // waits for the device; without it the broker answers from memory, and what it makes
            // of the device meanwhile is its own doing.
            Self::Rate | Self::P50 | Self::P99 | Self::P999 => match flush {
                Flush::Sync => &[Probe::Flush, Probe::RoundTrip],
                Flush::Async => &[Probe::RoundTrip],
            },
            // The kernel counts the time in which the processes have a CPU, and their pages:
            // however long they wait for the device or each other.
            Self::Cpu | Self::CoreShare | Self::RssIdle | Self::Rss => &[],
            // Each run measures what it is compared with itself.
            Self::TimesAlone | Self::DeviceShare => &[],
            // What is read is in no cache: beside the device a round trip of 10 us is nothing, and
            // a flush says nothing of reads.
            Self::ReadRate => &[],
            // Seconds of reading and building tables: neither a flush of 4 KiB nor a round trip
            // is a part of it that matters.
            Self::Restart => &[],
        }
    }

    /// Whether it is decided by the requests that waited longest, or by how long they waited: a
    /// pause of the whole machine is a part of it.
    pub fn is_latency(self) -> bool {
        self.percentile().is_some()
    }

    /// The percentile that a latency is, or is made of.
    fn percentile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(50.0),
            Self::P99 | Self::TimesAlone => Some(99.0),
            Self::P999 => Some(99.9),
            _ => None,
        }
    }

    /// Whether the null broker's is a limit of it: memory and restarts are not.
    pub fn has_limit(self) -> bool {
        matches!(
            self,
            Self::Rate | Self::P50 | Self::P99 | Self::P999 | Self::Cpu | Self::DeviceShare
        )
    }

    /// Its value of a run; none where the client does not tell, it is not above 0, too many
    /// requests failed, or it is a latency of a run that was overloaded: the longest waits are in
    /// none of its percentiles.
    pub fn of(self, figures: &Figures) -> Option<f64> {
        let is_void = figures.is_failing() || figures.is_overloaded(self);
        self.measured(figures).filter(|_| !is_void)
    }

    /// Its value of a run, whatever may be concluded from it.
    pub fn measured(self, figures: &Figures) -> Option<f64> {
        let megabytes = |bytes: u64| Some(bytes as f64 / 1e6);
        let value = match self {
            Self::Rate => Some(figures.messages_per_second),
            Self::P50 => figures.p50_us,
            Self::P99 => figures.p99_us,
            Self::P999 => figures.p999_us,
            Self::TimesAlone => figures.p99_us.zip(figures.p99_alone_us).map(|(us, of)| us / of),
            Self::Cpu => figures.broker.map(|broker| broker.cpu_us_per_message),
            Self::CoreShare => Some(figures.core_percent),
            Self::RssIdle => megabytes(figures.rss_idle_bytes),
            Self::Rss => megabytes(figures.rss_bytes),
            Self::ReadRate => figures.read_mb_per_s,
            Self::DeviceShare => figures.device_percent,
            Self::Restart => figures.restart_s,
        };
        value.filter(|value| value.is_finite() && *value > 0.0)
    }
}

/// What is measured before and after each run, while no broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A write with a flush of the device.
    Flush,
    /// A round trip over loopback.
    RoundTrip,
}

/// What one run came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Counted time in seconds.
    pub seconds: f64,
    /// Messages of that time.
    pub messages: u64,
    /// Per second.
    pub messages_per_second: f64,
    /// Median of the response time, from the intended time where there is one.
    pub p50_us: Option<f64>,
    /// 99 of 100.
    pub p99_us: Option<f64>,
    /// 999 of 1,000.
    pub p999_us: Option<f64>,
    /// The 99th percentile of the same load without what ran beside it.
    pub p99_alone_us: Option<f64>,
    /// What the broker spent on a message; none without messages.
    #[serde(default)]
    pub broker: Option<BrokerUse>,
    /// CPU time of the broker in percent of a core.
    pub core_percent: f64,
    /// Its resident memory before the load.
    pub rss_idle_bytes: u64,
    /// And at its end.
    pub rss_bytes: u64,
    /// CPU time of all cores that the host took away meanwhile, in percent; none where the kernel
    /// does not tell, or nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stolen_percent: Option<f64>,
    /// What was read beside the sends per second, in MB of bodies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_mb_per_s: Option<f64>,
    /// Reading from the device: share of what it gives.
    pub device_percent: Option<f64>,
    /// Time until it answered after an end.
    pub restart_s: Option<f64>,
    /// Why a figure is missing although the load ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// Requests that were answered, with messages or without; 0 where the client does not tell.
    #[serde(default)]
    pub answered: u64,
    /// Requests that failed or got no answer.
    pub failures: u64,
    /// Open loop: requests that were due and not sent at the end; they are in no percentile. Of an
    /// end-to-end run also the messages that were sent and did not arrive in the counted time.
    pub backlog: u64,
}

impl Figures {
    /// These figures in a line.
    pub fn describe(&self, figures: &[Figure]) -> String {
        let known =
            figures.iter().filter_map(|figure| Some((figure.name(), figure.measured(self)?)));
        let words: Vec<String> = known.map(|(name, value)| format!("{name} {value:.2}")).collect();
        let stolen = self.stolen_percent.filter(|percent| *percent > STOLEN_MAX_PERCENT);
        let stolen =
            stolen.map(|percent| format!("; the host took {percent:.1} % of the CPU time"));
        let stolen = stolen.unwrap_or_default();
        let void = figures.iter().filter(|figure| self.is_overloaded(**figure));
        let void: Vec<&str> = void.map(|figure| figure.name()).collect();
        let overload = match void.is_empty() {
            true => String::new(),
            false => format!(
                "; overloaded: {} requests were due and not sent, so no {} counts",
                self.backlog,
                void.join(", ")
            ),
        };
        format!("{}; {} failed requests{stolen}{overload}", words.join(", "), self.failures)
    }

    /// Whether a figure is a latency that says nothing, since an open loop was not served as fast
    /// as it was due, see [`outcome::is_behind`].
    pub fn is_overloaded(&self, figure: Figure) -> bool {
        let is_behind = |at| outcome::is_behind(self.backlog, self.answered(), at);
        figure.percentile().is_some_and(is_behind)
    }

    /// Whether so many requests failed that nothing of the run counts.
    pub fn is_failing(&self) -> bool {
        let requests = self.answered() + self.failures;
        100.0 * self.failures as f64 > FAILED_MAX_PERCENT * requests as f64
    }

    /// Why figures are missing although the load ran.
    pub fn fault(&self) -> Option<String> {
        let requests = self.answered() + self.failures;
        let failed = || format!("{} of {requests} requests failed", self.failures);
        self.lost.clone().or_else(|| self.is_failing().then(failed))
    }

    /// Requests that were answered; where they are not told, their messages.
    fn answered(&self) -> u64 {
        if self.answered > 0 { self.answered } else { self.messages }
    }

    /// These figures with what the broker and the host took meanwhile.
    pub fn with(self, spent: Spent) -> Self {
        let Spent { broker, core_percent, stolen_percent } = spent;
        Self { broker, core_percent, stolen_percent, ..self }
    }

    /// What a load came to, without what its broker spent.
    pub fn of_load(outcome: &Outcome) -> Self {
        let percentile = |name: &str| outcome.response.percentile_us(name);
        Self {
            seconds: outcome.seconds,
            messages: outcome.messages,
            messages_per_second: outcome.messages_per_second,
            p50_us: percentile("p50"),
            p99_us: percentile("p99"),
            p999_us: percentile("p99.9"),
            answered: outcome.response.count + outcome.empty,
            failures: outcome.failures(),
            backlog: outcome.backlog,
            ..Self::default()
        }
    }
}

/// Tells in a line what a run of a scenario came to, with `more` behind its figures; gives these,
/// or why there are none.
pub fn told(
    outcome: Result<Figures, BenchError>,
    scenario: &Scenario,
    more: &str,
) -> (Option<Figures>, Option<String>) {
    match outcome {
        Ok(figures) => {
            eprintln!("  {}{more}", figures.describe(scenario.figures));
            (Some(figures), None)
        }
        Err(error) => {
            eprintln!("  failed: {error}");
            (None, Some(error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_decides_only_where_answers_wait_for_it() {
        let binds = |figure: Figure, flush| figure.bound_by(flush).contains(&Probe::Flush);
        assert!(binds(Figure::P99, Flush::Sync) && binds(Figure::Rate, Flush::Sync));
        assert!(!binds(Figure::P99, Flush::Async) && !binds(Figure::Cpu, Flush::Sync));
    }

    #[test]
    fn cpu_time_and_memory_are_counted_whatever_the_probes_say() {
        for figure in [Figure::Cpu, Figure::CoreShare, Figure::Rss, Figure::RssIdle] {
            assert_eq!(figure.bound_by(Flush::Sync), []);
        }
    }
}

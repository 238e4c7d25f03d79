//! What a run came to, in the figures that are raced.

use serde::Serialize;

use crate::compare::metric::Better;

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
    /// User and system time of the broker's processes per message.
    Cpu,
    /// Resident memory of the broker's processes at the end.
    Rss,
}

impl Figure {
    /// Its name and unit in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "msg/s",
            Self::P50 => "p50 us",
            Self::P99 => "p99 us",
            Self::P999 => "p99.9 us",
            Self::Cpu => "CPU us/msg",
            Self::Rss => "RSS MB",
        }
    }

    /// Which way is good.
    pub fn better(self) -> Better {
        match self {
            Self::Rate => Better::Higher,
            Self::P50 | Self::P99 | Self::P999 | Self::Cpu | Self::Rss => Better::Lower,
        }
    }

    /// Its value of a run; none where the client does not tell, or it is not above 0.
    pub fn of(self, figures: &Figures) -> Option<f64> {
        let value = match self {
            Self::Rate => Some(figures.messages_per_second),
            Self::P50 => figures.p50_us,
            Self::P99 => figures.p99_us,
            Self::P999 => figures.p999_us,
            Self::Cpu => Some(figures.cpu_us_per_message),
            Self::Rss => Some(figures.rss_bytes as f64 / 1e6),
        };
        value.filter(|value| value.is_finite() && *value > 0.0)
    }
}

/// What one run came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// CPU time of the broker per message of the same time.
    pub cpu_us_per_message: f64,
    /// Its resident memory at the end.
    pub rss_bytes: u64,
    /// Requests that failed or got no answer.
    pub failures: u64,
    /// Open loop: requests that were due and not sent at the end; they are in no percentile.
    pub backlog: u64,
}

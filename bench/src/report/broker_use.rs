//! What a broker used for the messages of a run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::measure::Used;
use crate::observe::DeviceUse;

/// Resources of the broker process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerUse {
    /// User and system CPU time per message, in microseconds.
    pub cpu_us_per_message: f64,
    /// Resident memory at the end.
    pub rss_bytes: u64,
    /// Of it that of files which the broker has mapped, and of shared memory; none in results of
    /// older releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_files_bytes: Option<u64>,
    /// Flushes of the commit log per message; none when the broker does not tell.
    pub flushes_per_message: Option<f64>,
    /// Times per message that a thread gave up its CPU or lost it.
    pub context_switches_per_message: Option<f64>,
    /// Time per message that threads could run and had no CPU, in microseconds.
    pub cpu_wait_us_per_message: Option<f64>,
    /// Writes of the device under the broker's files per message, those of others included.
    pub device_writes_per_message: Option<f64>,
    /// Bytes written by that device per message.
    pub device_bytes_per_message: Option<f64>,
    /// Flushes of that device per message.
    pub device_flushes_per_message: Option<f64>,
    /// System calls per message, where somebody counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_calls_per_message: Option<f64>,
}

impl BrokerUse {
    /// Of what was used for some messages.
    pub fn of(used: Used) -> Self {
        let messages = used.messages.max(1) as f64;
        let per_message = |count: u64| count as f64 / messages;
        let us_per_message = |time: Duration| time.as_secs_f64() * 1e6 / messages;
        let of_device = |count: fn(DeviceUse) -> u64| used.device.map(count).map(per_message);
        Self {
            cpu_us_per_message: us_per_message(used.cpu),
            rss_bytes: used.rss_bytes,
            rss_files_bytes: Some(used.rss_files_bytes),
            flushes_per_message: used.flushes.map(per_message),
            context_switches_per_message: Some(per_message(used.scheduling.context_switches)),
            cpu_wait_us_per_message: Some(us_per_message(used.scheduling.cpu_wait)),
            device_writes_per_message: of_device(|device| device.writes),
            device_bytes_per_message: of_device(|device| device.written_bytes),
            device_flushes_per_message: of_device(|device| device.flushes),
            system_calls_per_message: None,
        }
    }
}

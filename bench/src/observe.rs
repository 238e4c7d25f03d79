//! What broker and machine did during a run, from counters of the kernel that are read before and
//! after it. A counter that this kernel does not have is left out.

use std::path::Path;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::process;
use serde::{Deserialize, Serialize};

use crate::environment::disk::device_of;
use crate::environment::fact;
use crate::measure::Used;
use crate::target::Target;

/// Bytes of a sector in the counters of devices, whatever the device's own sectors are.
const SECTOR_BYTES: u64 = 512;

/// All counters at one moment.
#[derive(Clone, Debug)]
pub struct Observed {
    usage: Option<process::Usage>,
    flushes: Option<u64>,
    device: Option<DeviceUse>,
    machine: Machine,
}

impl Observed {
    /// Reads them.
    pub async fn of(target: &Target) -> Self {
        let device = match target.store() {
            Some(store) => DeviceUse::under(store).await,
            None => None,
        };
        Self {
            usage: target.usage(),
            flushes: target.flushes().await,
            device,
            machine: Machine::look().await,
        }
    }

    /// What a broker of our own used for `messages` since `before`.
    pub fn used_since(&self, before: &Self, messages: u64) -> Option<Used> {
        let used = Used::between(before.usage?, self.usage?, messages);
        let device = self.device.zip(before.device).map(|(now, then)| now.since(then));
        let flushes = self.flushes.zip(before.flushes);
        let flushes = flushes.map(|(now, then)| now.saturating_sub(then));
        Some(Used { flushes, device, ..used })
    }

    /// What the machine did since `before`.
    pub fn meanwhile_since(&self, before: &Self) -> Meanwhile {
        self.machine.since(&before.machine)
    }
}

/// What the machine has done since it started, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    at: Instant,
    counters: Counters,
}

impl Machine {
    /// Looks now.
    pub async fn look() -> Self {
        Self { at: Instant::now(), counters: Counters::read().await }
    }

    /// What it did since `before`.
    pub fn since(&self, before: &Self) -> Meanwhile {
        Meanwhile {
            elapsed: self.at.saturating_since(before.at),
            counters: self.counters.with(before.counters, u64::saturating_sub),
        }
    }
}

/// What the device under the broker's files did, for whomever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceUse {
    /// Writes.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Flushes of its cache.
    pub flushes: u64,
}

impl DeviceUse {
    /// Reads the counters of the device under a directory; none where the kernel does not tell.
    pub async fn under(directory: &Path) -> Option<Self> {
        Self::parse(&fact(&format!("{}/stat", device_of(directory).await?)).await)
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// What came between two moments.
    pub fn since(self, earlier: Self) -> Self {
        self.with(earlier, u64::saturating_sub)
    }

    fn with(self, other: Self, both: fn(u64, u64) -> u64) -> Self {
        Self {
            writes: both(self.writes, other.writes),
            written_bytes: both(self.written_bytes, other.written_bytes),
            flushes: both(self.flushes, other.flushes),
        }
    }

    /// Documentation/block/stat.rst: the 5th field counts writes, the 7th their sectors, the 16th
    /// flushes, since Linux 5.5.
    fn parse(stat: &str) -> Option<Self> {
        let numbers: Vec<u64> =
            stat.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        Some(Self {
            writes: *numbers.get(4)?,
            written_bytes: *numbers.get(6)? * SECTOR_BYTES,
            flushes: *numbers.get(15)?,
        })
    }
}

/// Counters of the machine, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    /// CPU time of all cores in ticks, whatever they did, and what the host took away of it.
    ticks: Option<u64>,
    stolen_ticks: Option<u64>,
    /// Time in microseconds in which some task waited for a CPU, some for I/O, and all for I/O.
    cpu_some_us: Option<u64>,
    io_some_us: Option<u64>,
    io_full_us: Option<u64>,
}

impl Counters {
    async fn read() -> Self {
        let stat = fact("proc/stat").await;
        let cpu = fact("proc/pressure/cpu").await;
        let io = fact("proc/pressure/io").await;
        let ticks = ticks(&stat);
        Self {
            ticks: ticks.map(|(all, _)| all),
            stolen_ticks: ticks.map(|(_, stolen)| stolen),
            cpu_some_us: pressure_us(&cpu, "some"),
            io_some_us: pressure_us(&io, "some"),
            io_full_us: pressure_us(&io, "full"),
        }
    }

    fn with(self, other: Self, both: fn(u64, u64) -> u64) -> Self {
        let pair = |one: Option<u64>, other: Option<u64>| one.zip(other).map(|(a, b)| both(a, b));
        Self {
            ticks: pair(self.ticks, other.ticks),
            stolen_ticks: pair(self.stolen_ticks, other.stolen_ticks),
            cpu_some_us: pair(self.cpu_some_us, other.cpu_some_us),
            io_some_us: pair(self.io_some_us, other.io_some_us),
            io_full_us: pair(self.io_full_us, other.io_full_us),
        }
    }
}

/// CPU time that the host took away since the machine started, in ticks of 10 ms; none where the
/// kernel does not tell.
pub async fn stolen_ticks() -> Option<u64> {
    ticks(&fact("proc/stat").await).map(|(_, stolen)| stolen)
}

/// proc(5): the first line sums up all cores; its 8th number is the time that the host took away,
/// the two behind it are parts of others.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let numbers: Vec<u64> = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_ascii_whitespace()
        .map_while(|field| field.parse().ok())
        .take(8)
        .collect();
    Some((numbers.iter().sum(), *numbers.get(7)?))
}

/// Documentation/accounting/psi.rst: lines such as `some avg10=0.00 ... total=123`.
fn pressure_us(text: &str, kind: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(kind))?;
    line.rsplit_once("total=")?.1.trim().parse().ok()
}

/// What the machine did during a repetition, or several.
#[derive(Clone, Copy, Debug)]
pub struct Meanwhile {
    elapsed: Duration,
    counters: Counters,
}

impl Meanwhile {
    /// Both together.
    pub fn and(self, later: Self) -> Self {
        Self {
            elapsed: self.elapsed + later.elapsed,
            counters: self.counters.with(later.counters, u64::saturating_add),
        }
    }

    /// As shares of the time.
    pub fn strain(&self) -> Strain {
        let Counters { ticks, stolen_ticks, cpu_some_us, io_some_us, io_full_us } = self.counters;
        let of_time = |us: u64| 100.0 * us as f64 / 1e6 / self.elapsed.as_secs_f64().max(1e-9);
        let of_ticks = |(stolen, all): (u64, u64)| 100.0 * stolen as f64 / all.max(1) as f64;
        Strain {
            steal_percent: stolen_ticks.zip(ticks).map(of_ticks),
            cpu_pressure_percent: cpu_some_us.map(of_time),
            io_pressure_percent: io_some_us.map(of_time),
            io_stall_percent: io_full_us.map(of_time),
        }
    }
}

/// How much the machine had to do besides: a figure from a machine under strain says little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Strain {
    /// CPU time that the host took away, of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steal_percent: Option<f64>,
    /// Share of the time in which some task of the machine waited for a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_pressure_percent: Option<f64>,
    /// Share of the time in which some task waited for I/O.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_pressure_percent: Option<f64>,
    /// Share of the time in which all tasks that were not idle waited for I/O.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_stall_percent: Option<f64>,
}

impl Strain {
    /// In one line.
    pub fn describe(&self) -> String {
        let facts = [
            ("host took", self.steal_percent),
            ("tasks waited for a CPU", self.cpu_pressure_percent),
            ("for I/O", self.io_pressure_percent),
            ("all of them for I/O", self.io_stall_percent),
        ];
        let say = |(name, percent): (&str, Option<f64>)| {
            percent.map(|percent| format!("{name} {percent:.1} %"))
        };
        format!("meanwhile: {}", facts.into_iter().filter_map(say).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_the_host_took_is_that_of_all_cores() {
        let before = ticks("cpu  10 0 10 70 0 0 0 10 5 5\ncpu0 1 1").unwrap();
        let after = ticks("cpu  20 0 20 120 0 0 0 40 9 9\ncpu0 1 1").unwrap();
        assert_eq!((before, after), ((100, 10), (200, 40)));
        assert_eq!(ticks("cpu  1 2 3"), None);
    }

    #[test]
    fn pressure_is_read_by_its_kind() {
        let text = "some avg10=98.77 avg60=98.71 avg300=95.14 total=1500000\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=7";
        assert_eq!(
            (pressure_us(text, "some"), pressure_us(text, "full")),
            (Some(1_500_000), Some(7))
        );
        assert_eq!(pressure_us("", "some"), None);
    }

    #[test]
    fn a_device_counts_writes_sectors_and_flushes() {
        let stat = "1 2 3 4 500 6 700 8 9 10 11 12 13 14 15 160 17";
        let expected = DeviceUse { writes: 500, written_bytes: 700 * 512, flushes: 160 };
        assert_eq!(DeviceUse::parse(stat), Some(expected));
        let old = "1 2 3 4 500 6 700 8 9 10 11";
        assert_eq!((DeviceUse::parse(old), DeviceUse::parse("")), (None, None));
    }

    #[test]
    fn strain_is_a_share_of_the_time_and_lacks_what_is_unknown() {
        let counters = Counters {
            ticks: Some(400),
            stolen_ticks: Some(10),
            cpu_some_us: Some(500_000),
            ..Counters::default()
        };
        let second = Meanwhile { elapsed: Duration::from_secs(1), counters };
        let strain = second.and(second).strain();
        assert_eq!((strain.steal_percent, strain.cpu_pressure_percent), (Some(2.5), Some(50.0)));
        assert_eq!(strain.describe(), "meanwhile: host took 2.5 %, tasks waited for a CPU 50.0 %");
        let json = serde_json::to_string(&strain).unwrap();
        assert!(!json.contains("io_"), "{json}");
    }
}

//! Values of the command line: numbers with units, and what is allowed.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;

use crate::driver::schedule::Arrivals;
use crate::knee::Bound;
use crate::record::latencies::PERCENTILES;
use crate::workload::message::Sizes;
use crate::workload::payload::HEAD_SIZE_BYTES;
use crate::workload::topics::Spread;

/// Largest body: what a frame of 16 MiB has room for. Brokers refuse more than their
/// `maxMessageSize`, 4 MiB by default, and what they do then can be measured, too.
const BODY_SIZE_MAX_BYTES: usize = 15 << 20;

/// Largest rate: what 100 cores could send.
const RATE_MAX: f64 = 1e8;

/// Smallest rate: one in a quarter of an hour. Of far less no due time is known.
const RATE_MIN: f64 = 1e-3;

const SIZE_UNITS: [(&str, f64); 6] = [
    ("kib", 1024.0),
    ("kb", 1024.0),
    ("k", 1024.0),
    ("mib", 1048576.0),
    ("m", 1048576.0),
    ("b", 1.0),
];

/// A whole number from 1 to `max`.
pub fn up_to(max: u64) -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=max)
}

/// Seconds, with or without `s`; `ms` and `us` for thousandths and
/// millionths.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let (number, factor) = split_unit(text, &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0)]);
    match number.parse::<f64>() {
        Ok(value) if (0.0..=86_400.0).contains(&(value * factor)) => {
            Ok(Duration::from_secs_f64(value * factor))
        }
        _ => Err(format!("{text:?} is not a number of seconds from 0 to 86400")),
    }
}

/// Seconds that are counted: some.
pub fn counted(text: &str) -> Result<Duration, String> {
    match seconds(text) {
        Ok(time) if time.is_zero() => {
            Err(format!("{text:?} counts nothing: a number of seconds of more than 0"))
        }
        other => other,
    }
}

/// How long a pull may wait: what the end of a run still waits for.
pub fn hold(text: &str) -> Result<Duration, String> {
    let hold = seconds(text)?;
    match hold.as_millis() {
        1..=15_000 => Ok(hold),
        _ => Err(format!("{text:?} is not a wait from 1ms to 15s")),
    }
}

/// Cores by their numbers, each once, in the order in which they were named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores(Vec<usize>);

impl Cores {
    /// The numbers of those that were named; none where nobody named any.
    pub fn numbers(named: Option<&Self>) -> &[usize] {
        named.map_or(&[], |cores| &cores.0)
    }
}

impl std::fmt::Display for Cores {
    /// As the command line takes them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbers: Vec<_> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&numbers.join(","))
    }
}

/// Highest number of a core: the kernel's sets of cores end there (CPU_SETSIZE of glibc).
const CORE_MAX: usize = 1_023;

/// Cores and ranges of them, such as `2-3,5`.
pub fn cores(text: &str) -> Result<Cores, String> {
    let expected = || {
        format!("{text:?} is no list of cores from 0 to {CORE_MAX}, each once, such as 1 or 2-3,5")
    };
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let core = |text: &str| text.trim().parse().ok().filter(|core| *core <= CORE_MAX);
        let (first, last) = core(first).zip(core(last)).ok_or_else(expected)?;
        if first > last || (first..=last).any(|core| cores.contains(&core)) {
            return Err(expected());
        }
        cores.extend(first..=last);
    }
    Ok(Cores(cores))
}

/// Requests per second.
pub fn rate(text: &str) -> Result<f64, String> {
    let (number, factor) = split_unit(text, &[("k", 1e3), ("m", 1e6)]);
    match number.parse::<f64>() {
        Ok(rate) if (RATE_MIN..=RATE_MAX).contains(&(rate * factor)) => Ok(rate * factor),
        _ => Err(format!(
            "{text:?} is not a rate from {RATE_MIN} to 100M per second, such as 500, 10k or 1.5M"
        )),
    }
}

/// A number of messages.
pub fn count(text: &str) -> Result<u64, String> {
    let (number, factor) = split_unit(text, &[("k", 1e3), ("m", 1e6)]);
    match number.parse::<f64>() {
        Ok(value) if (0.0..=1e12).contains(&(value * factor)) => Ok((value * factor) as u64),
        _ => Err(format!("{text:?} is not a number of messages such as 500, 10k or 1.5M")),
    }
}

/// A number of messages that is not none.
pub fn some(text: &str) -> Result<u64, String> {
    match count(text) {
        Ok(0) => Err(format!("{text:?} counts nothing: a number of messages of 1 or more")),
        other => other,
    }
}

/// An address with its port.
pub fn address(text: &str) -> Result<String, String> {
    match is_address(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is not host:port, such as 127.0.0.1:10911")),
    }
}

/// Addresses of name servers, each with its port, as RocketMQ's tools take them.
pub fn name_servers(text: &str) -> Result<String, String> {
    match text.split(';').all(is_address) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is not host:port, such as 127.0.0.1:9876, nor several of these with ; between"
        )),
    }
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = |c: char| c.is_alphanumeric() || ".-_:[]%".contains(c);
    !host.is_empty() && host.chars().all(is_host) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Longest tag: with key and unique key the properties of a message then fit their 32,767 bytes.
const TAG_MAX_BYTES: usize = 32_000;

/// A tag.
pub fn tag(text: &str) -> Result<String, String> {
    match text.len() {
        1..=TAG_MAX_BYTES => Ok(text.to_owned()),
        bytes => Err(format!("a tag has 1 to {TAG_MAX_BYTES} bytes, not {bytes}")),
    }
}

/// One body size or a range of them.
pub fn sizes(text: &str) -> Result<Sizes, String> {
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let sizes = Sizes { min: body_size(min)?, max: body_size(max)? };
    if sizes.min > sizes.max {
        return Err(format!("{text:?} is empty: the smaller size comes first"));
    }
    Ok(sizes)
}

fn body_size(text: &str) -> Result<usize, String> {
    let (number, factor) = split_unit(text, &SIZE_UNITS);
    let allowed = HEAD_SIZE_BYTES..=BODY_SIZE_MAX_BYTES;
    match number.parse::<f64>().map(|number| (number * factor) as usize) {
        Ok(size) if allowed.contains(&size) => Ok(size),
        _ => Err(format!(
            "{text:?} is not a size from {HEAD_SIZE_BYTES} bytes to 15MiB, such as 1024 or 1KiB, \
             or a range such as 100..4k"
        )),
    }
}

/// A share in percent, with or without `%`.
pub fn percent(text: &str) -> Result<u8, String> {
    match text.trim_end_matches('%').parse() {
        Ok(percent @ 0..=100) => Ok(percent),
        _ => Err(format!("{text:?} is not a share from 0% to 100%")),
    }
}

/// How arrivals lie between each other.
pub fn arrivals(text: &str) -> Result<Arrivals, String> {
    match text.split_once(':') {
        None if text == "constant" => Ok(Arrivals::Constant),
        None if text == "poisson" => Ok(Arrivals::Poisson),
        Some(("bursts", size)) => match size.parse() {
            Ok(size @ 1..=1_000_000) => Ok(Arrivals::Bursts(size)),
            _ => Err(format!("{size:?} is not a size of bursts from 1 to 1000000")),
        },
        _ => Err(format!("{text:?} is none of constant, poisson, bursts:SIZE")),
    }
}

/// A percentile and its longest response time, such as `p99=10ms`.
pub fn bound(text: &str) -> Result<Bound, String> {
    let expected = || {
        let names: Vec<_> = PERCENTILES.iter().map(|(name, _)| *name).collect();
        format!(
            "{text:?} is not a bound such as p99=10ms; the percentiles are {}",
            names.join(", ")
        )
    };
    let (percentile, limit) = text.split_once('=').ok_or_else(expected)?;
    if !PERCENTILES.iter().any(|(name, _)| *name == percentile) {
        return Err(expected());
    }
    let limit = seconds(limit)?;
    if limit.is_zero() {
        return Err(format!("{text:?}: nothing is answered in no time, say p99=10ms"));
    }
    Ok(Bound { percentile: percentile.to_owned(), limit })
}

/// How messages are spread over topics.
pub fn spread(text: &str) -> Result<Spread, String> {
    match text.split_once(':') {
        None if text == "uniform" => Ok(Spread::Uniform),
        None if text == "zipf" => Ok(Spread::Zipf(1.0)),
        Some(("zipf", exponent)) => match exponent.parse() {
            Ok(exponent) if exponent > 0.0 && exponent <= 10.0 => Ok(Spread::Zipf(exponent)),
            _ => Err(format!("{exponent:?} is not an exponent above 0, up to 10")),
        },
        _ => Err(format!("{text:?} is none of uniform, zipf, zipf:EXPONENT")),
    }
}

/// Splits a number from the first unit that ends it, in any case; factor 1 without one.
fn split_unit<'a>(text: &'a str, units: &[(&str, f64)]) -> (&'a str, f64) {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    for (unit, factor) in units {
        if lower.ends_with(unit) {
            return (text[..text.len() - unit.len()].trim(), *factor);
        }
    }
    (text, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_units() {
        assert_eq!(sizes("1KiB"), Ok(Sizes { min: 1024, max: 1024 }));
        assert_eq!(sizes("100..4m"), Ok(Sizes { min: 100, max: 4 << 20 }));
        assert_eq!(rate("10k"), Ok(10_000.0));
        assert_eq!(rate("1.5M"), Ok(1_500_000.0));
        assert_eq!(count("2k"), Ok(2_000));
        assert_eq!(seconds("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(seconds("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(percent("30%"), Ok(30));
    }

    #[test]
    fn cores_are_numbers_and_ranges_in_their_order() {
        assert_eq!(cores("1"), Ok(Cores(vec![1])));
        assert_eq!(cores("5,2-4, 0"), Ok(Cores(vec![5, 2, 3, 4, 0])));
        for text in ["", "a", "1,", "3-2", "1-2,2", "-1", "1024", "0-1-2"] {
            assert!(cores(text).unwrap_err().contains("such as 1 or 2-3,5"), "{text:?}");
        }
    }

    #[test]
    fn shapes_are_named() {
        assert_eq!(arrivals("poisson"), Ok(Arrivals::Poisson));
        assert_eq!(arrivals("bursts:100"), Ok(Arrivals::Bursts(100)));
        assert_eq!(spread("zipf:1.2"), Ok(Spread::Zipf(1.2)));
        let limit = Duration::from_micros(500);
        assert_eq!(bound("p99.9=500us"), Ok(Bound { percentile: "p99.9".into(), limit }));
    }

    #[test]
    fn senseless_values_are_refused_with_what_is_allowed() {
        assert!(sizes("16MiB").unwrap_err().contains("40 bytes to 15MiB"));
        assert!(sizes("3").is_err());
        assert!(sizes("4k..1k").unwrap_err().contains("smaller size comes first"));
        assert!(rate("-1").is_err() && rate("nan").is_err() && rate("101M").is_err());
        assert!(rate("1e-20").unwrap_err().contains("from 0.001 to 100M per second"));
        assert!(seconds("x").is_err() && seconds("-1").is_err());
        assert!(percent("101").is_err());
        assert!(arrivals("bursts:0").is_err() && arrivals("bursty").is_err());
        assert!(spread("zipf:0").is_err());
        assert!(bound("p98=1ms").unwrap_err().contains("p99.9"));
        assert!(bound("p99=0").unwrap_err().contains("in no time"));
    }
}

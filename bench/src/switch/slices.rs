//! Slices of a run, in pairs: one with either value of the setting.

use serde::Serialize;

/// What the broker did in a part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Slice {
    /// Number of its pair, from 1.
    pub pair: u32,
    /// Which of the two values the setting had.
    pub value: usize,
    /// Its length.
    pub seconds: f64,
    /// Messages that were answered in it.
    pub messages: u64,
    /// CPU time of the broker in it; none where its processes are not known.
    pub cpu_s: Option<f64>,
}

impl Slice {
    /// Messages per second; none without messages.
    pub fn rate(&self) -> Option<f64> {
        Some(self.messages as f64 / self.seconds).filter(|rate| *rate > 0.0)
    }

    /// CPU time of a message in microseconds; none without messages, or without CPU time.
    pub fn cpu_us(&self) -> Option<f64> {
        Some(self.cpu_s? * 1e6 / self.messages as f64).filter(|us| us.is_finite() && *us > 0.0)
    }
}

/// The value of either side of each whole pair that has it.
pub fn sides(slices: &[Slice], value: fn(&Slice) -> Option<f64>) -> Vec<[f64; 2]> {
    let pairs = slices.chunk_by(|a, b| a.pair == b.pair);
    let side = |pair: &[Slice], of: usize| value(pair.iter().find(|slice| slice.value == of)?);
    pairs.filter_map(|pair| Some([side(pair, 0)?, side(pair, 1)?])).collect()
}

/// Whole pairs in which nothing was answered with a value, and something with the other.
pub fn stalled(slices: &[Slice], value: usize) -> usize {
    let pairs = slices.chunk_by(|a, b| a.pair == b.pair);
    let messages = |pair: &[Slice], of: usize| {
        pair.iter().find(|slice| slice.value == of).map(|slice| slice.messages)
    };
    let is_stalled = |pair: &&[Slice]| {
        messages(pair, value) == Some(0) && messages(pair, 1 - value).is_some_and(|other| other > 0)
    };
    pairs.filter(is_stalled).count()
}

/// That slices are in no figure since nothing was answered in them, if there are any: all of them
/// may be.
pub fn silence(slices: &[Slice]) -> Option<String> {
    let is_silent = |slice: &&Slice, value| slice.value == value && slice.messages == 0;
    let count = |value| slices.iter().filter(|slice| is_silent(slice, value)).count();
    let (first, second) = (count(0), count(1));
    (first + second > 0).then(|| {
        format!(
            "nothing at all was answered in {first} slices with the first value, and in {second} \
             with the second: their pairs are in no figure"
        )
    })
}

/// What the last pair came to, in a line.
pub fn describe(slices: &[Slice]) -> String {
    let last = slices.len().saturating_sub(2);
    let of = |name: &str, value: fn(&Slice) -> Option<f64>| {
        let [one, other] = *sides(&slices[last..], value).first()?;
        Some(format!("{name} {one:.3} and {other:.3}"))
    };
    let cpu = of("CPU us/msg", Slice::cpu_us);
    let rate = of("msg/s", |slice| slice.rate().map(f64::round));
    cpu.into_iter().chain(rate).collect::<Vec<_>>().join(", ")
}

//! All counted seconds of a run: their sum, and a row for each.
//!
//! Histograms have half a megabyte each, so adding them up takes a tenth of a millisecond, which
//! must not hold up the loop that measures: the driver swaps windows and gives the finished
//! one to a helper thread, which owns the tally meanwhile.

use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use ringmq_runtime::clock;
use serde::{Deserialize, Serialize};

use crate::driver::schedule::Step;
use crate::record::window::Window;

/// One counted span, usually a second.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Second {
    /// Its start, counted from the start of the run, warm-up included.
    pub from_s: f64,
    /// Its length.
    pub seconds: f64,
    /// Requests per second that were due, where that was not the same all the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Messages acknowledged or received.
    pub messages: u64,
    /// Their body bytes.
    pub bytes: u64,
    /// Requests that were answered and brought no message.
    pub empty: u64,
    /// Failed requests.
    pub errors: u64,
    /// Open loop: requests that were due and not sent at its end.
    pub backlog: u64,
    /// Median from the intended time; none if no value lies beyond it.
    pub p50_us: Option<f64>,
    /// 99 of 100.
    pub p99_us: Option<f64>,
    /// 999 of 1,000.
    pub p999_us: Option<f64>,
    /// The largest.
    pub max_us: f64,
}

/// The counted part of a run.
#[derive(Debug, Default)]
pub struct Tally {
    /// Sum of all counted seconds, and of the answers that came late.
    pub total: Window,
    /// Each of them.
    pub seconds: Vec<Second>,
    /// What each of several rates came to; empty where there are not several.
    pub steps: Vec<StepCount>,
    /// Whether no connection would ask again before the run was over: all were closed, or had asked
    /// all that their work wants.
    pub is_finished: bool,
    interval_log: Option<IntervalLog>,
}

/// What was counted at one of several rates. A second counts where its middle lies, and an answer
/// in the second in which it came.
#[derive(Clone, Debug, Default)]
pub struct StepCount {
    /// Requests per second.
    pub rate: f64,
    /// Its end, from the start of the run.
    until: Duration,
    /// Counted time of it.
    pub length: Duration,
    /// Messages of that time.
    pub messages: u64,
    /// Requests that were due and not sent at its end.
    pub backlog: u64,
    /// Latencies and errors.
    pub window: Window,
}

impl StepCount {
    /// Adds that of another repetition.
    pub fn add(&mut self, other: &Self) {
        self.length += other.length;
        self.messages += other.messages;
        self.backlog += other.backlog;
        self.window.add(&other.window);
    }
}

/// The histograms of all seconds, as lines of text.
#[derive(Debug)]
struct IntervalLog {
    lines: Vec<u8>,
    began: LogTime,
}

/// When the time of a tally began.
#[derive(Clone, Copy, Debug)]
pub struct LogTime {
    /// Unix time in milliseconds at which the first repetition began.
    pub base_unix_ms: i64,
    /// Added to all times, so that the logs of repetitions follow each other.
    pub offset: Duration,
}

impl LogTime {
    /// A tally of the first repetition, which begins now.
    pub fn now() -> Self {
        Self { base_unix_ms: clock::unix_ms(), offset: Duration::ZERO }
    }
}

/// Size of an interval log: a day of seconds at 2 KB each fits; later ones count in the total only.
const INTERVAL_LOG_MAX_BYTES: usize = 256 << 20;

impl Tally {
    /// A tally that also writes the histogram of each second, up to 256 MiB of log; its times
    /// begin at `began`.
    pub fn with_interval_log(began: LogTime) -> Self {
        let log = IntervalLog { lines: Vec::new(), began };
        Self { interval_log: Some(log), ..Self::default() }
    }

    /// This tally, which also counts each step of a schedule for itself where there are several.
    pub fn with_steps(self, steps: &[Step]) -> Self {
        let mut until = Duration::ZERO;
        let count = |step: &Step| {
            until += step.length;
            StepCount { rate: step.rate, until, ..StepCount::default() }
        };
        let steps = if steps.len() > 1 { steps.iter().map(count).collect() } else { Vec::new() };
        Self { steps, ..self }
    }

    /// The lines of the interval log; empty unless [`Tally::with_interval_log`].
    pub fn interval_log(&self) -> &[u8] {
        self.interval_log.as_ref().map_or(&[], |log| &log.lines)
    }

    /// Unix time in milliseconds from which the times of the interval log count; none unless
    /// [`Tally::with_interval_log`].
    pub fn log_base_unix_ms(&self) -> Option<i64> {
        self.interval_log.as_ref().map(|log| log.began.base_unix_ms)
    }

    /// Adds a span that began `from` after the start of the run and took `length`.
    pub fn add(&mut self, window: &Window, from: Duration, length: Duration, backlog: u64) {
        self.total.add(window);
        let mut second = second(window, from, length, backlog);
        if let Some(step) = self.step_at(from + length / 2) {
            second.rate = Some(step.rate);
            step.length += length;
            step.messages += window.messages;
            step.backlog = backlog;
            step.window.add(window);
        }
        self.seconds.push(second);
        self.log(window, from, length);
    }

    /// The step of a moment of the run, if there are several.
    fn step_at(&mut self, moment: Duration) -> Option<&mut StepCount> {
        let last = self.steps.len().checked_sub(1)?;
        let at = self.steps.iter().position(|step| moment < step.until).unwrap_or(last);
        self.steps.get_mut(at)
    }

    /// Adds what was asked in the counted time and answered, or lost, only after it: its latencies
    /// and errors count, or a stall at the end of a run would go unseen; its messages are no
    /// throughput of the counted time, see [`Tally::messages`].
    pub fn add_late(&mut self, window: &Window, from: Duration, length: Duration) {
        self.total.add(window);
        if let Some(step) = self.step_at(from) {
            step.window.add(window);
        }
        self.log(window, from, length);
    }

    /// Takes what was due and not sent at the end of each rate from the tally of who sends.
    pub fn take_backlogs(&mut self, senders: &Self) {
        let pairs = self.steps.iter_mut().zip(&senders.steps);
        pairs.for_each(|(step, sent)| step.backlog = sent.backlog);
    }

    /// Messages of the counted time.
    pub fn messages(&self) -> u64 {
        self.seconds.iter().map(|second| second.messages).sum()
    }

    /// Body bytes of those messages.
    pub fn bytes(&self) -> u64 {
        self.seconds.iter().map(|second| second.bytes).sum()
    }

    /// Answers of the counted time that brought no message.
    pub fn empty(&self) -> u64 {
        self.seconds.iter().map(|second| second.empty).sum()
    }

    fn log(&mut self, window: &Window, from: Duration, length: Duration) {
        if let Some(log) = &mut self.interval_log
            && log.lines.len() < INTERVAL_LOG_MAX_BYTES
        {
            log_span(&mut log.lines, window, log.began.offset + from, length);
        }
    }

    /// Counted time.
    pub fn elapsed(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.iter().map(|second| second.seconds).sum())
    }

    /// Open loop: requests that were due and not sent at the end.
    pub fn backlog(&self) -> u64 {
        self.seconds.last().map_or(0, |second| second.backlog)
    }
}

/// The row of one span.
pub fn second(window: &Window, from: Duration, length: Duration, backlog: u64) -> Second {
    Second {
        from_s: from.as_secs_f64(),
        seconds: length.as_secs_f64(),
        rate: None,
        messages: window.messages,
        bytes: window.bytes,
        empty: window.empty,
        errors: window.errors.total(),
        backlog,
        p50_us: window.response.told_percentile_us(50.0),
        p99_us: window.response.told_percentile_us(99.0),
        p999_us: window.response.told_percentile_us(99.9),
        max_us: window.response.max_us(),
    }
}

/// Appends the two lines of a span: response time and service time.
fn log_span(log: &mut Vec<u8>, window: &Window, from: Duration, length: Duration) {
    let mut serializer = V2DeflateSerializer::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .begin_log_with(log, &mut serializer)
        .expect("written to memory");
    for (tag, latencies) in [("response", &window.response), ("service", &window.service)] {
        writer
            .write_histogram(latencies.histogram(), from, length, Tag::new(tag))
            .expect("a histogram within its bounds is written to memory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_several_rates_is_counted_for_itself() {
        let seconds = Duration::from_secs;
        // The warm-up of 2 s is a part of the first.
        let steps = [(4, 100.0), (2, 300.0)];
        let steps = steps.map(|(length, rate)| Step { length: seconds(length), rate });
        let mut tally = Tally::default().with_steps(&steps);
        for (from, ms) in [(2, 1), (3, 1), (4, 5), (5, 5)] {
            let mut window = Window::default();
            let latency = Duration::from_millis(ms);
            window.success(latency, latency, 1, 10);
            tally.add(&window, seconds(from), seconds(1), 10 * from);
        }
        tally.add_late(&tally.steps[1].window.clone(), seconds(6), seconds(1));
        let told = |step: &StepCount| {
            let max_ms = step.window.response.max_us() / 1e3;
            (step.rate, step.length, step.messages, step.backlog, max_ms.round())
        };
        let told: Vec<_> = tally.steps.iter().map(told).collect();
        assert_eq!(told[0], (100.0, seconds(2), 2, 30, 1.0));
        assert_eq!(told[1], (300.0, seconds(2), 2, 50, 5.0));
        assert_eq!(tally.steps[1].window.response.count(), 4, "what came late was asked last");
        let rates: Vec<_> = tally.seconds.iter().map(|second| second.rate.unwrap()).collect();
        assert_eq!(rates, [100.0, 100.0, 300.0, 300.0]);
        assert!(Tally::default().with_steps(&steps[..1]).steps.is_empty(), "one rate is all");
    }

    #[test]
    fn a_second_has_no_percentile_that_rests_on_no_value() {
        let of = |count: u64| {
            let mut window = Window::default();
            window.response.record_many(Duration::from_millis(1), count);
            let second = second(&window, Duration::ZERO, Duration::from_secs(1), 0);
            [second.p50_us, second.p99_us, second.p999_us].map(|us| us.is_some())
        };
        assert_eq!(of(50), [true, false, false]);
        assert_eq!(of(1_000), [true, true, true]);
        assert_eq!(of(0), [false, false, false]);
    }

    #[test]
    fn the_total_is_the_sum_of_the_seconds() {
        let mut tally = Tally::default();
        let mut window = Window::default();
        for ms in [1, 2] {
            let latency = Duration::from_millis(ms);
            window.success(latency, latency, 1, 10);
            window.failure("SYSTEM_BUSY");
            tally.add(&window, Duration::from_secs(ms), Duration::from_secs(1), 7);
            window.reset();
        }
        let total = &tally.total;
        assert_eq!((total.messages, total.bytes, total.errors.total()), (2, 20, 2));
        assert_eq!(tally.elapsed(), Duration::from_secs(2));
        assert_eq!((tally.seconds.len(), tally.backlog()), (2, 7));
        assert!(tally.interval_log().is_empty());
    }

    #[test]
    fn late_answers_are_latency_and_no_throughput() {
        let mut tally = Tally::default();
        let mut window = Window::default();
        window.success(Duration::from_secs(5), Duration::from_secs(5), 1, 10);
        window.failure("no answer");
        tally.add_late(&window, Duration::from_secs(1), Duration::from_secs(5));
        assert_eq!((tally.messages(), tally.bytes(), tally.elapsed()), (0, 0, Duration::ZERO));
        assert_eq!((tally.total.response.count(), tally.total.errors.total()), (1, 1));
    }
}

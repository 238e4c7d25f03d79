//! Apache's `benchmark.Producer` as the client: what users of the Java client see.

use std::path::Path;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

use crate::args::Command;
use crate::args::versus::Times;
use crate::error::BenchError;
use crate::files::with_extension;
use crate::program::Program;
use crate::target::Target;
use crate::target::caller::Caller;
use crate::versus::apache::Apache;
use crate::versus::asked::command;
use crate::versus::contestant::Running;
use crate::versus::costs::{self, Look, Watched};
use crate::versus::figures::Figures;
use crate::versus::loads::first_message;

/// Time between two lines of its output.
pub const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How much later than due a line may come.
const LINE_LIMIT: Duration = Duration::from_secs(60);

/// One line of its output: what it did in the ten seconds before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Successful sends per second.
    pub per_second: f64,
    /// Mean time of a send.
    pub mean_ms: f64,
    /// Sends that failed since the start, at either end.
    pub failures: u64,
}

/// What it tells of the counted time.
#[derive(Debug, PartialEq)]
struct Told {
    messages_per_second: f64,
    mean_ms: f64,
    failures: u64,
}

impl Told {
    /// By lines of which the first `warm` tell of the warm-up; there are such and others.
    fn of(lines: &[Line], warm: usize) -> Self {
        let (before, counted) = lines.split_at(warm);
        let mean =
            |of: fn(&Line) -> f64| counted.iter().map(of).sum::<f64>() / counted.len() as f64;
        let failures_of = |lines: &[Line]| lines.last().map_or(0, |line| line.failures);
        Self {
            messages_per_second: mean(|line| line.per_second),
            mean_ms: mean(|line| line.mean_ms),
            failures: failures_of(counted).saturating_sub(failures_of(before)),
        }
    }
}

/// The lines in the client's output, in their order; other lines are skipped.
pub fn lines(output: &str) -> Vec<Line> {
    output.lines().filter_map(line).collect()
}

/// Newer versions part the values with `|`, older ones with a blank.
fn line(text: &str) -> Option<Line> {
    let (_, text) = text.split_once("Current Time:")?;
    let number = |label: &str| {
        let (_, rest) = text.split_once(label)?;
        let word = rest.trim_start().split([' ', '|']).next()?;
        // The client formats for the locale of its machine.
        word.replace(',', ".").parse::<f64>().ok().filter(|value| value.is_finite())
    };
    Some(Line {
        per_second: number("TPS:")?,
        mean_ms: number("Average RT(ms):").unwrap_or(0.0),
        failures: (number("Send Failed:")? + number("Response Failed:")?) as u64,
    })
}

/// Loads the broker with `threads` threads for the warm-up of a JVM and the counted time, both
/// rounded up to whole lines. The messages are counted by the broker, from its offsets; its system
/// calls at the end of the warm-up. What the client says goes to a file that begins with `prefix`.
///
/// # Errors
/// The client does not start or falls silent, or the broker does not tell its offsets.
pub async fn run(
    apache: &Apache,
    running: &Running,
    threads: u32,
    times: Times,
    prefix: &Path,
) -> Result<Figures, BenchError> {
    let rss_idle_bytes = running.usage().rss_bytes;
    let Command::Produce(args) = command(&format!("produce -n {}", running.namesrv())) else {
        unreachable!("the first word says what it is")
    };
    let target = Target::open(&args.load.target).await?;
    first_message(&target, &args.load.pace, &args.load.message).await?;
    let topic = target.topic(0).to_string();
    let words = apache.producer(running.home(), running.namesrv(), &topic, threads);
    let log = with_extension(prefix, "client.log");
    let mut client = Program::start("benchmark.Producer", &words, &log)?;
    let (warm_lines, counted) = in_lines(times);
    let (warm, all) = (warm_lines as usize, (warm_lines + counted) as usize);
    // Its first line comes later than ten seconds after its start.
    task::sleep(LINE_INTERVAL * warm_lines - costs::CALLS_BEFORE).await;
    let so_far = async || stored(&target).await.ok();
    let log = with_extension(prefix, "perf.log");
    let calls = costs::system_calls_per_message(running.pids(), so_far, &log).await;
    wait_for(&mut client, warm).await?;
    let broker = Watched::of(running);
    let (began, from) = (Instant::now(), Look::of(&broker, stored(&target).await?).await);
    wait_for(&mut client, all).await?;
    let seconds = began.elapsed().as_secs_f64();
    let until = Look::of(&broker, stored(&target).await?).await;
    let told = Told::of(&lines(&client.output().await)[..all], warm);
    let spent = until.spent_since(&from).with_calls(calls);
    eprintln!("  mean time of a send, as the client tells: {:.2} ms", told.mean_ms);
    let figures = Figures {
        seconds,
        messages: until.messages_since(&from),
        messages_per_second: told.messages_per_second,
        rss_idle_bytes,
        rss_bytes: running.usage().rss_bytes,
        failures: told.failures,
        ..Figures::default()
    };
    Ok(figures.with(spent))
}

/// Warm-up and counted time in lines of the client's output, which are not cut.
pub fn in_lines(times: Times) -> (u32, u32) {
    let lines = |time: Duration| time.as_secs().div_ceil(LINE_INTERVAL.as_secs()).max(1);
    let lines = |time| u32::try_from(lines(time)).expect("times are short");
    (lines(times.jvm_warm_up), lines(times.duration))
}

async fn wait_for(client: &mut Program, count: usize) -> Result<(), BenchError> {
    let due = LINE_INTERVAL * u32::try_from(count).expect("times are short");
    client.wait_until(due + LINE_LIMIT, |output| lines(output).len() >= count).await
}

/// Messages in the queues of the topic.
async fn stored(target: &Target) -> Result<u64, BenchError> {
    let mut all = 0;
    for broker in 0..target.broker_count() {
        let mut caller = Caller::connect(target.broker_addr(broker)).await?;
        for queue in target.queues().into_iter().filter(|queue| queue.broker == broker) {
            all += target.range_of(&mut caller, queue).await?.1;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_both_forms_are_read_and_all_others_skipped() {
        let output = [
            "16:26:54,603 |-INFO in org.apache.rocketmq.logging: Current state",
            "topic: BenchTopic, threadCount: 64, messageSize: 1024, reportInterval: 10000",
            "Current Time: 2026-11-21 16:40:11,512 | Send TPS: 20456 | Max RT(ms): 312 | \
             Average RT(ms):   3.125 | Send Failed: 0 | Response Failed: 0",
            "Current Time: 2026-11-21 16:40:21,512 Send TPS: 20111 Max RT(ms): 312 \
             Average RT(ms):   3,5 Send Failed: 2 Response Failed: 5",
            "[Complete] Send Total: 9 | Send TPS: 1 | Max RT(ms): 1 | \
             Average RT(ms):   1.000 | Send Failed: 0 | Response Failed: 0",
            "Current Time: 2026-11-21 16:40:3",
        ];
        let read = lines(&output.join("\n"));
        assert_eq!(
            read,
            [
                Line { per_second: 20_456.0, mean_ms: 3.125, failures: 0 },
                Line { per_second: 20_111.0, mean_ms: 3.5, failures: 7 },
            ]
        );
    }

    #[test]
    fn the_counted_time_is_told_without_the_warm_up() {
        let line = |per_second, mean_ms, failures| Line { per_second, mean_ms, failures };
        let told = Told::of(&[line(9.0, 8.0, 4), line(100.0, 2.0, 5), line(300.0, 1.0, 7)], 1);
        assert_eq!(told, Told { messages_per_second: 200.0, mean_ms: 1.5, failures: 3 });
    }

    #[test]
    fn a_client_that_did_nothing_has_a_line_too() {
        let idle = "Current Time: x | Send TPS: 0 | Max RT(ms): 0 | Average RT(ms):     NaN | \
                    Send Failed: 64 | Response Failed: 0";
        assert_eq!(lines(idle), [Line { per_second: 0.0, mean_ms: 0.0, failures: 64 }]);
    }
}

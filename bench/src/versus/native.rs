//! Bench's own client, the same for all brokers: it runs what the measuring commands of bench run,
//! and counts what the broker uses from the end of the warm-up on.

use std::path::Path;
use std::rc::Rc;
use std::slice;
use std::time::Duration;

use crate::environment::Environment;
use crate::error::BenchError;
use crate::measure::Measured;
use crate::record::tally::{LogTime, Tally};
use crate::report::outcome::Outcome;
use crate::report::{Report, saved};
use crate::target::Target;
use crate::versus::asked::Asked;
use crate::versus::contestant::{Running, last_range};
use crate::versus::costs::{Spent, Watch, Watched};
use crate::versus::figures::Figures;
use crate::versus::loads::ReadyLoad;
use crate::versus::mappings;

/// Puts what is asked on the broker, and writes the raw data.
///
/// # Errors
/// The broker cannot be reached or closes all connections, or there is no space for the run.
pub async fn run(
    running: &Running,
    asked: &Asked<'_>,
) -> Result<(Figures, Rc<Target>), BenchError> {
    let rss_idle_bytes = running.usage().rss_bytes;
    let ready = ReadyLoad::connect(running, asked).await?;
    let (measured, beside, spent) = measure(running, &ready, asked.prefix).await;
    let outcome = Outcome::of_run(&measured);
    let is_closed = measured.tally.is_finished || beside.is_closed;
    if let Some(what) = fault(is_closed, outcome.seconds, ready.timing.duration) {
        return Err(BenchError::Race(what));
    }
    let environment = Environment::of(&ready.target).await;
    keep(asked, ready.latency_of, measured, environment).await?;
    let of_load = Figures::of_load(&outcome).with(spent);
    let figures =
        Figures { rss_idle_bytes, rss_bytes: running.usage().rss_bytes, ..beside.with(of_load) };
    Ok((figures, ready.target))
}

/// Why a load that has counted so many seconds of those that were wanted says nothing, if it does:
/// whatever closed connections have brought before, nobody was served to the end.
fn fault(is_closed: bool, seconds: f64, wanted: Duration) -> Option<String> {
    match () {
        () if is_closed => Some(closed_after(seconds)),
        () if seconds * 2.0 < wanted.as_secs_f64() => Some(format!(
            "the space for messages was used up after {seconds:.1} counted seconds: name another \
             --directory, or shorten --duration and --jvm-warm-up"
        )),
        () => None,
    }
}

/// Demands of a load that does not end by itself that some connection was open at its end.
///
/// # Errors
/// All were closed.
pub fn demand_open(tally: &Tally) -> Result<(), BenchError> {
    match tally.is_finished {
        true => Err(BenchError::Race(closed_after(tally.elapsed().as_secs_f64()))),
        false => Ok(()),
    }
}

fn closed_after(seconds: f64) -> String {
    format!(
        "the broker has closed all connections after {seconds:.1} counted seconds: see the \
         broker.log of this run"
    )
}

/// Writes what a load came to.
///
/// # Errors
/// A file cannot be written.
pub async fn keep(
    asked: &Asked<'_>,
    latency_of: &'static str,
    measured: Measured,
    environment: Environment,
) -> Result<(), BenchError> {
    keep_with(asked, latency_of, measured, &[], environment).await
}

/// The same with what ran beside it: of each its name, what its latencies are of, and what it came
/// to.
///
/// # Errors
/// As for [`keep`].
pub async fn keep_with(
    asked: &Asked<'_>,
    latency_of: &'static str,
    measured: Measured,
    beside: &[(&str, &str, &Measured)],
    environment: Environment,
) -> Result<(), BenchError> {
    let runs = [measured];
    let mut report = Report::new(asked.words.to_owned(), latency_of, &runs);
    for (name, latency_of, measured) in beside {
        report.add_beside(name, latency_of, slice::from_ref(*measured));
    }
    report.environment = environment;
    saved::write(asked.prefix, &report, &runs).await?;
    Ok(())
}

/// Ends the broker and starts it again: how long that took until it answered.
///
/// # Errors
/// It does not end or start, or lacks what it had stored; or the machine allows fewer mappings or
/// open files than it needs, and nothing is tried.
pub async fn restart(running: &mut Running, target: &Target) -> Result<Duration, BenchError> {
    if running.has_queue_files() {
        mappings::check(target.queues().len()).await?;
    }
    let stored = last_range(target).await?;
    running.end().await?;
    let took = running.start_again(target).await?;
    let found = last_range(target).await?;
    match found == stored {
        true => Ok(took),
        false => Err(BenchError::Race(format!(
            "expected the offsets {}..{} in the last queue, as before the end, found {}..{}: the \
             broker's words are in the two broker logs of this run",
            stored.0, stored.1, found.0, found.1
        ))),
    }
}

/// What producers came to whose messages a load waits for.
#[derive(Clone, Copy, Debug, Default)]
pub struct SentBeside {
    failures: u64,
    /// Of what was due, and of what was sent: what did not arrive in the counted time.
    backlog: u64,
    /// Whether all their connections were closed.
    is_closed: bool,
}

impl SentBeside {
    /// Of the producers, when so many of their messages have arrived.
    pub fn of(sent: &Tally, arrived: u64) -> Self {
        let on_the_way = sent.messages().saturating_sub(arrived);
        let (failures, backlog) = (sent.total.errors.total(), sent.backlog() + on_the_way);
        Self { failures, backlog, is_closed: sent.is_finished }
    }

    /// The figures of the load with theirs.
    pub fn with(self, of_load: Figures) -> Figures {
        Figures {
            failures: of_load.failures + self.failures,
            backlog: of_load.backlog + self.backlog,
            ..of_load
        }
    }
}

/// Runs the load; also gives what ran beside, and what was spent.
async fn measure(
    running: &Running,
    ready: &ReadyLoad,
    prefix: &Path,
) -> (Measured, SentBeside, Spent) {
    let timing = ready.timing;
    let watch = Watch::start(Watched::of(running), &ready.load, timing, prefix);
    let beside = ready.beside.clone().map(|load| load.run_beside("bench producers", timing));
    let tally = Tally::with_interval_log(LogTime::now());
    let tally = ready.load.run(timing, tally, |_, _| ()).await;
    let beside = match beside {
        Some(sending) => SentBeside::of(&sending.await, tally.messages()),
        None => SentBeside::default(),
    };
    (Measured::of(tally), beside, watch.finish().await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_counts_that_was_served_for_half_its_time_and_had_connections_to_its_end() {
        let told = |is_closed, seconds| fault(is_closed, seconds, Duration::from_secs(4));
        assert_eq!((told(false, 4.0), told(false, 2.0)), (None, None));
        assert!(told(false, 1.9).unwrap().contains("used up after 1.9 counted seconds"));
        for seconds in [0.0, 3.9] {
            let text = told(true, seconds).unwrap();
            let closed = format!("closed all connections after {seconds:.1} counted seconds");
            assert!(text.contains(&closed) && text.contains("broker.log"), "{text}");
        }
    }

    #[test]
    fn a_load_that_ran_to_its_end_on_open_connections_is_demanded() {
        let mut tally = Tally::default();
        assert!(demand_open(&tally).is_ok());
        tally.is_finished = true;
        let text = demand_open(&tally).unwrap_err().to_string();
        assert!(text.contains("closed all connections after 0.0 counted seconds"), "{text}");
    }

    #[test]
    fn producers_whose_connections_were_all_closed_are_told_of() {
        let mut sent = Tally::default();
        assert!(!SentBeside::of(&sent, 0).is_closed);
        sent.is_finished = true;
        assert!(SentBeside::of(&sent, 0).is_closed);
    }
}

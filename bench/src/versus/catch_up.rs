//! Sends at a fixed rate beside a catch-up on messages that are in no cache: what the readers cost
//! the producers. The same sends run alone before, so that the run tells its own multiple.

use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

use crate::args::load::{LoadArgs, PaceArgs};
use crate::driver::Timing;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::limits;
use crate::measure::Measured;
use crate::observe::Machine;
use crate::produce::Producers;
use crate::record::tally::{LogTime, Tally};
use crate::report::outcome::Outcome;
use crate::versus::asked::Asked;
use crate::versus::cold::{Cold, ONE_READ};
use crate::versus::contestant::Running;
use crate::versus::costs::{Watch, Watched};
use crate::versus::figures::Figures;
use crate::versus::native::{demand_open, keep_with};

/// Sends to the topic that is not read, which have run alone.
pub struct CatchUpSends {
    producers: Producers,
    pace: PaceArgs,
    alone: Measured,
    /// What the host took meanwhile.
    stolen_percent: Option<f64>,
}

impl CatchUpSends {
    /// Runs them alone, for the warm-up and the counted time.
    ///
    /// # Errors
    /// The broker cannot be reached, or closes all connections.
    pub async fn alone(
        cold: &Cold,
        load: &LoadArgs,
        asked: &Asked<'_>,
    ) -> Result<Self, BenchError> {
        let producers = Producers::new(&cold.other, &load.message, load.pace.header.serialize());
        let pace = asked.paced(&load.pace);
        let load = producers.connect(&cold.other, &pace, 0, None).await?;
        let before = Machine::look().await;
        let tally = load.run_unseen(pace.timing()).await;
        demand_open(&tally)?;
        let stolen_percent = Machine::look().await.since(&before).strain().steal_percent;
        let alone = Measured::of(tally);
        Ok(Self { producers, pace, alone, stolen_percent })
    }

    /// Runs them again, as long as the cold topic is read beside them, once.
    ///
    /// # Errors
    /// As for [`CatchUpSends::alone`]; the read ended before its topic; or a file cannot be
    /// written.
    pub async fn beside(
        self,
        running: &Running,
        cold: &Cold,
        asked: &Asked<'_>,
    ) -> Result<Figures, BenchError> {
        let Timing { warm_up, duration } = ONE_READ;
        let pace = PaceArgs { warm_up, duration, ..self.pace };
        let load = self.producers.connect(&cold.other, &pace, 1, None).await?;
        let readers = cold.readers_apart().await?;
        let sending = load.clone();
        let reading = task::spawn("bench readers", async move {
            let begun = Instant::now();
            let tally = readers.run_unseen(ONE_READ).await;
            // Nothing more is sent when everything is read.
            sending.stop_after(0);
            (tally, begun.elapsed())
        });
        let watch = Watch::start(Watched::of(running), &load, ONE_READ, asked.prefix);
        let tally = Tally::with_interval_log(LogTime::now());
        let tally = load.run(ONE_READ, tally, |_, _| ()).await;
        let (read, took) = reading.await;
        let spent = watch.finish().await;
        let (whole, open) = (cold.demand_whole(&read), demand_open(&tally));
        let measured = Measured::of(tally);
        let read = Measured::of(read);
        let of_load = Figures::of_load(&Outcome::of_run(&measured)).with(spent);
        let (alone, reads) = (&self.alone, &read);
        let beside = [("reads", limits::PULLS, reads), ("sends alone", limits::SENDS, alone)];
        let environment = Environment::of(&cold.target).await;
        keep_with(asked, limits::SENDS, measured, &beside, environment).await?;
        whole?;
        open?;
        let (alone, read) = (&self.alone.tally, &read.tally);
        Ok(Figures {
            p99_alone_us: alone.total.response.summary().percentile_us("p99"),
            read_mb_per_s: Some(megabytes_per_second(read.total.bytes, took)),
            // Its p99 stands beside that of the sends alone, so both must be without pauses.
            stolen_percent: larger(of_load.stolen_percent, self.stolen_percent),
            rss_idle_bytes: cold.rss_idle_bytes,
            rss_bytes: running.usage().rss_bytes,
            failures: of_load.failures + read.total.errors.total(),
            // Nor must either be overloaded.
            backlog: of_load.backlog + alone.backlog(),
            ..of_load
        })
    }
}

/// Of a catch-up, which ends before the second does that it ends in.
fn megabytes_per_second(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64().max(1e-9)
}

/// The larger of those that are known.
fn larger(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_took_more_of_counts_and_what_is_not_known_does_not() {
        assert_eq!(larger(Some(1.0), Some(2.0)), Some(2.0));
        assert_eq!((larger(None, Some(0.5)), larger(None, None)), (Some(0.5), None));
    }
}

//! `bench switch`: what a setting costs a broker that goes on meanwhile.
//!
//! Two runs of a broker differ by where its files lie, what the host does in that minute, and by
//! what the first left behind: some percent, so that a cost of 2 % takes dozens of pairs of runs.
//! Slices of one run share all of that. The setting is changed by request under a load that goes
//! on, and what the broker spends in the slice behind it is compared with the slice beside it,
//! which has the other value; which of the two comes first is drawn for each pair, so that what
//! comes and goes with any rhythm of the broker hits both alike.

mod brokers;
mod disks;
mod pairs;
mod slices;

use std::rc::Rc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;
use serde::Serialize;

use crate::args::switch::{Setting, SwitchArgs};
use crate::driver::{Load, Timing};
use crate::ending::Ending;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::files;
use crate::observe::{Machine, Strain};
use crate::produce::Producers;
use crate::report::{environment, terminal};
use crate::seed;
use crate::stop;
use crate::switch::brokers::Switches;
use crate::switch::disks::Disks;
use crate::switch::pairs::Figure;
use crate::switch::slices::Slice;
use crate::target::Target;

/// Longest time of a switch, which takes milliseconds: the load must not end before the slices.
const SWITCH_MAX: Duration = Duration::from_secs(10);

/// What the second value costs, and from what that is drawn.
#[derive(Debug, Serialize)]
struct SettingCost {
    setting: Setting,
    load: String,
    seed: u64,
    at_most_percent: f64,
    /// Why there are fewer pairs than were asked for: the disk of a broker would be too full.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_early: Option<String>,
    /// Failed requests of the whole run.
    failures: u64,
    figures: Vec<Figure>,
    slices: Vec<Slice>,
    environment: Environment,
}

/// Puts the load on the broker, switches, and tells what the second value costs.
///
/// # Errors
/// The broker cannot be started or reached, has no such setting, or takes it only at its start.
pub async fn run(args: &SwitchArgs) -> Result<Ending, BenchError> {
    let target = Rc::new(Target::open(&args.target).await?);
    // From here on a signal lets it come to its end: brokers have their values back by then.
    stop::table_follows();
    let brokers: Vec<_> = (0..target.broker_count()).map(|it| target.broker_addr(it)).collect();
    let mut disks = Disks::of(&brokers, target.store().is_some()).await?;
    let measured = async |switches: &mut Switches| {
        switches.take(&brokers, &args.setting.values[1]).await?;
        measure(args, &target, switches, &mut disks).await
    };
    let measured = brokers::restored(&args.setting.key, measured).await?;
    let cost = SettingCost::of(args, measured, Environment::of(&target).await);
    cost.tell(args).await?;
    target.ended_well();
    Ok(cost.ending())
}

/// What one run has found.
struct MeasuredSlices {
    seed: u64,
    slices: Vec<Slice>,
    /// Why not all of them were measured, where a disk was the reason.
    ended_early: Option<String>,
    /// Failed requests of the whole run.
    failures: u64,
    meanwhile: Strain,
}

/// The whole run under load, with brokers that take the setting.
async fn measure(
    args: &SwitchArgs,
    target: &Rc<Target>,
    switches: &mut Switches,
    disks: &mut Disks,
) -> Result<MeasuredSlices, BenchError> {
    let seed = seed::named_or_new(args.seed);
    let producers = Producers::new(target, &args.message, args.pace.header.serialize());
    let load = producers.connect(target, &args.pace, 0, None).await?;
    announce(args, seed);
    let running = Rc::clone(&load).run_beside("bench switch", timing(args));
    let before = Machine::look().await;
    let run = Run { args, target, load: &load, switches };
    let measured = run.slices(seed, disks).await;
    let meanwhile = Machine::look().await.since(&before);
    load.stop_after(0);
    let tally = running.await;
    let failures = tally.total.errors.total();
    let (slices, ended_early) = measured?;
    Ok(MeasuredSlices { seed, slices, ended_early, failures, meanwhile: meanwhile.strain() })
}

fn describe(args: &SwitchArgs) -> String {
    let topics = args.target.describe_topics(args.message.spread);
    format!("{}, {}{topics}", args.pace.describe(), args.message.describe())
}

/// Of the load, which the slices end.
fn timing(args: &SwitchArgs) -> Timing {
    let pair = 2 * (args.slice + args.settle + SWITCH_MAX);
    Timing { warm_up: args.pace.warm_up, duration: args.pairs * pair }
}

fn announce(args: &SwitchArgs, seed: u64) {
    let length = args.pace.warm_up + 2 * args.pairs * (args.slice + args.settle);
    let Setting { key, values: [one, other] } = &args.setting;
    eprintln!(
        "seed {seed}: {} pairs of {:?} with {key}={one} and {other}, about {} s",
        args.pairs,
        args.slice,
        length.as_secs()
    );
}

/// A load that runs, and the setting that changes under it.
struct Run<'a> {
    args: &'a SwitchArgs,
    target: &'a Target,
    load: &'a Load,
    switches: &'a mut Switches,
}

impl Run<'_> {
    /// All slices, or those until a signal came or a disk was nearly full; why the latter.
    async fn slices(
        mut self,
        seed: u64,
        disks: &mut Disks,
    ) -> Result<(Vec<Slice>, Option<String>), BenchError> {
        let mut random = SmallRng::seed_from_u64(seed);
        let (mut slices, pairs) = (Vec::new(), self.args.pairs);
        wait(self.args.pace.warm_up).await;
        let pair = async |number| {
            let first = usize::from(random.random_bool(0.5));
            let is_whole = self.pair(number, first, &mut slices).await?;
            if is_whole {
                eprintln!("pair {number} of {pairs}: {}", slices::describe(&slices));
            }
            Ok(is_whole)
        };
        let ended_early = disks.while_they_have_room(pairs, pair).await?;
        Ok((slices, ended_early))
    }

    /// The slices of a pair, that with the value `first` first; false if a signal came before its
    /// end.
    async fn pair(
        &mut self,
        number: u32,
        first: usize,
        slices: &mut Vec<Slice>,
    ) -> Result<bool, BenchError> {
        for value in [first, 1 - first] {
            self.switches.set(&self.args.setting.values[value]).await?;
            wait(self.args.settle).await;
            let from = Look::now(self.target, self.load);
            wait(self.args.slice).await;
            if stop::is_requested() {
                return Ok(false);
            }
            slices.push(Look::now(self.target, self.load).since(from, number, value));
        }
        Ok(true)
    }
}

/// Until then, or until a signal comes.
async fn wait(time: Duration) {
    let _ = task::timeout(time, stop::requested()).await;
}

/// What was spent and done at a moment.
#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    messages: u64,
    /// CPU time of the broker, where its processes are known.
    cpu: Option<Duration>,
}

impl Look {
    fn now(target: &Target, load: &Load) -> Self {
        let cpu = target.usage().map(|usage| usage.cpu);
        Self { at: Instant::now(), messages: load.messages(), cpu }
    }

    fn since(self, from: Self, pair: u32, value: usize) -> Slice {
        let cpu = self.cpu.zip(from.cpu).map(|(now, then)| now.saturating_sub(then));
        Slice {
            pair,
            value,
            seconds: self.at.saturating_since(from.at).as_secs_f64(),
            messages: self.messages - from.messages,
            cpu_s: cpu.map(|cpu| cpu.as_secs_f64()),
        }
    }
}

impl SettingCost {
    fn of(args: &SwitchArgs, measured: MeasuredSlices, environment: Environment) -> Self {
        let MeasuredSlices { seed, slices, ended_early, failures, meanwhile } = measured;
        Self {
            setting: args.setting.clone(),
            load: describe(args),
            seed,
            at_most_percent: args.at_most,
            ended_early,
            failures,
            figures: pairs::figures(&slices, args.pace.rate.is_empty(), args.at_most),
            slices,
            environment: Environment { meanwhile: Some(meanwhile), ..environment },
        }
    }

    async fn tell(&self, args: &SwitchArgs) -> Result<(), BenchError> {
        let json = serde_json::to_string_pretty(self).expect("a cost is plain data");
        match args.json {
            true => println!("{json}"),
            false => self.print(),
        }
        if let Some(prefix) = &args.output {
            let path = files::with_extension(prefix, "json");
            files::replace(&path, json.as_bytes()).await?;
            eprintln!("written: {}", path.display());
        }
        Ok(())
    }

    fn print(&self) {
        let Setting { key, values: [one, other] } = &self.setting;
        println!("\n{key}={other} against {key}={one}, under {}", self.load);
        println!("{}", environment::block(&self.environment, &SwitchArgs::IN_FULL));
        terminal::print(&pairs::table(&self.figures));
        println!(
            "Slices of one run, in pairs of random order (seed {}); from and to: 95 % interval of \
             the mean over all pairs. A broker against itself: no limit of the machine is beside it.",
            self.seed
        );
        let notes = self.figures.iter().filter_map(Figure::note);
        notes.chain(slices::silence(&self.slices)).for_each(|note| println!("{note}"));
        self.ended_early.iter().for_each(|why| println!("{why}"));
        if self.failures > 0 {
            println!("{} requests failed", self.failures);
        }
    }

    fn ending(&self) -> Ending {
        match self.failures {
            0 => pairs::ending(&self.figures),
            failures => Ending::of(failures),
        }
    }
}

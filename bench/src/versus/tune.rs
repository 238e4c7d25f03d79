//! The sweep by which Apache's tuned settings were found, to be done again: each variant of them
//! under the same loads, one after the other and round after round, beside the tuned settings
//! themselves. Nothing of ours runs but the client.

use std::path::{Path, PathBuf};

use comfy_table::Table;
use serde::Serialize;

use crate::args::versus::{Contestant, Times, VersusArgs};
use crate::compare::student;
use crate::driver::Timing;
use crate::ending::Ending;
use crate::error::BenchError;
use crate::files;
use crate::page_cache;
use crate::report::{table, terminal};
use crate::stop;
use crate::versus::apache::{self, Apache};
use crate::versus::asked::Asked;
use crate::versus::contestant::{Running, Setup};
use crate::versus::figures::{Figure, Figures, told};
use crate::versus::native;
use crate::versus::scenario::{self, Client, Scenario};
use crate::versus::variants::{TUNED, VARIANTS, Variant};
use crate::versus::{check_space, make_output};

/// The loads when nobody names any: one of each policy.
const SCENARIOS: [&str; 2] = ["sync-64x1", "async-64x32"];

/// The file of what every run came to.
const DOCUMENT: &str = "tune.json";

/// What is told of a variant.
const FIGURES: [Figure; 4] = [Figure::Rate, Figure::P99, Figure::Cpu, Figure::Rss];

/// A run.
#[derive(Debug, Serialize)]
struct Tried {
    scenario: &'static str,
    variant: &'static str,
    round: u32,
    figures: Option<Figures>,
    error: Option<String>,
}

/// Tries `named`, or all, in as many rounds as a race has blocks, and prints a table.
///
/// # Errors
/// Java or Maven is missing, the directory cannot be written, or a scenario has another client.
pub async fn run(args: &VersusArgs, named: &[&'static Variant]) -> Result<Ending, BenchError> {
    let scenarios = scenarios(args)?;
    let output = make_output(args, "versus-tune").await?;
    check_space(args).await?;
    let apache = Apache::fetch(&apache::directory(&args.directory)).await?;
    let all = VARIANTS.iter().collect::<Vec<_>>();
    let named = if named.is_empty() { &all } else { named };
    let variants = std::iter::once(&TUNED).chain(named.iter().copied()).collect();
    let times = args.times();
    let mut sweep = Sweep { args, apache, times, output, scenarios, variants, tried: Vec::new() };
    let swept = stop::or_dropped(sweep.run()).await;
    match args.json {
        true => println!("{}", json(&sweep.tried)),
        false => {
            println!();
            terminal::print(&sweep.table());
        }
    }
    swept.unwrap_or(Ok(()))?;
    let is_whole = |it: &Tried| it.figures.as_ref().is_some_and(|it| it.fault().is_none());
    Ok(if sweep.tried.iter().all(is_whole) { Ending::Good } else { Ending::RequestsFailed })
}

/// Those that were asked for, which bench's own client loads.
fn scenarios(args: &VersusArgs) -> Result<Vec<&'static Scenario>, BenchError> {
    let default = || SCENARIOS.map(|name| scenario::by_name(name).expect("it is there")).to_vec();
    let all = if args.scenarios.is_empty() { default() } else { args.scenarios.clone() };
    match all.iter().find(|scenario| !matches!(scenario.client, Client::Native(_))) {
        Some(other) => Err(BenchError::Race(format!(
            "--tune takes scenarios that only bench's own client loads, and {} is none",
            other.name
        ))),
        None => Ok(all),
    }
}

struct Sweep<'a> {
    args: &'a VersusArgs,
    apache: Apache,
    times: Times,
    output: PathBuf,
    scenarios: Vec<&'static Scenario>,
    /// The tuned settings are the first.
    variants: Vec<&'static Variant>,
    tried: Vec<Tried>,
}

impl Sweep<'_> {
    /// Every second round goes the other way, so that what drifts hits all alike.
    async fn run(&mut self) -> Result<(), BenchError> {
        let rounds = self.times.blocks;
        let mut order: Vec<_> = self
            .variants
            .iter()
            .flat_map(|&variant| self.scenarios.iter().map(move |&scenario| (scenario, variant)))
            .collect();
        eprintln!("{rounds} rounds of {} runs; raw data in {}", order.len(), self.output.display());
        for round in 1..=rounds {
            for &(scenario, variant) in &order {
                let tried = self.one(scenario, variant, round).await;
                self.tried.push(tried);
                files::replace(&self.output.join(DOCUMENT), json(&self.tried).as_bytes()).await?;
            }
            order.reverse();
        }
        Ok(())
    }

    async fn one(
        &self,
        scenario: &'static Scenario,
        variant: &'static Variant,
        round: u32,
    ) -> Tried {
        let name = format!("{round:02}-{}-{}", scenario.name, variant.name);
        eprintln!("round {round}: {}, {}", scenario.name, variant.name);
        page_cache::write_back(&self.output.join("sync.log")).await;
        // One that does not even start says something of the variant.
        let outcome = self.load(scenario, variant, &self.output.join(name)).await;
        let (figures, error) = told(outcome, scenario, "");
        Tried { scenario: scenario.name, variant: variant.name, round, figures, error }
    }

    async fn load(
        &self,
        scenario: &'static Scenario,
        variant: &'static Variant,
        prefix: &Path,
    ) -> Result<Figures, BenchError> {
        let Client::Native(words) = scenario.client else { unreachable!("others were refused") };
        let setup = Setup {
            args: self.args,
            apache: Some(&self.apache),
            contestant: Contestant::Tuned,
            own: scenario.settings(Contestant::Tuned),
            more: &scenario.keys(),
            variant,
        };
        let running = Running::start(setup, prefix).await?;
        let asked = Asked {
            words,
            timing: Timing { warm_up: self.times.jvm_warm_up, duration: self.times.duration },
            fill_share: self.times.fill_share,
            client_cores: self.args.client_cores.as_ref(),
            prefix,
        };
        native::run(&running, &asked).await.map(|(figures, _)| figures)
    }

    /// Means over the rounds; a share is that of the tuned settings in the same rounds.
    fn table(&self) -> Table {
        let mut rows = table::plain();
        let mut header = ["scenario", "variant", "change", "runs"].map(str::to_owned).to_vec();
        header.extend(FIGURES.iter().flat_map(|it| [it.name().to_owned(), "of tuned".to_owned()]));
        rows.set_header(header);
        for scenario in &self.scenarios {
            for variant in &self.variants {
                rows.add_row(cells(&self.tried, scenario.name, variant));
            }
        }
        table::align_numbers(&mut rows, 3);
        // A change is too long to stand in each part.
        table::name_rows(&mut rows, 2);
        rows
    }
}

fn cells(tried: &[Tried], scenario: &str, variant: &Variant) -> Vec<String> {
    let of = |name: &str, figure: Figure| -> Vec<(u32, f64)> {
        let is_it = |run: &&Tried| (run.scenario, run.variant) == (scenario, name);
        let value = |run: &Tried| Some((run.round, figure.of(run.figures.as_ref()?)?));
        tried.iter().filter(is_it).filter_map(value).collect()
    };
    let runs = of(variant.name, Figure::Rate).len();
    let mut cells: Vec<String> =
        vec![scenario.to_owned(), variant.name.to_owned(), variant.describe(), runs.to_string()];
    for figure in FIGURES {
        let (own, tuned) = (of(variant.name, figure), of(TUNED.name, figure));
        let tuned_of = |round: u32| tuned.iter().find(|it| it.0 == round).map(|it| it.1);
        let ratios: Vec<f64> =
            own.iter().filter_map(|&(round, value)| Some(value / tuned_of(round)?)).collect();
        let mean = |values: &[f64], digits: usize| match values {
            [] => "?".to_owned(),
            values => format!("{:.digits$}", student::mean(values)),
        };
        let values: Vec<f64> = own.iter().map(|it| it.1).collect();
        cells.extend([mean(&values, 1), mean(&ratios, 2)]);
    }
    cells
}

fn json(tried: &[Tried]) -> String {
    serde_json::to_string_pretty(tried).expect("runs are plain data")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versus::variants;

    #[test]
    fn a_variant_is_a_share_of_the_tuned_settings_in_the_same_rounds() {
        let run = |variant, round, messages_per_second| {
            let figures = Figures { messages: 1, messages_per_second, ..Figures::default() };
            Tried { scenario: "sync-64x1", variant, round, figures: Some(figures), error: None }
        };
        let failed = Tried {
            figures: None,
            error: Some("it did not start".to_owned()),
            ..run("spin-lock", 3, 0.0)
        };
        let tried = [
            run("tuned", 1, 100.0),
            run("spin-lock", 1, 50.0),
            run("spin-lock", 2, 150.0),
            run("tuned", 2, 200.0),
            failed,
        ];
        let cells = cells(&tried, "sync-64x1", variants::by_name("spin-lock").unwrap());
        assert_eq!(cells[3..8], ["2", "100.0", "0.62", "?", "?"]);
    }
}

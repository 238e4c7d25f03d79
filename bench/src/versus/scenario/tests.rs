use std::path::Path;

use ringmq_runtime::shards;

use super::*;
use crate::args::{self, Cli, Command};
use crate::compare::metric::Better;
use crate::versus::figures::Figures;
use crate::versus::goals::Goal;

#[test]
fn every_scenario_of_ours_is_a_command_line_of_bench() {
    for scenario in &SCENARIOS {
        let words = match scenario.client {
            Client::Native(words) | Client::Restart(words) | Client::Cold(words) => words,
            Client::Stock { .. } => continue,
        };
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let command = Cli::from_words(&words).unwrap().command;
        let fits = match scenario.client {
            Client::Cold(_) => matches!(command, Command::Consume(_) | Command::Mixed(_)),
            Client::Restart(_) => matches!(command, Command::Produce(_)),
            _ => !matches!(command, Command::Mixed(_)),
        };
        assert!(fits, "{scenario:?}");
    }
}

#[test]
fn a_scenario_file_of_the_same_name_is_the_same_load() {
    /// How long, and how a catch-up comes to be cold, the race says itself.
    const OF_THE_RACE: [&str; 3] = ["duration", "warm-up", "cold"];
    let load = |words: &[String]| {
        let mut settings = Cli::settings_of(words);
        OF_THE_RACE.iter().for_each(|key| drop(settings.remove(*key)));
        settings
    };
    let compared = shards::try_block_on("scenario files", async move {
        let mut compared = 0;
        for scenario in &SCENARIOS {
            let (Client::Native(words) | Client::Cold(words)) = scenario.client else {
                continue;
            };
            let file = format!("{}/scenarios/{}.toml", env!("CARGO_MANIFEST_DIR"), scenario.name);
            let Ok(of_file) = args::scenario::words(Path::new(&file)).await else { continue };
            let flush = match scenario.flush {
                Flush::Sync => "sync",
                Flush::Async => "async",
            };
            let words: Vec<String> =
                format!("{words} --flush {flush}").split(' ').map(str::to_owned).collect();
            assert_eq!(load(&of_file), load(&words), "{file}");
            compared += 1;
        }
        compared
    });
    assert_eq!(compared.unwrap(), 12);
}

#[test]
fn a_wrong_name_lists_the_right_ones() {
    assert_eq!(by_name("pull-32"), Ok(&SCENARIOS[7]));
    assert!(by_name("pull-33").unwrap_err().contains("sync-1x1, sync-64x1"));
}

#[test]
fn the_null_broker_meets_only_what_it_can_do() {
    let named = [Contestant::Tuned, Contestant::Null, Contestant::Ours];
    assert_eq!(by_name("sync-64x1").unwrap().rivals(&named), named);
    assert_eq!(by_name("pull-32").unwrap().rivals(&named), named);
    assert_eq!(by_name("cold-1024").unwrap().rivals(&named), named);
    let topics = by_name("topics-10k").unwrap().rivals(&named);
    assert_eq!(topics, [Contestant::Tuned, Contestant::Ours]);
    let words = by_name("topics-10k").unwrap().field_words();
    assert!(words.starts_with("in topics-10k ") && words.contains("tuned"), "{words}");
    assert!(!words.contains("null"), "{words}");
}

#[test]
fn without_names_a_scenario_meets_those_that_it_is_about() {
    let rivals = |name| by_name(name).unwrap().rivals(&[]);
    assert_eq!(rivals("idle-10k"), [Contestant::Tuned]);
    for name in ["pull-32", "sync-64x1", "async-open-10k", "cold-1024", "cold-beside-10k"] {
        assert_eq!(rivals(name), [Contestant::Tuned, Contestant::Null], "{name}");
    }
    let all = [Contestant::Tuned, Contestant::Shipped, Contestant::Null];
    assert_eq!(rivals("async-64x32"), all);
    assert_eq!(rivals("durability-64x32"), [Contestant::Otherwise]);
    for name in AS_SHIPPED {
        assert!(by_name(name).is_ok());
    }
    for scenario in SCENARIOS.iter().filter(|it| Goal::is_set(it.name, Contestant::Null)) {
        assert!(scenario.rivals(&[]).contains(&Contestant::Null), "{scenario:?}");
    }
}

#[test]
fn latencies_of_a_closed_loop_are_called_so() {
    let name = |name, figure| by_name(name).unwrap().name_of(figure);
    assert_eq!(name("sync-64x1", Figure::P99), "p99 us, closed loop");
    assert_eq!(name("sync-64x1", Figure::Cpu), "CPU us/msg");
    for open in ["sync-open-10k", "async-open-10k", "end-to-end-5k", "cold-beside-10k"] {
        assert_eq!(name(open, Figure::P99), "p99 us", "{open}");
    }
}

#[test]
fn who_starves_the_readers_of_a_catch_up_shows_it() {
    let figures = by_name("cold-beside-10k").unwrap().figures;
    assert!(figures.contains(&Figure::ReadRate));
    let read = |read_mb_per_s| Figures { read_mb_per_s, ..Figures::default() };
    assert_eq!(Figure::ReadRate.of(&read(Some(250.0))), Some(250.0));
    assert_eq!(Figure::ReadRate.of(&read(None)), None);
    assert_eq!(Figure::ReadRate.better(), Better::Higher);
}

#[test]
fn our_broker_meets_itself_with_other_settings() {
    let shards = by_name("shards-64x32").unwrap();
    let rivals = shards.rivals(&[Contestant::Tuned, Contestant::Ours]);
    assert_eq!(rivals, [Contestant::Otherwise, Contestant::Ours]);
    assert_eq!(shards.settings(Contestant::Otherwise).shards, Some(1));
    assert_eq!(shards.settings(Contestant::Ours).shards, Some(2));
    let price = by_name("durability-64x32").unwrap();
    assert_eq!(price.settings(Contestant::Otherwise).flush, Flush::Async);
    assert_eq!(price.settings(Contestant::Ours).flush, Flush::Sync);
    let stages = by_name("stages-64x32").unwrap();
    let times = |contestant| stages.settings(contestant).times_stages;
    assert!(times(Contestant::Ours) && !times(Contestant::Otherwise));
}

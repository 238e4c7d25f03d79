//! Apache's own client in a race, and Apache's broker as it is shipped: the first pair of runs, one
//! of ours and one of that broker. A whole block would take two minutes more, since the client
//! tells only every ten seconds what it did.

use std::path::Path;
use std::time::Duration;

use super::Race;
use crate::background::Background;
use crate::workspace::Outcome;

/// Sends of `benchmark.Producer`.
const SCENARIO: &str = "stock-async-64";

/// The two of the first pair, whoever begins.
const RIVAL: &str = "shipped";
const PAIR: [&str; 2] = ["ours", RIVAL];

/// What the race says when both runs are over.
const NEXT_RUN: &str = "run 3: ";

/// Some five times what both take.
const PAIR_LIMIT: Duration = Duration::from_secs(300);

/// The race ends what it has started, and removes its stores.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Races in `folder`, with programs that are built, until both have run, and asks the race to end.
///
/// # Errors
/// A run failed, or counted nothing; or the race does not end.
pub fn first_pair(programs: &Path, folder: &Path) -> Outcome {
    let race = Race { programs: programs.to_owned(), folder };
    let mut command = race.command(SCENARIO, RIVAL);
    command.args(["--output", "stock"]);
    let mut race = Background::start("bench versus", &mut command, &folder.join("stock.log"))?;
    race.wait_until(PAIR_LIMIT, |told| told.contains(NEXT_RUN))?;
    let told = race.output();
    race.stop(STOP_LIMIT)?;
    for contestant in PAIR {
        let rate = rate_of(contestant, &told)
            .ok_or_else(|| format!("{SCENARIO}: {contestant} came to nothing:\n{told}"))?;
        println!("{SCENARIO}, {contestant}: {rate:.0} messages a second");
    }
    Ok(())
}

/// What the run of a contestant came to, as the race tells; none of a run that failed, or in which
/// nothing was sent.
fn rate_of(contestant: &str, told: &str) -> Option<f64> {
    let title = format!(": {SCENARIO}, {contestant} (");
    let lines = told.lines().skip_while(|line| !line.contains(&title)).skip(1);
    let mut of_it = lines.take_while(|line| line.starts_with("  "));
    let rate = of_it.find_map(|line| line.trim_start().strip_prefix("msg/s "))?;
    rate.split(',').next()?.parse().ok().filter(|rate| *rate > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "\
seed 7: 1 blocks, 4 runs, about 2 minutes; raw data in stock
run 1: stock-async-64, shipped (flush 119 us, round trip 9 us)
  mean time of a send, as the client tells: 3.12 ms
  msg/s 5910.73, CPU us/msg 308.68; 0 failed requests; 44 s
run 2: stock-async-64, ours (flush 107 us, round trip 6 us)
  failed: benchmark.Producer: ended with exit status: 1
run 3: stock-async-64, ours (flush 125 us, round trip 6 us)";

    #[test]
    fn the_rate_of_a_run_stands_below_its_title() {
        assert_eq!(rate_of("shipped", TOLD), Some(5910.73));
        assert_eq!(rate_of("tuned", TOLD), None, "it did not run");
    }

    #[test]
    fn a_run_that_failed_or_sent_nothing_has_no_rate() {
        assert_eq!(rate_of("ours", TOLD), None);
        assert_eq!(rate_of("shipped", &TOLD.replace("5910.73", "0.00")), None);
    }
}

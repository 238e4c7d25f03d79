use super::*;
use crate::ending::Ending;
use crate::report::broker_use::BrokerUse;
use crate::versus::figures::Figure;
use crate::versus::goals::Reached;
use crate::versus::plan::{Plan, Turn};
use crate::versus::scenario::{SCENARIOS, by_name};
use crate::versus::verdict::Verdict;

/// The block of these, and runs of it in which a side has that many messages per second.
fn block(name: &str, rival: Contestant) -> Block {
    Block { scenario: by_name(name).unwrap(), rival, has_null: false, first: Side::Ours }
}

fn run(number: usize, block: &Block, turn: Turn, rate: f64) -> Run {
    let bracket = Bracket { write_and_flush_us: 300.0, round_trip_us: 20.0 };
    let used = BrokerUse {
        cpu_us_per_message: 1.0,
        rss_bytes: 1,
        rss_files_bytes: Some(400_000),
        flushes_per_message: None,
        context_switches_per_message: Some(0.5),
        cpu_wait_us_per_message: None,
        device_writes_per_message: None,
        device_bytes_per_message: None,
        device_flushes_per_message: None,
        system_calls_per_message: None,
    };
    let figures = Figures {
        seconds: 1.0,
        messages: 10_000,
        messages_per_second: rate,
        p99_us: Some(1_000.0),
        broker: Some(used),
        rss_bytes: 1_000_000,
        failures: 1,
        ..Figures::default()
    };
    Run {
        number: 1,
        block: number,
        scenario: block.scenario,
        rival: block.rival,
        side: turn.side,
        contestant: turn.contestant,
        warm_up_s: 1.0,
        before: bracket,
        after: bracket,
        figures: Some(figures),
        error: None,
    }
}

/// A race of `blocks` against Apache's broker, in which our rate is `gain` times theirs.
pub fn race(name: &str, blocks: usize, gain: f64) -> Results {
    race_of(&block(name, Contestant::Tuned), blocks, gain, 0.0)
}

/// The same with the null broker, whose rate is `limit` times theirs.
pub fn limited(name: &str, blocks: usize, gain: f64, limit: f64) -> Results {
    let block = Block { has_null: true, ..block(name, Contestant::Tuned) };
    race_of(&block, blocks, gain, limit)
}

fn race_of(block: &Block, blocks: usize, gain: f64, limit: f64) -> Results {
    let mut results = Results::new(Value::Null);
    let rate = |turn: Turn| match turn.contestant {
        Contestant::Ours => 1e4 * gain,
        Contestant::Null => 1e4 * limit,
        _ => 1e4,
    };
    for number in 1..=blocks {
        let runs = block.order().into_iter().map(|turn| run(number, block, turn, rate(turn)));
        results.add(runs.collect());
    }
    results
}

/// A block of each kind that is run when nobody says against whom, with all figures.
pub fn each_block_once() -> Results {
    let mut results = Results::new(Value::Null);
    let plan = Plan::new(&SCENARIOS.iter().collect::<Vec<_>>(), &[], 0);
    for (number, block) in (1..).zip(plan.blocks()) {
        let mut runs: Vec<_> =
            block.order().into_iter().map(|turn| run(number, block, turn, 1e4)).collect();
        for figures in runs.iter_mut().filter_map(|run| run.figures.as_mut()) {
            let (p50_us, p999_us, p99_alone_us) = (Some(500.0), Some(2e3), Some(1e3));
            let (read_mb_per_s, device_percent, restart_s) = (Some(1.0), Some(90.0), Some(1.0));
            let (core_percent, rss_idle_bytes) = (1.0, 1_000_000);
            *figures = Figures {
                p50_us,
                p999_us,
                p99_alone_us,
                read_mb_per_s,
                device_percent,
                restart_s,
                core_percent,
                rss_idle_bytes,
                ..figures.clone()
            };
        }
        results.add(runs);
    }
    results
}

fn row(results: &Results, figure: Figure, rival: Contestant) -> &Row {
    results.rows.iter().find(|row| (row.figure, row.rival) == (figure, rival)).unwrap()
}

#[test]
fn a_race_that_is_slower_is_lost() {
    let verdict = |gain| {
        let results = race("sync-64x1", 4, gain);
        let row = row(&results, Figure::Rate, Contestant::Tuned);
        (row.verdict, row.pairs, results.is_lost())
    };
    assert_eq!(verdict(3.0), (Verdict::Win, 8, false));
    assert_eq!(verdict(0.5), (Verdict::Loss, 8, true));
    assert_eq!(verdict(1.0), (Verdict::Undecided, 8, false));
}

#[test]
fn only_a_race_that_shows_something_and_reaches_its_goals_ends_well() {
    let ending = |results: Results| results.ending();
    assert_eq!(ending(race("sync-64x32", 1, 5.0)), Ending::TooShort, "two pairs");
    assert_eq!(ending(race("sync-64x32", 4, 0.5)), Ending::Worse);
    assert_eq!(ending(race("sync-64x32", 4, 2.0)), Ending::GoalMissed, "of a rate four times");
    assert_eq!(ending(limited("sync-64x32", 4, 2.8, 3.0)), Ending::GoalMissed, "limited");
    let mut failed = race("sync-64x32", 4, 5.0);
    (failed.runs[0].figures, failed.runs[0].error) = (None, Some("it ended".to_owned()));
    assert_eq!(ending(failed), Ending::RequestsFailed);
    // These goals are met: a rate of at least four times, and 256 MB.
    assert_eq!(ending(race("sync-64x32", 4, 5.0)), Ending::Good);
    assert_eq!(ending(race("topics-10k", 4, 5.0)), Ending::Good);
    // Without a goal.
    let shipped = |gain| race_of(&block("sync-64x32", Contestant::Shipped), 4, gain, 0.0);
    assert_eq!(ending(shipped(5.0)), Ending::Good);
    assert_eq!(ending(shipped(1.0)), Ending::TooShort, "the control alone is no result");
    let unsteady = |results: &mut Results| {
        results.runs.iter_mut().step_by(4).for_each(|run| run.before.round_trip_us = 100.0);
        results.runs.iter_mut().skip(3).step_by(4).for_each(|run| run.before.round_trip_us = 100.0);
        results.add(Vec::new());
    };
    let mut disturbed = race("sync-64x32", 4, 5.0);
    unsteady(&mut disturbed);
    assert_eq!(ending(disturbed), Ending::TooShort, "a goal that nothing can be said of");
}

#[test]
fn a_run_whose_requests_fail_counts_for_nothing() {
    let of = |contestant, failures| {
        let mut results = race("sync-64x1", 4, 3.0);
        for run in results.runs.iter_mut().filter(|run| run.contestant == contestant) {
            run.figures.as_mut().unwrap().failures = failures;
        }
        results.add(Vec::new());
        let row = row(&results, Figure::Rate, Contestant::Tuned);
        (row.verdict, row.failed, row.reason.clone(), results.failed_runs())
    };
    assert_eq!(of(Contestant::Ours, 10), (Verdict::Win, 0, None, 0), "one in a thousand");
    let reason = Some("11 of 10011 requests failed".to_owned());
    assert_eq!(of(Contestant::Ours, 11), (Verdict::Failed, 8, reason.clone(), 8));
    assert_eq!(of(Contestant::Tuned, 11), (Verdict::Failed, 8, reason, 8));
}

#[test]
fn a_goal_that_the_null_broker_misses_too_is_limited_and_never_met() {
    let reached = |gain, limit| {
        let results = limited("sync-64x32", 2, gain, limit);
        let row = row(&results, Figure::Rate, Contestant::Tuned);
        (row.reached.unwrap(), row.limit.unwrap().gain.ratio.round())
    };
    assert_eq!(reached(2.8, 3.0), (Reached::Limited, 3.0));
    assert_eq!(reached(2.0, 3.0), (Reached::Missed, 3.0), "the null broker is 1.5 times faster");
    assert_eq!(reached(2.8, 9.0), (Reached::Missed, 9.0));
    assert_eq!(reached(5.0, 3.0), (Reached::Met, 3.0), "a limit that is no law");
    let without = race("sync-64x32", 2, 2.8);
    let row = row(&without, Figure::Rate, Contestant::Tuned);
    assert_eq!((row.reached, row.limit), (Some(Reached::Missed), None));
}

#[test]
fn the_null_brokers_runs_are_pairs_of_ours_and_of_apaches_in_their_block() {
    let results = limited("sync-64x1", 3, 4.0, 5.0);
    let of = |rival| {
        let row = row(&results, Figure::Rate, rival);
        (row.pairs, (row.gain.unwrap().ratio * 100.0).round())
    };
    assert_eq!((of(Contestant::Tuned), of(Contestant::Null)), ((6, 400.0), (6, 80.0)));
    assert_eq!(row(&results, Figure::Rate, Contestant::Tuned).limit.unwrap().pairs, 6);
    let block = |has_null| Block { has_null, ..block("sync-64x1", Contestant::Tuned) };
    assert_eq!((results.blocks_of(&block(true)), results.blocks_of(&block(false))), (3, 3));
    let without = race("sync-64x1", 3, 4.0);
    assert_eq!(without.blocks_of(&block(true)), 0, "they lack the null broker");
}

#[test]
fn our_two_runs_of_each_block_are_the_control() {
    let mut results = race("sync-64x1", 2, 3.0);
    let control = row(&results, Figure::Rate, Contestant::Ours);
    assert_eq!((control.pairs, control.gain.unwrap().ratio), (2, 1.0));
    // The later run of the first block is three times the earlier one: no such gain is claimed.
    results.runs[3].figures.as_mut().unwrap().messages_per_second *= 3.0;
    results.add(Vec::new());
    let tuned = row(&results, Figure::Rate, Contestant::Tuned);
    assert!((tuned.claimable.unwrap() - 3.0).abs() < 1e-9, "{tuned:?}");
    assert_eq!(tuned.verdict, Verdict::Undecided);
}

#[test]
fn a_contestant_that_failed_stays_in_the_table_with_its_reason() {
    let mut results = race("topics-10k", 2, 2.0);
    for run in results.runs.iter_mut().filter(|run| run.contestant == Contestant::Tuned) {
        (run.figures, run.error) = (None, Some("no space".to_owned()));
    }
    results.add(Vec::new());
    let tuned = row(&results, Figure::Rss, Contestant::Tuned);
    assert_eq!((tuned.verdict, tuned.failed), (Verdict::Failed, 4));
    assert_eq!((tuned.ours.is_some(), tuned.theirs), (true, None));
    assert_eq!(tuned.reason.as_deref(), Some("no space"));
    assert!(tuned.reached.is_some(), "our own memory is known");
}

#[test]
fn a_restart_that_failed_leaves_the_figures_of_the_load() {
    let mut results = race("topics-10k", 2, 8.0);
    for figures in results.runs.iter_mut().filter_map(|run| run.figures.as_mut()) {
        figures.restart_s = Some(1.0);
    }
    for run in results.runs.iter_mut().filter(|run| run.contestant == Contestant::Tuned) {
        let figures = run.figures.as_mut().unwrap();
        (figures.restart_s, figures.lost) = (None, Some("too few mappings".to_owned()));
    }
    results.add(Vec::new());
    let restart = row(&results, Figure::Restart, Contestant::Tuned);
    assert_eq!((restart.verdict, restart.ours), (Verdict::Failed, Some(1.0)));
    assert_eq!(restart.reason.as_deref(), Some("too few mappings"));
    assert_eq!(row(&results, Figure::Rate, Contestant::Tuned).verdict, Verdict::Win);
}

#[test]
fn a_race_goes_on_from_its_document() {
    let results = race("sync-64x1", 2, 3.0);
    let text = results.to_json();
    let kept: Kept = serde_json::from_str(&text).unwrap();
    let again = Results::of(kept);
    assert_eq!(again.to_json(), text);
    assert_eq!(again.blocks_of(&block("sync-64x1", Contestant::Tuned)), 2);
    assert_eq!(again.blocks_of(&block("sync-64x1", Contestant::Null)), 0);
}

#[test]
fn discarded_pairs_are_lacking_and_failed_ones_are_not() {
    let tuned = block("sync-64x1", Contestant::Tuned);
    let mut results = race("sync-64x1", 2, 3.0);
    assert!(!results.lacks_pairs(&tuned, 4) && !results.lacks_pairs(&tuned, 8));
    let figures = |results: &mut Results, stolen_percent| {
        results.runs[0].figures.as_mut().unwrap().stolen_percent = stolen_percent;
        results.add(Vec::new());
    };
    figures(&mut results, Some(3.0));
    assert!(results.lacks_pairs(&tuned, 4), "its latency says what the host did");
    figures(&mut results, Some(0.1));
    assert!(!results.lacks_pairs(&tuned, 4));
    results.runs[0].before.round_trip_us = 100.0;
    results.add(Vec::new());
    assert!(results.lacks_pairs(&tuned, 4));
    results.runs[0].figures = None;
    results.add(Vec::new());
    assert!(!results.lacks_pairs(&tuned, 4));
}

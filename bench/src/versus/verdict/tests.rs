use super::*;
use crate::limits::bracket::Bracket;
use crate::versus::figures::Figures;
use crate::versus::pairs::{Fate, STOLEN_MAX_PERCENT};
use crate::versus::scenario::by_name;

const QUIET: Bracket = Bracket { write_and_flush_us: 300.0, round_trip_us: 20.0 };

fn figures(messages_per_second: f64, p99_us: f64) -> Figures {
    Figures {
        seconds: 20.0,
        messages: 1_000,
        messages_per_second,
        p99_us: Some(p99_us),
        rss_bytes: 100_000_000,
        ..Figures::default()
    }
}

fn pair(ours: Figures, theirs: Figures) -> Pair {
    Pair { ours: Some(ours), theirs: Some(theirs), brackets: vec![QUIET; 4], error: None }
}

/// `count` pairs in which ours has `gain` times the rival's rate, a little more or less.
fn pairs(count: usize, gain: f64, noise: f64) -> Vec<Pair> {
    let factor = |index: usize| gain * (1.0 + noise * [1.0, -1.0, 0.5, -0.5][index % 4]);
    (0..count).map(|index| pair(figures(1e4 * factor(index), 1e3), figures(1e4, 1e3))).collect()
}

/// The row of a figure in `sync-64x1`.
fn row(rival: Contestant, figure: Figure, pairs: &[Pair], control: Option<&Row>) -> Option<Row> {
    super::row(by_name("sync-64x1").unwrap(), rival, figure, pairs, control)
}

fn rate(pairs: &[Pair], control: &Row) -> Row {
    row(Contestant::Tuned, Figure::Rate, pairs, Some(control)).unwrap()
}

fn control_of(pairs: &[Pair]) -> Row {
    row(Contestant::Ours, Figure::Rate, pairs, None).unwrap()
}

fn control(gain: f64, noise: f64) -> Row {
    control_of(&pairs(12, gain, noise))
}

/// A control that differs from itself by next to nothing.
fn sharp() -> Row {
    control(1.0, 0.001)
}

#[test]
fn the_race_can_be_won_lost_and_left_undecided() {
    let verdict = |gain, noise| rate(&pairs(10, gain, noise), &sharp()).verdict;
    assert_eq!(verdict(4.0, 0.1), Verdict::Win);
    assert_eq!(verdict(0.7, 0.1), Verdict::Loss);
    assert_eq!(verdict(1.02, 0.3), Verdict::Undecided);
}

#[test]
fn less_is_more_where_a_figure_is_a_cost() {
    let slower = pair(figures(1e4, 3_000.0), figures(1e4, 1_000.0));
    let row = row(Contestant::Shipped, Figure::P99, &vec![slower; 8], Some(&sharp())).unwrap();
    assert_eq!(row.verdict, Verdict::Loss);
    let (gain, ours) = (row.gain.unwrap().ratio, row.ours.unwrap());
    assert!((gain - 1.0 / 3.0).abs() < 1e-9 && (ours - 3_000.0).abs() < 1e-6, "{row:?}");
}

#[test]
fn few_pairs_decide_nothing() {
    assert_eq!(rate(&pairs(PAIRS_MIN - 1, 4.0, 0.01), &sharp()).verdict, Verdict::Undecided);
    assert_eq!(rate(&pairs(PAIRS_MIN, 4.0, 0.01), &sharp()).verdict, Verdict::Win);
}

#[test]
fn what_the_control_cannot_tell_apart_is_not_claimed() {
    let wide = control(1.0, 0.4);
    assert_eq!(wide.verdict, Verdict::Sound);
    let (won, lost) = (pairs(10, 1.1, 0.01), pairs(10, 0.9, 0.01));
    assert_eq!(rate(&won, &sharp()).verdict, Verdict::Win);
    assert_eq!(rate(&won, &wide).verdict, Verdict::Undecided);
    assert_eq!(rate(&lost, &wide).verdict, Verdict::Undecided);
    assert_eq!(rate(&pairs(10, 0.4, 0.01), &wide).verdict, Verdict::Loss);
}

#[test]
fn a_control_that_differs_from_itself_decides_nothing() {
    let biased = control(1.3, 0.01);
    assert_eq!(biased.verdict, Verdict::Biased);
    assert_eq!(rate(&pairs(10, 4.0, 0.01), &biased).verdict, Verdict::Undecided);
}

#[test]
fn a_control_of_few_pairs_claims_what_they_differ_by_at_most() {
    let two = [pair(figures(1.2e4, 1e3), figures(1e4, 1e3)), pairs(1, 1.0, 0.0).remove(0)];
    let small = control_of(&two);
    assert_eq!(small.verdict, Verdict::Undecided);
    assert_eq!(rate(&pairs(10, 1.1, 0.01), &small).verdict, Verdict::Undecided);
    assert_eq!(rate(&pairs(10, 1.5, 0.01), &small).verdict, Verdict::Win);
    let lone = control_of(&two[..1]);
    assert_eq!(rate(&pairs(10, 4.0, 0.01), &lone).verdict, Verdict::Undecided);
}

#[test]
fn a_figure_beside_an_unsteady_machine_is_discarded_where_the_probe_binds_it() {
    let check = |bracket: Bracket, rate, async_rate| {
        let mut pair = pair(figures(4e4, 1e3), figures(1e4, 1e3));
        for place in 0..4 {
            pair.brackets = vec![QUIET; 4];
            pair.brackets[place] = bracket;
            let fate = |name, figure| pair.fate(by_name(name).unwrap(), figure);
            assert_eq!(fate("sync-64x1", Figure::Rate), rate, "{bracket:?} at {place}");
            assert_eq!(fate("async-64x1", Figure::Rate), async_rate, "{bracket:?} at {place}");
            assert_eq!(fate("sync-64x1", Figure::Rss), Fate::Kept, "{bracket:?} at {place}");
        }
    };
    check(Bracket { write_and_flush_us: 449.0, ..QUIET }, Fate::Kept, Fate::Kept);
    check(Bracket { write_and_flush_us: 451.0, ..QUIET }, Fate::Unsteady, Fate::Kept);
    check(Bracket { write_and_flush_us: 199.0, ..QUIET }, Fate::Unsteady, Fate::Kept);
    check(Bracket { round_trip_us: 31.0, ..QUIET }, Fate::Unsteady, Fate::Unsteady);
}

#[test]
fn a_latency_of_a_run_that_the_host_paused_is_discarded_and_its_rate_is_not() {
    let scenario = by_name("sync-64x1").unwrap();
    let fates = |ours, theirs| {
        let mut pair = pair(figures(4e4, 1e3), figures(1e4, 1e3));
        pair.ours.as_mut().unwrap().stolen_percent = ours;
        pair.theirs.as_mut().unwrap().stolen_percent = theirs;
        (pair.fate(scenario, Figure::P99), pair.fate(scenario, Figure::Rate))
    };
    assert_eq!(fates(None, Some(STOLEN_MAX_PERCENT)), (Fate::Kept, Fate::Kept));
    assert_eq!(fates(Some(0.6), None), (Fate::Stolen, Fate::Kept));
    assert_eq!(fates(Some(0.0), Some(9.0)), (Fate::Stolen, Fate::Kept));
    let mut all = pairs(6, 2.0, 0.0);
    all[0].ours.as_mut().unwrap().stolen_percent = Some(2.0);
    all[1].brackets[0].round_trip_us = 100.0;
    let row = row(Contestant::Tuned, Figure::P99, &all, None).unwrap();
    assert_eq!((row.pairs, row.unsteady, row.stolen), (4, 2, 1));
}

#[test]
fn an_overloaded_run_decides_no_latency_for_or_against_anybody() {
    let scenario = by_name("sync-open-10k").unwrap();
    let check = |[ours_unsent, theirs_unsent]: [u64; 2], overloaded: Overloaded| {
        let mut all = pairs(6, 2.0, 0.0);
        for pair in &mut all[..5] {
            pair.ours.as_mut().unwrap().backlog = ours_unsent;
            pair.theirs.as_mut().unwrap().backlog = theirs_unsent;
        }
        let row = super::row(scenario, Contestant::Tuned, Figure::P99, &all, None).unwrap();
        assert_eq!((row.pairs, row.overloaded, row.failed), (1, overloaded, 0));
        let row = super::row(scenario, Contestant::Tuned, Figure::P99, &all[..5], None).unwrap();
        assert_eq!((row.verdict, row.gain, row.reached), (Verdict::Overloaded, None, None));
        let row = super::row(scenario, Contestant::Tuned, Figure::Rate, &all, None).unwrap();
        assert_eq!(
            (row.pairs, row.overloaded),
            (6, Overloaded::default()),
            "what it served counts"
        );
    };
    check([0, 1_300], Overloaded { pairs: 5, ours: 0, theirs: 5 });
    check([11, 0], Overloaded { pairs: 5, ours: 5, theirs: 0 });
    check([11, 11], Overloaded { pairs: 5, ours: 5, theirs: 5 });
    let mut moment = pairs(1, 2.0, 0.0).remove(0);
    moment.theirs.as_mut().unwrap().backlog = 10;
    assert_eq!(moment.fate(scenario, Figure::P99), Fate::Kept, "one in a hundred");
    for run in [&mut moment.ours, &mut moment.theirs] {
        run.as_mut().unwrap().p999_us = Some(2e3);
    }
    assert_eq!(moment.fate(scenario, Figure::P999), Fate::Overloaded, "a p99.9 rests on fewer");
    moment.theirs.as_mut().unwrap().backlog = 1;
    assert_eq!(moment.fate(scenario, Figure::P999), Fate::Kept, "one in a thousand");
}

#[test]
fn whoever_was_overloaded_has_won_nothing_by_its_other_runs() {
    let of = |p99_us: f64, side: fn(&mut Pair) -> &mut Option<Figures>| {
        let mut all = vec![pair(figures(1e4, p99_us), figures(1e4, 1_000.0)); 8];
        all[..4].iter_mut().for_each(|pair| side(pair).as_mut().unwrap().backlog = 500);
        let scenario = by_name("sync-open-10k").unwrap();
        let row = super::row(scenario, Contestant::Tuned, Figure::P99, &all, Some(&sharp()));
        let row = row.unwrap();
        (row.verdict, row.reached)
    };
    let (fast, slow) = (10.0, 3_000.0);
    assert_eq!(of(fast, |pair| &mut pair.ours), (Verdict::Undecided, None));
    assert_eq!(of(fast, |pair| &mut pair.theirs), (Verdict::Win, Some(Reached::Aim)));
    assert_eq!(of(slow, |pair| &mut pair.theirs), (Verdict::Undecided, None));
    assert_eq!(of(slow, |pair| &mut pair.ours), (Verdict::Loss, Some(Reached::Missed)));
}

#[test]
fn ours_wins_nothing_by_the_pairs_in_which_it_did_not_fail() {
    let of = |gain: f64, fail: fn(&mut Pair)| {
        let mut all = pairs(8, gain, 0.0);
        all[..4].iter_mut().for_each(fail);
        let scenario = by_name("sync-64x32").unwrap();
        let row = super::row(scenario, Contestant::Tuned, Figure::Rate, &all, Some(&sharp()));
        let row = row.unwrap();
        assert_eq!((row.pairs, row.failed), (4, 4));
        (row.verdict, row.reached, row.failed_ours)
    };
    let refuses: fn(&mut Pair) = |pair| pair.ours.as_mut().unwrap().failures = 100;
    let ends: fn(&mut Pair) = |pair| (pair.ours, pair.error) = (None, Some("it ended".to_owned()));
    let theirs: fn(&mut Pair) = |pair| pair.theirs.as_mut().unwrap().failures = 100;
    for ours in [refuses, ends] {
        assert_eq!(of(5.0, ours), (Verdict::Undecided, None, 4));
        assert_eq!(of(0.5, ours), (Verdict::Loss, Some(Reached::Missed), 4));
    }
    assert_eq!(of(5.0, theirs), (Verdict::Win, Some(Reached::Met), 0));
    assert_eq!(of(0.5, theirs), (Verdict::Loss, Some(Reached::Missed), 0));
}

#[test]
fn discarded_and_failed_pairs_are_in_no_mean() {
    let mut all = pairs(7, 2.0, 0.0);
    all[0].brackets[3].round_trip_us = 100.0;
    all[0].ours = Some(figures(1e9, 1.0));
    (all[1].theirs, all[1].error) = (None, Some("it ended".to_owned()));
    let row = rate(&all, &sharp());
    assert_eq!((row.pairs, row.unsteady, row.failed), (5, 1, 1));
    assert_eq!((row.verdict, row.reason.as_deref()), (Verdict::Win, Some("it ended")));
    assert!((row.gain.unwrap().ratio - 2.0).abs() < 1e-9, "{row:?}");
}

#[test]
fn a_figure_that_nobody_has_and_nobody_lost_is_no_row() {
    assert!(row(Contestant::Tuned, Figure::P50, &pairs(7, 2.0, 0.0), None).is_none());
}

#[test]
fn a_limit_and_ourselves_are_neither_beaten_nor_lost_against() {
    for rival in [Contestant::Null, Contestant::Otherwise] {
        let row = row(rival, Figure::Rate, &pairs(10, 0.7, 0.01), None);
        assert_eq!(row.unwrap().verdict, Verdict::Share);
    }
}

#[test]
fn a_row_tells_whether_its_goal_is_reached() {
    let row = |gain| row(Contestant::Null, Figure::Rate, &pairs(10, gain, 0.0), None);
    assert_eq!(row(0.9).unwrap().reached, Some(Reached::Met));
    assert_eq!(row(0.7).unwrap().reached, Some(Reached::Missed));
    let no_goal = rate(&pairs(10, 4.0, 0.0), &sharp());
    assert_eq!(no_goal.reached, None, "this rate has a goal against the null broker only");
}

#[test]
fn where_no_pair_counts_the_figures_are_told_and_decide_nothing() {
    let mut all = pairs(8, 0.5, 0.0);
    all.iter_mut().for_each(|pair| pair.brackets[0].round_trip_us = 100.0);
    let row = rate(&all, &sharp());
    assert_eq!((row.pairs, row.verdict, row.reached), (0, Verdict::Unsteady, None));
    assert!((row.gain.unwrap().ratio - 0.5).abs() < 1e-9, "{row:?}");
}

#[test]
fn a_factor_over_a_rival_that_came_to_nothing_is_not_judged() {
    let alone =
        Pair { theirs: None, error: Some("it ended".to_owned()), ..pairs(1, 1.0, 0.0).remove(0) };
    let row = row(Contestant::Tuned, Figure::Cpu, &vec![alone; PAIRS_MIN], Some(&sharp())).unwrap();
    assert_eq!((row.verdict, row.reached), (Verdict::Failed, None));
    assert!(row.goal.is_some_and(|goal| goal.of == Of::Gain), "{row:?}");
}

use super::*;

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
    Pair { ours: Some(ours), theirs: Some(theirs), brackets: vec![QUIET; 4] }
}

/// `count` pairs in which ours has `gain` times the rival's rate, a little more or less.
fn pairs(count: usize, gain: f64, noise: f64) -> Vec<Pair> {
    let factor = |index: usize| gain * (1.0 + noise * [1.0, -1.0, 0.5, -0.5][index % 4]);
    (0..count).map(|index| pair(figures(1e4 * factor(index), 1e3), figures(1e4, 1e3))).collect()
}

fn rate(pairs: &[Pair], control: Option<&Row>) -> Row {
    row("s", Contestant::Tuned, Figure::Rate, pairs, control).unwrap()
}

fn control(gain: f64, noise: f64) -> Row {
    row("s", Contestant::Ours, Figure::Rate, &pairs(12, gain, noise), None).unwrap()
}

#[test]
fn the_race_can_be_won_lost_and_left_undecided() {
    let verdict = |gain, noise| rate(&pairs(10, gain, noise), None).verdict;
    assert_eq!(verdict(4.0, 0.1), Verdict::Win);
    assert_eq!(verdict(0.7, 0.1), Verdict::Loss);
    assert_eq!(verdict(1.02, 0.3), Verdict::Undecided);
}

#[test]
fn less_is_more_where_a_figure_is_a_cost() {
    let slower = pair(figures(1e4, 3_000.0), figures(1e4, 1_000.0));
    let row = row("s", Contestant::Shipped, Figure::P99, &vec![slower; 8], None).unwrap();
    assert_eq!(row.verdict, Verdict::Loss);
    assert!((row.gain - 1.0 / 3.0).abs() < 1e-9 && (row.ours - 3_000.0).abs() < 1e-6, "{row:?}");
}

#[test]
fn few_pairs_decide_nothing() {
    assert_eq!(rate(&pairs(PAIRS_MIN - 1, 4.0, 0.01), None).verdict, Verdict::Undecided);
    assert_eq!(rate(&pairs(PAIRS_MIN, 4.0, 0.01), None).verdict, Verdict::Win);
}

#[test]
fn what_the_control_cannot_tell_apart_is_not_claimed() {
    let wide = control(1.0, 0.4);
    assert_eq!(wide.verdict, Verdict::Sound);
    let (won, lost) = (pairs(10, 1.1, 0.01), pairs(10, 0.9, 0.01));
    assert_eq!(rate(&won, None).verdict, Verdict::Win);
    assert_eq!(rate(&won, Some(&wide)).verdict, Verdict::Undecided);
    assert_eq!(rate(&lost, Some(&wide)).verdict, Verdict::Undecided);
    assert_eq!(rate(&pairs(10, 0.4, 0.01), Some(&wide)).verdict, Verdict::Loss);
}

#[test]
fn a_control_that_differs_from_itself_decides_nothing() {
    let biased = control(1.3, 0.01);
    assert_eq!(biased.verdict, Verdict::Biased);
    assert_eq!(rate(&pairs(10, 4.0, 0.01), Some(&biased)).verdict, Verdict::Undecided);
}

#[test]
fn a_pair_beside_an_unsteady_machine_is_discarded() {
    let check = |bracket: Bracket, fate| {
        let mut pair = pair(figures(4e4, 1e3), figures(1e4, 1e3));
        for place in 0..4 {
            pair.brackets = vec![QUIET; 4];
            pair.brackets[place] = bracket;
            assert_eq!(pair.fate(), fate, "{bracket:?} at {place}");
        }
    };
    check(Bracket { write_and_flush_us: 449.0, ..QUIET }, Fate::Kept);
    check(Bracket { write_and_flush_us: 451.0, ..QUIET }, Fate::Unsteady);
    check(Bracket { write_and_flush_us: 199.0, ..QUIET }, Fate::Unsteady);
    check(Bracket { round_trip_us: 31.0, ..QUIET }, Fate::Unsteady);
}

#[test]
fn discarded_and_failed_pairs_are_in_no_mean() {
    let mut all = pairs(7, 2.0, 0.0);
    all[0].brackets[3].round_trip_us = 100.0;
    all[0].ours = Some(figures(1e9, 1.0));
    all[1].theirs = None;
    assert_eq!(all[1].fate(), Fate::Failed);
    let row = rate(&all, None);
    assert_eq!((row.pairs, row.verdict), (5, Verdict::Undecided));
    assert!((row.gain - 2.0).abs() < 1e-9, "{row:?}");
    assert!(super::row("s", Contestant::Tuned, Figure::P50, &all, None).is_none());
}

#[test]
fn a_limit_and_ourselves_are_neither_beaten_nor_lost_against() {
    for rival in [Contestant::Null, Contestant::Otherwise] {
        let row = super::row("sync-64x1", rival, Figure::Rate, &pairs(10, 0.7, 0.01), None);
        assert_eq!(row.unwrap().verdict, Verdict::Share);
    }
}

#[test]
fn a_row_tells_whether_its_goal_is_reached() {
    let row =
        |gain| super::row("sync-64x1", Contestant::Null, Figure::Rate, &pairs(10, gain, 0.0), None);
    assert_eq!(row(0.9).unwrap().reached, Some(Reached::Met));
    assert_eq!(row(0.7).unwrap().reached, Some(Reached::Missed));
    assert_eq!(rate(&pairs(10, 4.0, 0.0), None).reached, None, "no such scenario has a goal");
}

#[test]
fn where_no_pair_counts_the_figures_are_told_and_decide_nothing() {
    let mut all = pairs(8, 0.5, 0.0);
    all.iter_mut().for_each(|pair| pair.brackets[0].round_trip_us = 100.0);
    let row = super::row("sync-64x32", Contestant::Tuned, Figure::Rate, &all, None).unwrap();
    assert_eq!((row.pairs, row.verdict, row.reached), (0, Verdict::Unsteady, None));
    assert!((row.gain - 0.5).abs() < 1e-9, "{row:?}");
}

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Normal};

use super::*;
use crate::switch::slices::silence;

fn slice(pair: u32, value: usize, cpu_us: f64, messages: u64) -> Slice {
    let cpu_s = Some(cpu_us * messages as f64 / 1e6);
    Slice { pair, value, seconds: 1.0, messages, cpu_s }
}

/// Pairs in random order whose second value costs `cost` times the first, on a broker that drifts.
fn slices(pairs: u32, cost: f64, noise: f64) -> Vec<Slice> {
    let mut random = SmallRng::seed_from_u64(7);
    let normal = Normal::new(0.0, noise).unwrap();
    let mut all = Vec::new();
    for pair in 1..=pairs {
        let first = usize::from(random.random_bool(0.5));
        for value in [first, 1 - first] {
            // Half as dear again at the end as at the beginning.
            let drift = 1.0 + 0.5 * f64::from(pair) / f64::from(pairs);
            let factor = [1.0, cost][value] * drift * (1.0 + normal.sample(&mut random));
            all.push(slice(pair, value, 2.0 * factor, (4e5 / factor) as u64));
        }
    }
    all
}

fn verdicts(slices: &[Slice]) -> Vec<Verdict> {
    figures(slices, true, 2.0).iter().map(|figure| figure.verdict).collect()
}

#[test]
fn a_cost_is_told_from_the_bound_in_a_run_that_drifts() {
    assert_eq!(verdicts(&slices(60, 1.005, 0.02)), [Verdict::Within; 2]);
    assert_eq!(verdicts(&slices(60, 1.05, 0.02)), [Verdict::More; 2]);
    assert_eq!(verdicts(&slices(60, 1.02, 0.02)), [Verdict::Unclear; 2], "at the bound");
    assert_eq!(verdicts(&slices(9, 1.0, 0.0001)), [Verdict::Unclear; 2], "too few pairs");
    let found = figures(&slices(60, 1.05, 0.02), true, 2.0);
    for figure in &found {
        let Interval { low, ratio, high } = figure.cost;
        assert!(low < 1.05 && 1.05 < high && (ratio - 1.05).abs() < 0.01, "{figure:?}");
    }
}

#[test]
fn a_pair_that_is_not_whole_is_left_out() {
    let mut slices = slices(12, 1.0, 0.01);
    let whole = figures(&slices, true, 2.0);
    slices.push(slice(13, 1, 900.0, 10));
    let cut = figures(&slices, true, 2.0);
    assert_eq!((cut[0].pairs, cut[0].cost), (12, whole[0].cost));
    assert!(figures(&slices[..1], true, 2.0).is_empty());
    assert_eq!(ending(&figures(&slices[..1], true, 2.0)), Ending::TooShort);
}

#[test]
fn a_value_that_stalls_the_broker_is_not_cleared_by_the_other_pairs() {
    let stalled = |value: usize, cost| {
        let mut slices = slices(20, cost, 0.001);
        let of_value = |slice: &&mut Slice| slice.pair <= 5 && slice.value == value;
        slices.iter_mut().filter(of_value).for_each(|slice| slice.messages = 0);
        let found = figures(&slices, true, 2.0);
        assert!(found.iter().all(|it| it.pairs == 15 && it.stalled[value] == 5), "{found:?}");
        let words = silence(&slices).unwrap();
        let told = ["in 5 slices with the first", "in 5 with the second"][value];
        assert!(words.contains(told) && found[0].note().is_none(), "{words}");
        verdicts(&slices)
    };
    assert_eq!(stalled(1, 1.0), [Verdict::Unclear; 2], "its worst slices are in no mean");
    assert_eq!(stalled(1, 1.1), [Verdict::More; 2]);
    assert_eq!(stalled(0, 1.1), [Verdict::Unclear; 2]);
    assert_eq!(stalled(0, 1.0), [Verdict::Within; 2]);
}

#[test]
fn a_value_with_which_nothing_was_ever_answered_is_told_though_there_is_no_figure() {
    let mut slices = slices(12, 1.0, 0.01);
    assert_eq!(silence(&slices), None);
    slices.iter_mut().filter(|slice| slice.value == 1).for_each(|slice| slice.messages = 0);
    assert!(figures(&slices, true, 2.0).is_empty());
    let words = silence(&slices).unwrap();
    assert!(words.contains("in 0 slices with the first value, and in 12 with"), "{words}");
}

#[test]
fn what_is_not_known_or_scheduled_decides_nothing() {
    let mut slices = slices(20, 1.3, 0.01);
    let open = figures(&slices, false, 2.0);
    assert_eq!(
        open.iter().map(|it| it.verdict).collect::<Vec<_>>(),
        [Verdict::More, Verdict::Scheduled]
    );
    slices.iter_mut().for_each(|slice| slice.cpu_s = None);
    let elsewhere = figures(&slices, true, 2.0);
    assert_eq!((elsewhere.len(), elsewhere[0].name), (1, "msg/s"));
    assert_eq!(ending(&figures(&slices, false, 2.0)), Ending::TooShort);
}

#[test]
fn the_pairs_that_are_needed_would_tell() {
    let few = figures(&slices(12, 1.01, 0.03), true, 2.0);
    let note = few[0].note().unwrap();
    assert!(
        note.contains("CPU us/msg is unclear: pairs differ by ") && note.contains(" would tell"),
        "{note}"
    );
    // 3 % between slices are 4.2 between pairs; the distance is 1 %: (3.24 x 4.2 / 1) squared.
    let needed = pairs_needed(1.01, 0.042, 2.0).unwrap();
    assert!((180..200).contains(&needed), "{needed}");
    assert_eq!(verdicts(&slices(needed as u32, 1.01, 0.03)), [Verdict::Within; 2]);
    assert_eq!(pairs_needed(1.02, 0.042, 2.0), None);
    assert_eq!(pairs_needed(1.0, 0.0, 2.0), Some(PAIRS_MIN as u64));
}

#[test]
fn more_ends_worse_and_unclear_too_short() {
    let ended = |cost, noise| ending(&figures(&slices(60, cost, noise), true, 2.0));
    assert_eq!(ended(1.0, 0.01), Ending::Good);
    assert_eq!(ended(1.1, 0.01), Ending::Worse);
    assert_eq!(ended(1.0, 0.5), Ending::TooShort);
}

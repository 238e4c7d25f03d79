use super::*;
use crate::environment::RELEASE_KEY;
use crate::record::archive::Second;
use crate::record::failures::Failures;
use crate::record::latencies::Latencies;

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Normal};

const RATE: &Metric = &METRICS[0];

fn second(rate: f64) -> Second {
    Second {
        from_s: 0.0,
        seconds: 1.0,
        rate: None,
        messages: rate as u64,
        bytes: 0,
        empty: 0,
        errors: 0,
        backlog: 0,
        p50_us: 1.0,
        p99_us: 1.0,
        p999_us: 1.0,
        max_us: 1.0,
    }
}

/// A run with these rates in its seconds.
fn run_of(rates: &[f64]) -> Outcome {
    let mut latencies = Latencies::default();
    let rate = student::mean(rates);
    latencies.record_many(Duration::from_micros(1), rate as u64);
    Outcome {
        seconds: rates.len() as f64,
        messages: rate as u64 * rates.len() as u64,
        messages_per_second: rate,
        megabytes_per_second: 0.0,
        response: latencies.summary(),
        service: latencies.summary(),
        empty: 0,
        messages_per_pull: None,
        errors: Failures::default(),
        backlog: 0,
        broker: None,
        steps: Vec::new(),
        by_second: rates.iter().map(|rate| second(*rate)).collect(),
        stages: Vec::new(),
    }
}

fn document(runs: Vec<Outcome>) -> Document {
    Document {
        workload: "w".into(),
        latency_of: "send us".into(),
        runs,
        beside: Vec::new(),
        waiting: None,
        environment: Environment::default(),
    }
}

/// Repetitions with these rates.
fn repetitions(rates: &[f64]) -> Document {
    document(rates.iter().map(|rate| run_of(&[*rate])).collect())
}

fn args(strict: bool, tolerance: u8) -> CompareArgs {
    let (first, second) = ("a".into(), "b".into());
    CompareArgs { first, second, tolerance, confidence: 95, strict }
}

/// What the table would say of the rates.
fn judgement(a: &Document, b: &Document, tolerance: u8) -> Judgement {
    let args = args(false, tolerance);
    row(RATE, (a, b), units::of_both(a, b), &args).unwrap().judgement
}

fn check(a: &[f64], b: &[f64], strict: bool, expected: Ending) {
    let judged = judgement(&repetitions(a), &repetitions(b), 5);
    assert_eq!(ending(&[judged], strict), expected, "{judged:?}");
}

#[test]
fn a_clear_loss_of_throughput_ends_as_worse() {
    check(&[100.0, 101.0, 99.0, 100.0, 100.0], &[80.0, 81.0, 79.0, 80.0, 80.0], false, {
        Ending::Worse
    });
}

#[test]
fn the_same_twice_ends_well_even_strictly() {
    check(&[100.0, 101.0, 99.0, 100.0, 100.0], &[100.0, 99.0, 101.0, 100.0, 100.0], true, {
        Ending::Good
    });
}

#[test]
fn noise_tells_nothing_and_strictly_is_worse() {
    let (a, b) = ([100.0, 150.0, 50.0, 120.0, 80.0], [100.0, 60.0, 140.0, 70.0, 120.0]);
    check(&a, &b, false, Ending::TooShort);
    check(&a, &b, true, Ending::Worse);
}

#[test]
fn a_closed_loop_is_not_compared_with_an_open_one() {
    let closed = repetitions(&[100.0; 3]);
    let mut open = repetitions(&[100.0; 3]);
    for run in &mut open.runs {
        run.response.max_us *= 2.0;
    }
    let what = refusal(&closed, &open).unwrap();
    assert!(what.starts_with("the first is of a loop that is closed, the second of one"), "{what}");
    assert!(refusal(&open, &closed).is_some());
    assert_eq!((refusal(&open, &open), refusal(&closed, &closed)), (None, None));
    let nothing = document(vec![run_of(&[0.0])]);
    assert_eq!(refusal(&nothing, &open), None, "it has no latency");
}

#[test]
fn a_few_seconds_of_the_same_say_nothing_however_far_they_lie_apart() {
    let (a, b) = (document(vec![run_of(&[100.0; 5])]), document(vec![run_of(&[131.4; 5])]));
    assert_eq!(judgement(&a, &b, 5), Judgement::TooShort);
    assert_eq!(ending(&[Judgement::TooShort], false), Ending::TooShort);
    let text = describe(&a, &b, units::of_both(&a, &b), &args(false, 5));
    assert!(text.starts_with("too short to tell: at least 3 repetitions"), "{text}");
    assert!(text.contains("--repeat 3") && text.contains("--duration 25"), "{text}");
}

#[test]
fn a_run_that_is_long_enough_is_compared_by_its_blocks() {
    let of = |seconds: usize, rate: f64| document(vec![run_of(&vec![rate; seconds])]);
    assert_eq!(units::of_both(&of(19, 100.0), &of(60, 80.0)), None);
    assert_eq!(units::of_both(&of(25, 100.0), &of(60, 80.0)), Some(Unit::Block(5)));
    assert_eq!(units::of_both(&of(60, 100.0), &of(60, 80.0)), Some(Unit::Block(12)));
    assert_eq!(judgement(&of(25, 100.0), &of(25, 80.0), 5), Judgement::Worse);
    assert_eq!(judgement(&of(25, 100.0), &of(25, 100.0), 5), Judgement::Same);
}

/// Seconds of which each is like the one before it.
fn hanging_together(count: usize, random: &mut SmallRng) -> Vec<f64> {
    const LIKENESS: f64 = 0.5;
    let normal = Normal::new(0.0, 1.0).unwrap();
    let mut state: f64 = normal.sample(random);
    let mut next = || {
        state = LIKENESS * state + (1.0 - LIKENESS * LIKENESS).sqrt() * normal.sample(random);
        10_000.0 + 1_000.0 * state
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn equal_sides_are_seldom_called_different() {
    for (runs, seconds) in [(1, 5), (1, 10), (1, 25), (1, 60), (3, 10), (5, 10)] {
        let mut random = SmallRng::seed_from_u64(3);
        let mut side = || {
            document((0..runs).map(|_| run_of(&hanging_together(seconds, &mut random))).collect())
        };
        let called = (0..300).filter(|_| {
            let judged = judgement(&side(), &side(), 0);
            matches!(judged, Judgement::Better | Judgement::Worse)
        });
        let called = called.count();
        // 5 % are 15. Blocks of five seconds that hang together still have a little in common.
        assert!(called <= 30, "{called} of 300 from {runs} runs of {seconds} s");
    }
}

#[test]
fn failures_are_worse_even_where_nothing_else_can_be_told() {
    let failing = |failures: u64| {
        let mut run = run_of(&[100.0]);
        (0..failures).for_each(|_| run.errors.count("SYSTEM_BUSY (2)"));
        document(vec![run])
    };
    let judge = |a: u64, b: u64| {
        let rows = counted::rows(&failing(a), &failing(b), 0.05);
        assert_eq!((rows.len(), rows[0].name), (1, "failed %"));
        rows[0].judgement
    };
    assert_eq!(judge(0, 0), Judgement::Same);
    assert_eq!(judge(0, 1), Judgement::Worse);
    assert_eq!(judge(9, 1), Judgement::Better);
    assert_eq!(ending(&[Judgement::TooShort, Judgement::Worse], false), Ending::Worse);
}

#[test]
fn a_run_in_which_all_failed_is_no_faster_than_one_that_was_served() {
    let mut failed = run_of(&[0.0; 25]);
    (0..100).for_each(|_| failed.errors.count("SYSTEM_BUSY (2)"));
    let (a, b) = (document(vec![run_of(&[100.0; 25])]), document(vec![failed]));
    assert_eq!(judgement(&a, &b, 5), Judgement::Worse);
    let rows = |metric: &Metric| row(metric, (&a, &b), units::of_both(&a, &b), &args(false, 5));
    assert!(METRICS[1..].iter().filter_map(rows).next().is_none(), "no answers, no latencies");
    let shares = counted::rows(&a, &b, 0.05);
    assert!((shares[0].second - 100.0).abs() < 1e-9, "{shares:?}");
}

#[test]
fn requests_that_were_never_sent_are_worse_from_one_in_a_hundred() {
    let unsent = |backlog: u64| document(vec![Outcome { backlog, ..run_of(&[1_000.0]) }]);
    let judge = |a: u64, b: u64| {
        let rows = counted::rows(&unsent(a), &unsent(b), 0.05);
        rows.into_iter().find(|row| row.name == "unsent %").map(|row| row.judgement)
    };
    assert_eq!(judge(0, 0), None);
    assert_eq!(judge(0, 9), Some(Judgement::Same));
    assert_eq!(judge(9, 900), Some(Judgement::Worse));
    assert_eq!(judge(900, 9), Some(Judgement::Better));
}

#[test]
fn a_broker_of_another_release_or_with_another_flush_is_noted() {
    let of = |release: &str, flush: &str| {
        let entry = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
        let environment = Environment {
            broker: entry(RELEASE_KEY, release),
            broker_config: entry("flushDiskType", flush),
            ..Environment::default()
        };
        Document { environment, ..repetitions(&[1.0]) }
    };
    let same = of("1.0.0", "ASYNC_FLUSH");
    assert!(differences(&same, &same).is_empty());
    let lines = differences(&same, &of("2.0.0", "SYNC_FLUSH"));
    assert_eq!(
        lines,
        [
            "broker differs: \"RingMQ 1.0.0\" and \"RingMQ 2.0.0\"",
            "flushDiskType differs: \"ASYNC_FLUSH\" and \"SYNC_FLUSH\""
        ]
    );
}

#[test]
fn results_of_other_settings_or_another_build_are_noted() {
    let of = |topics: &str, output: &str, bench: &str| {
        let settings = [("topics", topics), ("output", output)];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let bench = bench.to_owned();
        let environment = Environment { settings, bench, ..Environment::default() };
        Document { environment, ..repetitions(&[1.0]) }
    };
    let lines = differences(&of("1", "a", "1, debug build"), &of("20", "b", "1, release build"));
    assert_eq!(
        lines,
        [
            "bench differs: \"1, debug build\" and \"1, release build\"",
            "--topics differs: \"1\" and \"20\""
        ]
    );
}

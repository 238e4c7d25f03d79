use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Normal};
use ringmq_runtime::process::Usage;

use super::*;
use crate::environment::RELEASE_KEY;
use crate::measure::Used;
use crate::record::failures::Failures;
use crate::record::latencies::Latencies;
use crate::record::tally::Second;
use crate::report::broker_use::BrokerUse;

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
        p50_us: (rate > 0.0).then_some(1.0),
        p99_us: (rate > 0.0).then_some(1.0),
        p999_us: None,
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
    CompareArgs { first, second, tolerance, confidence: 95, strict, anyway: false }
}

/// What the table would have of a figure of the results' own load.
fn row_of(metric: &Metric, a: &Document, b: &Document, tolerance: u8) -> Option<Row> {
    row(metric, &Pair::all(a, b)[0], &args(false, tolerance))
}

/// What the table would say of the rates.
fn judgement(a: &Document, b: &Document, tolerance: u8) -> Judgement {
    row_of(RATE, a, b, tolerance).unwrap().judgement
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
fn a_comparison_ends_with_a_sentence_that_says_what_its_exit_code_does() {
    use Judgement::{Better, Overloaded, Same, TooShort, Unclear, Worse};
    let check = |judgements: &[Judgement], strict: bool, expected: &str| {
        assert_eq!(found(judgements, ending(judgements, strict)), expected);
    };
    let decide = ": of the figures that decide, ";
    let worse = format!("The second is worse{decide}2 worse, 1 better, 1 same, 1 unclear.");
    check(&[Same, Worse, Unclear, Better, Worse], false, &worse);
    let better = format!("The second is better{decide}1 better, 2 same.");
    check(&[Same, Better, Same], true, &better);
    check(&[Same], true, &format!("No difference that shows{decide}1 same."));
    let open = format!("{decide}1 better, 2 too short, 1 overloaded.");
    let judgements = [TooShort, Overloaded, Better, TooShort];
    check(&judgements, false, &format!("Not decided{open}"));
    check(&judgements, true, &format!("Not decided, which --strict takes for worse{open}"));
}

#[test]
fn a_closed_loop_is_not_compared_with_an_open_one() {
    let closed = repetitions(&[100.0; 3]);
    let mut open = repetitions(&[100.0; 3]);
    for run in &mut open.runs {
        run.response.max_us *= 2.0;
    }
    let what = alike::refusal(&closed, &open, true).unwrap();
    assert!(what.starts_with("the first is of a loop that is closed, the second of one"), "{what}");
    assert!(alike::refusal(&open, &closed, true).is_some());
    for same in [&open, &closed] {
        assert_eq!(alike::refusal(same, same, false), None);
    }
    let nothing = document(vec![run_of(&[0.0])]);
    assert_eq!(alike::refusal(&nothing, &open, false), None, "it has no latency");
}

#[test]
fn a_few_seconds_of_the_same_say_nothing_however_far_they_lie_apart() {
    let (a, b) = (document(vec![run_of(&[100.0; 5])]), document(vec![run_of(&[131.4; 5])]));
    assert_eq!(judgement(&a, &b, 5), Judgement::TooShort);
    assert_eq!(ending(&[Judgement::TooShort], false), Ending::TooShort);
    let text = describe(&a, &b, units::of_both(&a.runs, &b.runs), &args(false, 5));
    assert!(text.starts_with("too short to tell: at least 3 repetitions"), "{text}");
    assert!(text.contains("--repeat 3") && text.contains("--duration 25"), "{text}");
}

#[test]
fn a_run_that_is_long_enough_is_compared_by_its_blocks() {
    let of = |seconds: usize, rate: f64| document(vec![run_of(&vec![rate; seconds])]);
    let unit = |seconds| units::of_both(&of(seconds, 100.0).runs, &of(60, 80.0).runs);
    assert_eq!(unit(19), None);
    assert_eq!(unit(25), Some(Unit::Block(5)));
    assert_eq!(unit(60), Some(Unit::Block(12)));
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
        assert_eq!((rows.len(), rows[0].name.as_str()), (1, "failed %"));
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
    let mut others = METRICS[1..].iter().filter_map(|metric| row_of(metric, &a, &b, 5));
    assert!(others.next().is_none(), "no answers, no latencies");
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
    assert!(alike::differences(&same, &same).is_empty());
    let lines = alike::differences(&same, &of("2.0.0", "SYNC_FLUSH"));
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
    let lines =
        alike::differences(&of("1", "a", "1, debug build"), &of("20", "b", "1, release build"));
    assert_eq!(
        lines,
        [
            "bench differs: \"1, debug build\" and \"1, release build\"",
            "--topics differs: \"1\" and \"20\""
        ]
    );
}

/// What a broker used that spent so much on each message and has so much memory.
fn used(cpu_us_per_message: f64, rss_megabytes: u64) -> BrokerUse {
    let idle = BrokerUse::of(Used::between(Usage::default(), Usage::default(), 1));
    BrokerUse { cpu_us_per_message, rss_bytes: rss_megabytes * 1_000_000, ..idle }
}

#[test]
fn cpu_time_that_no_second_tells_has_no_part_in_the_ending() {
    let cpu = METRICS.last().unwrap();
    let of = |seconds: usize, runs: usize, us: f64| {
        let run = || Outcome { broker: Some(used(us, 90)), ..run_of(&vec![100.0; seconds]) };
        document((0..runs).map(|_| run()).collect())
    };
    let one = row_of(cpu, &of(40, 1, 15.0), &of(40, 1, 45.0), 5).unwrap();
    assert_eq!((one.judgement, one.ratio), (Judgement::TooShort, 3.0));
    assert!(!one.decides && deciding(&[one], &[]).is_empty());
    let brief = row_of(cpu, &of(4, 1, 15.0), &of(4, 1, 45.0), 5).unwrap();
    assert_eq!(deciding(&[brief], &[]), [Judgement::TooShort], "as all of runs that short");
    let three = row_of(cpu, &of(1, 3, 15.0), &of(1, 3, 45.0), 5).unwrap();
    assert_eq!(deciding(&[three], &[]), [Judgement::Worse]);
    assert!(row_of(cpu, &document(vec![run_of(&[1.0; 40])]), &of(40, 1, 1.0), 5).is_none());
}

#[test]
fn a_single_run_is_as_good_as_itself_even_strictly() {
    let run = || Outcome { broker: Some(used(15.0, 90)), ..run_of(&[10_000.0; 40]) };
    let (a, b) = (document(vec![run()]), document(vec![run()]));
    let rows: Vec<_> = METRICS.iter().filter_map(|metric| row_of(metric, &a, &b, 5)).collect();
    let open: Vec<_> = rows.iter().filter(|row| row.judgement != Judgement::Same).collect();
    let open: Vec<_> = open.iter().map(|row| (row.name.as_str(), row.decides)).collect();
    assert_eq!(open, [("p99.9 us, closed loop", false), ("broker CPU us/msg", false)]);
    let judgements = deciding(&rows, &counted::rows(&a, &b, 0.05));
    assert_eq!(ending(&judgements, true), Ending::Good, "{judgements:?}");
}

#[test]
fn seconds_with_too_few_answers_for_a_percentile_are_not_left_out_of_it() {
    let steady = run_of(&[1_000.0; 25]);
    let mut stalling = run_of(&[1_000.0; 25]);
    for second in stalling.by_second.iter_mut().step_by(5) {
        (second.messages, second.p99_us, second.max_us) = (80, None, 900_000.0);
    }
    let (a, b) = (document(vec![steady]), document(vec![stalling]));
    for (first, second) in [(&a, &b), (&b, &a)] {
        let row = |index: usize| row_of(&METRICS[index], first, second, 5).unwrap();
        let (p50, p99) = (row(1), row(2));
        assert_eq!((p50.judgement, p99.judgement), (Judgement::Same, Judgement::TooShort));
        assert!(p99.decides, "other seconds tell it");
    }
    let mut silent = run_of(&[1_000.0; 25]);
    let second = &mut silent.by_second[3];
    (second.messages, second.p50_us, second.p99_us) = (0, None, None);
    let judged = row_of(&METRICS[2], &a, &document(vec![silent]), 5).unwrap().judgement;
    assert_eq!(judged, Judgement::Same, "without an answer there is no latency");
}

#[test]
fn a_repetition_with_too_few_answers_for_a_percentile_is_not_left_out_of_it() {
    let of = |answers: [u64; 4]| {
        let run = |answers: u64| {
            let mut latencies = Latencies::default();
            latencies.record_many(Duration::from_micros(100), answers);
            Outcome { response: latencies.summary(), ..run_of(&[1_000.0]) }
        };
        document(answers.map(run).into())
    };
    let (steady, stalling) = (of([1_000; 4]), of([1_000, 80, 1_000, 1_000]));
    for (first, second) in [(&steady, &stalling), (&stalling, &steady)] {
        let row = |index: usize| row_of(&METRICS[index], first, second, 5).unwrap();
        let (p50, p99) = (row(1), row(2));
        assert_eq!((p50.judgement, p99.judgement), (Judgement::Same, Judgement::TooShort));
        assert!(p99.decides && p99.interval.is_none(), "the mean of the others is told");
    }
    let silent = of([1_000, 0, 1_000, 1_000]);
    let judged = row_of(&METRICS[2], &steady, &silent, 5).unwrap().judgement;
    assert_eq!(judged, Judgement::Same, "without an answer there is no latency");
}

#[test]
fn the_last_seconds_of_a_run_are_compared_too() {
    let steady = || document(vec![run_of(&[1_000.0; 29])]);
    let mut rates = [1_000.0; 29];
    rates[25..].fill(0.0);
    let ended = document(vec![run_of(&rates)]);
    let row = row_of(RATE, &steady(), &ended, 0).unwrap();
    assert!((row.second - 1_000.0 * 25.0 / 29.0).abs() < 50.0, "{}", row.second);
    assert_eq!(judgement(&steady(), &steady(), 0), Judgement::Same);
}

#[test]
fn results_in_which_nothing_was_counted_do_not_pass_for_the_same() {
    let nothing = || document(vec![run_of(&[0.0; 30])]);
    let says = |a: &Document, b: &Document| {
        let rows: Vec<_> = METRICS.iter().filter_map(|metric| row_of(metric, a, b, 5)).collect();
        nothing_beside(a, b, &rows).map(|(judgement, _)| judgement)
    };
    let served = document(vec![run_of(&[1_000.0; 30])]);
    assert_eq!(says(&nothing(), &nothing()), Some(Judgement::TooShort));
    assert_eq!(says(&nothing(), &served), Some(Judgement::TooShort));
    assert_eq!((says(&served, &nothing()), says(&served, &served)), (None, None));
}

#[test]
fn memory_is_worse_only_beyond_what_differs_by_itself() {
    let of = |megabytes| {
        document(vec![Outcome { broker: Some(used(1.0, megabytes)), ..run_of(&[100.0]) }])
    };
    let judge = |a: u64, b: u64| {
        let rows = counted::rows(&of(a), &of(b), 0.05);
        rows.into_iter().find(|row| row.name == "broker RSS MB").unwrap().judgement
    };
    assert_eq!((judge(43, 92), judge(92, 43)), (Judgement::Same, Judgement::Same));
    assert_eq!((judge(90, 1_800), judge(1_800, 90)), (Judgement::Worse, Judgement::Better));
}

#[test]
fn an_overloaded_run_decides_no_latency() {
    let of = |backlog: u64, us: u64| {
        let run = || {
            let mut run = run_of(&[1_000.0]);
            let mut latencies = Latencies::default();
            latencies.record_many(Duration::from_micros(us), 1_000);
            (run.response, run.backlog) = (latencies.summary(), backlog);
            run
        };
        document((0..3).map(|_| run()).collect())
    };
    let judge = |a: &Document, b: &Document| {
        let judged = |metric: &Metric| row_of(metric, a, b, 5).unwrap().judgement;
        [judged(RATE), judged(&METRICS[1]), judged(&METRICS[2])]
    };
    let (swamped, served) = (of(200, 100), of(0, 200));
    let expected = [Judgement::Same, Judgement::Overloaded, Judgement::Overloaded];
    assert_eq!(judge(&swamped, &served), expected);
    assert_eq!(judge(&served, &swamped), expected);
    assert_eq!(judge(&of(0, 100), &served)[1], Judgement::Worse);
    assert_eq!(ending(&expected, false), Ending::TooShort);
    assert_eq!(ending(&expected, true), Ending::Worse);
}

#[test]
fn a_latency_is_not_decided_beyond_which_fewer_answers_lie_than_were_not_sent() {
    let of = |backlog: u64| {
        let run = || Outcome { backlog, ..run_of(&[1_000.0]) };
        document((0..3).map(|_| run()).collect())
    };
    let judge = |unsent: u64| {
        let (a, b) = (of(0), of(unsent));
        [1, 2, 3, 4].map(|metric| row_of(&METRICS[metric], &a, &b, 5).unwrap().judgement)
    };
    let (same, overloaded) = (Judgement::Same, Judgement::Overloaded);
    assert_eq!(judge(1), [same; 4], "p50, p99, p99.9 and the largest of 1,000");
    assert_eq!(judge(2), [same, same, overloaded, overloaded]);
    assert_eq!(judge(10), [same, same, overloaded, overloaded]);
    assert_eq!(judge(11), [overloaded; 4]);
}

#[test]
fn ages_are_not_decided_of_messages_that_were_not_all_sent() {
    let of = |backlog: u64| {
        let run = Outcome { backlog, ..run_of(&[1_000.0]) };
        let mut sends = serde_json::to_value(&run).unwrap();
        let fields = sends.as_object_mut().unwrap();
        fields.insert("name".to_owned(), "sends".into());
        fields.insert("latency_of".to_owned(), SENDS.into());
        let beside = vec![serde_json::from_value(sends).unwrap()];
        Document { beside, latency_of: "end to end us".into(), ..repetitions(&[1_000.0; 3]) }
    };
    let judge = |unsent: u64| row_of(&METRICS[2], &of(0), &of(unsent), 5).unwrap().judgement;
    assert_eq!((judge(10), judge(11)), (Judgement::Same, Judgement::Overloaded));
}

#[test]
fn what_ran_beside_is_judged_by_its_name() {
    let of = |rate: f64| {
        let runs: Vec<_> = (0..3).map(|_| run_of(&[rate])).collect();
        let beside = serde_json::json!({ "name": "reads", "latency_of": "pull us", "runs": runs });
        let total = serde_json::to_value(run_of(&[rate])).unwrap();
        let beside = beside.as_object().unwrap().clone().into_iter();
        let beside = serde_json::Value::Object(
            total.as_object().unwrap().clone().into_iter().chain(beside).collect(),
        );
        let beside = vec![serde_json::from_value(beside).unwrap()];
        Document { beside, ..repetitions(&[100.0; 3]) }
    };
    let (a, b) = (of(500.0), of(100.0));
    let pairs = Pair::all(&a, &b);
    let rows: Vec<_> = pairs.iter().filter_map(|pair| row(RATE, pair, &args(false, 5))).collect();
    let told: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.judgement)).collect();
    assert_eq!(told, [("msg/s", Judgement::Same), ("reads: msg/s", Judgement::Worse)]);
    let alone = repetitions(&[100.0; 3]);
    let what = alike::refusal(&a, &alone, false).unwrap();
    assert!(what.contains("what ran beside differs: \"reads\" and \"\""), "{what}");
}

#[test]
fn another_load_or_policy_is_compared_only_if_that_is_asked_for() {
    let of = |settings: &[(&str, &str)], flush: &str| {
        let entry = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        let environment = Environment {
            settings: settings.iter().map(entry).collect(),
            broker_config: [("flushDiskType".to_owned(), flush.to_owned())].into(),
            ..Environment::default()
        };
        Document { environment, ..repetitions(&[1.0]) }
    };
    let one = of(&[("connections", "64"), ("duration", "5")], "SYNC_FLUSH");
    for (other, named) in [
        (of(&[("connections", "1"), ("duration", "5")], "SYNC_FLUSH"), "--connections differs"),
        (of(&[("connections", "64"), ("rate", "5k")], "SYNC_FLUSH"), "--rate differs"),
        (of(&[("connections", "64")], "ASYNC_FLUSH"), "flushDiskType differs"),
    ] {
        let what = alike::refusal(&one, &other, false).unwrap();
        assert!(what.contains(named) && what.contains("--anyway"), "{what}");
        assert_eq!(alike::refusal(&one, &other, true), None);
    }
    let longer = of(&[("connections", "64"), ("duration", "60")], "SYNC_FLUSH");
    assert_eq!(alike::refusal(&one, &longer, false), None);
}

#[test]
fn latencies_of_closed_loops_are_called_that() {
    let name = |run: Outcome| {
        let document = document(vec![run]);
        Pair::all(&document, &document)[0].name_of(&METRICS[1])
    };
    assert_eq!(name(run_of(&[100.0])), "p50 us, closed loop");
    let mut open = run_of(&[100.0]);
    open.response.max_us *= 2.0;
    assert_eq!(name(open), "p50 us");
}

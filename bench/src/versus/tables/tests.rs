use super::*;
use crate::report::terminal::tests::check_fit;
use crate::versus::plan::Side;
use crate::versus::results::tests::{each_block_once, limited, race};
use crate::versus::scenario::by_name;

#[test]
fn the_tables_and_the_document_tell_every_figure_and_run() {
    let results = race("sync-64x1", 1, 2.0);
    let figures = by_name("sync-64x1").unwrap().figures.len();
    assert_eq!((results.rows.len(), results.runs.len()), (2 * figures, 4));
    let text = describe(&results, None);
    assert!(text.contains("CPU us/msg") && text.contains("undecided"), "{text}");
    assert!(text.contains("tuned") && text.contains("system calls"), "{text}");
    assert!(text.contains("goals: 0 of 2 reached, 0 of them as far as aimed at;"), "{text}");
    assert!(text.contains("4 runs; failed requests: ours 2, theirs 2"), "{text}");
}

#[test]
fn the_tables_fit_a_terminal() {
    let results = each_block_once();
    check_fit(&rows(&results));
    check_fit(&costs(&results));
    let widest = |width| {
        let text = describe(&results, width);
        let tables = text.lines().filter(|line| line.starts_with('─'));
        tables.map(|line| line.chars().count()).max()
    };
    assert!(widest(Some(80)) <= Some(80) && widest(None) > Some(120));
}

#[test]
fn every_broker_stands_beside_the_null_broker_of_its_scenario() {
    let mut results = race("pull-32", 1, 0.5);
    let mut null = results.runs[0].clone();
    (null.contestant, null.side) = (Contestant::Null, Side::Rival);
    null.figures.as_mut().unwrap().messages_per_second = 2e4;
    results.runs.push(null);
    let text = costs(&results).to_string();
    let words = |broker: &str| {
        let line = text.lines().find(|line| line.contains(broker)).unwrap();
        line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(words("ours")[2..8], ["2", "5000", "25", "%", "1.000", "1.00"]);
    assert_eq!(words("tuned")[2..6], ["2", "10000", "50", "%"]);
    let alone = costs(&race("pull-32", 1, 0.5)).to_string();
    assert!(!alone.contains('%'), "{alone}");
}

#[test]
fn memory_of_mapped_files_is_told_beside_all_of_it() {
    let mut results = race("pull-32", 1, 0.5);
    let last_words = |results: &Results| {
        let text = costs(results).to_string();
        let line = text.lines().find(|line| line.contains("tuned")).unwrap();
        let words: Vec<_> = line.split_ascii_whitespace().rev().take(2).collect();
        words.join(" of ")
    };
    assert_eq!(last_words(&results), "0.400 of 1.000");
    for run in &mut results.runs {
        run.figures.as_mut().unwrap().broker.as_mut().unwrap().rss_files_bytes = None;
    }
    assert!(last_words(&results).starts_with("1.000 of "), "races of before do not tell it");
}

#[test]
fn the_rate_of_an_open_loop_is_no_share_of_the_null_brokers() {
    let mut results = race("sync-open-10k", 1, 1.0);
    let mut null = results.runs[0].clone();
    (null.contestant, null.side) = (Contestant::Null, Side::Rival);
    results.runs.push(null);
    let text = costs(&results).to_string();
    assert!(text.contains("as scheduled") && !text.contains('%'), "{text}");
}

#[test]
fn a_row_tells_the_fraction_of_its_limit_and_one_without_a_limit_tells_none() {
    let results = limited("sync-64x32", 2, 2.8, 3.0);
    let shares = |figure| {
        let rows = results.rows.iter().filter(move |row| row.figure == figure);
        rows.map(|row| cells(row)[10].clone()).collect::<Vec<_>>()
    };
    // Against the tuned broker, the null broker, and ours.
    assert_eq!(shares(Figure::Rate), ["0.933", "0.933", "-"]);
    assert!(shares(Figure::Rss).iter().all(|share| share == "-"));
    assert_eq!(cells(&race("sync-64x1", 1, 2.0).rows[0])[10], "-", "nobody raced against it");
}

#[test]
fn every_row_without_a_limit_is_one_of_those_that_the_legend_names() {
    let results = each_block_once();
    let text = describe(&results, None);
    let (_, exceptions) = text.split_once("or - where there is none: ").unwrap();
    let (exceptions, _) = exceptions.split_once(" Closed loop: ").unwrap();
    let mut limited = 0;
    for row in &results.rows {
        let against = format!("against {}", row.rival.word());
        let named = [row.figure.name(), row.scenario, &against];
        let is_named = named.iter().any(|words| exceptions.contains(words));
        let has_limit = of_null(row).is_some();
        limited += usize::from(has_limit);
        assert_ne!(has_limit, is_named, "{named:?}: {exceptions}");
    }
    assert!(limited > 20, "{limited}");
}

#[test]
fn a_goal_above_what_the_null_broker_has_is_told_with_its_value() {
    // The goal is 4 x.
    let text = describe(&limited("sync-64x32", 2, 2.8, 3.0), None);
    let told = "sync-64x32, msg/s against tuned: the goal is 4 x; limit: the null broker has \
                30000 here, 3.00 x (3.00 to 3.00, 4 pairs); ours is 0.93 of it\n";
    assert!(text.contains(told) && text.contains(" limited "), "{text}");
    let text = describe(&limited("sync-64x32", 2, 2.8, 9.0), None);
    assert!(!text.contains("limit: ") && text.contains(" missed "), "{text}");
}

#[test]
fn pairs_that_the_host_disturbed_are_told() {
    let mut results = race("sync-64x1", 1, 2.0);
    results.runs[0].figures.as_mut().unwrap().stolen_percent = Some(1.0);
    results.add(Vec::new());
    let text = describe(&results, None);
    let told =
        "sync-64x1, p99 us, closed loop against tuned: 1 pairs discarded, since the host took more";
    assert!(text.contains(told) && !text.contains("msg/s against tuned: 1"), "{text}");
}

#[test]
fn who_was_overloaded_is_told_in_the_place_of_its_latencies() {
    let mut results = race("sync-open-10k", 1, 2.0);
    for run in results.runs.iter_mut().filter(|run| run.contestant == Contestant::Tuned) {
        let figures = run.figures.as_mut().unwrap();
        (figures.messages, figures.backlog) = (16_222, 21_265);
    }
    results.add(Vec::new());
    let text = describe(&results, None);
    let told = "sync-open-10k, p99 us against tuned: 2 pairs decide nothing, since a broker \
                was overloaded: ours in 0, tuned in 2\n";
    assert!(text.contains(told), "{text}");
    let is_it = |line: &&str| line.contains("p99 us") && line.contains("tuned");
    let line = text.lines().find(is_it).unwrap();
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    assert_eq!(words[3..9], ["tuned", "overloaded", "1000.0", "?", "?", "?"], "{text}");
}

#[test]
fn a_missing_figure_is_told_with_its_reason() {
    let mut results = race("sync-64x1", 1, 2.0);
    for run in results.runs.iter_mut().filter(|run| run.contestant == Contestant::Tuned) {
        (run.figures, run.error) = (None, Some("it fell silent:\nOutOfMemoryError".to_owned()));
    }
    results.add(Vec::new());
    let text = describe(&results, None);
    let told = "sync-64x1, msg/s against tuned: it fell silent:\n";
    assert!(text.contains(told) && !text.contains("OutOfMemoryError"), "{text}");
}

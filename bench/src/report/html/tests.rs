//! A page as a browser reads it: well formed, self-contained, with the numbers of its results.

use std::collections::BTreeMap;
use std::time::Duration;

use roxmltree::{Document, Node, ParsingOptions};

use super::*;
use crate::limits::tests::limits_of_sends;
use crate::measure::Measured;
use crate::record::latencies::PERCENTILES;
use crate::record::tally::Tally;
use crate::record::window::Window;

/// Seconds of a repetition.
const SECONDS: u64 = 5;

/// Two repetitions; in second `n` all latencies are `n` times `base_us`, and the fourth has errors.
fn report(base_us: u64) -> Report {
    report_of(base_us, 1_000)
}

/// The same with so many latencies in the first second, twice as many in the second, and so on.
fn report_of(base_us: u64, per_second: u64) -> Report {
    let repetition = |_| {
        let mut tally = Tally::default();
        for second in 1..=SECONDS {
            let mut window = Window::default();
            for _ in 0..per_second * second {
                let latency = Duration::from_micros(base_us * second);
                window.success(latency, latency / 2, 1, 10);
            }
            if second == 4 {
                window.failure("SYSTEM_BUSY (2): <&>");
            }
            tally.add(&window, Duration::from_secs(second), Duration::from_secs(1), 0);
        }
        Measured::of(tally)
    };
    let runs: Vec<_> = (0..2).map(repetition).collect();
    Report::new("produce: <odd> & \"quoted\"".to_owned(), "send us", &runs)
}

fn parsed<T>(page: &str, look: impl FnOnce(&Document<'_>) -> T) -> T {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    look(&Document::parse_with_options(page, options).unwrap())
}

fn texts<'a>(node: Node<'a, 'a>) -> String {
    node.descendants().filter_map(|node| node.is_text().then(|| node.text()).flatten()).collect()
}

/// The polylines of each plot, by its title.
fn polylines(document: &Document<'_>) -> BTreeMap<String, Vec<Vec<(f64, f64)>>> {
    let number = |text: &str| text.parse::<f64>().unwrap();
    let point = |pair: &str| {
        let (x, y) = pair.split_once(',').unwrap();
        (number(x), number(y))
    };
    let plots = document.descendants().filter(|node| node.has_tag_name("figure"));
    let plot = |figure: Node<'_, '_>| {
        let title = figure.descendants().find(|node| node.has_tag_name("h3")).unwrap();
        let lines = figure.descendants().filter(|node| {
            // Grids and axes have black and grey; two points make a tick.
            let stroke = node.attribute("stroke").unwrap_or_default();
            node.has_tag_name("polyline") && !["#000000", "#DDDDDD"].contains(&stroke)
        });
        let points = |line: Node<'_, '_>| {
            line.attribute("points").unwrap().split_whitespace().map(point).collect()
        };
        (title.text().unwrap().to_owned(), lines.map(points).collect())
    };
    plots.map(plot).collect()
}

#[test]
fn a_page_is_well_formed_and_loads_nothing() {
    let (one, other) = (report(100), report(300));
    let results = [Shown::new("a".into(), &one), Shown::new("b".into(), &other)];
    for results in [&results[..1], &results[..]] {
        let page = page(results);
        parsed(&page, |document| {
            for node in document.descendants() {
                assert!(!node.has_tag_name("script") && !node.has_tag_name("link"));
                for attribute in node.attributes() {
                    let name = attribute.name();
                    assert!(!["src", "href", "srcset", "data"].contains(&name), "{attribute:?}");
                }
            }
        });
        for load in ["http://", "https://", "url(", "@import", "@font-face"] {
            assert!(!page.contains(load), "{load}");
        }
    }
}

#[test]
fn the_plots_of_one_result_follow_its_seconds() {
    let report = report(100);
    let page = page(&[Shown::new("this run".into(), &report)]);
    parsed(&page, |document| {
        let plots = polylines(document);
        let titles = ["Errors over time", "Latency over time", "Percentiles"];
        assert_eq!(
            plots.keys().map(String::as_str).collect::<Vec<_>>(),
            [&titles[..], &["Throughput over time"]].concat()
        );
        // Four percentiles, two repetitions each; in a picture what is higher has the smaller y.
        let latencies = &plots["Latency over time"];
        assert_eq!(latencies.len(), 8);
        for line in latencies.iter().chain(&plots["Throughput over time"]) {
            assert_eq!(line.len(), SECONDS as usize);
            assert!(line.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 > pair[1].1));
        }
        let highest = |line: &Vec<(f64, f64)>| {
            let y = line.iter().map(|point| point.1).fold(f64::MAX, f64::min);
            line.iter().position(|point| point.1 == y)
        };
        assert_eq!(highest(&plots["Errors over time"][0]), Some(3), "the fourth second");
        let clocks = &plots["Percentiles"];
        assert_eq!(clocks.len(), 2);
        for line in clocks {
            assert!(line.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 >= pair[1].1));
        }
        assert!(clocks[0].last().unwrap().1 < clocks[1].last().unwrap().1, "service is faster");
    });
}

#[test]
fn every_figure_of_the_document_stands_in_the_page_as_text() {
    let report = report(100);
    let page = page(&[Shown::new("this run".into(), &report)]);
    parsed(&page, |document| {
        let text = texts(document.root());
        for second in report.runs.iter().flat_map(|run| &run.by_second) {
            let percentiles = [second.p50_us, second.p99_us, second.p999_us].into_iter().flatten();
            for us in percentiles.chain([second.max_us]) {
                assert!(text.contains(&format!("{us:.1}")), "{us}");
            }
        }
        let response = &report.total.response;
        for us in PERCENTILES.iter().filter_map(|(name, _)| response.percentile_us(name)) {
            assert!(text.contains(&format!("{us:.1}")), "{us}");
        }
        assert!(
            text.contains("SYSTEM_BUSY (2)")
                && text.contains("<&>")
                && !text.contains("No request failed")
        );
        assert!(text.contains("produce: <odd> & \"quoted\""));
        assert!(text.contains("median 300 µs, most 500 µs"), "{text}");
    });
}

#[test]
fn several_results_share_their_plots() {
    let (one, other) = (report(100), report(300));
    let page = page(&[Shown::new("before".into(), &one), Shown::new("after".into(), &other)]);
    parsed(&page, |document| {
        let plots = polylines(document);
        for title in ["p50 over time", "p99 over time", "p99.9 over time", "max over time"] {
            // Two repetitions of each; three times slower is higher in the picture.
            assert_eq!(plots[title].len(), 4);
            assert!(plots[title][2][0].1 < plots[title][0][0].1, "{title}");
        }
        assert_eq!(plots["Percentiles"].len(), 2);
        let headers = document.descendants().filter(|node| node.has_tag_name("th"));
        let names: Vec<_> = headers.filter_map(|node| node.text()).collect();
        assert!(names.contains(&"before") && names.contains(&"after"));
    });
}

#[test]
fn a_saved_result_makes_the_same_page() {
    let report = report(100);
    let saved: Report = serde_json::from_str(&report.to_json()).unwrap();
    let name = || "run".to_owned();
    assert_eq!(page(&[Shown::new(name(), &report)]), page(&[Shown::new(name(), &saved)]));
}

#[test]
fn a_closed_loop_says_so_beside_an_open_one_and_in_each_repetition() {
    let (mut closed, open) = (report(100), report(100));
    for outcome in closed.runs.iter_mut().chain([&mut closed.total]) {
        outcome.service = outcome.response.clone();
    }
    let page = page(&[Shown::new("a".into(), &closed), Shown::new("b".into(), &open)]);
    let cells = |text: &str| page.matches(&format!(">{text}<")).count();
    assert_eq!([cells("a, closed loop"), cells("b, closed loop")], [1, 0]);
    assert_eq!([cells("1, closed loop"), cells("2, closed loop")], [1, 1]);
}

#[test]
fn a_closed_loop_has_one_latency() {
    let mut report = report(100);
    report.total.service = report.total.response.clone();
    let page = page(&[Shown::new("this run".into(), &report)]);
    parsed(&page, |document| {
        assert_eq!(polylines(document)["Percentiles"].len(), 1);
        let text = texts(document.root());
        assert!(
            text.contains("service time, closed loop: not latency under load")
                && !text.contains("intended"),
            "{text}"
        );
    });
}

#[test]
fn the_page_of_a_run_tells_what_the_null_broker_did() {
    let report = Report { limits: Some(limits_of_sends()), ..report(100) };
    parsed(&page(&[Shown::new("this run".into(), &report)]), |document| {
        let text = texts(document.root());
        assert!(
            text.contains("of the null broker") && text.contains("SYNC_FLUSH: 330 us"),
            "{text}"
        );
        // The median of the response time is 400 us, that of the null broker 100 us.
        assert!(text.contains("4.00 x") && text.contains("msg/s, as scheduled"), "{text}");
    });
}

#[test]
fn the_page_of_a_search_has_its_trials() {
    let mut outcome = serde_json::to_value(&report(100).total).unwrap();
    outcome["rate"] = 20_000.into();
    outcome["good"] = false.into();
    let trials = vec![serde_json::from_value(outcome).unwrap()];
    let report = Report { trials, ..report(100) };
    let saved: Report = serde_json::from_str(&report.to_json()).unwrap();
    parsed(&page(&[Shown::new("this run".into(), &saved)]), |document| {
        let text = texts(document.root());
        assert!(text.contains("Rates that were tried") && text.contains("20000 (too much)"));
    });
}

#[test]
fn a_run_without_an_answer_has_a_page() {
    let empty = Measured::default();
    let report = Report::new("produce".to_owned(), "send us", &[empty]);
    parsed(&page(&[Shown::new("this run".into(), &report)]), |document| {
        assert!(polylines(document).values().all(Vec::is_empty));
    });
}

#[test]
fn a_day_is_shown_by_its_worst_seconds() {
    let mut report = report(100);
    let second = report.runs[0].by_second[0].clone();
    let day = (0..86_400).map(|number| crate::record::tally::Second {
        from_s: f64::from(number),
        max_us: if number == 40_000 { 9e6 } else { 100.0 },
        ..second.clone()
    });
    report.runs.truncate(1);
    report.runs[0].by_second = day.collect();
    let timeline = Timeline::of(&report.runs);
    assert_eq!((timeline.grouped, timeline.moments().count()), (144, 600));
    assert_eq!(timeline.moments().filter(|moment| moment.max_us == Some(9e6)).count(), 1);
}

#[test]
fn a_second_without_an_answer_has_no_latency_of_zero() {
    let mut report = report(100);
    let silent = &mut report.runs[0].by_second[2];
    (silent.messages, silent.max_us) = (0, 0.0);
    (silent.p50_us, silent.p99_us, silent.p999_us) = (None, None, None);
    parsed(&page(&[Shown::new("this run".into(), &report)]), |document| {
        let text = texts(document.root());
        assert!(!text.contains("least 0 ns") && text.contains("least 100 µs"), "{text}");
    });
}

#[test]
fn percentiles_that_rest_on_no_value_are_in_no_plot_and_no_legend() {
    let report = report_of(100, 3);
    parsed(&page(&[Shown::new("this run".into(), &report)]), |document| {
        let plots = polylines(document);
        let points: usize = plots["Latency over time"].iter().map(Vec::len).sum();
        // Two repetitions, of whose percentiles only the median and the maximum are known.
        assert_eq!(points, 2 * 2 * SECONDS as usize, "{plots:?}");
        let text = texts(document.root());
        assert!(text.contains("p99 -, p99.9 -, max "), "{text}");
    });
}

//! What a report has to tell, in its order: the same on a terminal and on a page.

use comfy_table::Table;

use crate::knee;
use crate::limits::round_trip::RoundTrip;
use crate::limits::{AGES, Limits, PULLS, SENDS};
use crate::report::outcome::Outcome;
use crate::report::{Beside, Report, table};

/// A titled table.
#[derive(Debug)]
pub struct Section {
    /// What it shows.
    pub title: String,
    /// Whether its cells are texts, which a page aligns to the left; else figures.
    pub is_text: bool,
    /// The table, with its header.
    pub table: Table,
}

impl Section {
    fn figures(title: impl Into<String>, table: Table) -> Self {
        Self { title: title.into(), is_text: false, table }
    }
}

/// All tables.
pub fn all(report: &Report) -> Vec<Section> {
    if let Some(waiting) = &report.waiting {
        let mut sections = vec![Section::figures("What waiting pulls cost", waiting.table())];
        sections.extend(errors("Errors by code".to_owned(), &report.total));
        return sections;
    }
    let titles = ["Throughput", "Latency in microseconds", "Errors by code"].map(str::to_owned);
    let mut sections = load(titles, &report.latency_of, &report.total);
    if !report.total.steps.is_empty() {
        sections.push(Section::figures("Each rate", table::steps(&report.total.steps)));
    }
    if let Some(limits) = &report.limits {
        let tables = limits.tables(&report.loads()).into_iter();
        sections.extend(tables.map(|(title, table)| Section::figures(title, table)));
    }
    if let Some(broker) = &report.total.broker {
        sections.push(Section::figures("What the broker used", table::resources(broker)));
    }
    for (number, run) in (1..).zip(&report.runs) {
        let stages = run.stages.iter().map(|broker| table::stages(number, broker));
        let section = |table| Section::figures("Where the time of a send goes", table);
        sections.extend(stages.map(section));
    }
    if report.runs.len() > 1 {
        sections.push(Section::figures(
            "Repetitions",
            table::repetitions(&report.latency_of, &report.runs),
        ));
    }
    if !report.trials.is_empty() {
        sections.push(Section::figures("Rates that were tried", knee::overview(&report.trials)));
    }
    for Beside { name, latency_of, outcome, .. } in &report.beside {
        let titles = ["throughput", "latency", "errors by code"];
        let titles = titles.map(|of| format!("Beside: {name}, {of}"));
        sections.extend(load(titles, latency_of, outcome));
    }
    sections
}

/// The tables of one load under their titles, the last only where something failed.
fn load(titles: [String; 3], latency_of: &str, outcome: &Outcome) -> Vec<Section> {
    let [throughput, latency, failed] = titles;
    let mut sections = vec![
        Section::figures(throughput, table::throughput(outcome)),
        Section::figures(latency, table::latencies(latency_of, outcome)),
    ];
    sections.extend(errors(failed, outcome));
    sections
}

/// What failed, if anything did.
fn errors(title: String, outcome: &Outcome) -> Option<Section> {
    table::errors(outcome).map(|table| Section { title, is_text: true, table })
}

/// What is to be said besides, a sentence each.
pub fn notes(report: &Report) -> Vec<String> {
    let mut notes: Vec<String> = report.outcomes().filter_map(Outcome::overload).collect();
    if report.counted_nothing() && report.waiting.is_none() {
        notes.push("Nothing was counted: no message between the warm-up and the end.".to_owned());
    }
    if report.failures() == 0 {
        notes.push("No request failed.".to_owned());
    }
    let ways = report.waiting.iter().flat_map(|waiting| &waiting.round_trips);
    notes.extend(ways.map(RoundTrip::describe));
    notes.extend(costs_of_reads(report));
    notes.extend(unlike_null_load(report));
    notes.extend(lost_by_null_broker(report));
    notes.extend(reads_of_null_broker(report));
    notes.extend(ages_without_limit(report));
    let floor = |limits: &Limits| limits.floor.describe(report.latency_name(), &report.total);
    notes.extend(report.limits.iter().flat_map(floor));
    notes
}

/// That what the broker used for sends holds what reads beside them cost, if so.
fn costs_of_reads(report: &Report) -> Option<String> {
    let reads = report.beside.iter().find(|beside| beside.latency_of == PULLS)?;
    (report.latency_of == SENDS && report.total.broker.is_some()).then(|| {
        format!(
            "What the broker used is told by the message sent, and holds the cost of the {}.",
            reads.name
        )
    })
}

/// In what the load of the null broker was not that of the run, if in anything.
fn unlike_null_load(report: &Report) -> Option<String> {
    report.limits.as_ref()?.null_broker.as_ref()?;
    let setting = |name: &str| report.environment.settings.get(name).map(String::as_str);
    let json = (setting("header") == Some("json")).then_some("headers in the binary form");
    let topics = setting("topics").is_some_and(|topics| topics != "1").then_some("one topic");
    let others: Vec<_> = json.into_iter().chain(topics).collect();
    (!others.is_empty())
        .then(|| format!("The null broker had a lighter load: {}.", others.join(" and ")))
}

/// Why the null broker has no latency of deliveries, if that is so.
fn lost_by_null_broker(report: &Report) -> Option<String> {
    let lost = report.limits.as_ref()?.null_broker.as_ref()?.lost?;
    Some(format!(
        "The null broker was overloaded: {lost} messages never arrived, and its latencies are none."
    ))
}

/// Of what the limit of reads is that ran beside sends.
fn reads_of_null_broker(report: &Report) -> Option<String> {
    let null = report.limits.as_ref()?.null_beside.as_ref()?;
    (null.latency_of == PULLS).then(|| {
        "The null broker answered the reads alone, without the sends beside which they ran: a share \
         of it is one of a whole core that only answers."
            .to_owned()
    })
}

/// Why ages stand beside no limit: bench's own sends have one.
fn ages_without_limit(report: &Report) -> Option<String> {
    let has_null = report.limits.as_ref().is_some_and(|limits| limits.null_broker.is_some());
    let has_own_sends = report.beside.iter().any(|beside| beside.latency_of == SENDS);
    (report.latency_of == AGES && !has_null && !has_own_sends).then(|| {
        "No limit stands beside these ages: how much arrives, and how old it is, is up to who \
         sends. Sends of bench's own have one (--produce RATE)."
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::process::Usage;

    use super::*;
    use crate::limits::tests::limits_of_sends;
    use crate::measure::{Measured, Used};

    #[test]
    fn the_cost_of_sends_beside_reads_is_told_as_that_of_both() {
        let used = Used::between(Usage::default(), Usage::default(), 9);
        let runs = [Measured { used: Some(used), ..Measured::default() }];
        let mut report = Report::new("mixed".to_owned(), SENDS, &runs);
        let told = |report: &Report| notes(report).iter().any(|it| it.contains("of the reads"));
        assert!(!told(&report));
        report.add_beside("reads", PULLS, &[Measured::default()]);
        assert!(told(&report), "{:?}", notes(&report));
    }

    #[test]
    fn a_null_broker_that_lost_messages_is_told_of() {
        let told = |lost: Option<u64>| {
            let mut report = Report::new("end to end".to_owned(), "end to end us", &[]);
            let mut limits = limits_of_sends();
            limits.null_broker.as_mut().unwrap().lost = lost;
            report.limits = Some(limits);
            notes(&report).iter().any(|note| note.contains("overloaded: 9 messages never arrived"))
        };
        assert!(told(Some(9)) && !told(None));
    }

    #[test]
    fn ages_of_what_others_send_are_told_to_have_no_limit() {
        let told = |report: &Report| notes(report).iter().any(|it| it.starts_with("No limit "));
        let mut report = Report::new("consume".to_owned(), AGES, &[]);
        assert!(told(&report));
        report.add_beside("sends", SENDS, &[Measured::default()]);
        assert!(!told(&report), "nobody wanted limits");
        assert!(!told(&Report::new("consume".to_owned(), PULLS, &[])));
    }

    #[test]
    fn a_null_broker_with_a_lighter_load_is_told_of() {
        let note = |settings: &[(&str, &str)], has_limits: bool| {
            let mut report = Report::new("produce".to_owned(), "send us", &[]);
            report.limits = has_limits.then(limits_of_sends);
            let entry = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
            report.environment.settings = settings.iter().map(entry).collect();
            notes(&report).into_iter().find(|note| note.contains("lighter load"))
        };
        let both = [("header", "json"), ("topics", "50")];
        assert_eq!(
            note(&both, true).as_deref(),
            Some("The null broker had a lighter load: headers in the binary form and one topic.")
        );
        assert_eq!(note(&[("header", "binary"), ("topics", "1")], true), None);
        assert_eq!(note(&both, false), None);
    }
}

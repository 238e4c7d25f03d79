//! The results in tables and sentences.

mod legend;

use std::fmt::Write;

use comfy_table::Table;

use crate::args::versus::Contestant;
use crate::compare::student::{self, Interval};
use crate::report::broker_use::BrokerUse;
use crate::report::{table, terminal};
use crate::versus::figures::{Figure, Figures};
use crate::versus::goals::{Goal, Of, Reached};
use crate::versus::overloaded::Overloaded;
use crate::versus::pairs::STOLEN_MAX_PERCENT;
use crate::versus::results::{Results, Run};
use crate::versus::scenario::Scenario;
use crate::versus::verdict::Row;

/// The table, why figures are missing, what a message costs, and what was counted, for a terminal
/// of so many columns, if it is one.
pub fn describe(results: &Results, width: Option<u16>) -> String {
    let table = terminal::fitted(&rows(results), width);
    let mut text = format!("\n{table}\n{}\n", legend::text());
    for row in &results.rows {
        if let Some(reason) = &row.reason {
            let (figure, rival) = (row.figure_name(), row.rival.word());
            // Behind it are the last lines that a program wrote, which the document has.
            let reason = reason.lines().next().unwrap_or_default();
            let _ = writeln!(text, "{}, {figure} against {rival}: {reason}", row.scenario);
        }
        if row.stolen > 0 {
            let (figure, rival) = (row.figure_name(), row.rival.word());
            let _ = writeln!(
                text,
                "{}, {figure} against {rival}: {} pairs discarded, since the host took more than \
                 {STOLEN_MAX_PERCENT} % of the CPU time of a run",
                row.scenario, row.stolen
            );
        }
        text.extend(failed(row));
        text.extend(overloaded(row));
        text.extend(limited(row));
    }
    text.extend(goals(results));
    let _ = writeln!(text, "\n{}", terminal::fitted(&costs(results), width));
    for (scenario, rival) in results.matches() {
        let runs = results.runs_against(scenario, rival);
        let [ours, theirs] = runs.each_ref().map(|runs| failures(runs));
        let (name, word, count) = (scenario.name, rival.word(), runs.concat().len());
        let _ = writeln!(
            text,
            "{name} against {word}: {count} runs; failed requests: ours {ours}, theirs {theirs}"
        );
    }
    text
}

fn failures(runs: &[&Run]) -> u64 {
    runs.iter().filter_map(|run| run.figures.as_ref()).map(|figures| figures.failures).sum()
}

/// How many goals of the rows were reached; none where no row has one.
fn goals(results: &Results) -> Option<String> {
    let bound: Vec<&Row> = results.rows.iter().filter(|row| row.goal.is_some()).collect();
    let count = |reached| bound.iter().filter(|row| row.reached == reached).count();
    let met = count(Some(Reached::Met)) + count(Some(Reached::Aim));
    let (missed, limited) = (count(Some(Reached::Missed)), count(Some(Reached::Limited)));
    (!bound.is_empty()).then(|| {
        format!(
            "goals: {met} of {} reached, {} of them as far as aimed at; {missed} missed, {limited} \
             limited by this machine, which is not reached either, {} not decided\n",
            bound.len(),
            count(Some(Reached::Aim)),
            count(None),
        )
    })
}

/// That our own failures keep a row from being won, if they do.
fn failed(row: &Row) -> Option<String> {
    (row.failed_ours > 0 && row.pairs > 0).then(|| {
        format!(
            "{}, {} against {}: ours failed in {} pairs, so it has won nothing by the others, and \
             reached no goal\n",
            row.scenario,
            row.figure_name(),
            row.rival.word(),
            row.failed_ours,
        )
    })
}

/// Who was too slow for the rate of an open loop, if anybody was.
fn overloaded(row: &Row) -> Option<String> {
    let Overloaded { pairs, ours, theirs } = row.overloaded;
    let rival = row.rival.word();
    (pairs > 0).then(|| {
        format!(
            "{}, {} against {rival}: {pairs} pairs decide nothing, since a broker was overloaded: \
             ours in {ours}, {rival} in {theirs}\n",
            row.scenario,
            row.figure_name(),
        )
    })
}

/// Of a goal that the null broker does not reach either, what it has.
fn limited(row: &Row) -> Option<String> {
    let (goal, limit) = (row.goal?, row.limit?);
    let Interval { low, ratio, high } = limit.gain;
    let share = limit.share.map(|share| format!("; ours is {:.2} of it", share.ratio));
    limit.is_below(goal).then(|| {
        format!(
            "{}, {} against {}: the goal is {}{}; limit: the null broker has {} here, {ratio:.2} x \
             ({low:.2} to {high:.2}, {} pairs){}\n",
            row.scenario,
            row.figure_name(),
            row.rival.word(),
            goal.at_least,
            if goal.of == Of::Gain { " x" } else { "" },
            figure(limit.value),
            limit.pairs,
            share.unwrap_or_default(),
        )
    })
}

fn rows(results: &Results) -> Table {
    let mut rows = table::plain();
    rows.set_header([
        "scenario",
        "figure",
        "rival",
        "theirs",
        "ours",
        "null",
        "x better",
        "from",
        "to",
        "at most",
        "of null",
        "pairs",
        "discarded",
        "failed",
        "claimable",
        "verdict",
        "goal",
        "reached",
    ]);
    for row in &results.rows {
        rows.add_row(cells(row));
    }
    table::align_numbers(&mut rows, 3);
    rows
}

fn cells(row: &Row) -> [String; 18] {
    let factor = |value: Option<f64>| value.map_or("?".to_owned(), |value| format!("{value:.3}"));
    let side = |value: Option<f64>, overloaded: usize| match (value, overloaded) {
        (Some(value), _) => figure(value),
        (None, 0) => "?".to_owned(),
        (None, _) => "overloaded".to_owned(),
    };
    [
        row.scenario.to_owned(),
        row.figure_name(),
        row.rival.word().to_owned(),
        side(row.theirs, row.overloaded.theirs),
        side(row.ours, row.overloaded.ours),
        row.limit.map_or(String::new(), |limit| figure(limit.value)),
        factor(row.gain.map(|gain| gain.ratio)),
        factor(row.gain.map(|gain| gain.low)),
        factor(row.gain.map(|gain| gain.high)),
        row.limit.map_or(String::new(), |limit| factor(Some(limit.gain.ratio))),
        of_null(row).map_or("-".to_owned(), |share| factor(Some(share))),
        row.pairs.to_string(),
        row.unsteady.to_string(),
        row.failed.to_string(),
        factor(row.claimable),
        format!("{:?}", row.verdict).to_lowercase(),
        row.goal.map_or(String::new(), Goal::describe),
        row.reached.map_or(String::new(), |it| format!("{it:?}").to_lowercase()),
    ]
}

/// The fraction of the limit: ours by the null broker's, above 1 ours is better.
fn of_null(row: &Row) -> Option<f64> {
    let share = match row.rival {
        Contestant::Null => row.gain,
        _ => row.limit.and_then(|limit| limit.share),
    };
    share.filter(|_| row.figure.has_limit()).map(|share| share.ratio)
}

/// What a message costs each broker: means over all runs of a scenario, of whatever block; and
/// beside the null broker, where it ran.
fn costs(results: &Results) -> Table {
    let mut rows = table::plain();
    rows.set_header([
        "per message",
        "broker",
        "runs",
        "msg/s",
        "of null",
        "CPU us",
        "of null",
        "system calls",
        "context switches",
        "device writes",
        "device bytes",
        "device flushes",
        "RSS MB",
        "of it files MB",
    ]);
    let mut seen: Vec<(&Scenario, Contestant)> =
        results.runs.iter().map(|run| (run.scenario, run.contestant)).collect();
    seen.sort_unstable_by_key(|(scenario, contestant)| (scenario.name, *contestant));
    seen.dedup();
    for (scenario, contestant) in seen {
        rows.add_row(cost_cells(results, scenario, contestant));
    }
    table::align_numbers(&mut rows, 2);
    rows
}

fn cost_cells(results: &Results, scenario: &Scenario, contestant: Contestant) -> [String; 14] {
    let runs = runs_of(results, scenario.name, contestant);
    let null = runs_of(results, scenario.name, Contestant::Null);
    let rate = |runs: &[&Figures]| mean(runs, |run| Figure::Rate.of(run));
    let cpu = |runs: &[&Figures]| mean(runs, |run| Figure::Cpu.of(run));
    let used = |of: fn(BrokerUse) -> Option<f64>| mean(&runs, |run| of(run.broker?));
    let share = rate(&runs).zip(rate(&null)).map(|(rate, of)| match scenario.is_closed_loop() {
        true => format!("{:.0} %", 100.0 * rate / of),
        // Both follow the schedule, so the share would say nothing about either.
        false => "as scheduled".to_owned(),
    });
    let multiple = cpu(&runs).zip(cpu(&null)).map(|(cpu, of)| cpu / of);
    let text = |value: Option<f64>| value.map_or(String::new(), figure);
    [
        scenario.name.to_owned(),
        contestant.word().to_owned(),
        runs.len().to_string(),
        text(rate(&runs)),
        share.unwrap_or_default(),
        text(cpu(&runs)),
        multiple.map_or(String::new(), |multiple| format!("{multiple:.2} x")),
        text(used(|used| used.system_calls_per_message)),
        text(used(|used| used.context_switches_per_message)),
        text(used(|used| used.device_writes_per_message)),
        text(used(|used| used.device_bytes_per_message)),
        text(used(|used| used.device_flushes_per_message)),
        text(mean(&runs, |run| Figure::Rss.of(run))),
        text(used(|used| Some(used.rss_files_bytes? as f64 / 1e6))),
    ]
}

/// What the runs of a broker in a scenario came to that did not fail, of whatever block.
fn runs_of<'a>(results: &'a Results, scenario: &str, contestant: Contestant) -> Vec<&'a Figures> {
    let is_it = |run: &&Run| (run.scenario.name, run.contestant) == (scenario, contestant);
    let figures = results.runs.iter().filter(is_it).filter_map(|run| run.figures.as_ref());
    figures.filter(|figures| !figures.is_failing()).collect()
}

/// The mean of what is known of `runs`; none where nothing is.
fn mean(runs: &[&Figures], of: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
    let known: Vec<f64> = runs.iter().filter_map(|figures| of(figures)).collect();
    (!known.is_empty()).then(|| student::mean(&known))
}

/// Four digits at least, and no more behind the point than say something.
fn figure(value: f64) -> String {
    match value {
        1_000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests;

//! Loads beside the null broker, in shares and multiples.

use comfy_table::Table;

use crate::limits::null_figures::NullBroker;
use crate::limits::{Limits, PULLS, SENDS};
use crate::report::outcome::Outcome;
use crate::report::table;

impl Limits {
    /// Each of some loads of a report beside what the null broker did of its kind, as shares and
    /// multiples, under a title; a load is its name, what its latencies are of, and what it came
    /// to. None without a null broker.
    ///
    /// The first load, the report's own, stands there whatever its latencies are of: the ages of
    /// what arrives from sends of bench's own (`consume --from last`) beside acknowledgements, and
    /// in reports of older releases those of an end-to-end run.
    pub fn tables(&self, loads: &[(&str, &str, &Outcome)]) -> Vec<(String, Table)> {
        let comparable = |null: &NullBroker, is_own: bool| {
            let is_it = |(index, (_, latency_of, _)): &(usize, &(&str, &str, &Outcome))| {
                (*index == 0 && is_own) || *latency_of == null.latency_of
            };
            loads.iter().enumerate().filter(is_it).map(|(_, load)| *load).collect::<Vec<_>>()
        };
        let own = self.null_broker.iter().map(|null| (null, comparable(null, true)));
        let beside = self.null_beside.iter().map(|null| (null, comparable(null, false)));
        own.chain(beside).filter_map(|(null, loads)| table_of(null, &loads)).collect()
    }
}

/// What the loads are that are compared with a null broker.
fn title_of(null: &NullBroker) -> String {
    let loads = match null.latency_of.as_str() {
        SENDS => "Sends",
        PULLS => "Pulls",
        _ => "Deliveries",
    };
    format!("{loads} beside what this machine allows")
}

/// A null broker and the loads that are compared with it, under their title; none where there are
/// none.
fn table_of(null: &NullBroker, loads: &[(&str, &str, &Outcome)]) -> Option<(String, Table)> {
    let (_, latency_of, first) = loads.first()?;
    let is_closed = first.is_closed_loop(latency_of);
    let mut table = table::plain();
    let load = if is_closed { "in this closed loop" } else { "under this load" };
    let mut header = vec![load, "null broker"];
    header.extend(loads.iter().flat_map(|(name, ..)| [*name, "of the null broker"]));
    table.set_header(header);
    for figure in figures(null, first, is_closed) {
        let mut row = vec![figure.name.clone(), figure.limit()];
        row.extend(loads.iter().flat_map(|(.., outcome)| figure.cells(outcome)));
        table.add_row(row);
    }
    table::align_numbers(&mut table, 1);
    Some((title_of(null), table))
}

/// What is compared with the null broker.
struct Figure {
    name: String,
    limit: f64,
    value: fn(&Outcome) -> Option<f64>,
    /// Whether more is better, which is told as a share; else as a multiple.
    is_rate: bool,
}

impl Figure {
    /// That of the null broker, or a dash for none.
    fn limit(&self) -> String {
        if self.limit > 0.0 { self.text(self.limit) } else { "-".to_owned() }
    }

    fn text(&self, value: f64) -> String {
        format!("{value:.*}", usize::from(!self.is_rate))
    }

    fn cells(&self, outcome: &Outcome) -> [String; 2] {
        let known = (self.value)(outcome).filter(|_| self.limit > 0.0);
        let Some(value) = known else { return [String::new(), String::new()] };
        let share = match self.is_rate {
            true => format!("{:.0} %", 100.0 * value / self.limit),
            false => format!("{:.2} x", value / self.limit),
        };
        [self.text(value), share]
    }
}

/// Everything that is compared, of a report whose own load came to `outcome`; latencies of a closed
/// loop are called that, since they are none under a load.
fn figures(null: &NullBroker, outcome: &Outcome, is_closed: bool) -> Vec<Figure> {
    // Both follow the schedule of an open loop, so there the share says nothing about either.
    let paced = if outcome.has_one_clock() { "msg/s" } else { "msg/s, as scheduled" };
    let rate = |name: &str, limit| Figure {
        name: name.to_owned(),
        limit,
        value: |outcome| Some(outcome.messages_per_second),
        is_rate: true,
    };
    let time =
        |name: &str, limit, value| Figure { name: name.to_owned(), limit, value, is_rate: false };
    let closed_loop = if is_closed { ", closed loop" } else { "" };
    let [p50, p99] = ["p50 us", "p99 us"].map(|name| format!("{name}{closed_loop}"));
    let closed = null.closed_loop_per_second.map(|limit| rate("msg/s, its closed loop", limit));
    // A percentile that rests on nothing is no limit, see `Figure::cells`.
    let known = |us: Option<f64>| us.unwrap_or(0.0);
    let times = [
        time("CPU us per message", null.cpu_us_per_message, |outcome| {
            outcome.broker.map(|broker| broker.cpu_us_per_message)
        }),
        time(&p50, known(null.p50_us), |outcome| outcome.response.percentile_us("p50")),
        time(&p99, known(null.p99_us), |outcome| outcome.response.percentile_us("p99")),
    ];
    [rate(paced, null.messages_per_second)].into_iter().chain(closed).chain(times).collect()
}

//! Runtime information (28), as `clusterList`, dashboards and the exporter read it.

mod table;

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::bodies::send_stage::SendStage;
use ringmq_protocol::bodies::topic::KvTable;
use ringmq_runtime::clock;
use ringmq_runtime::task;
use ringmq_store::offsets;

use super::super::control::{Reaction, json_answer};
use super::stats::Samples;
use super::{Parts, all_shards};
use crate::logs::OwnedLog;
use crate::metrics::{History, SAMPLE_PERIOD_MS, Totals};
use crate::shard::DataPlane;
use crate::stages;

const DAY_MS: i64 = 86_400_000;

/// What is sampled over time.
pub struct RuntimeInfo {
    booted_at_ms: i64,
    history: RefCell<History>,
    samples: RefCell<Samples>,
    today: Cell<Day>,
}

/// What had passed at the last two midnights (UTC).
#[derive(Clone, Copy, Default)]
struct Day {
    number: i64,
    yesterday: Passed,
    today: Passed,
}

/// Messages since the start.
#[derive(Clone, Copy, Default)]
struct Passed {
    messages_in: u64,
    messages_out: u64,
}

/// Sums over all logs.
#[derive(Clone, Copy, Default)]
struct Logs {
    min: u64,
    end: u64,
    unflushed_bytes: u64,
    flushes: u64,
    groups: u64,
    damages: u64,
    is_fenced: bool,
    /// Store time of the oldest message.
    earliest_ms: Option<i64>,
}

impl RuntimeInfo {
    /// Starts to sample.
    pub fn start(data: &Rc<DataPlane>) -> Rc<Self> {
        let booted_at_ms = clock::unix_ms();
        let day = Day { number: booted_at_ms / DAY_MS, ..Day::default() };
        let info = Rc::new(Self {
            booted_at_ms,
            history: RefCell::default(),
            samples: RefCell::default(),
            today: Cell::new(day),
        });
        let run = Rc::clone(&info).run(Rc::clone(data));
        task::spawn("statistics", run).detach();
        info
    }

    async fn run(self: Rc<Self>, data: Rc<DataPlane>) {
        loop {
            let (totals, _) = totals(&data).await;
            let clock_ms = clock::monotonic_ms();
            self.history.borrow_mut().sample(clock_ms, totals);
            self.turn_day(clock::unix_ms() / DAY_MS, &totals);
            let mut sums = all_shards::messages_by_topic(&data).await;
            sums.extend(all_shards::consumed_by_group(&data).await);
            Samples::sample(&self.samples, clock_ms, &totals, sums).await;
            task::sleep(Duration::from_millis(SAMPLE_PERIOD_MS)).await;
        }
    }

    fn turn_day(&self, number: i64, totals: &Totals) {
        let day = self.today.get();
        if number != day.number {
            let Totals { messages_in, messages_out, .. } = *totals;
            let today = Passed { messages_in, messages_out };
            self.today.set(Day { number, yesterday: day.today, today });
        }
    }

    pub(super) fn samples(&self) -> Ref<'_, Samples> {
        self.samples.borrow()
    }

    /// Messages per second into a topic.
    pub(super) fn topic_rate(&self, topic: &str) -> f64 {
        self.samples.borrow().rate(topic)
    }

    /// Messages per second that a group consumes of a topic.
    pub(super) fn group_rate(&self, topic: &str, group: &str) -> f64 {
        self.samples.borrow().rate(&offsets::key(group, topic))
    }
}

/// Totals and send times of all shards.
async fn totals(data: &Rc<DataPlane>) -> (Totals, Vec<u64>) {
    let parts = data
        .on_all_shards(|data| async move {
            (data.local.counters.totals(), data.local.counters.send_time_histogram())
        })
        .await;
    let mut sum = Totals::default();
    let mut histogram: Vec<u64> = Vec::new();
    for (totals, times) in parts {
        sum.add(&totals);
        histogram.resize(times.len(), 0);
        histogram.iter_mut().zip(times).for_each(|(sum, count)| *sum += count);
    }
    (sum, histogram)
}

async fn logs(data: &Rc<DataPlane>) -> Logs {
    let parts = data.on_all_shards(|data| async move {
        let mut sum = Logs::default();
        for owned in data.local.logs() {
            sum.add(&Logs::of(owned).await);
        }
        sum
    });
    let mut sum = Logs::default();
    parts.await.iter().for_each(|part| sum.add(part));
    sum
}

impl Logs {
    async fn of(owned: &OwnedLog) -> Self {
        let stats = owned.log.stats();
        Self {
            min: stats.min.byte(),
            end: stats.end.byte(),
            unflushed_bytes: stats.end.byte().saturating_sub(stats.durable.byte()),
            flushes: stats.counters.flushes,
            groups: stats.counters.groups,
            damages: stats.counters.damages,
            is_fenced: stats.fenced.is_some(),
            earliest_ms: owned.log.oldest_stored_at_ms().await.ok().flatten(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.min += other.min;
        self.end += other.end;
        self.unflushed_bytes += other.unflushed_bytes;
        self.flushes += other.flushes;
        self.groups += other.groups;
        self.damages += other.damages;
        self.is_fenced |= other.is_fenced;
        self.earliest_ms = self.earliest_ms.into_iter().chain(other.earliest_ms).min();
    }
}

/// GET_BROKER_RUNTIME_INFO.
pub(super) fn info(parts: &Rc<Parts>) -> Reaction {
    let parts = Rc::clone(parts);
    Reaction::later(async move {
        let (totals, times) = totals(&parts.data).await;
        let logs = logs(&parts.data).await;
        let space = parts.data.disk().free_space().await.ok();
        let mut entries = BTreeMap::new();
        let mut put = |key: &str, value: String| drop(entries.insert(key.to_owned(), value));
        table::identity(&parts, &logs, &mut put);
        table::counts(&parts.runtime, &totals, &times, &mut put);
        table::rates(&parts.runtime.history.borrow(), &mut put);
        table::store(&logs, space.as_ref(), &mut put);
        table::pools(&mut put);
        entries.extend(stages::collect(&parts.data).await.iter().flat_map(SendStage::entries));
        json_answer(&KvTable { table: entries })
    })
}

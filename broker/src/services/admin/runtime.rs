//! Runtime information (28), as `clusterList`, dashboards and the exporter read it.
//!
//! The exporter drops a whole broker when one key is missing or one number does not parse, so every
//! key it reads is always there, with zeros where Apache leaves an empty text in its first seconds.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::bodies::send_stage::SendStage;
use ringmq_protocol::bodies::topic::KvTable;
use ringmq_protocol::command::VERSION;
use ringmq_runtime::clock;
use ringmq_runtime::disk::Space;
use ringmq_runtime::task;
use ringmq_store::offsets;

use super::super::control::{Reaction, json_answer};
use super::stats::Samples;
use super::{Parts, all_shards};
use crate::logs::OwnedLog;
use crate::metrics::{History, SAMPLE_PERIOD_MS, Totals, percentile_ms};
use crate::shard::DataPlane;
use crate::stages;

const DAY_MS: i64 = 86_400_000;

/// The release whose protocol [`VERSION`] is.
const VERSION_NAME: &str = "V5_5_0";

/// What is sampled over time.
pub struct RuntimeInfo {
    booted_at_ms: i64,
    history: RefCell<History>,
    samples: RefCell<Samples>,
    today: Cell<Day>,
}

/// Messages in and out at the last two midnights (UTC).
#[derive(Clone, Copy, Default)]
struct Day {
    number: i64,
    yesterday: (u64, u64),
    today: (u64, u64),
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
            let today = (totals.messages_in, totals.messages_out);
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
        let mut table = BTreeMap::new();
        let mut put = |key: &str, value: String| drop(table.insert(key.to_owned(), value));
        identity(&parts, &logs, &mut put);
        counts(&parts.runtime, &totals, &times, &mut put);
        rates(&parts.runtime.history.borrow(), &mut put);
        store(&logs, space.as_ref(), &mut put);
        pools(&mut put);
        table.extend(stages::collect(&parts.data).await.iter().flat_map(SendStage::entries));
        json_answer(&KvTable { table })
    })
}

fn identity(parts: &Parts, logs: &Logs, put: &mut impl FnMut(&str, String)) {
    let booted_at_ms = parts.runtime.booted_at_ms;
    let settings = parts.directory.settings();
    put("bootTimestamp", booted_at_ms.to_string());
    put("runtime", duration_text(clock::unix_ms().saturating_sub(booted_at_ms)));
    put("brokerVersionDesc", VERSION_NAME.to_owned());
    put("brokerVersion", VERSION.to_string());
    // The version above is that of a protocol; this one tells our releases apart.
    put("ringmqVersion", ringmq_version::VERSION.to_owned());
    put("brokerActive", (!logs.is_fenced).to_string());
    put("startAcceptSendRequestTimeStamp", settings.start_accept_send_request_at_ms.to_string());
}

fn counts(info: &RuntimeInfo, totals: &Totals, times: &[u64], put: &mut impl FnMut(&str, String)) {
    let day = info.today.get();
    put("msgPutTotalYesterdayMorning", day.yesterday.0.to_string());
    put("msgPutTotalTodayMorning", day.today.0.to_string());
    put("msgPutTotalTodayNow", totals.messages_in.to_string());
    put("msgGetTotalYesterdayMorning", day.yesterday.1.to_string());
    put("msgGetTotalTodayMorning", day.today.1.to_string());
    put("msgGetTotalTodayNow", totals.messages_out.to_string());
    put("putMessageTimesTotal", totals.sends.max(1).to_string());
    put("putMessageFailedTimes", totals.sends_failed.to_string());
    put("putMessageSizeTotal", totals.bytes_in.to_string());
    let average = totals.bytes_in as f64 / totals.messages_in.max(1) as f64;
    put("putMessageAverageSize", format!("{average:?}"));
    put("putMessageEntireTimeMax", totals.send_time_max_ms.to_string());
    put("getMessageEntireTimeMax", totals.read_time_max_ms.to_string());
    put("putMessageDistributeTime", totals.send_times_text());
    put("putLatency99", format!("{:.2}", percentile_ms(times, 0.99)));
    put("putLatency999", format!("{:.2}", percentile_ms(times, 0.999)));
}

fn rates(history: &History, put: &mut impl FnMut(&str, String)) {
    let transferred = history.rates(|totals| totals.messages_out);
    put("putTps", history.rates(|totals| totals.messages_in));
    put("getFoundTps", history.rates(|totals| totals.pulls_found));
    put("getMissTps", history.rates(|totals| totals.pulls_missed));
    put("getTotalTps", history.rates(|totals| totals.pulls_found + totals.pulls_missed));
    // 4.9 spelt it with one r, and its tools still look for that.
    put("getTransferedTps", transferred.clone());
    put("getTransferredTps", transferred);
}

fn store(logs: &Logs, space: Option<&Space>, put: &mut impl FnMut(&str, String)) {
    let (total, free) = space.map_or((0, 0), |space| (space.total, space.available));
    let ratio = if total == 0 { 0.0 } else { (total - free.min(total)) as f64 / total as f64 };
    put("commitLogDiskRatio", format!("{ratio:?}"));
    put("consumeQueueDiskRatio", format!("{ratio:?}"));
    let capacity = format!("Total : {}, Free : {}.", size_text(total), size_text(free));
    put("commitLogDirCapacity", capacity);
    put("commitLogMinOffset", logs.min.to_string());
    put("commitLogMaxOffset", logs.end.to_string());
    // RingMQ's own: what group commit does, for `bench`.
    put("commitLogFlushTotal", logs.flushes.to_string());
    put("commitLogGroupTotal", logs.groups.to_string());
    // And what the scrubber found: places, each counted once per pass.
    put("commitLogDamageTotal", logs.damages.to_string());
    put("remainHowManyDataToFlush", size_text(logs.unflushed_bytes));
    put("remainTransientStoreBufferNumbs", i32::MAX.to_string());
    put("dispatchMaxBuffer", "0".to_owned());
    put("dispatchBehindBytes", "0".to_owned());
    put("pageCacheLockTimeMills", "0".to_owned());
    put("earliestMessageTimeStamp", logs.earliest_ms.unwrap_or(-1).to_string());
    for key in ["timerReadBehind", "timerOffsetBehind", "timerCongestNum"] {
        put(key, "0".to_owned());
    }
    for key in ["timerEnqueueTps", "timerDequeueTps"] {
        put(key, "0.0".to_owned());
    }
}

/// There are no thread pools here; tools read their queues all the same.
fn pools(put: &mut impl FnMut(&str, String)) {
    for pool in ["send", "pull", "litePull", "query", "ack"] {
        put(&format!("{pool}ThreadPoolQueueSize"), "0".to_owned());
        put(&format!("{pool}ThreadPoolQueueCapacity"), "10000".to_owned());
        put(&format!("{pool}ThreadPoolQueueHeadWaitTimeMills"), "0".to_owned());
    }
    put("EndTransactionQueueSize", "0".to_owned());
    put("EndTransactionThreadPoolQueueCapacity", "10000".to_owned());
}

/// `[ 0 days, 1 hours, 2 minutes, 3 seconds ]`.
fn duration_text(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let (hours, minutes, seconds) = (hours % 24, minutes % 60, seconds % 60);
    format!("[ {days} days, {hours} hours, {minutes} minutes, {seconds} seconds ]")
}

/// `1.5 GiB`; below a kibibyte `512 B`.
fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_as_tools_split_them() {
        assert_eq!(size_text(0), "0 B");
        assert_eq!(size_text(1536), "1.5 KiB");
        assert_eq!(size_text(3 << 40), "3.0 TiB");
        assert_eq!(duration_text(90_061_000), "[ 1 days, 1 hours, 1 minutes, 1 seconds ]");
        assert_eq!(duration_text(-5), "[ 0 days, 0 hours, 0 minutes, 0 seconds ]");
    }
}

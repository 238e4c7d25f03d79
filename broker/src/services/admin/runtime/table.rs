//! The keys and values of the runtime information.
//!
//! The exporter drops a whole broker when one key is missing or one number does not parse, so every
//! key it reads is always there, with zeros where Apache leaves an empty text in its first seconds.

use ringmq_protocol::command::VERSION;
use ringmq_runtime::clock;
use ringmq_runtime::disk::Space;

use super::super::Parts;
use super::{Logs, RuntimeInfo};
use crate::metrics::{History, Totals, percentile_ms};

/// The release whose protocol [`VERSION`] is.
const VERSION_NAME: &str = "V5_5_0";

/// Which broker it is, and since when it runs.
pub(super) fn identity(parts: &Parts, logs: &Logs, put: &mut impl FnMut(&str, String)) {
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

/// Messages, and how long they took, since the start.
pub(super) fn counts(
    info: &RuntimeInfo,
    totals: &Totals,
    times: &[u64],
    put: &mut impl FnMut(&str, String),
) {
    let day = info.today.get();
    put("msgPutTotalYesterdayMorning", day.yesterday.messages_in.to_string());
    put("msgPutTotalTodayMorning", day.today.messages_in.to_string());
    put("msgPutTotalTodayNow", totals.messages_in.to_string());
    put("msgGetTotalYesterdayMorning", day.yesterday.messages_out.to_string());
    put("msgGetTotalTodayMorning", day.today.messages_out.to_string());
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

/// Messages and pulls per second.
pub(super) fn rates(history: &History, put: &mut impl FnMut(&str, String)) {
    let transferred = history.rates(|totals| totals.messages_out);
    put("putTps", history.rates(|totals| totals.messages_in));
    put("getFoundTps", history.rates(|totals| totals.pulls_found));
    put("getMissTps", history.rates(|totals| totals.pulls_missed));
    put("getTotalTps", history.rates(|totals| totals.pulls_found + totals.pulls_missed));
    // 4.9 spelt it with one r, and its tools still look for that.
    put("getTransferedTps", transferred.clone());
    put("getTransferredTps", transferred);
}

/// The logs and the file system they are on.
pub(super) fn store(logs: &Logs, space: Option<&Space>, put: &mut impl FnMut(&str, String)) {
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
pub(super) fn pools(put: &mut impl FnMut(&str, String)) {
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

//! What administration asks the shards for: bounds of queues, messages, progress of groups.
//!
//! Each function runs one job on every shard at the same time; a job touches the logs of its shard
//! only.

use std::rc::Rc;
use std::sync::Arc;

use ringmq_runtime::random::{HashMap, HashSet};
use ringmq_runtime::task;
use ringmq_store::{LogPosition, QueueOffset, TimeBoundary};

use crate::logs::OwnedLog;
use crate::shard::DataPlane;

/// Queues, or groups, that are looked at in one step of a shard, which may have 300,000 of them: at
/// up to 200 ns for a name, 0.1 ms.
const SLICE: u32 = 500;

/// The offsets that one queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The oldest message that can be read.
    pub min: i64,
    /// One behind the newest message that consumers may see.
    pub max: i64,
    /// When the newest message was stored, Unix time in milliseconds; 0 for an empty queue.
    pub last_stored_at_ms: i64,
}

/// How far one group is in one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub group: String,
    pub topic: String,
    pub queue_id: i32,
    /// The next message that it has not consumed.
    pub offset: i64,
}

/// Whose progress is wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Whose {
    pub group: Option<String>,
    pub topic: Option<String>,
}

/// Queues by topic and id.
pub(super) type Queues<T> = HashMap<(String, i32), T>;

/// The bounds of every queue of `topics` that ever had a message.
pub(super) async fn bounds(data: &Rc<DataPlane>, topics: Vec<String>) -> Queues<Bounds> {
    let topics: Arc<HashSet<String>> = Arc::new(topics.into_iter().collect());
    let parts = data.on_all_shards(move |data| {
        let topics = Arc::clone(&topics);
        async move { bounds_of_shard(&data, &topics).await }
    });
    parts.await.into_iter().flatten().collect()
}

async fn bounds_of_shard(
    data: &DataPlane,
    topics: &HashSet<String>,
) -> Vec<((String, i32), Bounds)> {
    let mut found = Vec::new();
    for owned in data.local.logs() {
        let (from, mut slot) = (found.len(), 0);
        while owned.log.visit_queues(&mut slot, SLICE, |topic, queue_id, min, max| {
            if topics.contains(topic) {
                let (min, max) = (min.wire(), max.wire());
                let bounds = Bounds { min, max, last_stored_at_ms: 0 };
                found.push(((topic.to_owned(), queue_id), bounds));
            }
        }) {
            task::yield_if_needed().await;
        }
        for ((topic, queue_id), bounds) in &mut found[from..] {
            if bounds.max > bounds.min {
                let newest = bounds.max - 1;
                let stored_at_ms = stored_at_ms_in(owned, topic, *queue_id, newest).await;
                bounds.last_stored_at_ms = stored_at_ms.unwrap_or(0);
            }
        }
    }
    found
}

/// When these messages were stored, by queue; queues whose message is gone are missing.
pub(super) async fn stored_at_ms(data: &Rc<DataPlane>, wanted: Queues<i64>) -> Queues<i64> {
    let wanted = Arc::new(wanted);
    let parts = data.on_all_shards(move |data| {
        let wanted = Arc::clone(&wanted);
        async move {
            let mut found = Vec::new();
            for ((topic, queue_id), offset) in wanted.iter() {
                let Some(owned) = data.local.log_of(topic, *queue_id) else { continue };
                if let Some(at) = stored_at_ms_in(owned, topic, *queue_id, *offset).await {
                    found.push(((topic.clone(), *queue_id), at));
                }
            }
            found
        }
    });
    parts.await.into_iter().flatten().collect()
}

/// Messages per topic so far: the sum of the ends of its queues. Topics without messages are
/// missing.
pub(super) async fn messages_by_topic(data: &Rc<DataPlane>) -> HashMap<String, u64> {
    sum_by_name(data, |owned, slot, add| {
        owned.log.visit_queues(slot, SLICE, |topic, _, _, max| {
            if max.0 > 0 {
                add(topic, max.0);
            }
        })
    })
    .await
}

/// Messages of a topic that a group is past, by `topic@group`: the sum of its offsets.
pub(super) async fn consumed_by_group(data: &Rc<DataPlane>) -> HashMap<String, u64> {
    sum_by_name(data, |owned, behind, add| {
        owned.offsets.borrow().visit_groups(behind, SLICE as usize, add)
    })
    .await
}

/// Takes a name and what to add to its sum.
type Add<'a> = &'a mut dyn FnMut(&str, u64);

/// Adds up what `visit` names of each log, slice by slice; it is false with the last one. A name is
/// copied once per shard, since there may be many and this runs every few seconds.
async fn sum_by_name<C: Default + 'static>(
    data: &Rc<DataPlane>,
    visit: fn(&OwnedLog, &mut C, Add<'_>) -> bool,
) -> HashMap<String, u64> {
    let parts = data.on_all_shards(move |data| async move {
        let mut sums: HashMap<String, u64> = HashMap::default();
        for owned in data.local.logs() {
            let mut place = C::default();
            while visit(owned, &mut place, &mut |name, count| match sums.get_mut(name) {
                Some(sum) => *sum = sum.saturating_add(count),
                None => drop(sums.insert(name.to_owned(), count)),
            }) {
                task::yield_if_needed().await;
            }
        }
        sums
    });
    let mut parts = parts.await.into_iter();
    // Most brokers have all of it on one shard.
    let mut sums = parts.next().unwrap_or_default();
    for (name, count) in parts.flatten() {
        let sum = sums.entry(name).or_default();
        *sum = sum.saturating_add(count);
        task::yield_if_needed().await;
    }
    sums
}

/// Bytes of text, at most, that the progress of all groups takes.
pub(super) async fn progress_bytes(data: &Rc<DataPlane>) -> usize {
    let parts = data.on_all_shards(|data| async move {
        let tables = data.local.logs().map(|owned| owned.offsets.borrow().saved_bytes());
        tables.sum::<usize>()
    });
    parts.await.into_iter().sum()
}

/// The progress of groups, in no order.
pub(super) async fn progress(data: &Rc<DataPlane>, whose: Whose) -> Vec<Progress> {
    let parts = data.on_all_shards(move |data| {
        let whose = whose.clone();
        async move {
            let mut found = Vec::new();
            for owned in data.local.logs() {
                progress_in_log(owned, &whose, &mut found).await;
            }
            found
        }
    });
    parts.await.into_iter().flatten().collect()
}

/// Adds what one log knows of it. What changes meanwhile is as it was, or as it is then.
async fn progress_in_log(owned: &OwnedLog, whose: &Whose, found: &mut Vec<Progress>) {
    let mut behind = None;
    let mut add = |group: &str, topic: &str, queue_id: i32, offset: QueueOffset| {
        let is_wanted = whose.group.as_deref().is_none_or(|wanted| wanted == group)
            && whose.topic.as_deref().is_none_or(|wanted| wanted == topic);
        if is_wanted {
            let (group, topic) = (group.to_owned(), topic.to_owned());
            found.push(Progress { group, topic, queue_id, offset: offset.wire() });
        }
    };
    while owned.offsets.borrow().visit_queues(&mut behind, SLICE as usize, &mut add) {
        task::yield_if_needed().await;
    }
}

/// When one message was stored; `None` when it is not there any more, or cannot be read. Many
/// queues are asked one by one, most of them without a wait for the device: others have turns.
async fn stored_at_ms_in(owned: &OwnedLog, topic: &str, queue_id: i32, offset: i64) -> Option<i64> {
    task::yield_if_needed().await;
    let offset = QueueOffset(u64::try_from(offset).ok()?);
    owned.log.stored_at_ms(topic, queue_id, offset).await.ok().flatten()
}

/// The first offset of each queue that was stored at `time_ms` or later.
pub(super) async fn offsets_at(
    data: &Rc<DataPlane>,
    topic: &str,
    queues: Vec<i32>,
    time_ms: i64,
) -> Queues<i64> {
    let topic: Arc<str> = topic.into();
    let parts = data.on_all_shards(move |data| {
        let (topic, queues) = (Arc::clone(&topic), queues.clone());
        async move {
            let mut found = Vec::new();
            for queue_id in queues {
                task::yield_if_needed().await;
                let Some(owned) = data.local.log_of(&topic, queue_id) else { continue };
                let boundary = TimeBoundary::Lower;
                let offset = owned.log.offset_by_time(&topic, queue_id, time_ms, boundary).await;
                if let Ok(Some(offset)) = offset {
                    found.push(((topic.to_string(), queue_id), offset.wire()));
                }
            }
            found
        }
    });
    parts.await.into_iter().flatten().collect()
}

/// The record at a physical offset, as consumers get it.
pub(super) async fn message_at(data: &Rc<DataPlane>, physical_offset: i64) -> Option<Vec<u8>> {
    let position = LogPosition::from_wire(physical_offset)?;
    let log = data.local.placement.log_of_position(physical_offset)?;
    let shard = data.local.placement.shard_of_log(log);
    let read = data.on_shard(shard, move |data| async move {
        let owned = Rc::clone(data.local.log(log)?);
        owned.log.record_at(position).await.ok().flatten().map(|record| record.to_vec())
    });
    read.await
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use ringmq_runtime::disk::Disk;
    use ringmq_runtime::sim::World;
    use ringmq_store::metadata::Document;
    use ringmq_store::offsets::OffsetSnapshot;
    use ringmq_store::{Log, LogId, LogOptions};

    use super::*;

    const GROUPS: usize = 5_000;
    const QUEUES: i32 = 10;

    #[test]
    fn the_progress_of_many_groups_is_copied_with_turns_of_others_in_between() {
        let world = World::new(1);
        let disk = world.disk(0);
        world.run(async {
            let owned = empty_log(&disk).await;
            for group in (0..GROUPS).map(|number| format!("g{number}")) {
                for queue_id in 0..QUEUES {
                    let mut offsets = owned.offsets.borrow_mut();
                    assert!(offsets.commit(&group, "t", queue_id, QueueOffset(7)));
                }
            }
            let (whose, mut found) = (Whose::default(), Vec::new());
            let turns = turns_during(progress_in_log(&owned, &whose, &mut found));
            assert_eq!(found.len(), GROUPS * QUEUES as usize);
            // A simulated task has had its share of time one time in four.
            assert!(turns > 0, "{} queues in one step", found.len());
            owned.log.close().await.expect("closed");
        });
    }

    #[test]
    fn many_queues_are_asked_for_store_times_with_turns_of_others_in_between() {
        let world = World::new(1);
        let disk = world.disk(0);
        world.run(async {
            let owned = empty_log(&disk).await;
            let turns = turns_during(async {
                for queue_id in 0..100 * QUEUES {
                    assert_eq!(stored_at_ms_in(&owned, "t", queue_id, 0).await, None);
                }
            });
            assert!(turns > 0, "{} queues in one step", 100 * QUEUES);
            owned.log.close().await.expect("closed");
        });
    }

    async fn empty_log(disk: &Disk) -> Rc<OwnedLog> {
        let opened = Log::open(disk, "log", LogId(0), LogOptions::default()).await;
        let (log, _) = opened.expect("a new log");
        OwnedLog::new(log, &OffsetSnapshot::default(), Document::new(disk, "offsets"))
    }

    /// How often `work` lets others have a turn until it is done.
    fn turns_during(work: impl Future<Output = ()>) -> usize {
        let mut turns = 0;
        let mut work = pin!(work);
        let mut context = Context::from_waker(Waker::noop());
        while work.as_mut().poll(&mut context).is_pending() {
            turns += 1;
        }
        turns
    }
}

//! Progress of consumer groups for tools: 208, 317, 43; who reads a topic (300), what a group reads
//! (343).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use ringmq_protocol::Command;
use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::bodies::group::GroupList;
use ringmq_protocol::bodies::offset::ConsumerOffsetTable;
use ringmq_protocol::bodies::stats::{ConsumeStats, ConsumeStatsList, OffsetWrapper};
use ringmq_protocol::bodies::topic::{TopicConfig, TopicList};
use ringmq_protocol::codes::response;
use ringmq_protocol::frame::ANSWER_BODY_MAX_BYTES;
use ringmq_protocol::headers::admin::{
    BrokerConsumeStatsRequest, ConsumeStatsRequest, GroupRequest, TopicRequest,
};
use ringmq_runtime::random::HashMap;
use ringmq_store::offsets;

use super::super::control::{Reaction, decode, json_answer};
use super::Parts;
use super::all_shards::{self, Progress, Queues, Whose};
use crate::outcome::Refusal;

/// Queues of one answer, those of each group counted: their text fills a frame of 16 MiB, and no
/// client takes a longer one. A topic has 65,535 at most.
const QUEUES_MAX: usize = 100_000;

/// GET_CONSUME_STATS: how far a group is in every queue of the topics it reads.
pub(super) fn of_group(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Reaction, Refusal> {
    let request: ConsumeStatsRequest<'_> = decode(command)?;
    let group = request.consumer_group.to_owned();
    let listed = request.topic_list.unwrap_or_default().split(';');
    let named = listed.chain(request.topic).map(str::trim).filter(|topic| !topic.is_empty());
    let named: BTreeSet<String> = named.map(str::to_owned).collect();
    let parts = Rc::clone(parts);
    Ok(Reaction::gathered(async move {
        let whose = Whose { group: Some(group.clone()), topic: None };
        let progress = all_shards::progress(&parts.data, whose).await;
        let mut topics = named;
        if topics.is_empty() {
            topics = topics_read(&parts, &group, &progress);
        }
        drop_unsubscribed(&parts, &group, &mut topics);
        json_answer(&stats_of(&parts, &topics, &progress, &group, QUEUES_MAX).await?)
    }))
}

/// Leaves out topics that the members of a group no longer subscribe to: its progress there stands
/// still, and what it is behind would grow for ever. All topics of a group without members stay.
fn drop_unsubscribed(parts: &Parts, group: &str, topics: &mut BTreeSet<String>) {
    if let Some(group) = parts.clients.groups().consumers(group)
        && group.subscriptions.iter().next().is_some()
    {
        topics.retain(|topic| group.subscriptions.get(topic).is_some());
    }
}

/// Topics that a group has progress in, which is `progress`, or that its members subscribed to.
fn topics_read(parts: &Parts, group: &str, progress: &[Progress]) -> BTreeSet<String> {
    let mut topics: BTreeSet<String> = progress.iter().map(|one| one.topic.clone()).collect();
    if let Some(group) = parts.clients.groups().consumers(group) {
        topics.extend(group.subscriptions.iter().map(|(topic, _)| topic.clone()));
    }
    topics
}

/// How far a group is in `topics`; `progress` is all of its own.
async fn stats_of(
    parts: &Parts,
    topics: &BTreeSet<String>,
    progress: &[Progress],
    group: &str,
    queues_max: usize,
) -> Result<ConsumeStats, Refusal> {
    let configs = configs_of(parts, topics, queues_max)?;
    let committed: Queues<i64> =
        progress.iter().map(|one| ((one.topic.clone(), one.queue_id), one.offset)).collect();
    let bounds = all_shards::bounds(&parts.data, topics.iter().cloned().collect()).await;
    // The time of the last message that was consumed tells how old the backlog is.
    let consumed = committed.iter().filter(|(_, offset)| **offset > 0);
    let consumed = consumed.map(|(queue, offset)| (queue.clone(), *offset - 1)).collect();
    let stored_at_ms = all_shards::stored_at_ms(&parts.data, consumed).await;

    let mut stats = ConsumeStats::default();
    for config in configs {
        let topic = &config.topic_name;
        for queue_id in 0..config.read_queue_nums {
            let key = (topic.clone(), queue_id);
            let consumer_offset = committed.get(&key).copied().unwrap_or(0);
            let held = bounds.get(&key).copied().unwrap_or_default();
            let queue = MessageQueue {
                broker_name: parts.broker_name().to_owned(),
                queue_id,
                topic: topic.clone(),
            };
            let offsets = OffsetWrapper {
                broker_offset: held.max,
                consumer_offset,
                last_timestamp: stored_at_ms.get(&key).copied().unwrap_or(0),
                pull_offset: consumer_offset,
            };
            stats.offset_table.insert(queue, offsets);
        }
        stats.consume_tps += parts.runtime.group_rate(topic, group);
    }
    Ok(stats)
}

/// The settings of topics, without those that are gone.
///
/// # Errors
/// They have more than `queues_max` queues, which is what groups before left of [`QUEUES_MAX`].
fn configs_of(
    parts: &Parts,
    topics: &BTreeSet<String>,
    queues_max: usize,
) -> Result<Vec<Arc<TopicConfig>>, Refusal> {
    let table = parts.directory.topics();
    let configs: Vec<_> = topics.iter().filter_map(|topic| table.get(topic).cloned()).collect();
    let queues = configs.iter().map(|config| u64::try_from(config.read_queue_nums).unwrap_or(0));
    if queues.sum::<u64>() > queues_max as u64 {
        let remark = format!(
            "more than {QUEUES_MAX} queues do not fit into an answer: ask for one group and a few \
             topics at a time"
        );
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    }
    Ok(configs)
}

fn by_group(progress: Vec<Progress>) -> HashMap<String, Vec<Progress>> {
    let mut by_group = HashMap::<_, Vec<_>>::default();
    for one in progress {
        by_group.entry(one.group.clone()).or_default().push(one);
    }
    by_group
}

/// GET_BROKER_CONSUME_STATS: the same for all groups. `isOrder` asks for groups that consume in
/// order; what tools get is every group that is, or is not, set up so.
pub(super) fn of_all(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Reaction, Refusal> {
    let is_order = decode::<BrokerConsumeStatsRequest>(command)?.is_order;
    let parts = Rc::clone(parts);
    Ok(Reaction::gathered(async move {
        let mut by_group = by_group(all_shards::progress(&parts.data, Whose::default()).await);
        let mut list = ConsumeStatsList {
            broker_addr: parts.directory.identity.address.clone(),
            ..ConsumeStatsList::default()
        };
        let groups: Vec<String> = {
            let groups = parts.directory.groups();
            let wanted = groups.iter().filter(|group| group.consume_message_orderly == is_order);
            wanted.map(|group| group.group_name.clone()).collect()
        };
        let mut queues_left = QUEUES_MAX;
        for group in groups {
            let progress = by_group.remove(&group).unwrap_or_default();
            let mut topics = topics_read(&parts, &group, &progress);
            drop_unsubscribed(&parts, &group, &mut topics);
            if topics.is_empty() {
                continue;
            }
            let stats = stats_of(&parts, &topics, &progress, &group, queues_left).await?;
            queues_left -= stats.offset_table.len();
            // Clients may claim any progress.
            list.total_diff = stats.offset_table.values().fold(list.total_diff, |sum, offsets| {
                sum.saturating_add(offsets.broker_offset.saturating_sub(offsets.consumer_offset))
            });
            list.consume_stats_list.push(BTreeMap::from([(group, vec![stats])]));
        }
        json_answer(&list)
    }))
}

/// GET_ALL_CONSUMER_OFFSET: the whole table, as a slave copies it. It is counted as its file counts
/// before it is copied, which is no less than an answer takes: 75,000 groups of four queues fit.
pub(super) fn table(parts: &Rc<Parts>) -> Reaction {
    let parts = Rc::clone(parts);
    Reaction::gathered(async move {
        let bytes = all_shards::progress_bytes(&parts.data).await;
        if bytes > ANSWER_BODY_MAX_BYTES {
            let remark = format!(
                "the offsets of all groups take {bytes} bytes, of which an answer holds \
                 {ANSWER_BODY_MAX_BYTES}: ask for one group at a time"
            );
            return Err(Refusal::new(response::SYSTEM_ERROR, remark));
        }
        let mut table = ConsumerOffsetTable {
            data_version: Some(parts.directory.topics().version()),
            ..ConsumerOffsetTable::default()
        };
        for one in all_shards::progress(&parts.data, Whose::default()).await {
            let key = offsets::key(&one.group, &one.topic);
            table.offset_table.entry(key).or_default().insert(one.queue_id, one.offset);
        }
        json_answer(&table)
    })
}

/// QUERY_TOPIC_CONSUME_BY_WHO: groups online or with progress.
pub(super) fn groups_of_topic(
    parts: &Rc<Parts>,
    command: &Command<'_>,
) -> Result<Reaction, Refusal> {
    let topic = decode::<TopicRequest<'_>>(command)?.topic.to_owned();
    let parts = Rc::clone(parts);
    Ok(Reaction::gathered(async move {
        let whose = Whose { group: None, topic: Some(topic.clone()) };
        let progress = all_shards::progress(&parts.data, whose).await;
        let mut groups: BTreeSet<String> = progress.into_iter().map(|one| one.group).collect();
        for (name, group) in parts.clients.groups().all_consumers() {
            if group.subscriptions.get(&topic).is_some() {
                groups.insert(name.clone());
            }
        }
        json_answer(&GroupList { group_list: groups.into_iter().collect() })
    }))
}

/// QUERY_TOPICS_BY_CONSUMER: topics that a group has progress in or subscribed to.
pub(super) fn topics_of_group(
    parts: &Rc<Parts>,
    command: &Command<'_>,
) -> Result<Reaction, Refusal> {
    let group = decode::<GroupRequest<'_>>(command)?.group.to_owned();
    let parts = Rc::clone(parts);
    Ok(Reaction::gathered(async move {
        let whose = Whose { group: Some(group.clone()), topic: None };
        let progress = all_shards::progress(&parts.data, whose).await;
        let topic_list = topics_read(&parts, &group, &progress).into_iter().collect();
        let broker_addr = Some(parts.directory.identity.address.clone());
        json_answer(&TopicList { broker_addr, topic_list })
    }))
}

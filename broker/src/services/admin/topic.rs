//! Topics for tools: create and change (17, 18), delete (215), list (21, 305), show (351), bounds
//! (202).

use std::collections::BTreeMap;
use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::bodies::stats::{TopicOffset, TopicStatsTable};
use ringmq_protocol::bodies::topic::{
    TopicConfig, TopicConfigList, TopicConfigTable, TopicFilterType, TopicList,
};
use ringmq_protocol::headers::admin::{AllTopicConfigRequest, CreateTopicRequest, TopicRequest};

use super::super::control::{Answer, Reaction, decode, json_answer, read_list};
use super::{Parts, all_shards};
use crate::outcome::Refusal;
use crate::topics::system;

pub(super) fn update(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Reaction, Refusal> {
    let request: CreateTopicRequest<'_> = decode(command)?;
    let filter_type = TopicFilterType::from_name(request.topic_filter_type);
    let topic = TopicConfig {
        topic_name: request.topic.to_owned(),
        read_queue_nums: request.read_queue_nums,
        write_queue_nums: request.write_queue_nums,
        perm: request.perm,
        topic_filter_type: filter_type.unwrap_or_default(),
        topic_sys_flag: request.topic_sys_flag.unwrap_or(0),
        order: request.order,
        attributes: BTreeMap::new(),
    };
    let edits = request.attributes.unwrap_or_default().to_owned();
    let bytes = size_of::<TopicConfig>() + topic.topic_name.len() + edits.len();
    Ok(update_all(parts, vec![(topic, edits)], bytes))
}

pub(super) fn update_list(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Reaction, Refusal> {
    let (list, bytes): (TopicConfigList, usize) = read_list(command)?;
    let with_edits = |topic: TopicConfig| {
        let edits: Vec<_> = topic.attributes.iter().map(|(k, v)| edit(k, v)).collect();
        (topic, edits.join(","))
    };
    let topics = list.topic_config_list.into_iter().map(with_edits).collect();
    Ok(update_all(parts, topics, bytes))
}

/// Lists carry attributes either as edits already (`+key`) or as plain pairs.
fn edit(key: &str, value: &str) -> String {
    if key.starts_with(['+', '-']) { format!("{key}={value}") } else { format!("+{key}={value}") }
}

fn update_all(parts: &Rc<Parts>, topics: Vec<(TopicConfig, String)>, bytes: usize) -> Reaction {
    let parts = Rc::clone(parts);
    Reaction::list(bytes, async move {
        parts.directory.update_topics(topics).await?;
        parts.registered().await;
        Ok(Answer::default())
    })
}

pub(super) fn delete(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Reaction, Refusal> {
    let topic = decode::<TopicRequest<'_>>(command)?.topic.to_owned();
    let parts = Rc::clone(parts);
    Ok(Reaction::later(async move {
        parts.directory.delete_topic(&topic).await?;
        Ok(Answer::default())
    }))
}

pub(super) fn all(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Answer, Refusal> {
    let request: AllTopicConfigRequest<'_> = decode(command)?;
    let all = parts.directory.topics();
    let mut table = all.lent();
    table.mapping_data_version = Some(Default::default());
    table.topic_queue_mapping_detail_map = Some(BTreeMap::new());
    table.topic_queue_mapping_info_map = Some(BTreeMap::new());
    let Some(first) = request.topic_seq else { return json_answer(&table) };
    let total = table.topic_config_table.len();
    let page = super::page::page(first, request.max_topic_num, total);
    let topics = table.topic_config_table.into_iter().skip(page.start).take(page.len());
    let page = TopicConfigTable { topic_config_table: topics.collect(), ..table };
    Ok(json_answer(&page)?.field("totalTopicNum", total))
}

pub(super) fn one(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Answer, Refusal> {
    let request: TopicRequest<'_> = decode(command)?;
    match parts.directory.topics().get(request.topic) {
        Some(topic) => json_answer(&**topic),
        None => Err(Refusal::no_topic(request.topic)),
    }
}

pub(super) fn system(parts: &Rc<Parts>) -> Result<Answer, Refusal> {
    let topic_list = system::names(&parts.directory.settings(), parts.broker_name());
    json_answer(&TopicList { broker_addr: None, topic_list })
}

/// Bounds of every queue, empty ones included: tools take an empty table for a topic that is not
/// there yet.
pub(super) fn stats(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Reaction, Refusal> {
    let topic = decode::<TopicRequest<'_>>(command)?.topic.to_owned();
    let Some(config) = parts.directory.topics().get(&topic).cloned() else {
        return Err(Refusal::no_topic(&topic));
    };
    let parts = Rc::clone(parts);
    Ok(Reaction::gathered(async move {
        let bounds = all_shards::bounds(&parts.data, vec![topic.clone()]).await;
        let queues = config.read_queue_nums.max(config.write_queue_nums);
        let mut table = TopicStatsTable::default();
        for queue_id in 0..queues {
            let held = bounds.get(&(topic.clone(), queue_id)).copied().unwrap_or_default();
            let broker_name = parts.broker_name().to_owned();
            let queue = MessageQueue { broker_name, queue_id, topic: topic.clone() };
            let offsets = TopicOffset {
                last_update_timestamp: held.last_stored_at_ms,
                max_offset: held.max,
                min_offset: held.min,
            };
            table.offset_table.insert(queue, offsets);
        }
        table.topic_put_tps = parts.runtime.topic_rate(&topic);
        json_answer(&table)
    }))
}

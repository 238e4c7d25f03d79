//! Who is connected: members of consumer groups (203, 345) and producer groups (204, 328).

use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_protocol::bodies::connection::{
    ClientConnection, ConsumerConnection, ProducerConnection, ProducerInfo, ProducerTable,
};
use ringmq_protocol::bodies::group::SubscriptionOfGroup;
use ringmq_protocol::codes::response;
use ringmq_protocol::headers::admin::{ProducerGroupRequest, TopicGroupRequest};
use ringmq_protocol::headers::client::ConsumerGroupRequest;
use ringmq_runtime::clock;

use super::super::control::{Answer, decode, json_answer};
use super::Parts;
use super::group::no_group;
use crate::groups::Client;
use crate::outcome::Refusal;

fn connection(client: &Client) -> ClientConnection {
    ClientConnection {
        client_addr: client.address.to_string(),
        client_id: client.id.clone(),
        language: client.language.to_owned(),
        version: client.version,
    }
}

pub(super) fn consumers(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Answer, Refusal> {
    let request: ConsumerGroupRequest<'_> = decode(command)?;
    let groups = parts.clients.groups();
    let Some(group) = groups.consumers(request.consumer_group) else {
        let remark = format!("the consumer group[{}] not online", request.consumer_group);
        return Err(Refusal::new(response::CONSUMER_NOT_ONLINE, remark));
    };
    let subscriptions = group.subscriptions.iter();
    json_answer(&ConsumerConnection {
        connection_set: group.members.values().map(|member| connection(&member.client)).collect(),
        consume_from_where: group.consume_from_where,
        consume_type: group.consume_type,
        message_model: group.message_model,
        subscription_table: subscriptions
            .map(|(topic, subscription)| (topic.clone(), (**subscription).clone()))
            .collect(),
    })
}

pub(super) fn producers(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Answer, Refusal> {
    let request: ProducerGroupRequest<'_> = decode(command)?;
    let groups = parts.clients.groups();
    let Some(group) = groups.producers(request.producer_group) else {
        let remark = format!("the producer group[{}] not exist", request.producer_group);
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    };
    let connection_set = group.values().map(|member| connection(&member.client)).collect();
    json_answer(&ProducerConnection { connection_set })
}

pub(super) fn all_producers(parts: &Rc<Parts>) -> Result<Answer, Refusal> {
    let (clock_ms, unix_ms) = (clock::monotonic_ms(), clock::unix_ms());
    let groups = parts.clients.groups();
    let mut table = ProducerTable::default();
    for (group, producers) in groups.all_producers() {
        let infos = producers.values().map(|member| ProducerInfo {
            client_id: member.client.id.clone(),
            language: member.client.language.to_owned(),
            last_update_timestamp: unix_ms
                .saturating_sub_unsigned(clock_ms.saturating_sub(member.seen_at_clock_ms)),
            remote_ip: format!("/{}", member.client.address),
            version: member.client.version,
        });
        table.data.insert(group.clone(), infos.collect());
    }
    json_answer(&table)
}

pub(super) fn subscription(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Answer, Refusal> {
    let request: TopicGroupRequest<'_> = decode(command)?;
    if parts.directory.groups().get(request.group).is_none() {
        return Err(no_group(request.group));
    }
    let groups = parts.clients.groups();
    let subscriptions = groups.consumers(request.group).map(|group| &group.subscriptions);
    let subscription = subscriptions.and_then(|all| all.get(request.topic));
    json_answer(&SubscriptionOfGroup {
        group: request.group.to_owned(),
        subscription_data: subscription.map(|one| (**one).clone()),
        topic: request.topic.to_owned(),
    })
}

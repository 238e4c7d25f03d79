//! Who is connected: members of consumer groups (203, 345) and producer groups (204, 328).

use std::collections::BTreeMap;
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

use super::super::control::{Answer, BodyRoom, decode, json_answer};
use super::Parts;
use super::group::no_group;
use crate::groups::{Client, Member};
use crate::outcome::Refusal;

/// Fewest bytes of a member in an answer besides its client id: names of fields, and quotes.
const MEMBER_MIN_BYTES: usize = 60;

/// What an answer says of members, in their order.
///
/// # Errors
/// No answer has room for all of them; the rest is not looked at.
fn list<'m, T>(
    members: impl Iterator<Item = &'m Member>,
    room: &mut BodyRoom,
    describe: impl Fn(&Member) -> T,
) -> Result<Vec<T>, Refusal> {
    let described = members.map(|member| {
        let bytes_min = MEMBER_MIN_BYTES + member.client.id.len();
        room.take(bytes_min).map(|()| describe(member))
    });
    described.collect()
}

/// The connections of members.
///
/// # Errors
/// As [`list`].
fn connections<'m>(
    members: impl Iterator<Item = &'m Member>,
    room: &mut BodyRoom,
) -> Result<Vec<ClientConnection>, Refusal> {
    list(members, room, |member| connection(&member.client))
}

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
    let mut room = BodyRoom::default();
    let connection_set = connections(group.members.values(), &mut room)?;
    let subscriptions = group.subscriptions.iter().map(|(topic, subscription)| {
        let bytes_min = topic.len() + subscription.sub_string.len();
        room.take(bytes_min).map(|()| (topic.clone(), (**subscription).clone()))
    });
    let subscription_table: BTreeMap<_, _> = subscriptions.collect::<Result<_, _>>()?;
    json_answer(&ConsumerConnection {
        connection_set,
        consume_from_where: group.consume_from_where,
        consume_type: group.consume_type,
        message_model: group.message_model,
        subscription_table,
    })
}

pub(super) fn producers(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Answer, Refusal> {
    let request: ProducerGroupRequest<'_> = decode(command)?;
    let groups = parts.clients.groups();
    let Some(group) = groups.producers(request.producer_group) else {
        let remark = format!("the producer group[{}] not exist", request.producer_group);
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    };
    let connection_set = connections(group.values(), &mut BodyRoom::default())?;
    json_answer(&ProducerConnection { connection_set })
}

pub(super) fn all_producers(parts: &Rc<Parts>) -> Result<Answer, Refusal> {
    let (clock_ms, unix_ms) = (clock::monotonic_ms(), clock::unix_ms());
    let groups = parts.clients.groups();
    let describe = |member: &Member| ProducerInfo {
        client_id: member.client.id.clone(),
        language: member.client.language.to_owned(),
        last_update_timestamp: unix_ms
            .saturating_sub_unsigned(clock_ms.saturating_sub(member.seen_at_clock_ms)),
        remote_ip: format!("/{}", member.client.address),
        version: member.client.version,
    };
    let (mut table, mut room) = (ProducerTable::default(), BodyRoom::default());
    for (group, producers) in groups.all_producers() {
        room.take(group.len())?;
        let infos = list(producers.values(), &mut room, describe)?;
        table.data.insert(group.clone(), infos);
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

#[cfg(test)]
mod tests {
    use std::iter;
    use std::net::{Ipv4Addr, SocketAddr};

    use ringmq_protocol::frame::ANSWER_BODY_MAX_BYTES;
    use ringmq_protocol::json;

    use super::*;
    use crate::groups::LiveGroups;
    use crate::link::ConnectionKey;

    /// The client whose entry in an answer is the shortest.
    fn shortest() -> Client {
        Client {
            id: "c".to_owned(),
            connection: ConnectionKey { shard: 0, id: 0 },
            address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            language: "",
            version: 0,
        }
    }

    #[test]
    fn a_list_is_made_no_further_than_an_answer_has_room() {
        let mut live = LiveGroups::default();
        live.producer_heartbeat("g", &shortest(), 0).expect("room");
        let member = live.producers("g").and_then(|group| group.values().next());
        let endless = iter::repeat(member.expect("a member"));
        let refused = list(endless, &mut BodyRoom::default(), |_| ()).expect_err("endless");
        assert!(refused.remark.contains(&ANSWER_BODY_MAX_BYTES.to_string()), "{refused:?}");
    }

    #[test]
    fn no_entry_of_a_list_is_shorter_than_the_room_that_it_takes() {
        let shortest = json::to_vec(&connection(&shortest())).len();
        assert!(shortest > MEMBER_MIN_BYTES, "{shortest}");
        let producer = json::to_vec(&ProducerInfo::default()).len();
        assert!(producer >= MEMBER_MIN_BYTES, "{producer}");
    }
}

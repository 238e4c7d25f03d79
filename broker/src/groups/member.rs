//! A client in a group, and what a group keeps: members, and of consumers what they ask for.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ringmq_protocol::bodies::heartbeat::{
    ConsumeFromWhere, ConsumeType, ConsumerData, MessageModel,
};

use super::Registered;
use super::subscriptions::Subscriptions;
use super::table::HasMembers;
use crate::link::ConnectionKey;

/// A client as its heartbeats describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name, unique among clients.
    pub id: String,
    /// The connection of its last heartbeat.
    pub connection: ConnectionKey,
    /// Its address.
    pub address: SocketAddr,
    /// Its language, as the wire names it.
    pub language: &'static str,
    /// Its version ordinal.
    pub version: i32,
}

/// One client in one group.
#[derive(Debug)]
pub struct Member {
    /// Who.
    pub client: Client,
    /// When it was last heard of.
    pub seen_at_clock_ms: u64,
    /// Fingerprint of the subscriptions it last sent in full; 0 when it sends them each time.
    pub(super) fingerprint: i32,
}

/// A group's members by client id.
pub type GroupMembers = BTreeMap<String, Member>;

/// A consumer group with members.
#[derive(Debug, Default)]
pub struct ConsumerGroup {
    /// How members get messages.
    pub consume_type: ConsumeType,
    /// How members share a topic.
    pub message_model: MessageModel,
    /// Where members start without progress.
    pub consume_from_where: ConsumeFromWhere,
    /// Who they are.
    pub members: GroupMembers,
    /// What they want to read.
    pub subscriptions: Subscriptions,
}

impl ConsumerGroup {
    /// Every member reads every queue.
    pub fn is_broadcasting(&self) -> bool {
        self.message_model == MessageModel::Broadcasting
    }

    /// Takes over what a member's heartbeat says of the group; `wanted`: its subscriptions, unless
    /// it was a short one.
    pub(super) fn take(
        &mut self,
        data: &ConsumerData,
        client_id: &str,
        fingerprint: i32,
        wanted: Option<Subscriptions>,
    ) -> Registered {
        let member = self.members.get_mut(client_id).expect("it is a member since this heartbeat");
        let Some(wanted) = wanted else {
            let wants_full = member.fingerprint != fingerprint;
            return Registered { wants_full, ..Registered::default() };
        };
        // A full form under another fingerprint than the stored one is news to the client too
        // (Apache's rule).
        let wants_full = member.fingerprint != 0 && member.fingerprint != fingerprint;
        member.fingerprint = fingerprint;

        let mut must_publish =
            self.consume_type != data.consume_type || self.message_model != data.message_model;
        self.consume_type = data.consume_type;
        self.message_model = data.message_model;
        self.consume_from_where = data.consume_from_where;
        let topics_changed = !wanted.has_topics_of(&self.subscriptions);
        if topics_changed || !wanted.has_versions_of(&self.subscriptions) {
            must_publish = true;
            self.subscriptions = wanted;
        }
        Registered { must_notify: topics_changed, must_publish, wants_full }
    }
}

impl HasMembers for ConsumerGroup {
    fn members(&self) -> &GroupMembers {
        &self.members
    }

    fn members_mut(&mut self) -> &mut GroupMembers {
        &mut self.members
    }

    fn bytes(&self) -> usize {
        self.subscriptions.bytes()
    }
}

/// A producer group has nothing but members.
impl HasMembers for GroupMembers {
    fn members(&self) -> &GroupMembers {
        self
    }

    fn members_mut(&mut self) -> &mut GroupMembers {
        self
    }

    fn bytes(&self) -> usize {
        0
    }
}

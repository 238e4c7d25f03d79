//! Requests of administration tools, dashboards and exporters, one file per subject.
//!
//! None of them is on a hot path: they take what they need, gather over the shards where messages
//! are concerned, and answer with bodies of their own.

mod all_shards;
mod change_progress;
mod config;
mod connection;
mod group;
mod page;
mod progress;
mod relay;
mod reset;
mod runtime;
mod stats;
mod topic;

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::Command;
use ringmq_protocol::codes::request;
use ringmq_runtime::sync::Turn;

use super::control::Reaction;
use crate::clients::Clients;
use crate::directory::Directory;
use crate::outcome::Refusal;
use crate::peer::Peer;
use crate::register::Registrar;
use crate::shard::DataPlane;

pub use runtime::RuntimeInfo;

/// Longest wait of a tool's request for the name servers to hear of its change: tools themselves
/// wait for 3 to 5 s. For one that does not answer only the first request waits.
const REGISTRATION_WAIT: Duration = Duration::from_secs(1);

/// The administration services of one broker.
pub struct Admin {
    parts: Rc<Parts>,
}

/// What administration works on.
pub(in crate::services) struct Parts {
    directory: Rc<Directory>,
    clients: Rc<Clients>,
    registrar: Rc<Registrar>,
    data: Rc<DataPlane>,
    runtime: Rc<RuntimeInfo>,
    /// For reading a message that a consumer is asked to consume.
    message_turn: Turn,
    /// For forgetting a group, which goes through the progress of all.
    forgetting_turn: Turn,
}

impl Admin {
    /// The services.
    pub fn new(
        directory: Rc<Directory>,
        clients: Rc<Clients>,
        registrar: Rc<Registrar>,
        data: Rc<DataPlane>,
        runtime: Rc<RuntimeInfo>,
    ) -> Self {
        let (message_turn, forgetting_turn) = (Turn::default(), Turn::default());
        let parts =
            Parts { directory, clients, registrar, data, runtime, message_turn, forgetting_turn };
        Self { parts: Rc::new(parts) }
    }

    /// Serves a request; codes that nobody serves are answered with REQUEST_CODE_NOT_SUPPORTED.
    pub fn react(&self, peer: &Peer, command: &Command<'_>) -> Reaction {
        let parts = &self.parts;
        match command.code {
            request::UPDATE_AND_CREATE_TOPIC => topic::update(parts, command).into(),
            request::UPDATE_AND_CREATE_TOPIC_LIST => topic::update_list(parts, command).into(),
            request::DELETE_TOPIC_IN_BROKER => topic::delete(parts, command).into(),
            request::GET_ALL_TOPIC_CONFIG => topic::all(parts, command).into(),
            request::GET_TOPIC_CONFIG => topic::one(parts, command).into(),
            request::GET_SYSTEM_TOPIC_LIST_FROM_BROKER => topic::system(parts).into(),
            request::GET_TOPIC_STATS_INFO => topic::stats(parts, command).into(),
            request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => group::update(parts, command).into(),
            request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => {
                group::update_list(parts, command).into()
            }
            request::DELETE_SUBSCRIPTIONGROUP => group::delete(parts, command).into(),
            request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => group::all(parts, command).into(),
            request::GET_SUBSCRIPTIONGROUP_CONFIG => group::one(parts, command).into(),
            request::UPDATE_AND_GET_GROUP_FORBIDDEN => group::forbidden(parts, command).into(),
            request::UPDATE_BROKER_CONFIG => config::update(parts, command).into(),
            request::GET_BROKER_CONFIG => config::get(parts).into(),
            request::GET_BROKER_RUNTIME_INFO => runtime::info(parts),
            request::VIEW_BROKER_STATS_DATA => stats::view(parts, command).into(),
            request::GET_CONSUMER_CONNECTION_LIST => connection::consumers(parts, command).into(),
            request::GET_PRODUCER_CONNECTION_LIST => connection::producers(parts, command).into(),
            request::GET_ALL_PRODUCER_INFO => connection::all_producers(parts).into(),
            request::QUERY_SUBSCRIPTION_BY_CONSUMER => {
                connection::subscription(parts, command).into()
            }
            request::QUERY_TOPIC_CONSUME_BY_WHO => progress::groups_of_topic(parts, command).into(),
            request::QUERY_TOPICS_BY_CONSUMER => progress::topics_of_group(parts, command).into(),
            request::GET_CONSUME_STATS => progress::of_group(parts, command).into(),
            request::GET_BROKER_CONSUME_STATS => progress::of_all(parts, command).into(),
            request::GET_ALL_CONSUMER_OFFSET => progress::table(parts),
            request::INVOKE_BROKER_TO_RESET_OFFSET => reset::reset(parts, command).into(),
            request::GET_CONSUMER_RUNNING_INFO => relay::running_info(parts, command).into(),
            request::CONSUME_MESSAGE_DIRECTLY => relay::consume_directly(parts, command).into(),
            code => Reaction::Now(Err(unsupported(peer, code))),
        }
    }
}

fn unsupported(peer: &Peer, code: i32) -> Refusal {
    tracing::debug!("{} asked for code {code}, which this broker does not serve", peer.peer_addr());
    Refusal::unsupported(code)
}

impl Parts {
    /// Gives the name servers a moment to hear of a change, so that a tool's next look finds it.
    async fn registered(&self) {
        self.registrar.settled(REGISTRATION_WAIT).await;
    }

    fn broker_name(&self) -> &str {
        &self.directory.identity.name
    }
}

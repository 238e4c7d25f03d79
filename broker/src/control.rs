//! What the data plane expects of the control plane.
//!
//! The control plane lives on shard 0 and is the only writer of topics, groups, memberships and
//! queue locks. A shard hands it every request that is not about the messages of a queue, and asks
//! it for topics and groups that it has not heard of.

use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_runtime::task::LocalFuture;

use crate::link::ConnectionKey;
use crate::outcome::Refusal;
use crate::peer::Peer;

/// A topic that a sender named and that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicWanted {
    /// Its name, valid by the rules of RocketMQ.
    pub name: String,
    /// The template that the sender named; empty when the broker itself wants the topic.
    pub template: String,
    /// Number of queues that the sender wants.
    pub queues: u32,
    /// Flags of units ([`topic_flag`](ringmq_protocol::names::topic_flag)).
    pub sys_flag: i32,
    /// Address of the sender, for the log.
    pub wanted_by: String,
}

/// The control plane, as the shard that runs it sees it.
pub trait ControlPlane: 'static {
    /// Answers a request of any code that the data plane does not serve; unknown codes get RC 3.
    /// Messages that Go clients send back get no answer.
    fn on_request(&self, peer: &Peer, command: &Command<'_>);

    /// A connection that sent a heartbeat or an unregistration was closed.
    fn on_connection_closed(&self, connection: ConnectionKey);

    /// Creates a topic for a send, or says why not. Resolves when the topic is on disk and
    /// published.
    fn topic_for_send(self: Rc<Self>, wanted: TopicWanted) -> LocalFuture<Result<(), Refusal>>;

    /// Creates a group for a pull, or says why not. Resolves when the group is published.
    fn group_for_pull(self: Rc<Self>, group: String) -> LocalFuture<Result<(), Refusal>>;

    /// A pull of the group named a newer version of its subscription than any heartbeat did.
    /// Members that send the short form may never name it again unless they are asked to. Without
    /// members there is nothing to do.
    fn subscription_is_old(&self, group: &str) {
        let _ = group;
    }

    /// All shards accept connections.
    fn on_ready(&self);

    /// The broker is about to stop: leave the name servers.
    fn stop(self: Rc<Self>) -> LocalFuture<()>;
}

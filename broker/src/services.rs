//! The requests that a shard serves itself, one file per family.
//!
//! A service gets the request and the log that it is about. One that answers at once also gets what
//! the shard knows ([`Local`](crate::shard::Local)) and its own state out of [`Services`]; one that
//! comes back later, from a task, a wake-up or another shard, gets the shard, since that is where
//! it comes back to.
//!
//! # Words for waiting
//! - A request is [*kept*](kept::Kept) when its frame is copied, to be executed later.
//! - A send *waits* in [`crate::waiters`] when it is in the log and not acknowledged yet.
//! - A send *stalls* in [`crate::logs`] when it is not in the log, for lack of room there.
//! - A send stands in a *line* of `creating.rs` until its topic exists; a request that reads
//!   the device stands in the line of the slow lane until it is its turn.
//! - A request for an answer over all queues or groups stands in the line of `gathered.rs`; one of
//!   the control plane that waits for the disk or for others is answered *later* (`later.rs`).
//! - A pull is *held* by [`pull::held`] when it found nothing; [`crate::hold`] *parks* its wish,
//!   without knowing that it is a pull, until a message or its deadline comes.
//! - A pull is read *later*, in the slow lane, when its messages are on the device only, or readers
//!   behind it go first.
//! - A shard is *congested* towards another ([`crate::link`]) while messages to it find no room in
//!   the mesh; then the *gate* of `inbound.rs` is closed and connections are not read.

pub mod admin;
pub mod control;
pub mod gathered;
pub mod heartbeat;
pub(crate) mod kept;
pub mod later;
pub mod lock;
pub mod offset;
pub mod produce;
pub mod pull;
pub mod query;
pub mod send_back;
mod slow;
pub mod stamp;
mod turns;

use std::net::SocketAddr;
use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_protocol::codes::request;
use ringmq_remoting::ReplyTo;

use crate::logs::OwnedLog;
use crate::outcome::Refusal;
use crate::peer::Peer;
use crate::shard::DataPlane;

/// State that services keep on one shard.
pub struct Services {
    /// Sending.
    pub produce: produce::Produce,
    /// Pulling.
    pub pull: pull::Pull,
    /// What reads the device.
    pub(crate) slow: slow::SlowLane,
    /// Address under which clients reach this broker: part of message ids.
    pub store_host: SocketAddr,
}

impl Services {
    /// The services of a shard of the broker that clients reach at `store_host`.
    pub fn new(store_host: SocketAddr, shard: usize) -> Self {
        Self {
            produce: produce::Produce::new(store_host, shard),
            pull: pull::Pull::default(),
            slow: slow::SlowLane::default(),
            store_host,
        }
    }
}

/// A request as it arrived, and who asks.
#[derive(Clone, Copy)]
pub struct Request<'a, 'f> {
    /// Who asks.
    pub peer: &'a Peer,
    /// What is asked.
    pub command: &'a Command<'f>,
    /// All of the request's bytes with their length word.
    pub frame: &'a [u8],
}

impl Request<'_, '_> {
    /// Where the answer goes.
    pub fn to(&self) -> ReplyTo {
        ReplyTo::of(self.command)
    }

    /// Answers with a refusal.
    pub fn refuse(&self, refusal: &Refusal) {
        self.peer.refuse(&self.to(), refusal);
    }
}

/// Serves a request that is about one log of this shard.
pub(crate) fn serve_log(data: &Rc<DataPlane>, owned: &Rc<OwnedLog>, request: Request<'_, '_>) {
    match request.command.code {
        code if produce::is_send(code) => {
            produce::serve(&data.local, &data.services().produce, owned, request);
        }
        request::PULL_MESSAGE | request::LITE_PULL_MESSAGE => pull::serve(data, owned, request),
        request::VIEW_MESSAGE_BY_ID => query::view_by_position(data, owned, request),
        _ => offset::serve(data, owned, request),
    }
}

/// Serves a request that is not about one log, or that does not say which.
pub(crate) fn serve(data: &Rc<DataPlane>, request: Request<'_, '_>) {
    let command = request.command;
    let refusal = match command.code {
        request::QUERY_MESSAGE => return query::by_key(data, request),
        code if produce::is_send(code) => produce::explain_malformed(command),
        request::PULL_MESSAGE | request::LITE_PULL_MESSAGE => pull::explain_malformed(command),
        request::VIEW_MESSAGE_BY_ID => query::explain_malformed(command),
        _ => offset::explain_malformed(command),
    };
    request.refuse(&refusal);
}

/// The refusal of a request whose header does not decode; `decoded` says what is wrong with it.
pub(crate) fn malformed<T, E: std::fmt::Display>(decoded: Result<T, E>) -> Refusal {
    match decoded {
        Ok(_) => Refusal::malformed("the request does not say which queue it is about"),
        Err(error) => Refusal::malformed(error),
    }
}

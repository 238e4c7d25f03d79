//! The requests that a shard serves itself, one file per family.
//!
//! Each service gets what it uses: the request, the log that the request is about, the view, and
//! its own state out of [`Services`].

pub mod admin;
pub mod control;
pub mod heartbeat;
pub mod lock;
pub mod offset;
pub mod produce;
pub mod pull;
pub mod query;
mod slow;
pub mod stamp;

use std::net::SocketAddr;
use std::rc::Rc;

use ringmq_protocol::codes::request;
use ringmq_protocol::{Command, frame};
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

/// Serves a request that is about one log of this shard.
pub(crate) fn serve_log(
    data: &Rc<DataPlane>,
    owned: &Rc<OwnedLog>,
    peer: &Peer,
    command: &Command<'_>,
    frame: &[u8],
) {
    match command.code {
        request::SEND_MESSAGE | request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE => {
            produce::serve(data, owned, peer, command, frame);
        }
        request::PULL_MESSAGE | request::LITE_PULL_MESSAGE => {
            pull::serve(data, owned, peer, command, frame);
        }
        request::VIEW_MESSAGE_BY_ID => query::view_by_position(data, owned, peer, command),
        _ => offset::serve(data, owned, peer, command),
    }
}

/// Serves a request that is not about one log, or that does not say which.
pub(crate) fn serve(data: &Rc<DataPlane>, peer: &Peer, command: &Command<'_>) {
    let refusal = match command.code {
        request::QUERY_MESSAGE => return query::by_key(data, peer, command),
        request::SEND_MESSAGE | request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE => {
            produce::explain_malformed(command)
        }
        request::PULL_MESSAGE | request::LITE_PULL_MESSAGE => pull::explain_malformed(command),
        request::VIEW_MESSAGE_BY_ID => query::explain_malformed(command),
        _ => offset::explain_malformed(command),
    };
    peer.refuse(&ReplyTo::of(command), &refusal);
}

/// Reads a frame that was kept, and lends its command.
pub(crate) fn with_command<R>(frame: &[u8], use_it: impl FnOnce(&Command<'_>) -> R) -> R {
    let cut = frame::cut(frame, frame.len()).expect("a kept frame was cut before");
    let (frame, _) = cut.expect("a kept frame is whole");
    use_it(&Command::parse(frame).expect("a kept header was parsed before"))
}

/// The refusal of a request whose header does not decode; `decoded` says what is wrong with it.
pub(crate) fn malformed<T, E: std::fmt::Display>(decoded: Result<T, E>) -> Refusal {
    match decoded {
        Ok(_) => Refusal::malformed("the request does not say which queue it is about"),
        Err(error) => Refusal::malformed(error),
    }
}

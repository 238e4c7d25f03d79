//! Look-ups of single messages: by key (12) and by physical offset (33).
//!
//! A key may be in any log, since the queues of a topic spread over all of them: every shard searches its own, and
//! the shard that got the request puts the results together.

use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_protocol::headers::query::{
    QueryMessageRequest, QueryMessageResponse, ViewMessageRequest,
};
use ringmq_protocol::{Command, Header};
use ringmq_remoting::ReplyTo;
use ringmq_runtime::task;
use ringmq_store::{KeyQuery, LogPosition};

use crate::logs::OwnedLog;
use crate::outcome::Refusal;
use crate::peer::Peer;
use crate::shard::DataPlane;

/// Most bytes of messages in one answer: frames end at 16 MiB.
const ANSWER_MAX_BYTES: usize = 8 << 20;

/// Why a request for a message by position cannot be placed.
pub fn explain_malformed(command: &Command<'_>) -> Refusal {
    match ViewMessageRequest::decode(&command.fields) {
        Ok(header) => no_message(header.offset),
        Err(error) => Refusal::malformed(error),
    }
}

fn no_message(offset: i64) -> Refusal {
    Refusal::new(
        response::SYSTEM_ERROR,
        format!("no message starts at offset {offset}; it may have expired"),
    )
}

/// Answers with the message at a physical offset.
pub fn view_by_position(
    _data: &Rc<DataPlane>,
    owned: &Rc<OwnedLog>,
    peer: &Peer,
    command: &Command<'_>,
) {
    let to = ReplyTo::of(command);
    let header = match ViewMessageRequest::decode(&command.fields) {
        Ok(header) => header,
        Err(error) => return peer.refuse(&to, &Refusal::malformed(error)),
    };
    let offset = header.offset;
    let Some(position) = LogPosition::from_wire(offset) else {
        return peer.refuse(&to, &no_message(offset));
    };
    let (owned, peer) = (Rc::clone(owned), peer.clone());
    let look = async move {
        match owned.log.record_at(position).await {
            Ok(Some(record)) => peer.reply(&to, response::SUCCESS, None, &(), &record),
            Ok(None) => peer.refuse(&to, &no_message(offset)),
            Err(error) => peer.refuse(&to, &Refusal::failed(&error)),
        }
    };
    task::spawn("message by offset", look).detach();
}

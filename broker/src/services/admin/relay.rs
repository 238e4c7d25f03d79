//! Requests that a consumer answers, passed on by its broker: its state (307), consume this message
//! now (309).

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::Command;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::fields::OwnedFields;
use ringmq_protocol::headers::client::{ConsumeDirectlyRequest, ConsumerRunningInfoRequest};
use ringmq_protocol::ids::OffsetMessageId;
use ringmq_remoting::CallError;

use super::super::control::{Answer, Reaction, decode};
use super::{Parts, all_shards};
use crate::outcome::Refusal;
use crate::peer::Peer;

/// Longest wait for the consumer's answer (Apache: `Broker2Client`).
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Clients before 3.1.8 do not know these requests.
const VERSION_MIN: i32 = 62;

/// Text of all header fields that is passed on. Written again it may take six times the room, and a
/// header ends at 16 MiB.
const FIELDS_MAX_BYTES: usize = 64 << 10;

pub(super) fn running_info(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Reaction, Refusal> {
    let request: ConsumerRunningInfoRequest<'_> = decode(command)?;
    let (group, client) = (request.consumer_group.to_owned(), request.client_id.to_owned());
    let fields = fields_of(command)?;
    let parts = Rc::clone(parts);
    Ok(Reaction::relayed(async move {
        let code = request::GET_CONSUMER_RUNNING_INFO;
        pass_on(&parts, &group, &client, code, fields, Vec::new()).await
    }))
}

pub(super) fn consume_directly(
    parts: &Rc<Parts>,
    command: &Command<'_>,
) -> Result<Reaction, Refusal> {
    let request: ConsumeDirectlyRequest<'_> = decode(command)?;
    let group = request.consumer_group.to_owned();
    let client = request.client_id.unwrap_or_default().to_owned();
    let position = request.msg_id.and_then(|id| id.parse::<OffsetMessageId>().ok());
    let Some(position) = position else {
        let id = request.msg_id.unwrap_or_default();
        let remark = format!("\"{id}\" is not the offset id of a message");
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    };
    let fields = fields_of(command)?;
    let parts = Rc::clone(parts);
    Ok(Reaction::relayed(async move {
        member(&parts, &group, &client)?;
        // One message of up to `maxMessageSize` at a time is read for all who ask.
        let turn = parts.message_turn.enter().await;
        let message = all_shards::message_at(&parts.data, position.physical_offset).await;
        drop(turn);
        let Some(message) = message else {
            let remark = "the message of that id is not in this broker's store";
            return Err(Refusal::new(response::SYSTEM_ERROR, remark));
        };
        pass_on(&parts, &group, &client, request::CONSUME_MESSAGE_DIRECTLY, fields, message).await
    }))
}

fn fields_of(command: &Command<'_>) -> Result<OwnedFields, Refusal> {
    let bytes = command.fields.text_bytes();
    if bytes > FIELDS_MAX_BYTES {
        return Err(Refusal::invalid_parameter(format!(
            "the header has {bytes} bytes, at most {FIELDS_MAX_BYTES} are passed on to a consumer"
        )));
    }
    Ok((&command.fields).into())
}

/// The member of a group that can be asked.
fn member(parts: &Parts, group: &str, client: &str) -> Result<Peer, Refusal> {
    let Some((peer, version)) = parts.clients.consumer(group, client) else {
        let remark = format!("The Consumer <{group}> <{client}> not online");
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    };
    if version < VERSION_MIN {
        let remark = format!("The Consumer <{client}> of version {version} cannot be asked this");
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    }
    Ok(peer)
}

/// Sends a request to a member of a group and relays its answer.
async fn pass_on(
    parts: &Parts,
    group: &str,
    client: &str,
    code: i32,
    fields: OwnedFields,
    body: Vec<u8>,
) -> Result<Answer, Refusal> {
    let peer = member(parts, group, client)?;
    match peer.call(code, fields, body, ANSWER_WAIT).await {
        Ok(answer) if answer.code() == response::SUCCESS => {
            Answer::with_body(answer.body().to_vec())
        }
        Ok(answer) => {
            let remark = answer.command().remark().unwrap_or_default().to_owned();
            Err(Refusal::new(answer.code(), remark))
        }
        Err(error @ CallError::Timeout { .. }) => {
            let remark = format!("The Consumer <{group}> <{client}>: {error}");
            Err(Refusal::new(response::CONSUME_MSG_TIMEOUT, remark))
        }
        Err(error) => {
            let remark = format!("The Consumer <{group}> <{client}>: {error}");
            Err(Refusal::new(response::SYSTEM_ERROR, remark))
        }
    }
}

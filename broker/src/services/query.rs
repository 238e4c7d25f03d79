//! Look-ups of single messages: by key (12) and by physical offset (33).
//!
//! A key may be in any log, since the queues of a topic spread over all of them: every shard
//! searches its own, and the shard that got the request puts the results together.

use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_protocol::headers::query::{
    QueryMessageRequest, QueryMessageResponse, ViewMessageRequest,
};
use ringmq_protocol::{Command, Header};
use ringmq_remoting::ReplyTo;
use ringmq_runtime::buffer::Shared;
use ringmq_runtime::clock;
use ringmq_store::{KeyQuery, LogPosition, Piece};

use crate::logs::OwnedLog;
use crate::outcome::Refusal;
use crate::peer::Peer;
use crate::services::slow;
use crate::shard::DataPlane;

/// Most bytes of messages in one answer: frames end at 16 MiB.
const ANSWER_MAX_BYTES: usize = 8 << 20;

/// Most messages of one answer, whatever is asked for.
const COUNT_MAX: usize = 1024;

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
    data: &Rc<DataPlane>,
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
    let (owned, peer, asker) = (Rc::clone(owned), peer.clone(), peer.clone());
    let look = async move {
        match owned.log.record_at(position).await {
            Ok(Some(record)) => {
                let mut pieces = vec![Piece::Memory(record)];
                peer.reply_pieces(&to, response::SUCCESS, None, &(), &mut pieces);
            }
            Ok(None) => peer.refuse(&to, &no_message(offset)),
            Err(error) => peer.refuse(&to, &Refusal::failed(&error)),
        }
    };
    slow::run(data, &asker, &to, frame_bytes(command), |_| look);
}

/// Answers with the messages of a topic that carry a key, the newest of each log first.
pub fn by_key(data: &Rc<DataPlane>, peer: &Peer, command: &Command<'_>) {
    let to = ReplyTo::of(command);
    let header = match QueryMessageRequest::decode(&command.fields) {
        Ok(header) => header,
        Err(error) => return peer.refuse(&to, &Refusal::malformed(error)),
    };
    let is_unique = header.unique_key_query || header.index_type == Some("U");
    let count_max = if is_unique {
        data.view().settings().default_query_max_num as usize
    } else {
        usize::try_from(header.max_num).unwrap_or(0).min(COUNT_MAX)
    };
    let wanted = Wanted {
        topic: header.topic.to_owned(),
        key: header.key.to_owned(),
        from_ms: header.begin_timestamp_ms,
        until_ms: header.end_timestamp_ms,
        count_max,
    };
    let (asker, peer) = (peer.clone(), peer.clone());
    let search = move |data: Rc<DataPlane>| async move {
        let search = move |data| search_shard(data, wanted.clone());
        let found: Result<Vec<_>, String> = data.on_all_shards(search).await.into_iter().collect();
        match found {
            Ok(found) => answer(&peer, &to, found.into_iter().flatten(), count_max),
            Err(problem) => peer.refuse(&to, &Refusal::failed(problem)),
        }
    };
    slow::run(data, &asker, &to, frame_bytes(command), search);
}

/// About what a look-up holds while it is in line.
fn frame_bytes(command: &Command<'_>) -> usize {
    command.fields.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// What is searched for.
#[derive(Clone)]
struct Wanted {
    topic: String,
    key: String,
    from_ms: i64,
    until_ms: i64,
    count_max: usize,
}

async fn search_shard(data: Rc<DataPlane>, wanted: Wanted) -> Result<Vec<Shared>, String> {
    let mut found = Vec::new();
    for owned in data.logs() {
        let query = KeyQuery {
            topic: &wanted.topic,
            key: &wanted.key,
            from_ms: wanted.from_ms,
            until_ms: wanted.until_ms,
            count: wanted.count_max,
        };
        let records = owned.log.query_by_key(query).await;
        found.extend(records.map_err(|error| error.to_string())?);
    }
    Ok(found)
}

fn answer(peer: &Peer, to: &ReplyTo, found: impl Iterator<Item = Shared>, count_max: usize) {
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    for record in found.take(count_max) {
        bytes += record.len();
        if !pieces.is_empty() && bytes > ANSWER_MAX_BYTES {
            break;
        }
        pieces.push(Piece::Memory(record));
    }
    if pieces.is_empty() {
        let remark = "no message of this topic and time carries the key";
        return peer.refuse(to, &Refusal::new(response::QUERY_NOT_FOUND, remark));
    }
    let header = QueryMessageResponse {
        index_last_update_timestamp_ms: clock::unix_ms(),
        index_last_update_physical_offset: 0,
    };
    peer.reply_pieces(to, response::SUCCESS, None, &header, &mut pieces);
}

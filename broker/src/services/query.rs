//! Look-ups of single messages: by key (12) and by physical offset (33).
//!
//! A key may be in any log, since the queues of a topic spread over all of them: every shard
//! searches its own, and the shard that got the request puts the results together.

use std::cmp::Reverse;
use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_protocol::headers::query::{
    QueryMessageRequest, QueryMessageResponse, ViewMessageRequest,
};
use ringmq_protocol::record::Record;
use ringmq_protocol::{Command, Header};
use ringmq_runtime::buffer::Shared;
use ringmq_runtime::clock;
use ringmq_store::{KeyQuery, LogPosition, Piece};

use crate::logs::OwnedLog;
use crate::outcome::Refusal;
use crate::services::control::decode;
use crate::services::{Request, slow};
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
pub fn view_by_position(data: &Rc<DataPlane>, owned: &Rc<OwnedLog>, request: Request<'_, '_>) {
    let offset = match decode::<ViewMessageRequest<'_>>(request.command) {
        Ok(header) => header.offset,
        Err(refusal) => return request.refuse(&refusal),
    };
    let owned = Rc::clone(owned);
    slow::answer(data, request, move |_| async move {
        let position = LogPosition::from_wire(offset).ok_or_else(|| no_message(offset))?;
        let found = owned.log.record_at(position).await.map_err(Refusal::failed)?;
        let record = found.ok_or_else(|| no_message(offset))?;
        Ok(((), vec![Piece::Memory(record)]))
    });
}

/// Answers with the messages of a topic that carry a key, the newest of each log first.
pub fn by_key(data: &Rc<DataPlane>, request: Request<'_, '_>) {
    let header: QueryMessageRequest<'_> = match decode(request.command) {
        Ok(header) => header,
        Err(refusal) => return request.refuse(&refusal),
    };
    let is_unique = header.unique_key_query || header.index_type == Some("U");
    let count_max = if is_unique {
        data.local.view().settings().default_query_max_num as usize
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
    slow::answer(data, request, move |data: Rc<DataPlane>| async move {
        let search = move |data| search_shard(data, wanted.clone());
        let found: Result<Vec<_>, String> = data.on_all_shards(search).await.into_iter().collect();
        let found = found.map_err(Refusal::failed)?;
        answer(newest_first(found).into_iter().take(count_max))
    });
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
    for owned in data.local.logs() {
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

/// What all shards found, the newest first, whichever log it is of: what lies beyond the count that
/// was asked for is left out.
fn newest_first(found: Vec<Vec<Shared>>) -> Vec<Shared> {
    let mut all: Vec<Shared> = found.into_iter().flatten().collect();
    let stored_ms =
        |bytes: &Shared| Record::parse(bytes).expect("look-ups prove records").stored_at_ms;
    all.sort_by_cached_key(|bytes| Reverse(stored_ms(bytes)));
    all
}

fn answer(
    found: impl Iterator<Item = Shared>,
) -> Result<(QueryMessageResponse, Vec<Piece>), Refusal> {
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    for record in found {
        bytes += record.len();
        if !pieces.is_empty() && bytes > ANSWER_MAX_BYTES {
            break;
        }
        pieces.push(Piece::Memory(record));
    }
    if pieces.is_empty() {
        let remark = "no message of this topic and time carries the key";
        return Err(Refusal::new(response::QUERY_NOT_FOUND, remark));
    }
    let header = QueryMessageResponse {
        index_last_update_timestamp_ms: clock::unix_ms(),
        index_last_update_physical_offset: 0,
    };
    Ok((header, pieces))
}

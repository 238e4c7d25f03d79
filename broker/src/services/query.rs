//! Look-ups of single messages: by key (12) and by physical offset (33).
//!
//! A key may be in any log, since the queues of a topic spread over all of them: the shard that got
//! the request has one log after the other searched where it is, and keeps the newest of what they
//! find.

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
use ringmq_store::{KeyFound, KeyLimits, KeyQuery, LogPosition, Piece};

use crate::logs::OwnedLog;
use crate::outcome::Refusal;
use crate::services::control::decode;
use crate::services::{Request, slow};
use crate::shard::DataPlane;

/// Most bytes of messages in one answer: frames end at 16 MiB.
const FOUND_MAX_BYTES: usize = 8 << 20;

/// Most reads of one look-up by key, over all logs: a run of the key index each, or a message. They
/// reach back over 250 million messages with two keys, and take two seconds of a device that is
/// asked for one at a time.
const READS_MAX: usize = 16 << 10;

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

/// Answers with the messages of a topic that carry a key, the newest first.
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
    slow::answer_with_remark(data, request, move |data: Rc<DataPlane>| async move {
        answer(search(&data, wanted).await.map_err(Refusal::failed)?)
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

/// Searches one log after the other, so that a request never holds more than what it answers with
/// and what one log found.
async fn search(data: &Rc<DataPlane>, mut wanted: Wanted) -> Result<Newest, String> {
    let placement = data.local.placement;
    let mut newest = Newest::default();
    let mut reads_left = READS_MAX;
    for id in 0..placement.logs() {
        let shard = placement.shard_of_log(id);
        // What a log does not need the others have.
        let limits =
            KeyLimits { bytes: FOUND_MAX_BYTES, reads: reads_left / (placement.logs() - id) };
        let (is_visit, part) = (shard != data.shard(), wanted.clone());
        let found = data.on_shard(shard, move |data: Rc<DataPlane>| async move {
            let searching = search_log(&data, id, &part, limits);
            match is_visit {
                true => data.services().slow.visit(searching).await,
                false => searching.await,
            }
        });
        let Some(found) = found.await? else { continue };
        reads_left -= found.reads;
        newest.add(found, wanted.count_max);
        if let Some(oldest_ms) = newest.full_from_ms {
            wanted.from_ms = wanted.from_ms.max(oldest_ms);
        }
    }
    Ok(newest)
}

async fn search_log(
    data: &DataPlane,
    id: usize,
    wanted: &Wanted,
    limits: KeyLimits,
) -> Result<Option<KeyFound>, String> {
    let Some(owned) = data.local.log(id) else { return Ok(None) };
    let query = KeyQuery {
        topic: &wanted.topic,
        key: &wanted.key,
        from_ms: wanted.from_ms,
        until_ms: wanted.until_ms,
        count: wanted.count_max,
        limits,
    };
    owned.log.query_by_key(query).await.map(Some).map_err(|error| error.to_string())
}

/// The newest messages of the logs that were searched, whichever log they are of.
#[derive(Default)]
struct Newest {
    /// As many as are asked for and fit, the newest first.
    records: Vec<Shared>,
    /// Store time of the oldest of them when there is no room for older ones.
    full_from_ms: Option<i64>,
    /// Store time of the newest message that was not looked at, when the reads did not suffice.
    unread_ms: Option<i64>,
    /// Why some of a log could not be read.
    problem: Option<String>,
}

impl Newest {
    /// Adds what a log found; what has no room in an answer is left out.
    fn add(&mut self, found: KeyFound, count_max: usize) {
        let stored_at_ms =
            |bytes: &Shared| Record::parse(bytes).expect("look-ups prove records").stored_at_ms;
        self.unread_ms = self.unread_ms.max(found.unread_ms);
        self.problem = self.problem.take().or(found.problem);
        self.records.extend(found.records);
        self.records.sort_by_cached_key(|bytes| Reverse(stored_at_ms(bytes)));
        let mut bytes = 0;
        let fit = self.records.iter().take(count_max).take_while(|record| {
            let is_first = bytes == 0;
            bytes += record.len();
            is_first || bytes <= FOUND_MAX_BYTES
        });
        let fit = fit.count();
        let is_full = fit == count_max || fit < self.records.len();
        self.records.truncate(fit);
        self.full_from_ms = self.records.last().map(stored_at_ms).filter(|_| is_full);
    }
}

fn answer(newest: Newest) -> Result<slow::Answer<QueryMessageResponse>, Refusal> {
    // What is older than a full answer nobody misses.
    let full_from_ms = newest.full_from_ms;
    let is_missed = |unread_ms: &_| full_from_ms.is_none_or(|from_ms| from_ms <= *unread_ms);
    let remark = newest.unread_ms.filter(is_missed).map(|unread_ms| {
        format!(
            "the look-up ended after as many reads as it may take, before it came to messages \
             stored at {unread_ms}: ask again for the time up to then"
        )
    });
    let left_out = newest
        .problem
        .as_ref()
        .map(|problem| format!("messages that may carry the key are left out: {problem}"));
    let remark = remark.or(left_out);
    if newest.records.is_empty() {
        // What is not there and what cannot be read are two answers.
        if let Some(problem) = newest.problem {
            return Err(Refusal::failed(problem));
        }
        let remark = remark
            .unwrap_or_else(|| "no message of this topic and time carries the key".to_owned());
        return Err(Refusal::new(response::QUERY_NOT_FOUND, remark));
    }
    let header = QueryMessageResponse {
        index_last_update_timestamp_ms: clock::unix_ms(),
        index_last_update_physical_offset: 0,
    };
    let pieces = newest.records.into_iter().map(Piece::Memory).collect();
    Ok(slow::Answer { header, pieces, remark })
}

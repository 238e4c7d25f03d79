//! The few commands that bench speaks, without a client library between it and the socket: what is
//! measured is the broker.

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::error::{CommandError, FrameError};
use ringmq_protocol::frame::{self, FRAME_SIZE_MAX_BYTES};
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_protocol::headers::send::{SendRequest, SendResponse};
use ringmq_protocol::names::TEMPLATE_TOPIC;
use ringmq_protocol::properties::{ENTRY_SEPARATOR, NAME_VALUE_SEPARATOR, keys};
use ringmq_protocol::{Command, Header, RequestHead, SerializeType, write_request};
use ringmq_runtime::clock;
use thiserror::Error;

/// Producer and consumer group of bench.
pub const GROUP: &str = "bench";

/// Longest hold of a pull that finds nothing.
const SUSPEND_MS: i64 = 1_000;

/// Bytes that are not the protocol.
#[derive(Debug, Error)]
pub enum WireError {
    /// Not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that is not a command.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// Everything about a send but its number and body.
#[derive(Clone, Debug)]
pub struct SendTemplate {
    /// Topic.
    pub topic: String,
    /// Queues to send to, one after the other.
    pub queues: Vec<i32>,
    /// Bytes of one body.
    pub body_size: usize,
    /// Form of the header.
    pub serialize: SerializeType,
}

impl SendTemplate {
    /// Appends the request for message `sequence` of `lane` to `out`.
    pub fn write(&self, out: &mut Vec<u8>, lane: u32, sequence: u64, opaque: u32, body: &[u8]) {
        let mut text = [0; PROPERTIES_SIZE_BYTES];
        let queue = (u64::from(lane) + sequence) % self.queues.len() as u64;
        let header = SendRequest {
            producer_group: GROUP,
            topic: &self.topic,
            default_topic: TEMPLATE_TOPIC,
            default_topic_queue_nums: 4,
            queue_id: self.queues[queue as usize],
            sys_flag: 0,
            born_at_ms: clock::unix_ms(),
            flag: 0,
            properties: Some(properties(&mut text, lane, sequence)),
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: None,
            batch: false,
            broker_name: None,
        };
        let head = RequestHead {
            serialize: self.serialize,
            code: request::SEND_MESSAGE_V2,
            opaque: i32::try_from(opaque).expect("slots are few"),
            oneway: false,
            remark: None,
        };
        write_request(out, head, &header, body);
    }
}

/// `UNIQ_KEY` with 32 digits, as a client's message has.
const PROPERTIES_SIZE_BYTES: usize = keys::UNIQUE_KEY.len() + 1 + 32 + 1;

/// Writes a property list with a unique key made of lane and sequence.
fn properties(text: &mut [u8; PROPERTIES_SIZE_BYTES], lane: u32, sequence: u64) -> &str {
    let name = keys::UNIQUE_KEY.as_bytes();
    text[..name.len()].copy_from_slice(name);
    text[name.len()] = NAME_VALUE_SEPARATOR;
    let number = u128::from(lane) << 64 | u128::from(sequence);
    for (index, digit) in text[name.len() + 1..PROPERTIES_SIZE_BYTES - 1].iter_mut().enumerate() {
        let nibble = (number >> (4 * (31 - index))) & 15;
        *digit = b"0123456789ABCDEF"[nibble as usize];
    }
    text[PROPERTIES_SIZE_BYTES - 1] = ENTRY_SEPARATOR;
    std::str::from_utf8(text).expect("all bytes are ASCII")
}

/// Where the broker put a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Queue.
    pub queue_id: u32,
    /// Offset in the queue.
    pub queue_offset: u64,
}

/// The answer to a send.
#[derive(Debug)]
pub struct SendAnswer {
    /// The request's number.
    pub opaque: i32,
    /// Where it is, or what went wrong in a few words.
    pub outcome: Result<Stored, String>,
}

impl SendAnswer {
    /// Reads an answer.
    pub fn read(command: &Command<'_>) -> Self {
        Self { opaque: command.opaque, outcome: stored(command) }
    }
}

fn stored(command: &Command<'_>) -> Result<Stored, String> {
    if command.code != response::SUCCESS {
        return Err(describe(command));
    }
    let header = SendResponse::decode(&command.fields).map_err(|error| error.to_string())?;
    let queue_id = u32::try_from(header.queue_id).map_err(|_| "negative queueId")?;
    let queue_offset = u64::try_from(header.queue_offset).map_err(|_| "negative queueOffset")?;
    Ok(Stored { queue_id, queue_offset })
}

/// Name of the code, with the remark.
pub fn describe(command: &Command<'_>) -> String {
    let name = response::name(command.code).map_or(command.code.to_string(), str::to_owned);
    match command.remark() {
        Some(remark) => format!("{name}: {remark}"),
        None => name,
    }
}

/// One pull from a queue.
pub fn pull_header(topic: &str, queue_id: i32, offset: u64, batch: u32) -> PullRequest<'_> {
    PullRequest {
        consumer_group: GROUP,
        topic,
        queue_id,
        queue_offset: i64::try_from(offset).expect("queue offsets fit"),
        max_msg_nums: i32::try_from(batch).expect("checked by the command line"),
        sys_flag: pull_flag::SUBSCRIPTION,
        commit_offset: 0,
        suspend_timeout_ms: SUSPEND_MS,
        subscription: Some("*"),
        sub_version: 0,
        expression_type: None,
        max_msg_bytes: None,
        request_source: None,
        proxy_forward_client_id: None,
        lite_topic: None,
        broker_name: None,
    }
}

/// Puts frames together from the pieces that the socket gives.
#[derive(Debug, Default)]
pub struct Assembler {
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
}

impl Assembler {
    /// Takes bytes and hands over every command that is complete.
    ///
    /// # Errors
    /// The bytes are not the protocol.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&Command<'_>),
    ) -> Result<(), WireError> {
        if self.partial.is_empty() {
            let used = take_all(bytes, &mut take)?;
            self.partial.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        self.partial.extend_from_slice(bytes);
        let used = take_all(&self.partial, &mut take)?;
        self.partial.drain(..used);
        Ok(())
    }
}

/// Hands over the complete commands at the start of `bytes`; returns how many bytes they took.
fn take_all(bytes: &[u8], take: &mut impl FnMut(&Command<'_>)) -> Result<usize, WireError> {
    let mut used = 0;
    while let Some((frame, len)) = frame::cut(&bytes[used..], FRAME_SIZE_MAX_BYTES)? {
        take(&Command::parse(frame)?);
        used += len;
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> SendTemplate {
        SendTemplate {
            topic: "T".into(),
            queues: vec![0, 1],
            body_size: 24,
            serialize: SerializeType::RocketMq,
        }
    }

    #[test]
    fn requests_are_found_again_however_they_are_cut() {
        let mut bytes = Vec::new();
        for sequence in 0..3 {
            template().write(&mut bytes, 2, sequence, 7 + sequence as u32, &[0; 24]);
        }
        for cut in 0..bytes.len() {
            let mut opaques = Vec::new();
            let mut assembler = Assembler::default();
            for piece in [&bytes[..cut], &bytes[cut..]] {
                assembler.feed(piece, |command| opaques.push(command.opaque)).unwrap();
            }
            assert_eq!(opaques, [7, 8, 9], "cut at {cut}");
        }
    }

    #[test]
    fn a_lane_takes_the_queues_in_turn() {
        let mut bytes = Vec::new();
        for sequence in 0..3 {
            template().write(&mut bytes, 1, sequence, 0, &[0; 24]);
        }
        let mut queues = Vec::new();
        let mut take = |command: &Command<'_>| {
            queues.push(SendRequest::decode(&command.fields).unwrap().queue_id);
        };
        take_all(&bytes, &mut take).unwrap();
        assert_eq!(queues, [1, 0, 1]);
    }

    #[test]
    fn unique_keys_name_lane_and_sequence() {
        let mut text = [0; PROPERTIES_SIZE_BYTES];
        let text = properties(&mut text, 0xAB, 0x12);
        assert_eq!(text, "UNIQ_KEY\u{1}00000000000000AB0000000000000012\u{2}");
    }
}

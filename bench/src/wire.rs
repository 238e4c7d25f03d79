//! The few things that bench speaks are framed here, without a client library between it and the
//! socket: what is measured is the broker.

use ringmq_protocol::Command;
use ringmq_protocol::codes::response;
use ringmq_protocol::error::{CommandError, FrameError};
use ringmq_protocol::frame::{self, FRAME_SIZE_MAX_BYTES};
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use thiserror::Error;

/// Producer and consumer group of bench.
pub const GROUP: &str = "bench";

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

/// Name of the code and its number, with the remark.
pub fn describe(command: &Command<'_>) -> String {
    let name = match response::name(command.code) {
        Some(name) => format!("{name} ({})", command.code),
        None => command.code.to_string(),
    };
    match command.remark() {
        Some(remark) => format!("{name}: {remark}"),
        None => name,
    }
}

/// A pull by bench's group of up to `batch` messages of any tag, from `offset` on, that does not
/// wait at the end of the queue.
pub fn pull(topic: &str, queue_id: i32, offset: u64, batch: u32) -> PullRequest<'_> {
    PullRequest {
        consumer_group: GROUP,
        topic,
        queue_id,
        queue_offset: i64::try_from(offset).expect("queue offsets fit"),
        max_msg_nums: i32::try_from(batch).expect("batches are small"),
        sys_flag: pull_flag::SUBSCRIPTION,
        commit_offset: 0,
        suspend_timeout_ms: 0,
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
    /// Bytes that the frame lacks whose beginning has come, as far as its length is known.
    pub fn missing_bytes(&self) -> usize {
        frame::missing_bytes(&self.partial, FRAME_SIZE_MAX_BYTES)
    }

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
    use ringmq_protocol::{RequestHead, SerializeType, write_request};

    use super::*;

    #[test]
    fn requests_are_found_again_however_they_are_cut() {
        let mut bytes = Vec::new();
        for opaque in [7, 8, 9] {
            let head = RequestHead {
                serialize: SerializeType::RocketMq,
                code: 10,
                opaque,
                oneway: false,
                remark: None,
            };
            write_request(&mut bytes, head, &(), &[0; 24]);
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
}

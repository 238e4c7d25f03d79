//! The null broker: the same runtime reads the same frames, collects them in groups, writes and
//! flushes the groups and answers, without protocol and store. What it does under a load is what a
//! broker could do at best that is built as ours is.
//!
//! One shard. A group is what arrived while the previous one was on the device; all answers of a
//! group that go to one connection leave in one write. A frame is not parsed: its request number
//! is taken from where the binary header has it, and put into a prepared answer.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_protocol::frame::FRAME_SIZE_MAX_BYTES;
use ringmq_protocol::{ResponseHead, SerializeType, write_response};
use ringmq_runtime::buffer::{ALIGNMENT_BYTES, DmaBuffer};
use ringmq_runtime::disk::{Access, Disk, File};
use ringmq_runtime::net::{Listener, ReadHalf, Reuse, Stream};
use ringmq_runtime::shards::{self, Cores, ShardsConfig};
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;

use crate::args::commands::{Durability, ServeNullArgs};
use crate::limits::null_server;
use crate::outbox::Outbox;

/// What it prints, with its port behind it, when it takes requests.
pub const READY: &str = "null broker ready on port ";

/// The log: written round and round, so that it needs no segments.
const LOG_SIZE_BYTES: u64 = 256 << 20;

const LOG_NAME: &str = "bench-null-log";

/// Most bytes that wait for one group. Beyond them nothing is read until the group is on the
/// device.
const GROUP_MAX_BYTES: usize = 64 << 20;

/// Where a binary header has the request's number: behind the frame's length and header length,
/// the code, the language and the version.
const OPAQUE_AT: usize = 4 + 4 + 2 + 1 + 2;

/// Everything the shard shares.
struct Shared {
    durability: Durability,
    answer: Answer,
    /// Frames of the open group.
    group: RefCell<Vec<u8>>,
    /// Who waits for the open group, and with which request.
    waiting: RefCell<Vec<(Rc<Outbox>, [u8; 4])>>,
    arrived: Notify,
    room: Notify,
    failed: Cell<bool>,
}

/// An answer with a place for the request's number.
struct Answer {
    bytes: Vec<u8>,
}

impl Answer {
    fn new() -> Self {
        let head = ResponseHead {
            serialize: SerializeType::RocketMq,
            opaque: 0,
            code: response::SUCCESS,
            remark: None,
        };
        let mut bytes = Vec::new();
        write_response(&mut bytes, head, &null_server::ANSWER, &[]);
        Self { bytes }
    }

    fn push(&self, out: &mut Vec<u8>, opaque: [u8; 4]) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        out[start + OPAQUE_AT..start + OPAQUE_AT + 4].copy_from_slice(&opaque);
    }
}

/// Is the null broker until the process is ended.
pub fn serve(args: &ServeNullArgs) -> ExitCode {
    let config = ShardsConfig::new(Cores::Exactly(vec![args.core]));
    let outcome = shards::run(&config, |_| run(&args.directory, args.durability));
    let failed = |what: &dyn std::fmt::Display| {
        eprintln!("null broker: {what}");
        ExitCode::from(1)
    };
    match outcome {
        Ok(outcomes) => match outcomes.into_iter().find_map(Result::err) {
            Some(error) => failed(&error),
            None => ExitCode::SUCCESS,
        },
        Err(error) => failed(&error),
    }
}

async fn run(directory: &Path, durability: Durability) -> std::io::Result<()> {
    let disk = Disk::live(directory)?;
    // Left by a null broker before this one, which ends by a signal.
    if disk.exists(LOG_NAME).await? {
        disk.remove_file(LOG_NAME).await?;
    }
    disk.create_zeroed(LOG_NAME, LOG_SIZE_BYTES).await?;
    let file = disk.open(LOG_NAME, Access::ReadWrite).await?;
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Reuse::No)?;
    let shared = Rc::new(Shared {
        durability,
        answer: Answer::new(),
        group: RefCell::default(),
        waiting: RefCell::default(),
        arrived: Notify::new(),
        room: Notify::new(),
        failed: Cell::new(false),
    });
    println!("{READY}{}", listener.local_addr()?.port());
    let writer = task::spawn("null writer", write_groups(shared.clone(), file));
    loop {
        let (stream, _) = listener.accept().await?;
        if shared.failed.get() {
            return writer.await;
        }
        task::spawn("null connection", read_frames(shared.clone(), stream)).detach();
    }
}

async fn read_frames(shared: Rc<Shared>, stream: Stream) {
    let (read, write) = stream.split();
    let peer = Outbox::new(write);
    // Whatever ends it, the other side sees its connection closed.
    let _ = read_until_end(&shared, &peer, read).await;
}

async fn read_until_end(
    shared: &Shared,
    peer: &Rc<Outbox>,
    mut read: ReadHalf,
) -> std::io::Result<()> {
    let mut partial = Vec::new();
    loop {
        while shared.group.borrow().len() > GROUP_MAX_BYTES {
            shared.room.notified().await;
        }
        let open = read
            .read_with(|bytes| match bytes.is_empty() {
                true => false,
                false if partial.is_empty() => {
                    let used = take_frames(shared, peer, bytes);
                    used.map(|used| partial.extend_from_slice(&bytes[used..])).is_some()
                }
                false => {
                    partial.extend_from_slice(bytes);
                    take_frames(shared, peer, &partial).map(|used| partial.drain(..used)).is_some()
                }
            })
            .await?;
        if !open || shared.failed.get() {
            return Ok(());
        }
        match shared.durability {
            Durability::None => peer.flush(),
            Durability::Sync | Durability::Async => shared.arrived.notify_one(),
        }
    }
}

/// Takes the whole frames at the start of `bytes`; how many bytes they had, none when these are no
/// frames.
fn take_frames(shared: &Shared, peer: &Rc<Outbox>, bytes: &[u8]) -> Option<usize> {
    let mut used = 0;
    while let Some(len) = bytes[used..].first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        if !(OPAQUE_AT..=FRAME_SIZE_MAX_BYTES).contains(&len) {
            return None;
        }
        let Some(frame) = bytes[used..].get(..4 + len) else { break };
        let opaque = frame[OPAQUE_AT..OPAQUE_AT + 4].try_into().expect("four bytes");
        match shared.durability {
            Durability::None => shared.answer.push(&mut peer.bytes(), opaque),
            Durability::Sync | Durability::Async => {
                shared.group.borrow_mut().extend_from_slice(frame);
                shared.waiting.borrow_mut().push((peer.clone(), opaque));
            }
        }
        used += 4 + len;
    }
    Some(used)
}

/// Writes one group after the other and answers it.
async fn write_groups(shared: Rc<Shared>, file: File) -> std::io::Result<()> {
    let outcome = write_until_failure(&shared, &file).await;
    shared.failed.set(true);
    outcome
}

async fn write_until_failure(shared: &Shared, file: &File) -> std::io::Result<()> {
    let mut position = 0;
    let mut group = Vec::new();
    let mut waiting = Vec::new();
    loop {
        while shared.group.borrow().is_empty() {
            shared.arrived.notified().await;
        }
        std::mem::swap(&mut group, &mut *shared.group.borrow_mut());
        std::mem::swap(&mut waiting, &mut *shared.waiting.borrow_mut());
        shared.room.notify_all();
        let len = group.len().next_multiple_of(ALIGNMENT_BYTES);
        let mut buffer = DmaBuffer::alloc(len);
        buffer.as_mut_slice()[..group.len()].copy_from_slice(&group);
        group.clear();
        if position + len as u64 > LOG_SIZE_BYTES {
            position = 0;
        }
        match shared.durability {
            Durability::Sync => file.write_and_sync(position, buffer).await?,
            Durability::Async | Durability::None => file.write_at(position, buffer).await?,
        };
        position += len as u64;
        answer(shared, &mut waiting);
    }
}

/// Answers a group: first all answers into their buffers, then one write per connection.
fn answer(shared: &Shared, waiting: &mut Vec<(Rc<Outbox>, [u8; 4])>) {
    for (peer, opaque) in waiting.iter() {
        shared.answer.push(&mut peer.bytes(), *opaque);
    }
    for (peer, _) in waiting.drain(..) {
        peer.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringmq_protocol::{Command, frame};

    #[test]
    fn an_answer_carries_the_number_of_its_request() {
        let mut out = Vec::new();
        let answer = Answer::new();
        for opaque in [7_i32, -1, i32::MAX] {
            answer.push(&mut out, opaque.to_be_bytes());
        }
        let mut opaques = Vec::new();
        let mut rest = &out[..];
        while let Some((found, len)) = frame::cut(rest, FRAME_SIZE_MAX_BYTES).unwrap() {
            opaques.push(Command::parse(found).unwrap().opaque);
            rest = &rest[len..];
        }
        assert_eq!(opaques, [7, -1, i32::MAX]);
    }
}

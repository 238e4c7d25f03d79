//! The null broker: the same runtime reads the same frames, collects sends in groups, writes and
//! flushes the groups and answers, without protocol and store. It answers pulls at once with the
//! same messages again and again; or with what it is sent, once that is written, see
//! [`crate::limits::delivery`]; or with what it reads from the device, see [`cold_answers`]. A
//! broker that is built as ours is could do no better under the same load.
//!
//! One shard. A group is what arrived while the previous one was on the device; all answers of a
//! group that go to one connection leave in one write. Answers are [`prepared`].

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;

use ringmq_protocol::frame::FRAME_SIZE_MAX_BYTES;
use ringmq_runtime::buffer::{ALIGNMENT_BYTES, DmaBuffer};
use ringmq_runtime::disk::{Disk, File};
use ringmq_runtime::net::{Listener, ReadHalf, Reuse, Stream};
use ringmq_runtime::shards::{self, Cores, ShardsConfig};
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;

use crate::args::limits::{Durability, ServeNullArgs};
use crate::limits::cold_answers::{self, Answers};
use crate::limits::delivery::{Deliveries, Puller};
use crate::limits::device;
use crate::limits::prepared::{self, Frames, Prepared};
use crate::outbox::Outbox;

/// What it prints, with its port behind it, when it takes requests.
pub const READY: &str = "null broker ready on port ";

/// The log: written round and round, so that it needs no segments.
const LOG_SIZE_BYTES: u64 = 256 << 20;

const LOG_NAME: &str = "bench-null-log";

/// Most bytes that wait for one group. Beyond them nothing is read until the group is on the
/// device.
const GROUP_MAX_BYTES: usize = 64 << 20;

/// Everything the shard shares.
struct Shared {
    flushes: bool,
    answer: Prepared,
    /// Frames of the open group.
    group: RefCell<Vec<u8>>,
    /// Who waits for the open group, and with which request.
    waiting: RefCell<Vec<(Rc<Outbox>, [u8; 4])>>,
    /// Where what was sent goes when it is written.
    deliveries: Option<Rc<Deliveries>>,
    arrived: Notify,
    room: Notify,
    failed: Cell<bool>,
}

/// Is the null broker until the process is ended.
pub fn serve(args: &ServeNullArgs) -> ExitCode {
    let config = ShardsConfig::new(Cores::Exactly(vec![args.core]));
    let outcome = shards::run(&config, |_| run(args));
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

async fn run(args: &ServeNullArgs) -> std::io::Result<()> {
    let disk = Disk::live(&args.directory)?;
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Reuse::No)?;
    let port = listener.local_addr()?.port();
    if let Some((count, len)) = args.cold_answers.zip(args.cold_len) {
        println!("{READY}{port}");
        return cold_answers::serve(listener, &disk, Answers { count, len }).await;
    }
    let flushes = match args.durability {
        Durability::None => {
            let prepared = match &args.messages {
                Some(name) => Prepared::to_pull(disk.read_all(name, FRAME_SIZE_MAX_BYTES).await?),
                None => Prepared::to_send(),
            };
            println!("{READY}{port}");
            return prepared::serve(listener, prepared).await;
        }
        Durability::Async => false,
        Durability::Sync => true,
    };
    let file = device::zeroed(&disk, LOG_NAME, LOG_SIZE_BYTES).await?;
    let shared = Rc::new(Shared {
        flushes,
        answer: Prepared::to_send(),
        group: RefCell::default(),
        waiting: RefCell::default(),
        deliveries: args.deliver.then(Deliveries::new),
        arrived: Notify::new(),
        room: Notify::new(),
        failed: Cell::new(false),
    });
    println!("{READY}{port}");
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
    let mut frames = Frames::default();
    let mut puller = shared.deliveries.as_ref().map(|them| Puller::new(them.clone(), peer));
    loop {
        while shared.group.borrow().len() > GROUP_MAX_BYTES {
            shared.room.notified().await;
        }
        let mut has_room = true;
        let take = |opaque, frame: &[u8]| match &mut puller {
            Some(puller) if prepared::is_pull(frame) => has_room &= puller.pull(opaque),
            _ => {
                shared.group.borrow_mut().extend_from_slice(frame);
                shared.waiting.borrow_mut().push((peer.clone(), opaque));
            }
        };
        let open = read.read_with(|bytes| !bytes.is_empty() && frames.feed(bytes, take)).await?;
        if !open || !has_room || shared.failed.get() {
            return Ok(());
        }
        if puller.is_some() {
            peer.flush();
        }
        if !shared.group.borrow().is_empty() {
            shared.arrived.notify_one();
        }
    }
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
        if position + len as u64 > LOG_SIZE_BYTES {
            position = 0;
        }
        match shared.flushes {
            true => file.write_and_sync(position, buffer).await?,
            false => file.write_at(position, buffer).await?,
        };
        position += len as u64;
        answer(shared, &mut waiting);
        if let Some(deliveries) = &shared.deliveries {
            deliveries.deliver(&group);
        }
        group.clear();
    }
}

/// Answers a group: first all answers into their buffers, then one write per connection.
fn answer(shared: &Shared, waiting: &mut Vec<(Rc<Outbox>, [u8; 4])>) {
    for (peer, opaque) in waiting.iter() {
        shared.answer.push_head(&mut peer.bytes(), *opaque);
    }
    for (peer, _) in waiting.drain(..) {
        peer.flush();
    }
}

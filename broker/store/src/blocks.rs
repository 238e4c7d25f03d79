//! Blocks of queue entries: from the cache, else from the index stream.

use std::cell::RefCell;
use std::rc::Rc;

use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;

use crate::entry::{ENTRY_SIZE, Entry, read_entries};
use crate::error::ReadError;
use crate::frame::{FRAME_HEADER_BYTES, FrameHead, FrameKind, is_intact};
use crate::log::Inner;
use crate::queue::BlockRef;

/// A block that is in memory.
pub(crate) fn cached(inner: &Inner, block: BlockRef) -> Option<Rc<[Entry]>> {
    inner.blocks.borrow_mut().get(block.at)
}

/// The `count` entries of a block. One that is read ahead is waited for.
///
/// # Errors
/// When the device fails, or the frame is not the one that was written.
pub(crate) async fn load(
    inner: &Inner,
    block: BlockRef,
    count: usize,
) -> Result<Rc<[Entry]>, ReadError> {
    if let Some(entries) = cached(inner, block) {
        return Ok(entries);
    }
    inner.cold.blocks.until_ended(block.at).await;
    match cached(inner, block) {
        Some(entries) => Ok(entries),
        None => read(inner, block, count).await,
    }
}

/// Reads the `count` entries of a block into the cache.
///
/// # Errors
/// As [`load`].
async fn read(inner: &Inner, block: BlockRef, count: usize) -> Result<Rc<[Entry]>, ReadError> {
    let len = FRAME_HEADER_BYTES + count * ENTRY_SIZE;
    let bytes = read_stream(inner, block.at, len).await?;
    let head = FrameHead::parse(&bytes).filter(|head| {
        let is_asked_for = head.kind == FrameKind::Block && head.number == block.first;
        is_asked_for && head.at == block.at && is_intact(head, &bytes)
    });
    if head.is_none() {
        let what = format!("the queue index block at {} of the index stream", block.at);
        return Err(ReadError::Damaged { log: inner.id, what });
    }
    let entries: Rc<[Entry]> = read_entries(&bytes[FRAME_HEADER_BYTES..]).collect();
    inner.blocks.borrow_mut().put(block.at, entries.clone(), count * ENTRY_SIZE);
    Ok(entries)
}

/// Blocks that are read ahead at the same time.
const AHEAD_MAX: usize = 16;

/// The blocks that are being read ahead.
#[derive(Default)]
pub(crate) struct Ahead {
    /// Their places in the index stream.
    places: RefCell<Vec<u64>>,
    /// One of them was read, or could not be.
    ended: Notify,
}

impl Ahead {
    /// False if the block at `place` is among them, or they are too many.
    fn begin(&self, place: u64) -> bool {
        let mut places = self.places.borrow_mut();
        let begins = places.len() < AHEAD_MAX && !places.contains(&place);
        if begins {
            places.push(place);
        }
        begins
    }

    fn end(&self, place: u64) {
        self.places.borrow_mut().retain(|&other| other != place);
        self.ended.notify_all();
    }

    /// Waits until the block at `place` is not among them.
    async fn until_ended(&self, place: u64) {
        self.ended.until(|| (!self.places.borrow().contains(&place)).then_some(())).await;
    }
}

/// Has blocks read that will be wanted soon. Whoever wants one then learns what is wrong with it.
pub(crate) fn load_ahead(inner: &Rc<Inner>, wanted: [Option<(BlockRef, usize)>; 2]) {
    for (block, count) in wanted.into_iter().flatten() {
        if !inner.cold.blocks.begin(block.at) {
            continue;
        }
        let inner = inner.clone();
        let read = async move {
            if let Err(error) = read(&inner, block, count).await {
                tracing::debug!("reading ahead: {error}");
            }
            inner.cold.blocks.end(block.at);
        };
        task::spawn("index ahead", read).detach();
    }
}

/// Reads `len` bytes of the index stream.
///
/// # Errors
/// When the device fails or the file is gone.
pub(crate) async fn read_stream(
    inner: &Inner,
    at: u64,
    len: usize,
) -> Result<ringmq_runtime::buffer::Shared, ReadError> {
    let found = inner.index_files.borrow().file_of(at);
    let Some((base, file)) = found else {
        let what = format!("the index file with byte {at} of the stream");
        return Err(ReadError::Gone { log: inner.id, what });
    };
    file.read_at(at - base, len).await.map_err(|source| ReadError::Io {
        log: inner.id,
        what: "the index stream",
        source,
    })
}

//! Blocks of queue entries: from the cache, else from the index stream.

use std::rc::Rc;

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

/// The `count` entries of a block.
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
const AHEAD_MAX: usize = 8;

/// Has a block read that will be wanted soon. Whoever wants it then learns what is wrong with it.
pub(crate) fn load_ahead(inner: &Rc<Inner>, wanted: Option<(BlockRef, usize)>) {
    let Some((block, count)) = wanted else { return };
    {
        let mut ahead = inner.cold.blocks.borrow_mut();
        if ahead.len() >= AHEAD_MAX || ahead.contains(&block.at) {
            return;
        }
        ahead.push(block.at);
    }
    let inner = inner.clone();
    let load = async move {
        if let Err(error) = load(&inner, block, count).await {
            tracing::debug!("reading ahead: {error}");
        }
        inner.cold.blocks.borrow_mut().retain(|&at| at != block.at);
    };
    task::spawn("index ahead", load).detach();
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

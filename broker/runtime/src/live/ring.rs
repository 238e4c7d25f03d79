//! A ring of our own for writes, group after group, and for reads of files.
//!
//! glommio's rings are only looked at when glommio has the thread, which takes up to ten system
//! calls per operation. This one is looked at by the `driver`: to begin an operation takes one
//! call, to see that it ended none, and what waits for the sockets waits for it, too.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::fs;
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use glommio::io::DmaBuffer;
use io_uring::{IoUring, opcode, squeue, types};
use slab::Slab;

use super::poller;
use crate::buffer::Block;

/// Operations under way at the same time; those beyond it go another way. Each log has one write.
const OPERATIONS_MAX: usize = 256;

/// Operations under way from which on no read is begun: the rest is for writes.
const READS_MAX: usize = OPERATIONS_MAX / 2;

/// How often the kernel may refuse to wait for the last operations, each time because of a signal
/// or for want of memory, before the ring is given up.
const REFUSALS_MAX: usize = 1000;

thread_local! {
    /// Made by the first operation, since most executors of clients never have one. `None` if
    /// the kernel refused it: then glommio's rings have to do.
    static CURRENT: RefCell<Option<Option<Rc<Ring>>>> = const { RefCell::new(None) };
}

struct Ring {
    inner: RefCell<Inner>,
}

struct Inner {
    ring: IoUring,
    operations: Slab<Operation>,
    /// Entries that the kernel has not taken yet.
    is_behind: bool,
}

/// What the kernel uses until an operation ends, whether anybody waits for it or not.
struct Operation {
    memory: Memory,
    _file: Arc<fs::File>,
    state: State,
}

enum Memory {
    Written(#[expect(dead_code, reason = "held for the kernel")] Rc<DmaBuffer>),
    Read(Free),
}

/// The free parts of blocks, to be read into one after the other.
struct Free {
    blocks: Vec<Block>,
    parts: Vec<libc::iovec>,
}

enum State {
    UnderWay(Option<Waker>),
    /// The kernel's result: bytes, or the negative number of an error.
    Ended(i32),
    Abandoned,
}

impl Free {
    fn of(mut blocks: Vec<Block>) -> Self {
        let part = |block: &mut Block| {
            let free = block.spare();
            libc::iovec { iov_base: free.as_mut_ptr().cast(), iov_len: free.len() }
        };
        let parts = blocks.iter_mut().map(part).collect();
        Self { blocks, parts }
    }
}

impl Ring {
    fn new() -> io::Result<Rc<Self>> {
        let entries = u32::try_from(OPERATIONS_MAX).unwrap_or(u32::MAX);
        // The thread need not be interrupted to hear of an end: it looks, or waits. Linux 5.19.
        let ring = match IoUring::builder().setup_coop_taskrun().build(entries) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => IoUring::new(entries)?,
            ring => ring?,
        };
        poller::add_ring(ring.as_raw_fd())?;
        let inner = Inner { ring, operations: Slab::new(), is_behind: false };
        Ok(Rc::new(Self { inner: RefCell::new(inner) }))
    }

    /// This executor's, if it may have one and fewer than `max` operations are under way.
    fn of_executor(max: usize) -> Option<Rc<Self>> {
        let ring =
            CURRENT.with_borrow_mut(|current| current.get_or_insert_with(Self::made).clone())?;
        let has_room = ring.inner.borrow().operations.len() < max;
        has_room.then_some(ring)
    }

    fn made() -> Option<Rc<Self>> {
        let ring = Self::new();
        if let Err(error) = &ring {
            tracing::warn!(%error, "the kernel refuses a ring of our own: glommio's are used");
        }
        ring.ok()
    }

    /// Begins what `entry` says.
    ///
    /// # Safety
    /// The entry uses no memory and no file but these.
    unsafe fn begin(
        self: Rc<Self>,
        entry: squeue::Entry,
        file: Arc<fs::File>,
        memory: Memory,
    ) -> Waiting {
        let inner = &mut *self.inner.borrow_mut();
        let state = State::UnderWay(None);
        let key = inner.operations.insert(Operation { memory, _file: file, state });
        let entry = entry.user_data(key as u64);
        // SAFETY: the slab keeps file and memory until the kernel has told the end of the
        // operation, and lends them to nobody before.
        unsafe { inner.ring.submission().push(&entry) }.expect("as many entries as operations");
        inner.submit();
        Waiting { ring: Rc::clone(&self), key: Some(key) }
    }

    fn poll(&self, key: usize, waker: &Waker) -> Poll<(i32, Memory)> {
        let inner = &mut *self.inner.borrow_mut();
        if let State::Ended(result) = inner.operations[key].state {
            return Poll::Ready((result, inner.operations.remove(key).memory));
        }
        inner.operations[key].state = State::UnderWay(Some(waker.clone()));
        Poll::Pending
    }

    fn abandon(&self, key: usize) {
        let inner = &mut *self.inner.borrow_mut();
        match inner.operations[key].state {
            State::Ended(_) => drop(inner.operations.remove(key)),
            _ => inner.operations[key].state = State::Abandoned,
        }
    }

    /// Wakes whoever's operation has ended; whether one has.
    fn look(&self) -> bool {
        let inner = &mut *self.inner.borrow_mut();
        if inner.is_behind {
            inner.submit();
        }
        let mut has_ended = false;
        while let Some(entry) = inner.ring.completion().next() {
            has_ended = true;
            let key = usize::try_from(entry.user_data()).expect("keys are of this machine");
            let ended = State::Ended(entry.result());
            match std::mem::replace(&mut inner.operations[key].state, ended) {
                State::UnderWay(Some(waker)) => waker.wake(),
                State::Abandoned => drop(inner.operations.remove(key)),
                State::UnderWay(None) | State::Ended(_) => {}
            }
        }
        has_ended
    }
}

impl Inner {
    fn submit(&mut self) {
        // Whatever keeps the kernel from taking them all now: the driver tries again.
        let told = self.ring.submit();
        self.is_behind = told.is_err() || !self.ring.submission().is_empty();
    }
}

impl Drop for Ring {
    /// The kernel must not use memory that has another use.
    fn drop(&mut self) {
        let Inner { ring, operations, .. } = self.inner.get_mut();
        let mut refusals = 0;
        while !operations.is_empty() {
            if ring.submit_and_wait(1).is_err() {
                refusals += 1;
                if refusals > REFUSALS_MAX {
                    // They are never heard of again, so what they use must stay.
                    std::mem::forget(std::mem::take(operations));
                    return;
                }
            }
            for entry in ring.completion() {
                operations.try_remove(usize::try_from(entry.user_data()).unwrap_or(usize::MAX));
            }
        }
    }
}

/// Wakes whoever's operation has ended; whether one has.
pub(super) fn look() -> bool {
    CURRENT.with_borrow(|current| current.iter().flatten().any(|ring| ring.look()))
}

/// Whether the kernel has yet to be asked again to take an operation.
pub(super) fn is_behind() -> bool {
    let is_behind = |ring: &Rc<Ring>| ring.inner.borrow().is_behind;
    CURRENT.with_borrow(|current| current.iter().flatten().any(is_behind))
}

/// While it exists, this thread's executor may have a ring.
pub(super) struct Entered;

impl Drop for Entered {
    /// Waits for the operations that are under way, and closes the ring.
    fn drop(&mut self) {
        CURRENT.take();
    }
}

/// Writes `buffer` at `pos` of a file that is open for direct writes; how many bytes that were.
/// `None`, at once, when this executor has no ring for it. The write goes on if the future is
/// dropped.
pub(super) fn write(
    file: &Arc<fs::File>,
    pos: u64,
    buffer: &Rc<DmaBuffer>,
) -> Option<impl Future<Output = io::Result<usize>> + use<>> {
    let ring = Ring::of_executor(OPERATIONS_MAX)?;
    let bytes = buffer.as_bytes();
    let len = u32::try_from(bytes.len()).expect("groups are far below 4 GiB");
    let entry = opcode::Write::new(types::Fd(file.as_raw_fd()), bytes.as_ptr(), len).offset(pos);
    let memory = Memory::Written(Rc::clone(buffer));
    // SAFETY: the entry has this file and this buffer, which is not lent out for changes before it
    // is dropped.
    let waiting = unsafe { ring.begin(entry.build(), Arc::clone(file), memory) };
    Some(async move { waiting.await.0 })
}

/// Reads from `pos` of a file on into the free parts of `blocks`; how many bytes that were, and the
/// blocks in any case, whose lengths stay as they are. Gives them back at once when this executor
/// has no ring for it. The read goes on if the future is dropped.
pub(super) fn read(
    file: &Arc<fs::File>,
    pos: u64,
    blocks: Vec<Block>,
) -> Result<impl Future<Output = (io::Result<usize>, Vec<Block>)> + use<>, Vec<Block>> {
    let Some(ring) = Ring::of_executor(READS_MAX) else { return Err(blocks) };
    let free = Free::of(blocks);
    let (parts, count) = (free.parts.as_ptr(), free.parts.len());
    let count = u32::try_from(count).expect("a read has few blocks");
    let entry = opcode::Readv::new(types::Fd(file.as_raw_fd()), parts, count).offset(pos);
    // SAFETY: the entry has this file and the free parts of these blocks, which nobody else has
    // before the read ends: a block that moves leaves its bytes where they are.
    let waiting = unsafe { ring.begin(entry.build(), Arc::clone(file), Memory::Read(free)) };
    Ok(async move {
        let (read, memory) = waiting.await;
        let Memory::Read(free) = memory else { unreachable!("the memory of a read") };
        (read, free.blocks)
    })
}

/// Ends with an operation: its bytes, and what it used.
struct Waiting {
    ring: Rc<Ring>,
    /// `None` once its end was told.
    key: Option<usize>,
}

impl Future for Waiting {
    type Output = (io::Result<usize>, Memory);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let key = self.key.expect("not polled again after it is ready");
        let Poll::Ready((result, memory)) = self.ring.poll(key, context.waker()) else {
            return Poll::Pending;
        };
        self.key = None;
        let bytes = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        Poll::Ready((bytes, memory))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.ring.abandon(key);
        }
    }
}

#[cfg(test)]
mod tests;

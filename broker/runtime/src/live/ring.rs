//! A ring of our own for what is written directly, group after group.
//!
//! glommio's rings are only looked at when glommio has the thread, which takes up to ten system
//! calls per group. This one is looked at by the `driver`: to begin a write takes one call, to see
//! that it ended none, and what waits for the sockets waits for it, too.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::fs;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use glommio::io::DmaBuffer;
use io_uring::{IoUring, opcode, types};
use slab::Slab;

use super::poller;

/// Writes under way at the same time; those beyond it go another way. Each log has one.
const WRITES_MAX: usize = 256;

/// How often the kernel may refuse to wait for the last writes, each time because of a signal or
/// for want of memory, before the ring is given up.
const REFUSALS_MAX: usize = 1000;

thread_local! {
    /// Made by the first write, since most executors of tools and clients never have one. `None`
    /// if the kernel refused it: then glommio's rings have to do.
    static CURRENT: RefCell<Option<Option<Rc<Ring>>>> = const { RefCell::new(None) };
}

struct Ring {
    inner: RefCell<Inner>,
}

struct Inner {
    ring: IoUring,
    writes: Slab<Write>,
    /// Entries that the kernel has not taken yet.
    is_behind: bool,
}

/// What the kernel uses until a write ends, whether anybody waits for it or not.
struct Write {
    _buffer: Rc<DmaBuffer>,
    _file: Arc<fs::File>,
    state: State,
}

enum State {
    UnderWay(Option<Waker>),
    /// The kernel's result: bytes, or the negative number of an error.
    Ended(i32),
    Abandoned,
}

impl Ring {
    fn new() -> io::Result<Rc<Self>> {
        let entries = u32::try_from(WRITES_MAX).unwrap_or(u32::MAX);
        // The thread need not be interrupted to hear of an end: it looks, or waits. Linux 5.19.
        let ring = match IoUring::builder().setup_coop_taskrun().build(entries) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => IoUring::new(entries)?,
            ring => ring?,
        };
        poller::add_ring(ring.as_raw_fd())?;
        let inner = Inner { ring, writes: Slab::new(), is_behind: false };
        Ok(Rc::new(Self { inner: RefCell::new(inner) }))
    }

    /// This executor's, if it may have one and it has room.
    fn of_executor() -> Option<Rc<Self>> {
        let ring =
            CURRENT.with_borrow_mut(|current| current.get_or_insert_with(Self::made).clone())?;
        let has_room = ring.inner.borrow().writes.len() < WRITES_MAX;
        has_room.then_some(ring)
    }

    fn made() -> Option<Rc<Self>> {
        let ring = Self::new();
        if let Err(error) = &ring {
            tracing::warn!(%error, "the kernel refuses a ring for writes: glommio's are used");
        }
        ring.ok()
    }

    fn begin(&self, file: Arc<fs::File>, pos: u64, buffer: Rc<DmaBuffer>) -> usize {
        let inner = &mut *self.inner.borrow_mut();
        let bytes = buffer.as_bytes();
        let len = u32::try_from(bytes.len()).expect("groups are far below 4 GiB");
        let write = opcode::Write::new(types::Fd(file.as_raw_fd()), bytes.as_ptr(), len);
        let state = State::UnderWay(None);
        let key = inner.writes.insert(Write { _buffer: buffer, _file: file, state });
        let entry = write.offset(pos).build().user_data(key as u64);
        // SAFETY: the slab keeps file and buffer until the kernel has told the end of the write,
        // and the buffer is not lent out for changes before.
        unsafe { inner.ring.submission().push(&entry) }.expect("as many entries as writes");
        inner.submit();
        key
    }

    fn poll(&self, key: usize, waker: &Waker) -> Poll<i32> {
        let inner = &mut *self.inner.borrow_mut();
        if let State::Ended(result) = inner.writes[key].state {
            inner.writes.remove(key);
            return Poll::Ready(result);
        }
        inner.writes[key].state = State::UnderWay(Some(waker.clone()));
        Poll::Pending
    }

    fn abandon(&self, key: usize) {
        let inner = &mut *self.inner.borrow_mut();
        match inner.writes[key].state {
            State::Ended(_) => drop(inner.writes.remove(key)),
            _ => inner.writes[key].state = State::Abandoned,
        }
    }

    /// Wakes whoever's write has ended; whether one has.
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
            match std::mem::replace(&mut inner.writes[key].state, ended) {
                State::UnderWay(Some(waker)) => waker.wake(),
                State::Abandoned => drop(inner.writes.remove(key)),
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
    /// The kernel must not write from memory that has another use.
    fn drop(&mut self) {
        let Inner { ring, writes, .. } = self.inner.get_mut();
        let mut refusals = 0;
        while !writes.is_empty() {
            if ring.submit_and_wait(1).is_err() {
                refusals += 1;
                if refusals > REFUSALS_MAX {
                    // They are never heard of again, so what they use must stay.
                    std::mem::forget(std::mem::take(writes));
                    return;
                }
            }
            for entry in ring.completion() {
                writes.try_remove(usize::try_from(entry.user_data()).unwrap_or(usize::MAX));
            }
        }
    }
}

/// Wakes whoever's write has ended; whether one has.
pub(super) fn look() -> bool {
    CURRENT.with_borrow(|current| current.iter().flatten().any(|ring| ring.look()))
}

/// Whether the kernel has yet to be asked again to take a write.
pub(super) fn is_behind() -> bool {
    let is_behind = |ring: &Rc<Ring>| ring.inner.borrow().is_behind;
    CURRENT.with_borrow(|current| current.iter().flatten().any(is_behind))
}

/// While it exists, this thread's executor may have a ring.
pub(super) struct Entered;

impl Drop for Entered {
    /// Waits for the writes that are under way, and closes the ring.
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
    let ring = Ring::of_executor()?;
    let key = ring.begin(Arc::clone(file), pos, Rc::clone(buffer));
    let mut waiting = Waiting { ring, key: Some(key) };
    Some(poll_fn(move |context| {
        let key = waiting.key.expect("not polled again after it is ready");
        waiting.ring.poll(key, context.waker()).map(|result| {
            waiting.key = None;
            usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
        })
    }))
}

struct Waiting {
    ring: Rc<Ring>,
    /// `None` once its end was told.
    key: Option<usize>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.ring.abandon(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, OpenOptionsExt};

    use crate::buffer::DmaBuffer;
    use crate::shards::block_on;

    use super::*;

    fn file() -> (tempfile::TempDir, Arc<fs::File>) {
        let directory = tempfile::tempdir_in(".").expect("a directory");
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).custom_flags(libc::O_DIRECT);
        let file = options.open(directory.path().join("file")).expect("direct I/O");
        (directory, Arc::new(file))
    }

    #[test]
    fn writes_go_on_when_nobody_waits_for_them_and_failures_are_told() {
        let (directory, written) = file();
        let kept = Arc::clone(&written);
        block_on(async move {
            let mut buffer = DmaBuffer::alloc(4096);
            buffer.as_mut_slice().fill(7);
            let write = |pos| write(&written, pos, &buffer.lend()).expect("a ring");
            drop(write(4096));
            assert_eq!(write(0).await.expect("written"), 4096);
            let error = write(1).await.expect_err("not aligned");
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
            drop(write(8192));
        });
        assert_eq!(kept.metadata().expect("there").len(), 12_288);
        let mut found = [0; 1];
        for pos in [0, 4096, 8192] {
            // Through the page cache, which takes any buffer.
            let plain = fs::File::open(directory.path().join("file")).expect("there");
            plain.read_exact_at(&mut found, pos).expect("read");
            assert_eq!(found, [7], "at {pos}");
        }
    }
}

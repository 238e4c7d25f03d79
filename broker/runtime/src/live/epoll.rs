//! The kernel's epoll sets: which of many descriptors became ready.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::sys::{self, check};

/// Events that one call fetches; more wait for the next.
const EVENTS_MAX: usize = 256;

/// What became of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// What it was added with.
    pub(super) key: usize,
    /// A read would give bytes, their end, or an error.
    pub(super) is_readable: bool,
    /// A write would take bytes, or fail.
    pub(super) is_writable: bool,
    /// The peer sends no more, or the connection is down: reads find that when the bytes are gone.
    pub(super) has_ended: bool,
}

/// A set of descriptors, each of which is reported when it becomes ready, not as long as it is.
#[derive(Debug)]
pub(super) struct Epoll {
    set: OwnedFd,
}

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: plain system call.
        let set = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: a new descriptor that nobody else knows.
        Ok(Self { set: unsafe { OwnedFd::from_raw_fd(set) } })
    }

    /// Adds a descriptor, which is reported at once if it is ready.
    pub(super) fn add(&self, fd: RawFd, key: usize) -> io::Result<()> {
        let edges = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: edges as u32, u64: key as u64 };
        let set = self.set.as_raw_fd();
        // SAFETY: the event is readable; the kernel copies it.
        check(unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, fd, &raw mut event) }).map(|_| ())
    }

    /// Takes a descriptor out. To be called before it is closed: a duplicate would keep it in.
    pub(super) fn remove(&self, fd: RawFd) {
        let set = self.set.as_raw_fd();
        // SAFETY: this operation takes no event. It fails only for what is not in the set.
        unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
    }

    /// Hands over what became ready since the last call, and waits for it at most `timeout_ns`;
    /// how many that were.
    pub(super) fn fetch(&self, timeout_ns: u64, mut each: impl FnMut(Event)) -> usize {
        let mut events = [MaybeUninit::<libc::epoll_event>::uninit(); EVENTS_MAX];
        let count = sys::waits::epoll_wait(self.set.as_fd(), &mut events, timeout_ns);
        for event in &events[..count] {
            // SAFETY: the call stored `count` events.
            each(Event::of(unsafe { event.assume_init() }));
        }
        count
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

impl Event {
    fn of(event: libc::epoll_event) -> Self {
        let events = event.events;
        let has = |bits: libc::c_int| events & bits as u32 != 0;
        let down = libc::EPOLLHUP | libc::EPOLLERR;
        Self {
            key: event.u64 as usize,
            is_readable: has(libc::EPOLLIN | libc::EPOLLRDHUP | down),
            is_writable: has(libc::EPOLLOUT | down),
            has_ended: has(libc::EPOLLRDHUP | down),
        }
    }
}

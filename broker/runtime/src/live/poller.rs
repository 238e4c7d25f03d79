//! Waits for all sockets of one executor together.
//!
//! glommio waits for each socket with a poll of its own: memory, a submission and a completion per
//! read. Here all sockets are in one epoll set, which the `driver` waits for, once per round
//! however many became ready. A set reports what *becomes* ready, so readiness is remembered until
//! a read finds less than it has room for, or a write does not fit.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::epoll::{Epoll, Event};

thread_local! {
    static CURRENT: RefCell<Option<Rc<Poller>>> = const { RefCell::new(None) };
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// The sockets of one executor, and what else its waits are for.
pub(super) struct Poller {
    set: Epoll,
    sockets: RefCell<Slab<Socket>>,
    /// Somebody wants them looked at once all that is ready has run.
    is_look_wanted: Cell<bool>,
}

#[derive(Default)]
struct Socket {
    has_ended: bool,
    read: Side,
    write: Side,
}

#[derive(Default)]
struct Side {
    is_ready: bool,
    waiting: Option<Waker>,
}

impl Side {
    fn set_ready(&mut self) {
        self.is_ready = true;
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

impl Socket {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

/// The key of the bell and of the ring for writes.
const NO_SOCKET: usize = usize::MAX;

impl Poller {
    /// For an executor that other threads wake with `bell`.
    pub(super) fn new(bell: BorrowedFd<'_>) -> io::Result<Rc<Self>> {
        let set = Epoll::new()?;
        set.add(bell.as_raw_fd(), NO_SOCKET)?;
        let (sockets, is_look_wanted) = (RefCell::default(), Cell::new(false));
        Ok(Rc::new(Self { set, sockets, is_look_wanted }))
    }

    /// Serves this thread's executor until the guard is dropped.
    pub(super) fn enter(self: &Rc<Self>) -> Entered {
        CURRENT.set(Some(Rc::clone(self)));
        Entered
    }

    /// Waits for the sockets, the bell and the ring, at most `timeout_ns`, and wakes whoever waits
    /// for a socket; how many came.
    pub(super) fn fetch(&self, timeout_ns: u64) -> usize {
        // Nobody is woken while the call waits.
        let mut sockets = self.sockets.borrow_mut();
        self.set.fetch(timeout_ns, |Event { key, is_readable, is_writable, has_ended }| {
            let Some(socket) = sockets.get_mut(key) else { return };
            socket.has_ended |= has_ended;
            if is_readable {
                socket.read.set_ready();
            }
            if is_writable {
                socket.write.set_ready();
            }
        })
    }

    /// Whether somebody wants a look; told once.
    pub(super) fn take_wish(&self) -> bool {
        self.is_look_wanted.replace(false)
    }
}

/// Has this executor look at its sockets when the tasks that are ready now have run.
pub(crate) fn want_look() {
    CURRENT.with_borrow(|poller| poller.iter().for_each(|poller| poller.is_look_wanted.set(true)));
}

impl AsFd for Poller {
    /// Becomes readable when [`Poller::fetch`] finds something.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

/// Has this executor's waits end when something comes to `ring`, too, until that is closed.
pub(super) fn add_ring(ring: RawFd) -> io::Result<()> {
    let poller = CURRENT.with_borrow(Clone::clone).expect("rings belong to an executor");
    poller.set.add(ring, NO_SOCKET)
}

/// While it exists, sockets of this thread belong to its poller.
pub(super) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.take();
    }
}

/// A descriptor's place in the poller of its executor, until dropped. To be dropped before the
/// descriptor is closed.
pub(super) struct Watch {
    poller: Rc<Poller>,
    fd: RawFd,
    key: usize,
}

impl Watch {
    /// Has `fd` waited for.
    ///
    /// # Panics
    /// Outside an executor.
    pub(super) fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let poller = CURRENT.with_borrow(Clone::clone).expect("sockets belong to an executor");
        let fd = fd.as_raw_fd();
        let key = poller.sockets.borrow_mut().insert(Socket::default());
        let watch = Self { poller, fd, key };
        watch.poller.set.add(fd, key)?;
        Ok(watch)
    }

    /// Ready when the next call in this direction is worth trying. One task per direction.
    pub(super) fn poll_ready(&self, direction: Direction, context: &Context<'_>) -> Poll<()> {
        let mut sockets = self.poller.sockets.borrow_mut();
        let side = sockets[self.key].side(direction);
        if side.is_ready {
            return Poll::Ready(());
        }
        if !side.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(context.waker())) {
            side.waiting = Some(context.waker().clone());
        }
        Poll::Pending
    }

    pub(super) async fn ready(&self, direction: Direction) {
        poll_fn(|context| self.poll_ready(direction, context)).await;
    }

    /// A call found nothing to do, or begins: the next report tells when to try again. Reports come
    /// once, so nothing may be waited for between the call and this.
    pub(super) fn blocked(&self, direction: Direction) {
        self.poller.sockets.borrow_mut()[self.key].side(direction).is_ready = false;
    }

    /// A read took all that was there: what comes next is reported, but for the end of the stream,
    /// if that was reported already.
    pub(super) fn drained(&self) {
        let socket = &mut self.poller.sockets.borrow_mut()[self.key];
        socket.read.is_ready = socket.has_ended;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.poller.set.remove(self.fd);
        self.poller.sockets.borrow_mut().remove(self.key);
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watch({})", self.fd)
    }
}

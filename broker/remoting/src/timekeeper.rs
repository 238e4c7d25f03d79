//! Deadlines of one connection: answers that do not come, peers that take no output.
//!
//! One task per connection that ever needs it, with one timer: it sleeps until the earliest
//! deadline and looks again. Calls that are answered in time never touch a timer.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;

use crate::Connection;

/// Shortest time between two looks: bounds the work when thousands of calls expire one after the
/// other, and makes none later than this.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(5);

/// Wakes the task in time.
#[derive(Default)]
pub(crate) struct Timekeeper {
    has_started: Cell<bool>,
    /// When the task looks next by itself; `None` while it has nothing to wait for.
    next_look: Cell<Option<Instant>>,
    wake: Notify,
}

impl Timekeeper {
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Makes sure that the deadlines are looked at by `deadline`.
    pub(crate) fn watch_until(&self, connection: &Rc<Connection>, deadline: Instant) {
        if !self.has_started.replace(true) {
            self.next_look.set(Some(deadline));
            task::spawn("connection deadlines", run(Rc::clone(connection))).detach();
        } else if self.next_look.get().is_none_or(|next| deadline < next) {
            self.next_look.set(Some(deadline));
            self.wake();
        }
    }

    /// Makes sure that a blocked write is looked at within the write timeout.
    pub(crate) fn watch_writes(&self, connection: &Rc<Connection>) {
        self.watch_until(connection, Instant::now() + connection.limits().write_timeout);
    }
}

async fn run(connection: Rc<Connection>) {
    let keeper = &connection.timekeeper;
    while !connection.is_closed() {
        match keeper.next_look.get() {
            None => keeper.wake.notified().await,
            Some(at) => {
                let wait = at.saturating_since(Instant::now());
                // Woken early or not, the next look decides.
                let _ = task::timeout(wait, keeper.wake.notified()).await;
            }
        }
        if !connection.is_closed() {
            let next = look(&connection, Instant::now());
            keeper.next_look.set(next);
        }
    }
}

/// Ends overdue calls, closes the connection of a peer that takes nothing, and says when to look
/// again.
fn look(connection: &Rc<Connection>, now: Instant) -> Option<Instant> {
    let expired = connection.calls.borrow().expired(now);
    for (opaque, error) in expired {
        connection.fail_call(opaque, error);
    }
    let call_deadline = connection.calls.borrow().next_deadline();
    let write_deadline =
        connection.writer.is_busy().then(|| now + connection.limits().write_timeout);
    if connection.writer.is_busy() {
        let stalled =
            now.saturating_since(connection.last_progress()) >= connection.limits().write_timeout;
        if stalled && connection.out_bytes() > connection.limits().out_hard_limit_bytes {
            let (peer, waiting_bytes) = (connection.peer_addr(), connection.out_bytes());
            tracing::warn!(%peer, waiting_bytes, "the peer takes no output: connection closed");
            connection.close("the peer takes no output");
        }
    }
    let next = match (call_deadline, write_deadline) {
        (Some(call), Some(write)) => Some(call.min(write)),
        (call, write) => call.or(write),
    };
    next.map(|next| next.max(now + LOOK_INTERVAL_MIN))
}

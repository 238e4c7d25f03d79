//! Answers on their way into a socket, on the shard of their connection.
//!
//! A connection knows when its socket last took output, so nobody has to be there at that moment:
//! a task looks when the writers of the connections have had their turn. Where the socket took only
//! a part it looks again; the time is that of the last byte of all output by then.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ringmq_remoting::Connection;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;

use super::{Recorder, Stage};
use crate::shard::DataPlane;

/// Pause before another look at connections whose sockets are full.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Answers of this many turns and groups may wait for sockets, 3 MiB; more have no times.
const UNSENT_MAX: usize = 64 << 10;

/// Answers that were made together for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The socket gave the bytes of the sends.
    pub read_at: Instant,
    /// They were acknowledged.
    pub acknowledged_at: Instant,
    /// How many they are.
    pub sends: u32,
}

struct Unsent {
    connection: Rc<Connection>,
    answered: Answered,
}

/// The answers of one shard's connections that have not left, as far as they are timed.
#[derive(Default)]
pub(crate) struct Leaving {
    unsent: RefCell<Vec<Unsent>>,
    added: Notify,
}

impl Leaving {
    /// Answers were put into the output of a connection.
    pub(crate) fn add(&self, connection: &Rc<Connection>, answered: Answered) {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.len() < UNSENT_MAX {
            unsent.push(Unsent { connection: Rc::clone(connection), answered });
        }
    }

    /// Has the task look at what was added.
    pub(super) fn wake(&self) {
        if !self.unsent.borrow().is_empty() {
            self.added.notify_one();
        }
    }

    pub(super) fn clear(&self) {
        *self.unsent.borrow_mut() = Vec::new();
    }

    /// Records the answers that have left; true when none is left over.
    fn record(&self, recorder: &mut Recorder) -> bool {
        let mut unsent = self.unsent.borrow_mut();
        unsent.retain(|Unsent { connection, answered }| {
            if connection.is_closed() {
                return false;
            }
            if connection.out_bytes() > 0 {
                return true;
            }
            let Answered { read_at, acknowledged_at, sends } = *answered;
            let (written_at, sends) = (connection.written_at(), u64::from(sends));
            recorder.record(Stage::Written, acknowledged_at, written_at, sends);
            recorder.record(Stage::Total, read_at, written_at, sends);
            false
        });
        unsent.is_empty()
    }
}

impl super::Stages {
    /// Answers that another shard made were put into the output of a connection.
    pub(crate) fn answered_elsewhere(
        &self,
        connection: &Rc<Connection>,
        answered: impl Iterator<Item = Answered>,
    ) {
        if self.is_on() {
            answered.for_each(|answered| self.leaving.add(connection, answered));
            self.leaving.wake();
        }
    }
}

/// Records answers of this shard's connections as they leave.
pub(crate) async fn run(data: Rc<DataPlane>) {
    let stages = &data.local.stages;
    loop {
        stages.leaving.added.notified().await;
        // The writers of the connections were woken before.
        task::yield_now().await;
        while !stages.recorder.borrow_mut().as_mut().is_none_or(|to| stages.leaving.record(to)) {
            // Elapsed or not, it is time to look.
            let _ = task::timeout(LOOK_AGAIN, stages.leaving.added.notified()).await;
        }
    }
}

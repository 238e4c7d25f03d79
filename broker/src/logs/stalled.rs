//! Sends that wait for room in their log.
//!
//! When the log has no room for a record, the request is *stalled* together with every later send
//! for the same log, in order ([`run`]). The connection it came from holds a permit for its bytes
//! meanwhile, which stops reading past the server's limit; beyond the connection's share of
//! `STALLED_MAX_BYTES` sends are answered SYSTEM_BUSY.

use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

use super::OwnedLog;
use crate::outcome::Refusal;
use crate::services::kept::Kept;
use crate::services::{Request, produce};
use crate::shard::DataPlane;
use crate::shares::Shares;
use crate::stages::Arrival;

/// Sends that may wait for room in one log, in bytes of their frames. Connections have [`Shares`]
/// of them: one alone may have half, a second of a device that writes 64 MB/s.
const STALLED_MAX_BYTES: usize = 128 << 20;

/// Pause before a stalled send that found no room is tried once more.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// The shares of connections in what waits for room in one log.
pub(super) fn shares() -> Shares {
    Shares::new(STALLED_MAX_BYTES, 1)
}

/// A send that waits for room in its log.
pub(super) struct Stalled {
    kept: Kept,
    received_at: Instant,
    arrival: Option<Arrival>,
}

impl OwnedLog {
    /// Whether a new send has to queue behind others.
    pub fn must_stall(&self) -> bool {
        !self.stalled.borrow().is_empty()
    }

    /// Queues a send until the log has room: it was received then, and its stages began so.
    pub fn stall(&self, request: Request<'_, '_>, received_at: Instant, arrival: Option<Arrival>) {
        let connection = request.peer.key();
        let has_place = self.stalled_shares.borrow_mut().take(connection, request.frame.len());
        if !has_place {
            let taken = self.stalled_shares.borrow().of(connection);
            let remark = format!(
                "the device does not keep up: {taken} bytes of this connection's messages wait for \
                 it, and of {STALLED_MAX_BYTES} for all no more are free for it"
            );
            return request.refuse(&Refusal::busy(remark));
        }
        let stalled = Stalled { kept: Kept::in_flight(request), received_at, arrival };
        self.stalled.borrow_mut().push_back(stalled);
        self.stall.notify_one();
    }

    /// Gives back the place of a send that waits no more.
    fn leave(&self, stalled: &Stalled) {
        let (connection, bytes) = (stalled.kept.peer().key(), stalled.kept.frame_bytes());
        self.stalled_shares.borrow_mut().give_back(connection, bytes);
    }
}

/// Retries stalled sends, in order, whenever the log has room.
pub async fn run(data: Rc<DataPlane>, owned: Rc<OwnedLog>) {
    loop {
        owned.stall.notified().await;
        loop {
            owned.log.room().await;
            let Some(stalled) = owned.stalled.borrow_mut().pop_front() else { break };
            data.local.stages.begin_kept(stalled.arrival);
            let is_stored = stalled.kept.lend(|request| {
                let (local, produce) = (&data.local, &data.services().produce);
                produce.forget_time();
                produce::retry(local, produce, &owned, request, stalled.received_at)
            });
            data.local.end_turn();
            if is_stored {
                owned.leave(&stalled);
                // What is stored no longer stands in front of others, so it may be overtaken.
                task::yield_if_needed().await;
            } else {
                owned.stalled.borrow_mut().push_front(stalled);
                // The log was full again, for a reason that its free room does not show.
                task::sleep(RETRY_AFTER).await;
            }
        }
    }
}

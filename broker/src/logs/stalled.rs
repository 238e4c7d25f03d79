//! Sends that wait for room in their log.
//!
//! When the log has no room for a record, the request is *stalled* together with every later send
//! for the same log, in order ([`run`]). The connection it came from holds a permit for its bytes
//! meanwhile, which stops reading past the server's limit; beyond the connection's share of
//! `STALLED_MAX_BYTES` sends are answered SYSTEM_BUSY. All logs of a shard together have no more,
//! so that its server goes on to read what is for a log that has room.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ringmq_remoting::IN_FLIGHT_MAX_BYTES;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

use super::OwnedLog;
use crate::creating;
use crate::outcome::Refusal;
use crate::services::kept::Kept;
use crate::services::{Request, produce};
use crate::shard::DataPlane;
use crate::shares::Shares;
use crate::stages::Arrival;

/// Sends that may wait for room in the logs of a shard, in bytes of their frames. Connections have
/// [`Shares`] of them: one alone may have half, a second of a device that writes 64 MB/s.
const STALLED_MAX_BYTES: usize = 128 << 20;

// What waits for room and for topics leaves a quarter of what the server may have in flight.
const _: () = assert!(
    STALLED_MAX_BYTES + creating::WAITING_MAX_BYTES <= IN_FLIGHT_MAX_BYTES as usize / 4 * 3
);

/// Pause before a stalled send that found no room is tried once more.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// The shares of connections in what waits for room in the logs of a shard.
pub(crate) fn shares() -> Shares {
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

    /// Queues a send until the log has room, if there is a place in `shares`: it was received then,
    /// and its stages began so.
    pub fn stall(
        &self,
        shares: &RefCell<Shares>,
        request: Request<'_, '_>,
        received_at: Instant,
        arrival: Option<Arrival>,
    ) {
        let connection = request.peer.key();
        let has_place = shares.borrow_mut().take(connection, request.frame.len());
        if !has_place {
            let taken = shares.borrow().of(connection);
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
}

impl Stalled {
    /// Gives back the place of a send that waits no more.
    fn leave(&self, shares: &RefCell<Shares>) {
        shares.borrow_mut().give_back(self.kept.peer().key(), self.kept.frame_bytes());
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
                stalled.leave(&data.local.stalled_shares);
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

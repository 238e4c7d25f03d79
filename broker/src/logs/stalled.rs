//! Sends that wait for room in their log.
//!
//! When the log has no room for a record, the request is *stalled* together with every later send
//! for the same log, in order ([`run`]). The connection it came from holds a permit for its bytes
//! meanwhile, which stops reading past the server's limit; beyond `STALLED_MAX_BYTES` sends are
//! answered SYSTEM_BUSY.

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::response;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

use super::OwnedLog;
use crate::outcome::Refusal;
use crate::services::kept::Kept;
use crate::services::{Request, produce};
use crate::shard::DataPlane;
use crate::stages::Arrival;

/// Sends that may wait for room in one log, in bytes of their frames: a second of a device that
/// writes 64 MB/s.
const STALLED_MAX_BYTES: usize = 64 << 20;

/// Pause before a stalled send that found no room is tried once more.
const RETRY_AFTER: Duration = Duration::from_millis(1);

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
        let bytes = self.stalled_bytes.get() + request.frame.len();
        if bytes > STALLED_MAX_BYTES {
            let remark = format!(
                "the device does not keep up: {} bytes of messages wait for it, limit {STALLED_MAX_BYTES}",
                self.stalled_bytes.get()
            );
            let refusal = Refusal::new(response::SYSTEM_BUSY, remark);
            return request.refuse(&refusal);
        }
        self.stalled_bytes.set(bytes);
        let stalled = Stalled { kept: Kept::in_flight(request), received_at, arrival };
        self.stalled.borrow_mut().push_back(stalled);
        self.stall.notify_one();
    }

    /// Bytes of sends that wait for room.
    pub fn stalled_bytes(&self) -> usize {
        self.stalled_bytes.get()
    }
}

/// Retries stalled sends, in order, whenever the log has room.
pub async fn run(data: Rc<DataPlane>, owned: Rc<OwnedLog>) {
    loop {
        owned.stall.notified().await;
        loop {
            owned.log.room().await;
            let Some(stalled) = owned.stalled.borrow_mut().pop_front() else { break };
            let bytes = stalled.kept.frame_bytes();
            owned.stalled_bytes.set(owned.stalled_bytes.get() - bytes);
            data.local.stages.begin_kept(stalled.arrival);
            let is_stored = stalled.kept.lend(|request| {
                let (local, produce) = (&data.local, &data.services().produce);
                produce.forget_time();
                produce::retry(local, produce, &owned, request, stalled.received_at)
            });
            data.local.end_turn();
            if is_stored {
                // What is stored no longer stands in front of others, so it may be overtaken.
                task::yield_if_needed().await;
            } else {
                owned.stalled_bytes.set(owned.stalled_bytes.get() + bytes);
                owned.stalled.borrow_mut().push_front(stalled);
                // The log was full again, for a reason that its free room does not show.
                task::sleep(RETRY_AFTER).await;
            }
        }
    }
}

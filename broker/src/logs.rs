//! The logs of one shard, each with those who wait for it.
//!
//! Life of an append: the record is placed and an entry joins [`Waiters`], in one synchronous step;
//! the log's watermark passes the record; answers leave and held pulls wake ([`run`]). When the log
//! is *fenced* (a write or flush failed) everybody who waits is refused, and so is every later
//! send, with the reason: nothing that may be lost is acknowledged.
//!
//! What groups did with the queues of a log is in [`progress`], sends that wait for room in it in
//! [`stalled`].

mod progress;
pub mod stalled;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use ringmq_remoting::{ReplyTo, Seldom};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::sync::{Notify, Turn};
use ringmq_store::metadata::Document;
use ringmq_store::offsets::{OffsetSnapshot, OffsetTable};
use ringmq_store::resets::Resets;
use ringmq_store::{Log, QueueOffset};

use self::stalled::Stalled;
use crate::outcome::Refusal;
use crate::peer::Peer;
use crate::services::pull;
use crate::shard::DataPlane;
use crate::stages::Batches;
use crate::survivors::Survivors;
use crate::waiters::Waiters;

/// A sender that waits for its message to be acknowledged.
pub struct Sender {
    /// Its connection.
    pub peer: Peer,
    /// What it asked.
    pub to: ReplyTo,
    /// When it asked.
    pub received_at: Instant,
}

/// A log and what the shard keeps for it.
pub struct OwnedLog {
    /// The store of messages.
    pub log: Log,
    /// Progress of the groups that consume its queues.
    pub offsets: RefCell<OffsetTable>,
    offsets_file: Document<OffsetSnapshot>,
    /// Versions of the progress and of the resets that are on disk.
    saved_versions: Cell<(u64, u64)>,
    saving: Turn,
    /// Positions that groups have yet to take.
    resets: RefCell<Resets>,
    /// Whom the log looks for after a crash that may have taken messages.
    survivors: Survivors,
    dropped_reports: Seldom,
    /// Appended and not acknowledged.
    pub waiters: RefCell<Waiters<Sender>>,
    /// When those came that wait.
    pub(crate) batches: RefCell<Batches>,
    stalled: RefCell<VecDeque<Stalled>>,
    /// Wakes the task that retries stalled sends.
    stall: Notify,
}

impl OwnedLog {
    /// Wraps an open log and the progress of its consumers, which is `saved` in `file`.
    pub fn new(log: Log, saved: &OffsetSnapshot, file: Document<OffsetSnapshot>) -> Rc<Self> {
        let (offsets, resets) = (OffsetTable::from_snapshot(saved), Resets::from_snapshot(saved));
        Rc::new(Self {
            log,
            saved_versions: Cell::new((offsets.version(), resets.version())),
            offsets: RefCell::new(offsets),
            offsets_file: file,
            saving: Turn::default(),
            resets: RefCell::new(resets),
            survivors: Survivors::default(),
            dropped_reports: Seldom::default(),
            waiters: RefCell::default(),
            batches: RefCell::default(),
            stalled: RefCell::default(),
            stall: Notify::default(),
        })
    }

    /// Oldest offset of a queue, and the offset behind the newest visible message; 0 and 0 for a
    /// queue that never had a message.
    pub fn range(&self, topic: &str, queue_id: i32) -> (QueueOffset, QueueOffset) {
        let none = (QueueOffset(0), QueueOffset(0));
        self.log.queue_range(topic, queue_id).unwrap_or(none)
    }
}

/// Answers senders and wakes held pulls as the log's watermark moves, until the log is fenced or
/// closed.
pub async fn run(data: Rc<DataPlane>, owned: Rc<OwnedLog>) {
    let mut acknowledged = owned.log.acknowledged();
    loop {
        match owned.log.acknowledged_beyond(acknowledged).await {
            Ok(moved_to) => {
                acknowledged = moved_to;
                release(&data, &owned);
            }
            Err(fenced) => {
                let refusal = Refusal::unavailable(fenced.to_string());
                owned.waiters.borrow_mut().fail_all(|sender| {
                    data.local.counters.send_failed();
                    sender.peer.refuse(&sender.to, &refusal);
                });
                return;
            }
        }
    }
}

fn release(data: &Rc<DataPlane>, owned: &OwnedLog) {
    let now = Instant::now();
    let mut timing = data.local.stages.releasing(owned);
    pull::held::wake(data, |visible| {
        owned.waiters.borrow_mut().release(owned.log.acknowledged(), |placed, answer| {
            visible(placed.queue, placed.offset, placed.tag_hash);
            let Some((sender, bytes)) = answer else { return };
            let time_us = now.saturating_since(sender.received_at).as_micros();
            let time_us = u64::try_from(time_us).unwrap_or(u64::MAX);
            data.local.counters.acknowledged(time_us);
            if let Some(timing) = &mut timing {
                timing.acknowledged(placed.end, sender.received_at, &sender.peer);
            }
            sender.peer.write(|out| out.extend_from_slice(bytes));
        });
    });
    if let Some(timing) = timing {
        timing.finish();
    }
}

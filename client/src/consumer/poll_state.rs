//! How far one queue is polled, and how far that counts.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What polls did with one queue.
#[derive(Default)]
pub(super) struct PollState {
    /// Polls pass it over.
    pub(super) is_paused: Cell<bool>,
    /// Number of the last poll that it served.
    pub(super) turn: Cell<u64>,
    polled_to: Cell<Option<i64>>,
    /// Batches that were handed to polls and may not have arrived.
    under_way: RefCell<Vec<UnderWay>>,
}

/// A batch that was handed to a poll.
struct UnderWay {
    /// Offset of its first message.
    first: i64,
    /// Set by whoever polled, on whichever thread.
    has_arrived: Arc<AtomicBool>,
}

impl PollState {
    /// The queue goes on at `offset`: nothing of what was handed to polls before counts.
    pub(super) fn begin_at(&self, offset: i64) {
        self.polled_to.set(Some(offset));
    }

    /// One past the newest message that was handed to a poll, or is not for one; `None` before the
    /// first.
    pub(super) fn polled_to(&self) -> Option<i64> {
        self.polled_to.get()
    }

    /// Nothing below `next` is for whoever polls.
    pub(super) fn pass_to(&self, next: i64) {
        self.polled_to.set(self.polled_to.get().max(Some(next)));
    }

    /// A batch that begins with `first` is handed to a poll, and with it all below `next`; returns
    /// what is set when it arrives.
    pub(super) fn begin_batch(&self, first: i64, next: Option<i64>) -> Arc<AtomicBool> {
        let has_arrived = Arc::<AtomicBool>::default();
        let mut under_way = self.under_way.borrow_mut();
        // Nobody may ever ask how far they count.
        under_way.retain(UnderWay::is_open);
        under_way.push(UnderWay { first, has_arrived: has_arrived.clone() });
        self.polled_to.set(next);
        has_arrived
    }

    /// A batch, known by what is set when it arrives, is held again: all below `next` is polled.
    pub(super) fn take_back(&self, has_arrived: &Arc<AtomicBool>, next: Option<i64>) {
        let is_it = |known: &UnderWay| Arc::ptr_eq(&known.has_arrived, has_arrived);
        self.under_way.borrow_mut().retain(|known| !is_it(known));
        self.polled_to.set(next);
    }

    /// The offset below which all that was polled has arrived; `None` before the first poll.
    pub(super) fn arrived_to(&self) -> Option<i64> {
        let polled_to = self.polled_to.get()?;
        let mut under_way = self.under_way.borrow_mut();
        under_way.retain(UnderWay::is_open);
        let firsts = under_way.iter().map(|batch| batch.first);
        firsts.chain([polled_to]).min()
    }
}

impl UnderWay {
    fn is_open(&self) -> bool {
        !self.has_arrived.load(Ordering::Acquire)
    }
}

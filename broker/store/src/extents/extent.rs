//! An extent in memory: its bytes by their places in the log.

use std::ops::Range;

use ringmq_runtime::buffer::{Block, Shared};

use crate::order::Order;

/// An extent in memory.
pub(super) struct Extent {
    pub(super) block: Block,
    pub(super) order: Order,
    /// Bytes that have yet to be handed out before it is spent; none of what the page cache gave.
    pub(super) unread: u64,
    /// Whether all of it was handed out since the device read it.
    pub(super) is_spent: bool,
}

impl Extent {
    /// Notes that so many bytes of it were handed out; tells whether it is spent by that.
    pub(super) fn hand_out(&mut self, bytes: u64) -> bool {
        let was_unread = self.unread > 0;
        self.unread = self.unread.saturating_sub(bytes);
        let ends = was_unread && self.unread == 0;
        self.is_spent |= ends;
        ends
    }

    /// Its bytes `range`, if they are together in memory.
    pub(super) fn share(&self, range: Range<usize>) -> Option<Shared> {
        let place = self.order.place(range.clone());
        (place.len() == range.len()).then(|| self.block.share(place))
    }

    /// Hands out its bytes `range` in the order of the log.
    pub(super) fn share_all(&self, range: Range<usize>, part: &mut impl FnMut(Shared)) {
        self.order.places(range).for_each(|place| part(self.block.share(place)));
    }

    /// Fills `out` with its bytes from `from` on.
    pub(super) fn copy(&self, from: usize, mut out: &mut [u8]) {
        for place in self.order.places(from..from + out.len()) {
            let (part, rest) = out.split_at_mut(place.len());
            part.copy_from_slice(&self.block.as_slice()[place]);
            out = rest;
        }
    }
}

//! An extent in memory: its bytes by their places in the log.

use std::ops::Range;

use ringmq_runtime::buffer::{Block, Shared};

use crate::order::Order;

/// An extent in memory.
pub(super) struct Extent {
    pub(super) block: Block,
    order: Order,
    /// Bytes that have yet to be handed out before it is spent; `None` of what the page cache gave.
    unread: Option<u64>,
}

impl Extent {
    /// One that the page cache gave, in this order.
    pub(super) fn from_cache(block: Block, order: Order) -> Self {
        Self { block, order, unread: None }
    }

    /// One that the device read, as it lies in the log.
    pub(super) fn from_device(block: Block) -> Self {
        let unread = Some(block.len() as u64);
        Self { block, order: Order::default(), unread }
    }

    /// Notes that `bytes` of it were handed out; tells whether that makes it spent.
    pub(super) fn hand_out(&mut self, bytes: u64) -> bool {
        let Some(unread @ 1..) = &mut self.unread else { return false };
        *unread = unread.saturating_sub(bytes);
        *unread == 0
    }

    /// Whether it is the device's and some of it was not handed out.
    pub(super) fn is_unread(&self) -> bool {
        self.unread.is_some_and(|unread| unread > 0)
    }

    /// Whether it is the device's and all of it was handed out.
    pub(super) fn is_spent(&self) -> bool {
        self.unread == Some(0)
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

//! Which extents make way before their places are wanted: those that readers are done with.
//!
//! Memory that is touched for the first time holds up the shard, 5 to 7 ms for a page of 2 MiB on a
//! virtual machine whose host has to find it: longer than the device takes to fill it. So a
//! catch-up does not go through all places of a log, but through a few extents again and again.
//!
//! | an extent that the device read is | until |
//! |---|---|
//! | *unread* | as many bytes as it has were handed out |
//! | *spent*, and stays for whoever comes behind | [`Spent::max`] others were spent after it |
//! | *gone early*: its memory is next | a reader misses it (*regret*), or another has its place |
//!
//! What always holds:
//!
//! - An unread extent never goes early: nothing is read ahead for nobody. One that nobody wants all
//!   of, say with another topic in it, stays unread, and in its place until that gets another.
//! - No more than `max` extents are spent. `max` begins at [`MAX_AT_FIRST`], so that a lone group
//!   touches little, and grows by [`MAX_MORE`] with each regret, up to all places. So several
//!   groups one behind the other get what lies between them within a few reads.
//! - What the page cache gave is never spent: readers go round and round in it, and it costs little
//!   to have again.

use std::collections::VecDeque;
use std::ops::Range;

use super::extent::Extent;
use super::{EXTENT_BYTES, Extents, extents_of};

/// Spent extents that stay, 8 MiB: two groups that go side by side need no more. A lone one loses
/// nothing that shows by them (`bench/NOTES.md`).
pub(super) const MAX_AT_FIRST: usize = 128;

/// As many more with each regret as fill a page of 2 MiB.
pub(super) const MAX_MORE: usize = 32;

/// The spent extents of a log. Pure.
pub(super) struct Spent {
    /// First bytes of them in the log, first that of the one that was spent longest ago.
    starts: VecDeque<u64>,
    /// How many stay.
    max: usize,
    /// How many places there are.
    places: usize,
}

impl Spent {
    pub(super) fn new(places: usize) -> Self {
        Self { starts: VecDeque::new(), max: MAX_AT_FIRST.min(places), places }
    }

    /// Adds the extent at `start`; tells which one goes for it.
    pub(super) fn add(&mut self, start: u64) -> Option<u64> {
        self.starts.push_back(start);
        if self.starts.len() > self.max { self.starts.pop_front() } else { None }
    }

    /// Notes that somebody misses one that has gone.
    pub(super) fn regret(&mut self) {
        self.max = (self.max + MAX_MORE).min(self.places);
    }
}

impl Extents {
    /// Notes that bytes of the log were handed out.
    pub(super) fn hand_out(&mut self, bytes: Range<u64>) {
        for start in extents_of(&bytes) {
            let (from, to) = (bytes.start.max(start), bytes.end.min(start + EXTENT_BYTES));
            if self.here_mut(start).is_some_and(|extent| extent.hand_out(to - from)) {
                self.spend(start);
            }
        }
    }

    /// Notes that the extent at `start` is spent: another one may go for it.
    pub(super) fn spend(&mut self, start: u64) {
        let Some(gone) = self.spent.add(start) else { return };
        // It may have made way for another, and come again meanwhile: as one that is not spent.
        if self.here(gone).is_some_and(Extent::is_spent) {
            let index = self.place_of(gone);
            let place = &mut self.places[index];
            place.went_early = true;
            self.pool.give(place.extent.take().map(|it| it.block));
        }
    }

    /// Notes that a reader misses the extent at `start`.
    pub(super) fn miss(&mut self, start: u64) {
        let index = self.place_of(start);
        let place = &mut self.places[index];
        if place.start == start && std::mem::take(&mut place.went_early) {
            self.spent.regret();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_were_spent_last_stay_and_each_regret_makes_them_more() {
        let places = MAX_AT_FIRST + MAX_MORE + 1;
        let mut spent = Spent::new(places);
        let mut starts = 0..;
        let mut add = |spent: &mut Spent, count| -> Vec<u64> {
            starts.by_ref().take(count).filter_map(|start| spent.add(start)).collect()
        };
        assert_eq!(add(&mut spent, MAX_AT_FIRST + 2), [0, 1]);
        spent.regret();
        assert_eq!(add(&mut spent, MAX_MORE + 1), [2]);
        spent.regret();
        spent.regret();
        assert_eq!(add(&mut spent, 3), [3, 4], "no more than there are places");
    }
}

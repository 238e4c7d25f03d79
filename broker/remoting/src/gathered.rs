//! The slices of a gathered write, in memory that the next one uses again.

use std::cell::Cell;
use std::io::IoSlice;
use std::ops::Deref;

use ringmq_runtime::net::GATHER_PIECES_MAX;

thread_local! {
    /// Room for the slices of a gathered write, so that none has to allocate it.
    static ROOM: Cell<Vec<IoSlice<'static>>> = const { Cell::new(Vec::new()) };
}

/// The slices of one gathered write.
pub(crate) struct Gathered<'a>(Vec<IoSlice<'a>>);

impl<'a> Gathered<'a> {
    /// No slices yet, and room for `count`, at most [`GATHER_PIECES_MAX`].
    pub(crate) fn with_room(count: usize) -> Self {
        let mut slices = ROOM.take();
        slices.reserve(count.min(GATHER_PIECES_MAX));
        Self(slices)
    }

    pub(crate) fn slices(&mut self) -> &mut Vec<IoSlice<'a>> {
        &mut self.0
    }
}

impl<'a> Deref for Gathered<'a> {
    type Target = [IoSlice<'a>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Gathered<'_> {
    /// Gives the room back. Two writes that wait for their sockets have one each; the last stays.
    fn drop(&mut self) {
        let mut slices = std::mem::take(&mut self.0);
        slices.clear();
        // The same memory without the lifetime of what it held: a vector collects in place.
        let room = slices.into_iter().map(|_| unreachable!("cleared above")).collect();
        // A thread that ends has no room any more, and no further write.
        let _ = ROOM.try_with(|place| place.set(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_write_is_that_of_the_next() {
        let (bytes, mut first) = (vec![7; 10], Gathered::with_room(100));
        first.slices().push(IoSlice::new(&bytes));
        let place = first.as_ptr() as usize;
        drop(first);
        drop(bytes);
        let second = Gathered::with_room(100);
        assert_eq!((second.as_ptr() as usize, second.len()), (place, 0));
    }
}

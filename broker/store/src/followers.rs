//! Readers of the log that are near each other stay near.
//!
//! An extent that the first reader takes from the page cache, which costs up to 20 us, is there for
//! those behind it (`extents.rs`), if they come before it makes way. A shard that is busy serves
//! all its readers equally often, so nothing brings them together, and chance drives them apart:
//! until each takes nearly all extents for itself, which was 45 % of the time of pulls of 1,024
//! (`bench/NOTES.md`).
//!
//! So a read whose last extent is in the page cache alone is *ahead* if lately others behind it,
//! near enough to want what it takes, found theirs. (The first extent tells nothing: the reader was
//! there before, where its last read ended.) It gives way to these, round by round of the executor:
//! it goes on when a round has passed in which none of them found anything, or after
//! [`ROUNDS_MAX`]. So readers that are together wait until all of them want what is not there, and
//! then the first takes it for all. One that others are far from does not wait. A reader alone with
//! small reads takes itself for a follower, and waits for a round in which nobody is served.

use std::cell::Cell;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::task::yield_now;

use crate::fetch::{FILE_RUN_MIN_BYTES, runs, settled};
use crate::log::{Inner, State};
use crate::walk::Wanted;

/// Rounds that a read gives way for, each of them a turn for every reader that is ready. 4, 8 and
/// 16 make no difference that shows (`bench/NOTES.md`).
const ROUNDS_MAX: usize = 8;

/// How many reads are remembered: those of a round of so many readers.
const FINDS_MAX: usize = 32;

/// For how long: several pulls of 1,024. A reader that others have stopped following does not
/// wait.
const LATELY: Duration = Duration::from_millis(2);

/// A read that found its last extent.
#[derive(Clone, Copy)]
struct Find {
    /// First byte of the last record.
    byte: u64,
    at: Instant,
}

/// Where reads found their last extent lately.
#[derive(Default)]
pub(crate) struct Followers {
    /// The one with number `n` is at `n % FINDS_MAX`.
    finds: [Cell<Option<Find>>; FINDS_MAX],
    /// How many there were so far.
    count: Cell<usize>,
}

impl Followers {
    fn note(&self, byte: u64, at: Instant) {
        let count = self.count.get();
        self.finds[count % FINDS_MAX].set(Some(Find { byte, at }));
        self.count.set(count + 1);
    }

    /// Whether one of the reads after the first `before` was at most `reach_bytes` behind `byte`,
    /// and [`LATELY`] before `now`. Of very many the last are looked at.
    fn are_behind(&self, byte: u64, reach_bytes: u64, before: usize, now: Instant) -> bool {
        let count = self.count.get();
        let numbers = before.max(count.saturating_sub(FINDS_MAX))..count;
        let mut finds = numbers.filter_map(|number| self.finds[number % FINDS_MAX].get());
        finds.any(|find| {
            let is_near = find.byte <= byte && byte - find.byte <= reach_bytes;
            is_near && now < find.at + LATELY
        })
    }
}

/// Whether a read would take an extent while others, who are on their way to it, find theirs.
pub(crate) fn is_ahead(inner: &Inner, state: &State, wanted: &[Wanted]) -> bool {
    judge(inner, state, wanted, 0)
}

/// Waits while those who follow find what they want.
pub(crate) async fn give_way(inner: &Inner, wanted: &[Wanted]) {
    let mut before = 0;
    for _ in 0..ROUNDS_MAX {
        if !judge(inner, &inner.state.borrow(), wanted, before) {
            return;
        }
        before = inner.followers.count.get();
        yield_now().await;
    }
}

/// Whether the read is ahead of one of those after the first `before`; notes it if it finds its
/// last extent.
fn judge(inner: &Inner, state: &State, wanted: &[Wanted], before: usize) -> bool {
    let Some(byte) = last_byte(state, wanted) else { return false };
    let Some(segment) = state.segments.find(byte) else { return false };
    let (followers, now) = (&inner.followers, Instant::now());
    if !inner.extents.borrow().lacks(&settled(state, segment), byte) {
        followers.note(byte, now);
        return false;
    }
    // What the device has to read is not waited for twice.
    followers.are_behind(byte, inner.options.extents_bytes, before, now)
        && segment.file.read_cached(byte - segment.base, &mut [0])
}

/// First byte of the last record of a read that wants extents: not of one that ends in the tail, or
/// begins with neighbours that leave by `sendfile`.
fn last_byte(state: &State, wanted: &[Wanted]) -> Option<u64> {
    let last = wanted.last()?;
    // Most reads: their runs are looked for once, where they are fetched.
    if last.byte >= state.tail.start() {
        return None;
    }
    let first = Wanted::all_of(runs(state, wanted).next()?);
    (first.len < FILE_RUN_MIN_BYTES).then_some(last.byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_behind_are_found_and_others_are_not() {
        let (followers, now) = (Followers::default(), Instant::now());
        assert!(!followers.are_behind(1000, 1000, 0, now), "nobody has read");
        followers.note(50, now);
        followers.note(2000, now);
        followers.note(400, now);
        for (byte, reach_bytes, before, expected) in [
            (1000, 600, 0, true),
            (1000, 599, 0, false),
            (400, 0, 0, true),
            (399, 300, 0, false),
            (399, 349, 0, true),
            (399, 349, 1, false),
            (1000, 600, 3, false),
        ] {
            let seen = followers.are_behind(byte, reach_bytes, before, now);
            assert_eq!(seen, expected, "{byte} {reach_bytes} {before}");
        }
        assert!(!followers.are_behind(1000, 1000, 0, now + LATELY), "they have stopped");
    }

    #[test]
    fn of_many_the_last_are_remembered() {
        let (followers, now) = (Followers::default(), Instant::now());
        (0..100).for_each(|byte| followers.note(byte, now));
        let oldest = 100 - FINDS_MAX as u64;
        assert!(followers.are_behind(oldest, 0, 0, now));
        assert!(!followers.are_behind(oldest - 1, 0, 0, now));
    }
}

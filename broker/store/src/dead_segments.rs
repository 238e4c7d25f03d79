//! Segments that were deleted: their space is not free before the last reader is done with them.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::File;
use ringmq_runtime::sync::Turn;

use crate::log::Inner;
use crate::segment::Segment;

/// Time that those who read a segment have left when it is deleted: answers of some MiB to peers
/// that take them slowly. Until then its space is not free. Then they are cut off, since a peer
/// that takes a byte now and then could keep the space for ever; at once when space is lacking.
pub(crate) const READERS_LEFT_MAX: Duration = Duration::from_secs(60);

/// The deleted segments of a log.
#[derive(Default)]
pub(crate) struct DeadSegments {
    segments: RefCell<Vec<Dead>>,
    /// Whose turn it is to give back their space.
    turn: Turn,
    /// How many have given it back since the start.
    buried: Cell<usize>,
}

/// A deleted segment, whose space the file system keeps while anyone reads it.
#[derive(Debug)]
struct Dead {
    file: File,
    /// Whether there may be readers that `file` does not know: see [`Segment::is_reopened`].
    hides_readers: bool,
    since: Instant,
}

impl DeadSegments {
    pub(crate) fn add(&self, segment: Segment) {
        let hides_readers = segment.is_reopened;
        let dead = Dead { file: segment.file, hides_readers, since: Instant::now() };
        self.segments.borrow_mut().push(dead);
    }

    /// One that nobody reads any more, or whose readers have had the time that is `left` to them.
    fn take_overdue(&self, left: Duration) -> Option<Dead> {
        let mut segments = self.segments.borrow_mut();
        let is_over = |dead: &Dead| !dead.may_be_read() || dead.since.elapsed() >= left;
        let index = segments.iter().position(is_over)?;
        Some(segments.swap_remove(index))
    }
}

impl Dead {
    fn may_be_read(&self) -> bool {
        self.hides_readers || self.file.has_other_users()
    }
}

/// Gives back the space of deleted segments that nobody reads any more, and of those whose readers
/// have had the time that is `left` to them; how many they were, with those that another call was
/// just at: who did not know of them would delete messages for the space that they give. Never by
/// the last close, which would free a GiB on the shard's own thread.
pub(crate) async fn bury(inner: &Inner, left: Duration) -> usize {
    let (dead, id) = (&inner.dead_segments, inner.id.0);
    let before = dead.buried.get();
    let _turn = dead.turn.enter().await;
    while let Some(overdue) = dead.take_overdue(left) {
        if overdue.file.has_other_users() {
            tracing::warn!(log = id, "a deleted segment is still read: its readers are cut off");
        }
        match overdue.file.give_back_space().await {
            Ok(()) => dead.buried.set(dead.buried.get() + 1),
            Err(error) => {
                tracing::warn!(log = id, "the space of a deleted segment is not free: {error}");
            }
        }
    }
    dead.buried.get() - before
}

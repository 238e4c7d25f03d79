//! Segments that were deleted: somebody may still read them, and until nobody does their space is
//! not free.

use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::File;

use crate::log::Inner;
use crate::segment::Segment;

/// Time that those who read a segment have left when it is deleted: answers of some MiB to peers
/// that take them slowly. Until then its space is not free. Then they are cut off, since a peer
/// that takes a byte now and then could keep the space for ever; at once when space is lacking.
pub(crate) const READERS_LEFT_MAX: Duration = Duration::from_secs(60);

/// A deleted segment, whose space the file system keeps while anyone reads it.
#[derive(Debug)]
pub(crate) struct Dead {
    file: File,
    /// Whether there may be readers that `file` does not know: see [`Segment::is_reopened`].
    hides_readers: bool,
    since: Instant,
}

impl Dead {
    pub(crate) fn new(segment: Segment) -> Self {
        let hides_readers = segment.is_reopened;
        Self { file: segment.file, hides_readers, since: Instant::now() }
    }

    fn may_be_read(&self) -> bool {
        self.hides_readers || self.file.has_other_users()
    }
}

/// Gives back the space of deleted segments that nobody reads any more, and of those whose readers
/// have had the time that is `left` to them; how many they were. Never by the last close, which
/// would free a GiB on the shard's own thread.
pub(crate) async fn bury(inner: &Inner, left: Duration) -> usize {
    let mut buried = 0;
    loop {
        let overdue = {
            let mut dead = inner.dead_segments.borrow_mut();
            let is_over = |dead: &Dead| !dead.may_be_read() || dead.since.elapsed() >= left;
            let index = dead.iter().position(is_over);
            index.map(|index| dead.swap_remove(index))
        };
        let Some(overdue) = overdue else { return buried };
        let id = inner.id.0;
        if overdue.file.has_other_users() {
            tracing::warn!(log = id, "a deleted segment is still read: its readers are cut off");
        }
        match overdue.file.give_back_space().await {
            Ok(()) => buried += 1,
            Err(error) => {
                tracing::warn!(log = id, "the space of a deleted segment is not free: {error}");
            }
        }
    }
}

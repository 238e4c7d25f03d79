//! The progress of groups in the queues of a log, what sends them elsewhere, and how it is saved.

use std::net::IpAddr;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;
use ringmq_store::QueueOffset;
use ringmq_store::offsets::{self, OffsetSnapshot};
use ringmq_store::resets::Told;

use super::OwnedLog;
use crate::survivors::{ANY_GROUP, MemberQueue};

/// Groups whose progress is copied, or looked at, in one step of the shard; a table may have
/// 300,000 of them.
const SNAPSHOT_SLICE: usize = 500;

/// Queues in which progress and resets of groups in a deleted topic are forgotten in one step of
/// the shard, beside the rest of those of the last group.
const FORGOTTEN_SLICE: usize = 200;

impl OwnedLog {
    /// Stores the progress of a member's group on a queue of this log. Negative offsets, which some
    /// clients send for "none", are passed over, and so are other positions than a pending reset's,
    /// and those from before a crash. False when it is one more than the table takes.
    pub fn commit(&self, of: MemberQueue<'_>, offset: i64) -> bool {
        let Ok(offset) = u64::try_from(offset).map(QueueOffset) else { return true };
        let reset = self.resets.borrow_mut().get(of.group, of.topic, of.queue_id);
        let is_void = match reset {
            Some(to) => to != offset,
            None => self.is_from_before(of, offset),
        };
        if is_void {
            return true;
        }
        self.offsets.borrow_mut().commit(of.group, of.topic, of.queue_id, offset)
    }

    /// The same for progress that comes with a pull, whose answer cannot say that it was dropped.
    pub fn commit_or_warn(&self, of: MemberQueue<'_>, offset: i64) {
        if !self.commit(of, offset) && self.dropped_reports.is_due() {
            tracing::warn!(
                log = %self.log.id(),
                group = of.group,
                topic = of.topic,
                limit_mib = offsets::SAVED_MAX_BYTES >> 20,
                "progress is dropped: that of groups takes its file to the limit, delete those that \
                 nobody uses"
            );
        }
    }

    /// The progress of a group on a queue of this log, or where a reset sends it.
    pub fn committed(&self, group: &str, topic: &str, queue_id: i32) -> Option<QueueOffset> {
        let reset = self.resets.borrow_mut().get(group, topic, queue_id);
        reset.or_else(|| self.offsets.borrow_mut().get(group, topic, queue_id))
    }

    /// Notes that a member may go on at a position: it has it since this start.
    pub fn give(&self, to: MemberQueue<'_>, at: QueueOffset) {
        self.survivors.give(&self.log, to, at);
    }

    /// Notes that any group of a host may begin at a position: a request in the name of no group
    /// was told of it.
    pub fn give_any_group(&self, host: IpAddr, topic: &str, queue_id: i32, at: QueueOffset) {
        self.give(MemberQueue { host, group: ANY_GROUP, topic, queue_id }, at);
    }

    /// Whether a member has a position from before a crash that has taken it.
    fn is_from_before(&self, of: MemberQueue<'_>, at: QueueOffset) -> bool {
        if self.survivors.has(&self.log, of, at) {
            return false;
        }
        if let Some(progress) = self.offsets.borrow_mut().get(of.group, of.topic, of.queue_id) {
            return at > progress;
        }
        let any_group = MemberQueue { group: ANY_GROUP, ..of };
        if !self.survivors.has(&self.log, any_group, at) {
            return true;
        }
        // It will have progress, and stay where it is.
        self.give(of, at);
        false
    }

    /// Moves a member that is `at` a position which a crash took to the progress of its group, or
    /// to the end of what the crash left.
    fn move_back(&self, of: MemberQueue<'_>, at: QueueOffset) {
        let MemberQueue { group, topic, queue_id, .. } = of;
        let mut resets = self.resets.borrow_mut();
        if resets.get(group, topic, queue_id).is_some() {
            return;
        }
        let progress = self.offsets.borrow_mut().get(group, topic, queue_id);
        let to = progress.unwrap_or_else(|| self.log.offset_at_start(topic, queue_id));
        tracing::warn!(group, topic, queue_id, "at {at}, which a crash took: sent to {to}");
        resets.set(group, topic, queue_id, to);
    }

    /// Sets the progress of a group; its pulls from this queue are sent there. False, and nothing
    /// is changed, when it is one more than the table takes.
    #[must_use]
    pub fn reset(&self, group: &str, topic: &str, queue_id: i32, offset: QueueOffset) -> bool {
        if !self.offsets.borrow_mut().commit(group, topic, queue_id, offset) {
            return false;
        }
        self.resets.borrow_mut().set(group, topic, queue_id, offset);
        true
    }

    /// Whether a group has a reset of this queue yet to obey.
    pub fn has_reset(&self, group: &str, topic: &str, queue_id: i32) -> bool {
        self.resets.borrow_mut().get(group, topic, queue_id).is_some()
    }

    /// Where a reset sends a member's pull that begins at `from`.
    pub fn moved_by_reset(&self, of: MemberQueue<'_>, from: i64) -> Option<QueueOffset> {
        let MemberQueue { group, topic, queue_id, .. } = of;
        // Some clients pull from -1 after an error.
        let at = QueueOffset(u64::try_from(from).unwrap_or(0));
        if self.is_from_before(of, at) {
            self.move_back(of, at);
        }
        let told = self.resets.borrow_mut().tell(group, topic, queue_id, from);
        match told {
            Told::Nothing => None,
            Told::Obeyed(offset) => {
                // Of a deleted topic there is none, and until the group has consumed something the
                // next member that asks would have to choose where it begins.
                if self.committed(group, topic, queue_id).is_none() {
                    self.commit_or_warn(of, offset.wire());
                }
                None
            }
            Told::MoveTo(offset) => Some(offset),
            Told::GivenUp(offset) => {
                tracing::warn!(
                    group,
                    topic,
                    queue_id,
                    from,
                    "the group was sent to {offset} again and again and does not go there: its \
                     reset is over"
                );
                self.give(of, at);
                None
            }
        }
    }

    /// Forgets what groups did in a topic that is deleted. They begin anew in the next topic of
    /// that name: each from the step on that forgets its progress. Nobody makes progress in a topic
    /// that the view does not have, so none is left behind.
    pub async fn forget_topic(&self, topic: &str) {
        let mut behind = None;
        while self.resets.borrow_mut().delete_topic(topic, &mut behind, FORGOTTEN_SLICE) {
            task::yield_now().await;
        }
        while self.forget_groups_in(topic) {
            task::yield_now().await;
        }
    }

    /// The next slice of them; false when it was the last.
    fn forget_groups_in(&self, topic: &str) -> bool {
        let (mut offsets, mut resets) = (self.offsets.borrow_mut(), self.resets.borrow_mut());
        offsets.take_topic(topic, FORGOTTEN_SLICE, |group, queue_id| {
            resets.set(group, topic, queue_id, QueueOffset(0));
        })
    }

    /// Lets a group without progress begin anew, too, in a queue of a deleted topic.
    pub fn begin_anew(&self, group: &str, topic: &str, queue_id: i32) {
        self.resets.borrow_mut().set(group, topic, queue_id, QueueOffset(0));
    }

    /// Takes progress and resets back to the end of each queue, at a start before which messages
    /// may have gone; returns how many entries of progress that were. Members that run are behind
    /// the end, too, and may come back when new messages lie before them: they are sent to the end.
    pub fn take_progress_back(&self) -> usize {
        let end_of = |topic: &str, queue_id| self.log.next_offset(topic, queue_id);
        let (mut offsets, mut resets) = (self.offsets.borrow_mut(), self.resets.borrow_mut());
        resets.limit(end_of);
        offsets.limit(end_of, |group, topic, queue_id, end| {
            if resets.get(group, topic, queue_id).is_none() {
                resets.set(group, topic, queue_id, end);
            }
        })
    }

    /// After a crash that may have taken messages: members that are ahead are moved back when they
    /// come.
    pub fn look_for_survivors(&self) {
        self.survivors.look_for(Instant::now());
    }

    /// Forgets how far a group is. What a member commits in between may stay, as what it commits
    /// later.
    pub async fn delete_group(&self, group: &str) {
        let mut behind = None;
        while self.offsets.borrow_mut().take_group(group, &mut behind, SNAPSHOT_SLICE) {
            task::yield_now().await;
        }
        let mut behind = None;
        while self.resets.borrow_mut().delete_group(group, &mut behind, SNAPSHOT_SLICE) {
            task::yield_now().await;
        }
    }

    /// Writes the consumers' progress to disk if it changed.
    ///
    /// # Errors
    /// What the disk said.
    pub async fn save_progress(&self) -> std::io::Result<()> {
        // One at a time: both would write the same temporary file.
        let _turn = self.saving.enter().await;
        let versions = (self.offsets.borrow().version(), self.resets.borrow().version());
        if versions == self.saved_versions.get() {
            return Ok(());
        }
        let mut snapshot = OffsetSnapshot::default();
        // What changes between two slices is saved with the version that it makes.
        while self.offsets.borrow().copy_next(&mut snapshot, SNAPSHOT_SLICE) {
            task::yield_now().await;
        }
        while self.resets.borrow().copy_next(&mut snapshot, SNAPSHOT_SLICE) {
            task::yield_now().await;
        }
        self.offsets_file.save(snapshot).await?;
        self.saved_versions.set(versions);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use ringmq_runtime::sim::World;
    use ringmq_store::metadata::Document;
    use ringmq_store::offsets::OffsetTable;
    use ringmq_store::resets::Resets;
    use ringmq_store::{Log, LogId, LogOptions};

    use super::*;

    const GROUPS: usize = 3 * FORGOTTEN_SLICE - 1;

    /// Has a topic with so many groups deleted, step by step; `make` says where these are.
    fn check_slices(make: impl FnOnce(&mut OffsetTable, &mut Resets)) {
        let world = World::new(1);
        let disk = world.disk(0);
        world.run(async {
            let (mut offsets, mut resets) = (OffsetTable::default(), Resets::default());
            make(&mut offsets, &mut resets);
            let mut saved = offsets.snapshot();
            resets.copy_next(&mut saved, usize::MAX);
            let opened = Log::open(&disk, "log", LogId(0), LogOptions::default()).await;
            let (log, _) = opened.expect("a new log");
            let owned = OwnedLog::new(log, &saved, Document::new(&disk, "offsets"));
            let begins_anew = || {
                let groups = (0..GROUPS).map(|number| format!("g{number}"));
                let at = groups.filter_map(|group| owned.committed(&group, "t", 1));
                at.filter(|at| *at == QueueOffset(0)).count()
            };
            {
                let mut deletion = pin!(owned.forget_topic("t"));
                let mut context = Context::from_waker(Waker::noop());
                for slices in 1..=2 {
                    assert!(deletion.as_mut().poll(&mut context).is_pending());
                    assert_eq!(begins_anew(), slices * FORGOTTEN_SLICE);
                }
                assert_eq!(deletion.as_mut().poll(&mut context), Poll::Ready(()));
                assert_eq!(begins_anew(), GROUPS);
            }
            owned.log.close().await.expect("closed");
        });
    }

    #[test]
    fn a_deleted_topic_of_many_groups_lets_others_have_turns() {
        check_slices(|offsets, _| {
            for number in 0..GROUPS {
                assert!(offsets.commit(&format!("g{number}"), "t", 1, QueueOffset(7)));
            }
        });
    }

    #[test]
    fn a_deleted_topic_of_many_groups_that_are_sent_elsewhere_lets_others_have_turns() {
        check_slices(|_, resets| {
            for number in 0..GROUPS {
                resets.set(&format!("g{number}"), "t", 1, QueueOffset(7));
            }
        });
    }
}

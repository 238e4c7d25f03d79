//! Members of groups that outlive a crash of the broker and are ahead of what it left.
//!
//! A crash may take messages that members have got already, and the progress that they committed
//! last. They go on at the positions in their memory, and new messages get the offsets of those
//! that are gone: whoever comes back when these have passed its position would skip those before
//! it, and nothing would show that. So after such a start the log notes how far it has *given* each
//! queue to each group: the end that the start found; where an answer to a pull went on; the
//! progress of which a member was told; where an administrator has set it. A position behind that
//! is from before: a commit of it is dropped, a pull from it is sent back, by a reset (`logs.rs`).
//!
//! A group without progress asks for the end of a queue, or for an offset by time, in requests that
//! do not name it. What these answer is given to *anybody* without progress, also to those of them
//! that are ahead.
//!
//! Members come back within seconds, so this ends after [`GIVEN_WITHIN`], or with [`GIVEN_MAX`]
//! entries, or with the next start. What it does not do:
//!
//! - Commits of a tool that sets progress by UPDATE_CONSUMER_OFFSET (older ones do, and Apache's
//!   mqadmin for a group that is not online), behind what the group was given, are answered SUCCESS
//!   and dropped, as they look like those of a member. INVOKE_BROKER_TO_RESET_OFFSET sets it.
//! - A client that seeks behind what its group was given is sent back, and gets messages twice.
//! - Members that hold one queue at once, which all those of a broadcasting group do, are not told
//!   from each other: one that comes when others were given what lies before its position skips it.
//! - A start within that time forgets who has not come yet; when it is after a crash, too, it finds
//!   a later end.

use std::cell::RefCell;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::random::HashMap;
use ringmq_store::{Log, QueueOffset};

use crate::subscription_groups;

/// Groups without progress; no group has this name.
pub(crate) const ANYBODY: &str = "";

/// How long after a start members come back.
const GIVEN_WITHIN: Duration = Duration::from_secs(600);

/// Queues of groups that were given new messages: some 25 MB, 60 MB when all names are the longest.
const GIVEN_MAX: usize = 100_000;

/// What one log has given since its start, while survivors are looked for.
#[derive(Default)]
pub(crate) struct Survivors(RefCell<Option<Given>>);

impl Survivors {
    /// Begins: nothing is given yet behind the ends that the start found.
    pub(crate) fn look_for(&self, now: Instant) {
        self.0.replace(Some(Given::new(now)));
    }

    /// The queue was given to the group up to here.
    pub(crate) fn give(&self, log: &Log, group: &str, topic: &str, queue_id: i32, to: QueueOffset) {
        let mut given = self.0.borrow_mut();
        let Some(known) = still(&mut given) else { return };
        if to <= log.offset_at_start(topic, queue_id) {
            return;
        }
        known.raise(group, topic, queue_id, to);
        if known.count >= GIVEN_MAX {
            *given = None;
            tracing::warn!(
                log = %log.id(),
                "members that are ahead of what the crash left are not looked for any more: there \
                 are {GIVEN_MAX} queues of groups"
            );
        }
    }

    /// Whether the group can be at a position since the start. Tools look at any.
    pub(crate) fn has(
        &self,
        log: &Log,
        group: &str,
        topic: &str,
        queue_id: i32,
        at: QueueOffset,
    ) -> bool {
        let mut given = self.0.borrow_mut();
        let Some(given) = still(&mut given) else { return true };
        at <= log.offset_at_start(topic, queue_id)
            || given.to(group, topic, queue_id).is_some_and(|to| at <= to)
            || subscription_groups::is_system(group)
    }
}

/// Nothing, nearly always.
fn still(given: &mut Option<Given>) -> Option<&mut Given> {
    if given.as_ref().is_some_and(|given| given.is_over(Instant::now())) {
        *given = None;
    }
    given.as_mut()
}

/// How far queues were given to groups, where that is behind the end at the start.
struct Given {
    started: Instant,
    /// By `topic@group`, which no name of a topic contains.
    groups: HashMap<String, HashMap<i32, QueueOffset>>,
    count: usize,
    key: String,
}

impl Given {
    fn new(started: Instant) -> Self {
        Self { started, groups: HashMap::default(), count: 0, key: String::new() }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_since(self.started) >= GIVEN_WITHIN
    }

    fn set_key(&mut self, group: &str, topic: &str) {
        self.key.clear();
        self.key.extend([topic, "@", group]);
    }

    fn raise(&mut self, group: &str, topic: &str, queue_id: i32, to: QueueOffset) {
        self.set_key(group, topic);
        let queues = match self.groups.get_mut(&self.key) {
            Some(queues) => queues,
            None => self.groups.entry(self.key.clone()).or_default(),
        };
        let before = queues.len();
        let given = queues.entry(queue_id).or_insert(to);
        *given = to.max(*given);
        self.count += queues.len() - before;
    }

    fn to(&mut self, group: &str, topic: &str, queue_id: i32) -> Option<QueueOffset> {
        self.set_key(group, topic);
        self.groups.get(&self.key)?.get(&queue_id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_last_may_lie_before_what_was_given_first() {
        let start = Instant::from_nanos(7);
        let mut given = Given::new(start);
        let places = [("g", "t", 1), ("g", "t", 0), ("h", "t", 1), ("g", "u", 1)];
        for (number, (group, topic, queue_id)) in (3..).zip(places) {
            assert_eq!(given.to(group, topic, queue_id), None);
            for to in [number, number + 1, 1] {
                given.raise(group, topic, queue_id, QueueOffset(to));
            }
            let to = Some(QueueOffset(number + 1));
            assert_eq!(given.to(group, topic, queue_id), to, "{group} {topic} {queue_id}");
        }
        assert_eq!(given.count, places.len());
        assert!(!given.is_over(start) && given.is_over(start + GIVEN_WITHIN));
    }
}

//! Members of groups that outlive a crash of the broker and are ahead of what it left.
//!
//! A crash may take messages that members have got already, and the progress that they committed
//! last. They go on at the positions in their memory, and new messages get the offsets of those
//! that are gone: whoever comes back when these have passed its position would skip those before
//! it, and nothing would show that. So after such a start each group is *met* anew in each queue. A
//! group that has not asked for its progress there, and comes with a position behind the end that
//! the start found, knows that from before: it is sent back, by a reset (`logs.rs`).
//!
//! Members come back within seconds, so this ends after [`MET_WITHIN`], or with [`MET_MAX`] of
//! them.

use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::random::{HashMap, HashSet};

use crate::{names, subscription_groups};

/// How long after a start members come back.
const MET_WITHIN: Duration = Duration::from_secs(600);

/// Queues of groups that are remembered as met: some 10 MB, 60 MB when all names are the longest.
const MET_MAX: usize = 100_000;

/// Longest name of a topic and a group together; whoever asks for longer ones is not met.
const NAMES_MAX_BYTES: usize = names::RETRY_TOPIC_MAX_BYTES + names::GROUP_MAX_BYTES;

/// The groups that one log has met since its start.
pub(crate) struct Survivors {
    started: Instant,
    /// By `topic@group`, which no name of a topic contains.
    met: HashMap<String, HashSet<i32>>,
    count: usize,
    key: String,
}

impl Survivors {
    /// Nobody was met yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self { started: now, met: HashMap::default(), count: 0, key: String::new() }
    }

    /// Whether nobody is looked for any more.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.count >= MET_MAX || now.saturating_since(self.started) >= MET_WITHIN
    }

    /// Meets a group in a queue; whether that is the first time. Tools are never met: they look at
    /// any offset.
    pub(crate) fn meet(&mut self, group: &str, topic: &str, queue_id: i32) -> bool {
        if topic.len() + group.len() > NAMES_MAX_BYTES {
            return false;
        }
        self.key.clear();
        self.key.extend([topic, "@", group]);
        let queues = match self.met.get_mut(&self.key) {
            Some(queues) => queues,
            None => self.met.entry(self.key.clone()).or_default(),
        };
        let is_first = queues.insert(queue_id);
        self.count += usize::from(is_first);
        is_first && !subscription_groups::is_system(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_met_once_in_each_queue_until_all_are_back() {
        let start = Instant::from_nanos(7);
        let mut survivors = Survivors::new(start);
        for (group, topic, queue_id) in [("g", "t", 1), ("g", "t", 0), ("h", "t", 1), ("g", "u", 1)]
        {
            assert!(survivors.meet(group, topic, queue_id), "{group} {topic} {queue_id}");
            assert!(!survivors.meet(group, topic, queue_id), "{group} {topic} {queue_id}");
        }
        assert!(!survivors.meet("TOOLS_CONSUMER", "t", 1));
        assert!(!survivors.meet(&"g".repeat(NAMES_MAX_BYTES), "t", 1));
        assert!(!survivors.is_over(start) && survivors.is_over(start + MET_WITHIN));
        let queues = 0..MET_MAX as i32;
        assert!(queues.filter(|queue_id| survivors.meet("g", "t", *queue_id)).count() > 0);
        assert!(survivors.is_over(start));
    }
}

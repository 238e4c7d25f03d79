//! Queues named by configuration.

use super::AllocationStrategy;
use crate::queue::MessageQueue;

/// Always the same queues, whoever else is in the group. Keeping shares disjoint is up to whoever
/// writes the lists.
#[derive(Debug, Clone, Default)]
pub struct Fixed {
    queues: Vec<MessageQueue>,
}

impl Fixed {
    /// Consumes exactly `queues` of their topics.
    pub fn new(queues: Vec<MessageQueue>) -> Self {
        Self { queues }
    }
}

impl AllocationStrategy for Fixed {
    fn name(&self) -> String {
        "CONFIG".into()
    }

    fn allocate(
        &self,
        _member: &str,
        queues: &[MessageQueue],
        _members: &[String],
    ) -> Vec<MessageQueue> {
        // Only queues that exist: a pull from a removed one would fail forever.
        self.queues.iter().filter(|queue| queues.contains(queue)).cloned().collect()
    }
}

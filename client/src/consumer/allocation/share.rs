//! Equal shares: contiguous blocks, or dealt out like cards.

use super::{AllocationStrategy, place};
use crate::queue::MessageQueue;

/// Contiguous blocks of equal size; the first `queues mod members` members get one more. Default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Averagely;

impl AllocationStrategy for Averagely {
    fn name(&self) -> String {
        "AVG".into()
    }

    fn allocate(
        &self,
        member: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Vec<MessageQueue> {
        let Some(index) = place(member, members) else { return Vec::new() };
        let (each, extra) = (queues.len() / members.len(), queues.len() % members.len());
        let start = index * each + index.min(extra);
        let length = each + usize::from(index < extra);
        queues[start..start + length].to_vec()
    }
}

/// Queue `i` goes to member `i mod members`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Circle;

impl AllocationStrategy for Circle {
    fn name(&self) -> String {
        "AVG_BY_CIRCLE".into()
    }

    fn allocate(
        &self,
        member: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Vec<MessageQueue> {
        let Some(index) = place(member, members) else { return Vec::new() };
        queues.iter().skip(index).step_by(members.len()).cloned().collect()
    }
}

//! Which queues of a topic a member of a group consumes.
//!
//! Every member computes this alone from the same two lists, so all members must run the same
//! strategy, over the same order, to the same result: a Java client and ours may sit in one group.
//! Invariant, tested for every strategy that promises it: the shares of all members are disjoint
//! and together hold every queue.

mod consistent_hash;
mod fixed;
mod room;
mod share;

use std::fmt;

pub use consistent_hash::ConsistentHash;
pub use fixed::Fixed;
pub use room::{MachineRoom, Nearby, RoomOf};
pub use share::{Averagely, Circle};

use crate::queue::MessageQueue;

/// Divides the queues of one topic among the members of a group.
pub trait AllocationStrategy: Send + Sync + fmt::Debug {
    /// The name that Java clients print for the same rule.
    fn name(&self) -> String;

    /// Queues that `member` consumes.
    ///
    /// `queues` and `members` are sorted ([`MessageQueue`]'s order, [`java_order`]) and without
    /// duplicates. A member that is not in `members` gets nothing: it has not registered yet.
    ///
    /// [`java_order`]: crate::queue::java_order
    fn allocate(
        &self,
        member: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Vec<MessageQueue>;
}

/// Place of `member` in the sorted list of members.
fn place(member: &str, members: &[String]) -> Option<usize> {
    members.iter().position(|name| name == member)
}

#[cfg(test)]
mod tests;

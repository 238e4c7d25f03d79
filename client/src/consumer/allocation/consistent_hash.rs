//! A ring of hashed members: few queues move when a member joins or leaves.

use std::collections::BTreeMap;

use md5::{Digest, Md5};

use super::{AllocationStrategy, place};
use crate::queue::MessageQueue;

/// Virtual nodes per member in Java's default construction.
const VIRTUAL_NODES_DEFAULT: u32 = 10;

/// Each member stands at several points of a ring; a queue belongs to the next point clockwise.
///
/// Points and queues are hashed with MD5, of which the first four bytes count as an unsigned
/// big-endian number, so that Java members of the group compute the same ring.
#[derive(Debug, Clone, Copy)]
pub struct ConsistentHash {
    virtual_nodes: u32,
}

impl ConsistentHash {
    /// A ring with `virtual_nodes` points per member (1 or more). All members must agree on it.
    pub fn new(virtual_nodes: u32) -> Self {
        Self { virtual_nodes: virtual_nodes.max(1) }
    }
}

impl Default for ConsistentHash {
    fn default() -> Self {
        Self::new(VIRTUAL_NODES_DEFAULT)
    }
}

impl AllocationStrategy for ConsistentHash {
    fn name(&self) -> String {
        "CONSISTENT_HASH".into()
    }

    fn allocate(
        &self,
        member: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Vec<MessageQueue> {
        if place(member, members).is_none() {
            return Vec::new();
        }
        let ring = self.ring(members);
        let owner = |queue: &MessageQueue| {
            let point = hash(&java_text(queue));
            let next = ring.range(point..).next().or_else(|| ring.iter().next());
            next.map(|(_, owner)| *owner)
        };
        queues.iter().filter(|queue| owner(queue) == Some(member)).cloned().collect()
    }
}

impl ConsistentHash {
    fn ring<'a>(&self, members: &'a [String]) -> BTreeMap<u32, &'a str> {
        let mut ring = BTreeMap::new();
        for member in members {
            for replica in 0..self.virtual_nodes {
                ring.insert(hash(&format!("{member}-{replica}")), member.as_str());
            }
        }
        ring
    }
}

fn hash(key: &str) -> u32 {
    let digest = Md5::digest(key.as_bytes());
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// The text form of a queue in Java, which is what its clients hash.
fn java_text(queue: &MessageQueue) -> String {
    let MessageQueue { topic, broker_name, queue_id } = queue;
    format!("MessageQueue [topic={topic}, brokerName={broker_name}, queueId={queue_id}]")
}

//! Where a request is handled: request code to plane, topic and queue to log, log to shard.
//!
//! Everything here is pure. [`place`] reads the code and the few header fields that decide;
//! [`Placement`] knows the number of logs and shards. A request whose fields are missing stays on
//! the shard that received it, where its service refuses it with a remark.

use ringmq_protocol::Command;
use ringmq_protocol::codes::request;
use ringmq_store::LogPosition;

/// A queue by the hash of its topic: the key of tables on the hot path, where no text is compared.
///
/// Two topics with equal 64-bit hashes would share log placement and wake each other's pulls; both
/// only cost time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HashedQueue {
    /// [`topic_hash`] of the topic.
    pub topic_hash: u64,
    /// Queue of the topic, 0 or more.
    pub queue_id: i32,
}

impl HashedQueue {
    /// The key of a queue.
    pub fn new(topic: &str, queue_id: i32) -> Self {
        Self { topic_hash: topic_hash(topic), queue_id }
    }
}

/// Hash of a topic name: 64-bit FNV-1a over its UTF-8 bytes.
///
/// It decides in which log a queue lies, so it can never change: a store written with another
/// function would not find its queues again.
pub fn topic_hash(topic: &str) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    topic.bytes().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// How many logs and shards there are, and so who owns what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    logs: usize,
    shards: usize,
}

impl Placement {
    /// A store of `logs` logs served by `shards` shards, both at least 1.
    pub fn new(logs: usize, shards: usize) -> Self {
        assert!(logs > 0 && shards > 0, "{logs} logs on {shards} shards");
        Self { logs, shards }
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// Number of logs.
    pub fn logs(&self) -> usize {
        self.logs
    }

    /// The log of a queue: the queues of a topic take the logs in turn, from a start given by its
    /// name.
    pub fn log_of(&self, queue: HashedQueue) -> usize {
        let logs = self.logs as u64;
        ((queue.topic_hash % logs + u64::from(queue.queue_id.unsigned_abs()) % logs) % logs)
            as usize
    }

    /// The shard that owns a log.
    pub fn shard_of_log(&self, log: usize) -> usize {
        log % self.shards
    }

    /// The log that a physical offset points into; `None` when there is no such log.
    pub fn log_of_position(&self, position: i64) -> Option<usize> {
        let log = usize::from(LogPosition::from_wire(position)?.log().0);
        (log < self.logs).then_some(log)
    }

    /// The logs of one shard.
    pub fn logs_of(&self, shard: usize) -> impl Iterator<Item = usize> + use<> {
        (shard..self.logs).step_by(self.shards)
    }
}

/// What decides where a request is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// On the owner of this queue.
    Queue {
        /// Topic as the request names it.
        topic: &'a str,
        /// Queue id; negative in a send that leaves the choice to the broker.
        queue_id: i32,
    },
    /// On the owner of the log that this physical offset points into.
    Position(i64),
    /// Where it arrived.
    Here,
    /// On shard 0, by the control plane.
    Control,
}

/// Decides from the code and header of a request.
pub fn place<'a>(command: &'a Command<'_>) -> Place<'a> {
    match command.code {
        request::SEND_MESSAGE
        | request::PULL_MESSAGE
        | request::LITE_PULL_MESSAGE
        | request::QUERY_CONSUMER_OFFSET
        | request::UPDATE_CONSUMER_OFFSET
        | request::SEARCH_OFFSET_BY_TIMESTAMP
        | request::GET_MAX_OFFSET
        | request::GET_MIN_OFFSET
        | request::GET_EARLIEST_MSG_STORETIME => queue_of(command, "topic", "queueId"),
        request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE => queue_of(command, "b", "e"),
        request::VIEW_MESSAGE_BY_ID => match number(command, "offset") {
            Some(position) => Place::Position(position),
            None => Place::Here,
        },
        request::QUERY_MESSAGE => Place::Here,
        _ => Place::Control,
    }
}

fn queue_of<'a>(command: &'a Command<'_>, topic: &str, queue_id: &str) -> Place<'a> {
    match (command.fields.get(topic), number(command, queue_id)) {
        (Some(topic), Some(queue_id)) => Place::Queue { topic, queue_id },
        _ => Place::Here,
    }
}

fn number<T: std::str::FromStr>(command: &Command<'_>, name: &str) -> Option<T> {
    command.fields.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_topic_never_changes() {
        // Published FNV-1a vectors, then a name of ours.
        assert_eq!(topic_hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(topic_hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(topic_hash("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn queues_of_a_topic_take_the_logs_in_turn() {
        let placement = Placement::new(3, 2);
        let logs: Vec<usize> =
            (0..7).map(|queue| placement.log_of(HashedQueue::new("Orders", queue))).collect();
        for pair in logs.windows(2) {
            assert_eq!((pair[0] + 1) % 3, pair[1]);
        }
    }

    #[test]
    fn every_log_has_one_owner_whatever_the_number_of_shards() {
        for shards in 1..5 {
            let placement = Placement::new(3, shards);
            let mut owned: Vec<usize> =
                (0..shards).flat_map(|shard| placement.logs_of(shard)).collect();
            owned.sort_unstable();
            assert_eq!(owned, [0, 1, 2]);
            for shard in 0..shards {
                assert!(placement.logs_of(shard).all(|log| placement.shard_of_log(log) == shard));
            }
        }
    }

    #[test]
    fn a_position_names_its_log_or_none() {
        let placement = Placement::new(2, 1);
        assert_eq!(placement.log_of_position(0), Some(0));
        assert_eq!(placement.log_of_position((1 << 45) + 7), Some(1));
        assert_eq!(placement.log_of_position(2 << 45), None);
        assert_eq!(placement.log_of_position(-1), None);
    }
}

//! How much each connection of another shard was answered that may not have left yet.
//!
//! A connection's own shard sees its output and stops reading when that is full. Another shard sees
//! nothing of it: pulls that wait there and are woken one after the other would send the peer what
//! they find, turn by turn, however slowly it reads. So it counts what it sent since the last
//! request came, before which there was room, and past a limit asks first.

use ringmq_runtime::random::HashMap;

use crate::link::ConnectionKey;

/// Answers of one turn past which large ones wait: what stops the reading from a connection of our
/// own.
const PER_TURN_MAX_BYTES: u64 = 4 << 20;

/// Answers since the connection was last found to have room, past which its shard is asked: one
/// pull of 16 with 1 MiB each waits for that, some 30 us.
const UNASKED_MAX_BYTES: u64 = 16 << 20;

/// Connections that are counted, 32 bytes each. Beyond it all are forgotten, so that the counts of
/// closed connections do not add up; one that is forgotten may get as much once more.
const CONNECTIONS_MAX: usize = 8192;

/// Message bytes that left for connections of other shards.
#[derive(Default)]
pub(super) struct AnsweredBytes {
    unasked: HashMap<ConnectionKey, u64>,
}

impl AnsweredBytes {
    /// Takes note of what leaves in one turn.
    pub(super) fn add(&mut self, to: ConnectionKey, bytes: u64) {
        if bytes == 0 {
            return;
        }
        if self.unasked.len() >= CONNECTIONS_MAX && !self.unasked.contains_key(&to) {
            self.unasked.clear();
        }
        *self.unasked.entry(to).or_default() += bytes;
    }

    /// Takes note that a connection has room.
    pub(super) fn forget(&mut self, to: ConnectionKey) {
        self.unasked.remove(&to);
    }

    /// Whether the next large answer should wait, when this turn has answered `this_turn` bytes.
    pub(super) fn is_much(&self, to: ConnectionKey, this_turn: u64) -> bool {
        let unasked = || self.unasked.get(&to).copied().unwrap_or(0);
        this_turn >= PER_TURN_MAX_BYTES || unasked() + this_turn >= UNASKED_MAX_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_left_in_many_turns_is_much_until_there_was_room() {
        let (key, other) = (connection(7), connection(8));
        let mut answered = AnsweredBytes::default();
        for _ in 0..15 {
            assert!(!answered.is_much(key, 0));
            answered.add(key, 1 << 20);
        }
        assert!(answered.is_much(key, 1 << 20) && !answered.is_much(other, 1 << 20));
        answered.add(key, 1 << 20);
        assert!(answered.is_much(key, 0));
        answered.forget(key);
        assert!(!answered.is_much(key, 0));
    }

    #[test]
    fn connections_that_never_come_back_take_little() {
        let mut answered = AnsweredBytes::default();
        for id in 0..3 * CONNECTIONS_MAX as u64 {
            answered.add(connection(id), 1);
        }
        assert!(answered.unasked.len() <= CONNECTIONS_MAX);
        answered.add(connection(0), 0);
        assert!(!answered.unasked.contains_key(&connection(0)), "nothing is not counted");
    }

    fn connection(id: u64) -> ConnectionKey {
        ConnectionKey { shard: 1, id }
    }
}

//! Which queue a message goes to.

use std::cell::Cell;

use crate::queue::MessageQueue;

/// Walks round the queues of one topic, and past the broker that failed last.
///
/// Starts anywhere (the caller's random number), so that many producers do not begin in step.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: Cell<usize>,
}

impl RoundRobin {
    /// A walk that begins at `start` (any number).
    pub fn starting_at(start: usize) -> Self {
        Self { next: Cell::new(start) }
    }

    /// The next queue, from another broker than `avoid` if there is one. `None`: no queues.
    pub fn choose<'a>(
        &self,
        queues: &'a [MessageQueue],
        avoid: Option<&str>,
    ) -> Option<&'a MessageQueue> {
        for _ in 0..queues.len() {
            let queue = &queues[self.step() % queues.len()];
            if Some(&*queue.broker_name) != avoid {
                return Some(queue);
            }
        }
        (!queues.is_empty()).then(|| &queues[self.step() % queues.len()])
    }

    fn step(&self) -> usize {
        let place = self.next.get();
        self.next.set(place.wrapping_add(1));
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(text: &str) -> Vec<MessageQueue> {
        let parse = |(id, broker)| MessageQueue::new("T", broker, id);
        (0..).zip(text.split(' ')).map(parse).collect()
    }

    fn ids(walk: &RoundRobin, queues: &[MessageQueue], avoid: Option<&str>, n: usize) -> Vec<i32> {
        (0..n).map(|_| walk.choose(queues, avoid).expect("a queue").queue_id).collect()
    }

    #[test]
    fn queues_are_used_in_turn() {
        let walk = RoundRobin::starting_at(1);
        assert_eq!(ids(&walk, &queues("a a b b"), None, 6), [1, 2, 3, 0, 1, 2]);
    }

    #[test]
    fn the_broker_that_failed_is_passed_over() {
        let walk = RoundRobin::default();
        assert_eq!(ids(&walk, &queues("a a b b"), Some("a"), 3), [2, 3, 2]);
    }

    #[test]
    fn the_only_broker_is_used_even_if_it_failed() {
        let walk = RoundRobin::default();
        assert_eq!(ids(&walk, &queues("a a"), Some("a"), 2).len(), 2);
        assert!(walk.choose(&[], None).is_none());
    }

    #[test]
    fn the_counter_may_wrap() {
        let walk = RoundRobin::starting_at(usize::MAX);
        assert_eq!(ids(&walk, &queues("a a a a"), None, 2), [3, 0]);
    }
}

//! Pulls that wait for a message.
//!
//! States of a held pull: *parked* until a wanted message becomes visible (woken), its deadline
//! passes (expired), its place is needed (chosen), or the shard stops (drained). It
//! leaves the table in exactly one of these ways, with its payload, and the caller answers it.
//! Parking, waking and expiring change the table in one step and never wait; the caller owns the
//! clock.
//!
//! Costs: a parked pull holds one slot and one heap entry, whatever the number of others, and no
//! timer of its own. A message looks up its queue once and visits only the pulls in line there.
//! Most want every message, so a visit wakes them; those that want certain tags may be visited in
//! vain by every message, so a line has room for fewer of them ([`LineLimits`]). A pull that finds
//! no room in line is parked outside it, where messages do not see it, for a shorter time. Heap
//! entries of woken pulls stay behind until their deadline, or until they outnumber the parked ones
//! and are swept.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::random::HashMap;
use ringmq_store::QueueOffset;
use slab::Slab;

use crate::filter::TagFilter;
use crate::router::HashedQueue;

/// Stale heap entries that are tolerated before a sweep, beside one per parked pull.
const STALE_DEADLINES_MAX: usize = 1024;

/// What a parked pull waits for.
#[derive(Debug)]
pub struct Wish {
    /// The queue it reads.
    pub queue: HashedQueue,
    /// The first queue offset it wants.
    pub offset: QueueOffset,
    /// The tags it wants.
    pub filter: TagFilter,
    /// When it is answered "nothing found".
    pub deadline: Instant,
    /// The same where the line of the queue is full, so that no message wakes the pull.
    pub deadline_outside: Instant,
}

impl Wish {
    /// Whether messages may come that it does not want.
    fn is_choosy(&self) -> bool {
        self.filter != TagFilter::All
    }
}

struct Held<T> {
    wish: Wish,
    generation: u64,
    is_in_line: bool,
    previous: Option<usize>,
    next: Option<usize>,
    payload: T,
}

/// The pulls that messages of one queue visit.
#[derive(Clone, Copy)]
struct Line {
    head: usize,
    len: usize,
    /// Those among them that want certain tags.
    choosy: usize,
}

/// How many pulls stand in the line of one queue.
#[derive(Clone, Copy, Debug)]
pub struct LineLimits {
    /// All of them.
    pub pulls: usize,
    /// Those that want certain tags.
    pub choosy: usize,
}

/// The pulls parked on one shard; `T` is what the caller needs to answer one.
pub struct HoldTable<T> {
    slots: Slab<Held<T>>,
    lines: HashMap<HashedQueue, Line>,
    deadlines: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    generation: u64,
    line_limits: LineLimits,
}

impl<T> HoldTable<T> {
    /// An empty table that parks pulls within `line_limits` where the messages of their queue find
    /// them. How many it parks at all is the caller's to bound.
    pub fn new(line_limits: LineLimits) -> Self {
        Self {
            slots: Slab::new(),
            lines: HashMap::default(),
            deadlines: BinaryHeap::new(),
            generation: 0,
            line_limits,
        }
    }

    /// Number of parked pulls.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is parked.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Parks a pull and returns its deadline.
    pub fn park(&mut self, wish: Wish, payload: T) -> Instant {
        self.generation += 1;
        let (queue, generation) = (wish.queue, self.generation);
        let line = self.lines.get(&queue).copied();
        let (len, choosy) = line.map_or((0, 0), |line| (line.len, line.choosy));
        let is_choosy = wish.is_choosy();
        let limits = self.line_limits;
        let is_in_line = len < limits.pulls && (!is_choosy || choosy < limits.choosy);
        let deadline =
            if is_in_line { wish.deadline } else { wish.deadline.min(wish.deadline_outside) };
        let next = line.filter(|_| is_in_line).map(|line| line.head);
        let held = Held { wish, generation, is_in_line, previous: None, next, payload };
        let slot = self.slots.insert(held);
        if is_in_line {
            if let Some(next) = next {
                self.slots[next].previous = Some(slot);
            }
            let choosy = choosy + usize::from(is_choosy);
            self.lines.insert(queue, Line { head: slot, len: len + 1, choosy });
        }
        self.deadlines.push(Reverse((deadline, slot, generation)));
        self.sweep_deadlines();
        deadline
    }

    /// Takes out the pulls that want the message at `offset` of `queue`, and appends them to
    /// `woken`.
    pub fn arrived(
        &mut self,
        queue: HashedQueue,
        offset: QueueOffset,
        tag_hash: i64,
        woken: &mut Vec<T>,
    ) {
        let mut cursor = self.lines.get(&queue).map(|line| line.head);
        while let Some(slot) = cursor {
            let held = &self.slots[slot];
            cursor = held.next;
            if held.wish.offset <= offset && held.wish.filter.accepts(tag_hash) {
                woken.push(self.take(slot));
            }
        }
    }

    /// Takes out the pulls in line for one queue, whatever they want, and appends them to `woken`.
    ///
    /// For a change other than a message: the offset of a group was reset.
    pub fn disturb(&mut self, queue: HashedQueue, woken: &mut Vec<T>) {
        while let Some(line) = self.lines.get(&queue) {
            let head = line.head;
            woken.push(self.take(head));
        }
    }

    /// Takes out pulls whose deadline is `now` or earlier, the earliest first, at most `count_max`
    /// of them, and appends them to `expired`. Whether those were all.
    pub fn expire(&mut self, now: Instant, count_max: usize, expired: &mut Vec<T>) -> bool {
        let end = expired.len() + count_max;
        while let Some(Reverse((deadline, slot, generation))) = self.deadlines.peek().copied() {
            if deadline > now {
                return true;
            }
            if expired.len() == end {
                return false;
            }
            self.deadlines.pop();
            if self.slots.get(slot).is_some_and(|held| held.generation == generation) {
                expired.push(self.take(slot));
            }
        }
        true
    }

    /// Takes out the pulls that `is_chosen` names, and appends them to `taken`. Looks at all of
    /// them.
    pub fn take_chosen(&mut self, mut is_chosen: impl FnMut(&T) -> bool, taken: &mut Vec<T>) {
        self.take_where(|held| is_chosen(&held.payload), taken);
    }

    /// Takes out all pulls for the queues of a topic, and appends them to `taken`. Looks at all
    /// that are parked.
    pub fn take_topic(&mut self, topic_hash: u64, taken: &mut Vec<T>) {
        self.take_where(|held| held.wish.queue.topic_hash == topic_hash, taken);
    }

    fn take_where(&mut self, mut is_chosen: impl FnMut(&Held<T>) -> bool, taken: &mut Vec<T>) {
        let slots: Vec<usize> =
            self.slots.iter().filter(|(_, held)| is_chosen(held)).map(|(slot, _)| slot).collect();
        taken.extend(slots.into_iter().map(|slot| self.take(slot)));
    }

    /// The earliest deadline that may belong to a parked pull.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.peek().map(|Reverse((deadline, _, _))| *deadline)
    }

    /// Takes out everything, for the end of the shard.
    pub fn drain(&mut self, drained: &mut Vec<T>) {
        self.lines.clear();
        self.deadlines.clear();
        drained.extend(self.slots.drain().map(|held| held.payload));
    }

    fn take(&mut self, slot: usize) -> T {
        let held = self.slots.remove(slot);
        if held.is_in_line {
            self.leave_line(&held);
        }
        held.payload
    }

    fn leave_line(&mut self, held: &Held<T>) {
        if let Some(next) = held.next {
            self.slots[next].previous = held.previous;
        }
        if let Some(previous) = held.previous {
            self.slots[previous].next = held.next;
        }
        let queue = held.wish.queue;
        let line = self.lines.get_mut(&queue).expect("the pull stood in it");
        line.len -= 1;
        line.choosy -= usize::from(held.wish.is_choosy());
        match (held.previous, held.next) {
            (Some(_), _) => {}
            (None, Some(next)) => line.head = next,
            (None, None) => drop(self.lines.remove(&queue)),
        }
    }

    /// Drops heap entries of pulls that left early once they are the majority: constant cost per
    /// park.
    fn sweep_deadlines(&mut self) {
        if self.deadlines.len() <= 2 * self.slots.len() + STALE_DEADLINES_MAX {
            return;
        }
        let slots = &self.slots;
        self.deadlines.retain(|Reverse((_, slot, generation))| {
            slots.get(*slot).is_some_and(|held| held.generation == *generation)
        });
    }
}

#[cfg(test)]
mod tests;

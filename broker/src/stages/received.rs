//! When the sends of a turn are taken as received.
//!
//! A look at the clock takes 18 ns, 1 % of what a send takes in large turns, so sends that are
//! handled one behind the other share it.

use std::cell::Cell;

use ringmq_runtime::clock::Instant;

/// Sends of one turn that share a look at the clock: some 12 us of handling lie between the first
/// and the last of them, where messages have 1 KiB.
const SENDS_PER_LOOK: u32 = 8;

/// The last look at the clock of the turn at hand, and how many sends may share it yet.
#[derive(Debug, Default)]
pub(super) struct Received(Cell<Option<(Instant, u32)>>);

impl Received {
    /// When the send is taken as received that comes now.
    pub(super) fn next(&self, look: impl FnOnce() -> Instant) -> Instant {
        let last = self.0.get().filter(|(_, left)| *left > 0);
        let (at, left) = last.unwrap_or_else(|| (look(), SENDS_PER_LOOK));
        self.0.set(Some((at, left - 1)));
        at
    }

    /// The turn at hand is over: what comes next may come much later.
    pub(super) fn end_turn(&self) {
        self.0.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_sends_of_a_turn_share_a_look_at_the_clock_and_turns_share_none() {
        let (received, clock) = (Received::default(), Cell::new(0));
        // Each send takes 1 ns.
        let turn = |sends| -> Vec<u64> {
            let send = |_| {
                clock.set(clock.get() + 1);
                received.next(|| Instant::from_nanos(clock.get())).as_nanos()
            };
            let times = (0..sends).map(send).collect();
            received.end_turn();
            times
        };
        assert_eq!(turn(1), [1]);
        assert_eq!(turn(1), [2]);
        assert_eq!(turn(3), [3, 3, 3]);
        let expected: Vec<_> = (0..20).map(|send| 6 + send / 8 * 8).collect();
        assert_eq!(turn(20), expected);
        assert_eq!(turn(8), [26; 8]);
        assert_eq!(turn(9), [34, 34, 34, 34, 34, 34, 34, 34, 42]);
    }
}

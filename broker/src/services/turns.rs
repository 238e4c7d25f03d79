//! A line in which connections have their turns one after the other, a request each.
//!
//! A connection that asks for much, or takes nothing of what it asked for, holds up itself alone.
//! The places in line are [`Shares`]: a connection that wants more of them than are free gets none.
//! Now and then those with the most lose some, so that requests whose turn never comes do not keep
//! them from others.

use std::collections::VecDeque;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::task;

use crate::link::ConnectionKey;
use crate::shares::Shares;

/// Time between two times that places are taken back: it costs up to a millisecond.
const LEVEL_PAUSE: Duration = Duration::from_millis(100);

/// Pause when every connection in line is full.
const ALL_FULL_PAUSE: Duration = Duration::from_millis(2);

/// What waits, by connection.
pub(super) struct Turns<J> {
    places: Shares,
    /// With the places that each takes. None is empty.
    waiting: HashMap<ConnectionKey, VecDeque<(usize, J)>>,
    /// Connections that wait for their turn, each once. One whose turn it is stands in `waiting`
    /// alone.
    turns: VecDeque<ConnectionKey>,
    /// When places were last taken back.
    levelled_at: Option<Instant>,
}

impl<J> Turns<J> {
    /// A line of `places`, whatever a place is.
    pub(super) fn new(places: usize) -> Self {
        Self {
            places: Shares::new(places, 1),
            waiting: HashMap::default(),
            turns: VecDeque::new(),
            levelled_at: None,
        }
    }

    /// Puts a request behind those of its connection, and gives back those that have no place: it,
    /// or others that had the most.
    pub(super) fn join(
        &mut self,
        key: ConnectionKey,
        places: usize,
        job: J,
        now: Instant,
    ) -> Vec<J> {
        let mut without = Vec::new();
        let mut is_in = self.places.take(key, places);
        let is_due = |at: Instant| now.saturating_since(at) >= LEVEL_PAUSE;
        if !is_in && self.levelled_at.is_none_or(is_due) {
            self.levelled_at = Some(now);
            without = self.level();
            is_in = self.places.take(key, places);
        }
        if !is_in {
            without.push(job);
            return without;
        }
        let waiting = self.waiting.entry(key).or_default();
        waiting.push_back((places, job));
        if waiting.len() == 1 {
            self.turns.push_back(key);
        }
        without
    }

    /// Takes out the newest requests of the connections with the most. The oldest of each stays,
    /// since it may be its turn.
    fn level(&mut self) -> Vec<J> {
        let mut out = Vec::new();
        let above: Vec<_> = self.places.above(self.places.level()).collect();
        for (key, mut excess) in above {
            let waiting = self.waiting.get_mut(&key).expect("its places are taken for them");
            while excess > 0
                && waiting.len() > 1
                && let Some((places, job)) = waiting.pop_back()
            {
                self.places.give_back(key, places);
                excess = excess.saturating_sub(places);
                out.push(job);
            }
        }
        out
    }

    /// Connections that wait for their turn.
    pub(super) fn len(&self) -> usize {
        self.turns.len()
    }

    /// Begins the turn of the next connection, and shows its oldest request. Exactly one of the
    /// calls below ends it.
    pub(super) fn begin(&mut self) -> Option<(ConnectionKey, &J)> {
        let key = self.turns.pop_front()?;
        let (_, job) = self.waiting[&key].front().expect("who has a turn has a request");
        Some((key, job))
    }

    /// Ends a turn without having taken a request.
    pub(super) fn put_back(&mut self, key: ConnectionKey) {
        self.turns.push_back(key);
    }

    /// Ends a turn with the oldest request of the connection, and says whether it has more.
    pub(super) fn take(&mut self, key: ConnectionKey) -> (J, bool) {
        let waiting = self.waiting.get_mut(&key).expect("it is its turn");
        let (places, job) = waiting.pop_front().expect("who has a turn has a request");
        let has_more = !waiting.is_empty();
        self.places.give_back(key, places);
        if has_more {
            self.turns.push_back(key);
        } else {
            self.waiting.remove(&key);
        }
        (job, has_more)
    }

    /// Ends the turn of a connection that is gone, with all of its requests.
    pub(super) fn forget(&mut self, key: ConnectionKey) {
        let waiting = self.waiting.remove(&key).unwrap_or_default();
        let places = waiting.iter().map(|(places, _)| places).sum();
        self.places.give_back(key, places);
    }
}

/// Connections that whoever serves a line found full, one after the other.
#[derive(Default)]
pub(super) struct FullInARow(usize);

impl FullInARow {
    /// Counts one more, and pauses when there are `limit`.
    pub(super) async fn add(&mut self, limit: usize) {
        self.0 += 1;
        if self.0 >= limit {
            self.0 = 0;
            task::sleep(ALL_FULL_PAUSE).await;
        }
    }

    /// One had room.
    pub(super) fn end(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        line: Turns<u32>,
        now: Instant,
    }

    impl Fixture {
        fn new(places: usize) -> Self {
            Self { line: Turns::new(places), now: Instant::from_nanos(0) }
        }

        /// The requests that have no place.
        fn join(&mut self, id: u64, places: usize, job: u32) -> Vec<u32> {
            self.line.join(ConnectionKey { shard: 0, id }, places, job, self.now)
        }

        fn next(&mut self) -> Option<u32> {
            let (key, _) = self.line.begin()?;
            Some(self.line.take(key).0)
        }
    }

    #[test]
    fn connections_have_their_turns_one_after_the_other() {
        let mut fixture = Fixture::new(100);
        for (id, job) in [(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (2, 21)] {
            assert_eq!(fixture.join(id, 1, job), [0; 0]);
        }
        let order: Vec<u32> = std::iter::from_fn(|| fixture.next()).collect();
        assert_eq!(order, [10, 20, 30, 11, 21, 12]);
        assert!(fixture.line.waiting.is_empty());
    }

    #[test]
    fn places_that_peers_keep_go_to_the_others_when_they_want_some() {
        let mut fixture = Fixture::new(1 << 14);
        // Their turns never come, since they take nothing. Nothing is taken back so soon.
        assert_eq!(fixture.join(0, 1 << 14, 7), [7], "more than there are");
        for id in 0..100 {
            while fixture.join(id, 1, 0).is_empty() {}
        }
        assert_eq!(fixture.join(999, 1, 1), [1]);
        fixture.now += LEVEL_PAUSE;
        let lost = fixture.join(999, 1, 1);
        assert!(lost.len() >= 4000 && !lost.contains(&1), "{} lost their places", lost.len());
        for job in 2..1000 {
            assert_eq!(fixture.join(999, 1, job), [0; 0], "request {job}");
        }
        let mut served: Vec<u32> = std::iter::from_fn(|| fixture.next()).collect();
        served.retain(|job| *job != 0);
        assert!(served.into_iter().eq(1..1000), "its requests have their turns, in order");
    }

    #[test]
    fn the_places_of_a_connection_that_is_gone_are_free() {
        let mut fixture = Fixture::new(64);
        let fill = |fixture: &mut Fixture, id| {
            (0..).take_while(|&job| fixture.join(id, 1, job).is_empty()).count()
        };
        assert_eq!(fill(&mut fixture, 1), 32);
        let (key, _) = fixture.line.begin().expect("its turn");
        fixture.line.forget(key);
        assert_eq!(fixture.next(), None);
        assert_eq!(fill(&mut fixture, 2), 32);
    }
}

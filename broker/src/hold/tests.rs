use std::time::Duration;

use super::*;

const QUEUE: HashedQueue = HashedQueue { topic_hash: 7, queue_id: 1 };
const OTHER: HashedQueue = HashedQueue { topic_hash: 7, queue_id: 2 };

const OUTSIDE: Duration = Duration::from_secs(1);

struct Fixture {
    table: HoldTable<&'static str>,
    start: Instant,
}

impl Fixture {
    fn new() -> Self {
        let line_limits = LineLimits { pulls: 128, choosy: 64 };
        Self { table: HoldTable::new(line_limits), start: Instant::now() }
    }

    fn park(&mut self, name: &'static str, queue: HashedQueue, offset: u64, tags: &str, s: u64) {
        self.table.park(self.wish(queue, offset, tags, s), name);
    }

    fn wish(&self, queue: HashedQueue, offset: u64, tags: &str, seconds: u64) -> Wish {
        Wish {
            queue,
            offset: QueueOffset(offset),
            filter: TagFilter::parse(tags),
            deadline: self.start + Duration::from_secs(seconds),
            deadline_outside: self.start + OUTSIDE,
        }
    }

    fn arrived(&mut self, queue: HashedQueue, offset: u64, tag: &str) -> Vec<&'static str> {
        let mut woken = Vec::new();
        let hash = i64::from(ringmq_protocol::tags::java_hash(tag));
        self.table.arrived(queue, QueueOffset(offset), hash, &mut woken);
        woken.sort_unstable();
        woken
    }

    fn expired(&mut self, seconds: u64) -> Vec<&'static str> {
        let mut expired = Vec::new();
        let now = self.start + Duration::from_secs(seconds);
        assert!(self.table.expire(now, usize::MAX / 2, &mut expired), "all of them");
        expired
    }
}

#[test]
fn a_message_wakes_only_pulls_of_its_queue_that_want_it() {
    let mut fixture = Fixture::new();
    fixture.park("all", QUEUE, 5, "*", 15);
    fixture.park("tag b", QUEUE, 5, "B", 15);
    fixture.park("later", QUEUE, 6, "*", 15);
    fixture.park("elsewhere", OTHER, 5, "*", 15);
    assert_eq!(fixture.arrived(QUEUE, 5, "A"), ["all"]);
    assert_eq!(fixture.arrived(QUEUE, 6, "B"), ["later", "tag b"]);
    assert_eq!(fixture.arrived(QUEUE, 7, "A"), [""; 0]);
    assert_eq!(fixture.table.len(), 1);
}

#[test]
fn deadlines_come_in_order_and_skip_pulls_that_were_woken() {
    let mut fixture = Fixture::new();
    fixture.park("second", QUEUE, 0, "*", 2);
    fixture.park("first", OTHER, 0, "*", 1);
    fixture.park("third", OTHER, 9, "*", 3);
    assert_eq!(fixture.table.next_deadline(), Some(fixture.start + Duration::from_secs(1)));
    assert_eq!(fixture.expired(0), [""; 0]);
    assert_eq!(fixture.arrived(QUEUE, 0, ""), ["second"]);
    assert_eq!(fixture.expired(3), ["first", "third"]);
    assert!(fixture.table.is_empty());
}

#[test]
fn pulls_that_end_together_come_out_in_parts() {
    let mut fixture = Fixture::new();
    for (name, queue) in [("a", QUEUE), ("b", OTHER), ("c", QUEUE)] {
        fixture.park(name, queue, 0, "*", 1);
    }
    fixture.park("later", QUEUE, 0, "*", 2);
    let (now, mut expired) = (fixture.start + Duration::from_secs(1), Vec::new());
    assert!(!fixture.table.expire(now, 2, &mut expired), "one is left");
    assert_eq!(expired.len(), 2);
    assert!(fixture.table.expire(now, 2, &mut expired));
    expired.sort_unstable();
    assert_eq!(expired, ["a", "b", "c"]);
    assert_eq!(fixture.expired(2), ["later"]);
}

#[test]
fn a_slot_that_is_used_again_keeps_its_own_deadline() {
    let mut fixture = Fixture::new();
    fixture.park("gone", QUEUE, 0, "*", 1);
    assert_eq!(fixture.arrived(QUEUE, 0, ""), ["gone"]);
    fixture.park("new", QUEUE, 1, "*", 9);
    assert_eq!(fixture.expired(5), [""; 0]);
    assert_eq!(fixture.expired(9), ["new"]);
}

#[test]
fn the_list_of_a_queue_survives_removal_from_its_middle() {
    let mut fixture = Fixture::new();
    for (name, offset) in [("a", 0), ("b", 1), ("c", 0), ("d", 1), ("e", 0)] {
        fixture.park(name, QUEUE, offset, "*", 5);
    }
    assert_eq!(fixture.arrived(QUEUE, 0, ""), ["a", "c", "e"]);
    assert_eq!(fixture.arrived(QUEUE, 1, ""), ["b", "d"]);
    assert!(fixture.table.lines.is_empty());
}

#[test]
fn who_finds_the_line_of_a_queue_full_waits_outside_for_a_shorter_time() {
    let mut fixture = Fixture::new();
    fixture.table.line_limits.pulls = 2;
    fixture.park("a", QUEUE, 0, "*", 15);
    fixture.park("b", QUEUE, 0, "*", 15);
    let outside = fixture.table.park(fixture.wish(QUEUE, 0, "*", 15), "outside");
    assert_eq!(outside, fixture.start + OUTSIDE);
    fixture.park("elsewhere", OTHER, 0, "*", 15);
    assert_eq!(fixture.arrived(QUEUE, 0, ""), ["a", "b"], "a message visits the line only");
    assert_eq!(fixture.arrived(QUEUE, 1, ""), [""; 0]);
    fixture.park("next", QUEUE, 2, "*", 15);
    assert_eq!(fixture.expired(1), ["outside"]);
    assert_eq!(fixture.arrived(QUEUE, 2, ""), ["next"]);
    assert_eq!(fixture.expired(15), ["elsewhere"]);
    assert!(fixture.table.is_empty() && fixture.table.lines.is_empty());
}

#[test]
fn who_wants_every_message_finds_room_where_the_choosy_do_not() {
    let mut fixture = Fixture::new();
    fixture.table.line_limits = LineLimits { pulls: 4, choosy: 1 };
    fixture.park("choosy", QUEUE, 0, "A", 15);
    fixture.park("outside", QUEUE, 0, "A", 15);
    fixture.park("all", QUEUE, 0, "*", 15);
    fixture.park("all too", QUEUE, 0, "*", 15);
    assert_eq!(fixture.arrived(QUEUE, 0, "B"), ["all", "all too"]);
    assert_eq!(fixture.arrived(QUEUE, 1, "A"), ["choosy"]);
    fixture.park("again", QUEUE, 2, "A", 15);
    assert_eq!(fixture.expired(1), ["outside"]);
    assert_eq!(fixture.arrived(QUEUE, 2, "A"), ["again"]);
}

#[test]
fn chosen_pulls_make_way() {
    let mut fixture = Fixture::new();
    fixture.park("gone", QUEUE, 0, "*", 15);
    fixture.park("here", QUEUE, 0, "*", 15);
    let mut gone = Vec::new();
    fixture.table.take_chosen(|name| *name == "gone", &mut gone);
    assert_eq!(gone, ["gone"]);
    fixture.park("late", QUEUE, 0, "*", 15);
    assert_eq!(fixture.arrived(QUEUE, 0, "A"), ["here", "late"]);
}

#[test]
fn woken_pulls_do_not_pile_up_in_the_heap() {
    let mut fixture = Fixture::new();
    for offset in 0..10_000 {
        fixture.park("again", QUEUE, offset, "*", 15);
        assert_eq!(fixture.arrived(QUEUE, offset, ""), ["again"]);
    }
    assert!(fixture.table.deadlines.len() <= STALE_DEADLINES_MAX + 2);
}

#[test]
fn the_end_of_the_shard_gives_everything_back() {
    let mut fixture = Fixture::new();
    fixture.park("a", QUEUE, 0, "*", 1);
    fixture.park("b", OTHER, 0, "*", 1);
    let mut drained = Vec::new();
    fixture.table.drain(&mut drained);
    drained.sort_unstable();
    assert_eq!(drained, ["a", "b"]);
    assert_eq!(fixture.table.next_deadline(), None);
}

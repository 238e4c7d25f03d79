use super::*;

const TO: QueueOffset = QueueOffset(3);

fn one() -> Resets {
    let mut resets = Resets::default();
    resets.set("g", "t", 1, TO);
    resets
}

#[test]
fn a_group_is_told_until_it_begins_where_it_was_sent() {
    let mut resets = one();
    for other in [resets.tell("g", "t", 0, 9), resets.tell("h", "t", 1, 9)] {
        assert_eq!(other, Told::Nothing);
    }
    for _ in 0..3 {
        assert_eq!(resets.tell("g", "t", 1, 9), Told::MoveTo(TO));
    }
    assert_eq!(resets.get("g", "t", 1), Some(TO));
    assert_eq!(resets.tell("g", "t", 1, 3), Told::Obeyed(TO));
    assert_eq!(resets.get("g", "t", 1), None);
    assert_eq!(resets.tell("g", "t", 1, 9), Told::Nothing);
}

#[test]
fn a_client_that_goes_its_own_way_is_let_go() {
    let mut resets = one();
    for _ in 0..TOLD_MAX {
        assert_eq!(resets.tell("g", "t", 1, 9), Told::MoveTo(TO));
    }
    assert_eq!(resets.tell("g", "t", 1, 9), Told::GivenUp(TO));
    assert_eq!(resets.tell("g", "t", 1, 9), Told::Nothing);
}

#[test]
fn a_reset_behind_the_end_of_its_queue_is_taken_back() {
    let mut resets = one();
    resets.set("g", "other", 1, TO);
    let before = resets.version();
    resets.limit(|topic, _| QueueOffset(if topic == "t" { 2 } else { 4 }));
    assert_eq!(resets.get("g", "t", 1), Some(QueueOffset(2)));
    assert_eq!(resets.get("g", "other", 1), Some(TO));
    assert!(resets.version() > before, "it is saved");
}

#[test]
fn those_of_a_deleted_topic_go_to_its_beginning_and_others_stay() {
    let mut resets = one();
    for topic in ["a", "tt"] {
        resets.set("g", topic, 1, TO);
    }
    let before = resets.version();
    assert!(!resets.delete_topic("none", &mut None, 9));
    assert_eq!(resets.version(), before, "nothing is to be saved");
    assert!(!resets.delete_topic("t", &mut None, 9));
    let at = ["a", "t", "tt"].map(|topic| resets.get("g", topic, 1));
    assert_eq!(at, [Some(TO), Some(QueueOffset(0)), Some(TO)]);
    assert!(resets.version() > before, "it is saved");
}

#[test]
fn those_of_a_deleted_topic_go_in_slices_of_whole_groups() {
    let mut resets = Resets::default();
    for group in ["g", "h", "i"] {
        (0..2).for_each(|queue_id| resets.set(group, "t", queue_id, TO));
    }
    let (start, mut behind) = (QueueOffset(0), None);
    for (has_more, expected) in [(true, [start, start, TO]), (false, [start; 3])] {
        assert_eq!(resets.delete_topic("t", &mut behind, 3), has_more);
        let at = ["g", "h", "i"].map(|group| resets.get(group, "t", 1));
        assert_eq!(at, expected.map(Some));
    }
}

#[test]
fn beyond_the_limit_the_older_half_is_forgotten() {
    let mut resets = Resets::default();
    let total = RESETS_MAX as i32 + 1;
    (0..total).for_each(|queue_id| resets.set("g", "t", queue_id, TO));
    assert_eq!(resets.count, RESETS_MAX / 2 + 1);
    assert_eq!(resets.get("g", "t", total / 2 - 1), None);
    assert_eq!(resets.get("g", "t", total / 2), Some(TO));
    assert_eq!(resets.get("g", "t", total - 1), Some(TO));
}

#[test]
fn at_the_limit_one_that_is_set_again_takes_no_place_and_is_the_newest() {
    let mut resets = Resets::default();
    let total = RESETS_MAX as i32;
    (0..total).for_each(|queue_id| resets.set("g", "t", queue_id, TO));
    (0..total).for_each(|_| resets.set("g", "t", 0, TO));
    assert_eq!(resets.count, RESETS_MAX);
    resets.set("g", "t", total, TO);
    assert_eq!(resets.count, RESETS_MAX / 2 + 1);
    assert_eq!((resets.get("g", "t", 0), resets.get("g", "t", total - 1)), (Some(TO), Some(TO)));
    assert_eq!(resets.get("g", "t", 1), None);
}

#[test]
fn what_is_pending_is_saved_and_goes_with_its_group() {
    let mut resets = one();
    resets.set("h", "t", 2, QueueOffset(0));
    let mut snapshot = OffsetSnapshot::default();
    while resets.copy_next(&mut snapshot, 1) {}
    let mut again = Resets::from_snapshot(&snapshot);
    assert_eq!((again.get("g", "t", 1), again.count), (Some(TO), 2));
    let version = again.version();
    assert!(!again.delete_group("nobody", &mut None, 7));
    assert_eq!(again.version(), version, "nothing to save");
    let mut behind = None;
    assert!(again.delete_group("g", &mut behind, 1));
    assert!(again.delete_group("g", &mut behind, 1) && !again.delete_group("g", &mut behind, 1));
    assert_eq!((again.get("g", "t", 1), again.count), (None, 1));
    assert_eq!(again.get("h", "t", 2), Some(QueueOffset(0)));
    assert!(again.version() > version);
}

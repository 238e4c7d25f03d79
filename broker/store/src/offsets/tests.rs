use super::*;

#[test]
fn the_groups_of_a_topic_are_taken_in_slices_and_those_of_others_stay() {
    let mut table = OffsetTable::default();
    for topic in ["a", "b", "bb"] {
        for group in ["g", "h", "i"] {
            assert!(table.commit(group, topic, 0, QueueOffset(1)));
            assert!(table.commit(group, topic, 3, QueueOffset(1)));
        }
    }
    let (mut taken, version) = (Vec::new(), table.version());
    let visit = |taken: &mut Vec<_>, group: &str, queue| taken.push((group.to_owned(), queue));
    assert!(table.take_topic("b", 3, |group, queue| visit(&mut taken, group, queue)));
    assert_eq!(taken, [("g", 0), ("g", 3), ("h", 0), ("h", 3)].map(|(g, q)| (g.into(), q)));
    assert!(!table.take_topic("b", 3, |group, queue| visit(&mut taken, group, queue)));
    assert_eq!(taken[4..], [("i", 0), ("i", 3)].map(|(g, q)| (g.into(), q)));
    assert_eq!((table.get("i", "b", 3), table.get("i", "bb", 3)), (None, Some(QueueOffset(1))));
    let left = table.saved_bytes();
    table.measure();
    assert_eq!(table.saved_bytes(), left);
    assert!(table.version() > version, "it is saved");
}

#[test]
fn names_that_clients_make_up_end_at_a_size_that_a_start_can_read() {
    let mut table = OffsetTable::default();
    assert!(table.commit("group", "topic", 0, QueueOffset(1)));
    for number in 0..3000 {
        table.commit(&format!("{number}"), "topic", i32::MAX - 1, QueueOffset(u64::MAX >> 1));
        table.commit(&format!("{number}"), "topic", i32::MIN, QueueOffset(u64::MAX >> 1));
    }
    let text = serde_json::to_string_pretty(&table.snapshot()).expect("json");
    let saved = table.saved_bytes;
    assert!(text.len() < saved && saved < 2 * text.len(), "{} of {saved}", text.len());
    table.saved_bytes = SAVED_MAX_BYTES;
    assert!(!table.commit("new", "topic", 0, QueueOffset(1)));
    assert!(!table.commit("group", "topic", 1, QueueOffset(1)));
    assert!(table.commit("group", "topic", 0, QueueOffset(2)));
    keep(&mut table, |group| group == "group");
    assert!(table.commit("new", "topic", 0, QueueOffset(1)));
}

/// Forgets all groups but those, slice by slice.
fn keep(table: &mut OffsetTable, is_kept: impl Fn(&str) -> bool) {
    let mut gone = Vec::new();
    table.visit_queues(&mut None, usize::MAX, |group, _, _, _| {
        if !is_kept(group) {
            gone.push(group.to_owned());
        }
    });
    for group in gone {
        let mut behind = None;
        while table.take_group(&group, &mut behind, 7) {}
    }
}

/// A hundred groups, named by what each has as its progress.
fn hundred_groups() -> OffsetTable {
    let mut table = OffsetTable::default();
    (0..100).for_each(|number| {
        table.commit(&name(number), "topic", 0, QueueOffset(number));
    });
    table
}

fn name(number: u64) -> String {
    format!("{number:03}")
}

#[test]
fn a_copy_in_slices_has_every_group_whatever_changes_meanwhile() {
    let mut table = hundred_groups();
    let (before, mut copy) = (table.version(), OffsetSnapshot::default());
    assert!(table.copy_next(&mut copy, 50));
    // The last that was copied goes, one that was copied and one that was not move on.
    keep(&mut table, |group| group != "049");
    table.commit("010", "topic", 0, QueueOffset(1010));
    table.commit("090", "topic", 0, QueueOffset(1090));
    while table.copy_next(&mut copy, 7) {}
    assert!(table.version() > before);
    let mut copy = OffsetTable::from_snapshot(&copy);
    for number in 0..100 {
        let expected = if number == 90 { 1090 } else { number };
        let found = copy.get(&name(number), "topic", 0);
        assert_eq!(found, Some(QueueOffset(expected)), "{number}");
    }
}

#[test]
fn the_progress_of_a_group_is_the_sum_over_its_queues() {
    let mut table = OffsetTable::default();
    for (group, queue_id, offset) in [("g", 0, 5), ("g", 1, 6), ("h", 0, 7)] {
        table.commit(group, "t", queue_id, QueueOffset(offset));
    }
    // No peer's offsets make a sum that does not fit.
    for queue_id in 0..3 {
        table.commit("x", "t", queue_id, QueueOffset(1 << 63));
    }
    let expected = [("t@g", 11), ("t@h", 7), ("t@x", u64::MAX)];
    for count in 1..5 {
        let (mut sums, mut behind) = (Vec::new(), None);
        while table.visit_groups(&mut behind, count, |name, sum| {
            sums.push((name.to_owned(), sum));
        }) {
            assert_eq!(sums.len() % count, 0, "slices are full but for the last");
        }
        assert_eq!(sums, expected.map(|(name, sum)| (name.to_owned(), sum)));
    }
}

#[test]
fn a_visit_in_slices_sees_each_group_that_stays_once() {
    let mut table = hundred_groups();
    let (mut seen, mut behind) = (Vec::new(), None);
    assert!(table.visit_groups(&mut behind, 50, |_, sum| seen.push(sum)));
    // The next would begin behind one that is gone.
    keep(&mut table, |group| !("040".."060").contains(&group));
    while table.visit_groups(&mut behind, 7, |_, sum| seen.push(sum)) {}
    assert_eq!(seen, (0..50).chain(60..100).collect::<Vec<_>>());
}

#[test]
fn a_visit_of_queues_ends_a_slice_with_the_group_that_fills_it() {
    let mut table = OffsetTable::default();
    for (number, group) in ["a", "b", "c", "d"].into_iter().enumerate() {
        for queue_id in 0..3 {
            assert!(table.commit(group, "topic", queue_id, QueueOffset(number as u64)));
        }
    }
    let (mut seen, mut behind) = (Vec::new(), None);
    let mut slice = |seen: &mut Vec<(String, i32, u64)>| {
        table.visit_queues(&mut behind, 4, |group, topic, queue_id, offset| {
            assert_eq!(topic, "topic");
            seen.push((group.to_owned(), queue_id, offset.0));
        })
    };
    assert!(slice(&mut seen));
    assert_eq!(seen.len(), 6, "two groups of three queues");
    while slice(&mut seen) {}
    let all = ["a", "b", "c", "d"].into_iter().zip(0..);
    let all = all.flat_map(|(group, offset)| (0..3).map(move |id| (group.to_owned(), id, offset)));
    assert_eq!(seen, all.collect::<Vec<(String, i32, u64)>>());
}

#[test]
fn offsets_are_kept_by_group_topic_and_queue() {
    let mut table = OffsetTable::default();
    table.commit("g", "t", 0, QueueOffset(5));
    table.commit("g", "t", 1, QueueOffset(6));
    table.commit("h", "t", 0, QueueOffset(7));
    table.commit("g", "t", 0, QueueOffset(3));
    assert_eq!(table.get("g", "t", 0), Some(QueueOffset(3)));
    assert_eq!(table.get("h", "t", 1), None);
    keep(&mut table, |group| group == "h");
    assert_eq!((table.get("g", "t", 1), table.get("h", "t", 0)), (None, Some(QueueOffset(7))));
}

#[test]
fn progress_behind_the_end_of_a_queue_is_taken_back() {
    let mut table = OffsetTable::default();
    table.commit("g", "t", 0, QueueOffset(5));
    table.commit("g", "t", 1, QueueOffset(7));
    table.commit("h", "gone", 0, QueueOffset(3));
    let before = table.version();
    let end_of = |topic: &str, queue| QueueOffset(if topic == "t" { 5 + queue as u64 } else { 0 });
    assert_eq!(table.limit(end_of, |_, _, _, _| ()), 2);
    assert_eq!(table.get("g", "t", 0), Some(QueueOffset(5)));
    assert_eq!(table.get("g", "t", 1), Some(QueueOffset(6)));
    assert_eq!(table.get("h", "gone", 0), Some(QueueOffset(0)));
    assert!(table.version() > before);
    assert_eq!(table.limit(end_of, |_, _, _, _| ()), 0);
}

#[test]
fn the_saved_form_is_apaches() {
    let json = r#"{"offsetTable":{"topic@group":{"0":42,"1":-1}}}"#;
    let snapshot: OffsetSnapshot = serde_json::from_str(json).expect("json");
    let mut table = OffsetTable::from_snapshot(&snapshot);
    assert_eq!(table.get("group", "topic", 0), Some(QueueOffset(42)));
    assert_eq!(table.get("group", "topic", 1), None);
    let written = serde_json::to_string(&table.snapshot()).expect("json");
    assert_eq!(written, r#"{"offsetTable":{"topic@group":{"0":42}}}"#);
}

#[test]
fn a_group_is_forgotten_in_slices_and_one_that_is_not_there_changes_nothing() {
    let mut table = hundred_groups();
    table.commit("050", "another topic", 0, QueueOffset(1));
    let (version, saved_bytes) = (table.version(), table.saved_bytes());
    let forget = |table: &mut OffsetTable, group| {
        let (mut slices, mut behind) = (1, None);
        while table.take_group(group, &mut behind, 10) {
            slices += 1;
        }
        slices
    };
    assert_eq!(forget(&mut table, "nobody"), 11);
    assert_eq!((table.version(), table.saved_bytes()), (version, saved_bytes));
    assert_eq!(forget(&mut table, "050"), 11);
    assert_eq!((table.get("050", "topic", 0), table.get("050", "another topic", 0)), (None, None));
    assert_eq!(table.get("051", "topic", 0), Some(QueueOffset(51)));
    assert!(table.version() > version && table.saved_bytes() < saved_bytes);
}

use std::collections::BTreeMap;

use super::*;

const NOW: i64 = 1_700_000_000_000;

fn groups() -> SubscriptionGroups {
    SubscriptionGroups::load(SubscriptionGroupTable::default(), NOW)
}

fn group(name: &str) -> SubscriptionGroupConfig {
    SubscriptionGroupConfig { group_name: name.into(), ..Default::default() }
}

#[test]
fn an_unknown_group_is_made_by_use_unless_that_is_switched_off() {
    let mut settings = Settings::default();
    let mut groups = groups();
    let (made, is_new) = groups.ensure("g", &settings, NOW).expect("made");
    assert!(is_new);
    assert_eq!((made.retry_max_times, made.retry_queue_nums, made.consume_enable), (16, 1, true));
    assert!(!groups.ensure("g", &settings, NOW).expect("found").1);

    settings.auto_create_subscription_group = false;
    assert_eq!(groups.ensure("h", &settings, NOW), Err(GroupError::Missing("h".into())));
    assert!(groups.ensure("CID_RMQ_SYS_x", &settings, NOW).is_ok());
    assert!(groups.ensure("TOOLS_CONSUMER", &settings, NOW).is_ok());

    settings.system_groups_by_use = false;
    let refused = groups.ensure("CID_RMQ_SYS_y", &settings, NOW);
    assert_eq!(refused, Err(GroupError::Missing("CID_RMQ_SYS_y".into())));
    for there in ["CID_RMQ_SYS_x", "CID_RMQ_SYS_TRANS"] {
        assert!(groups.ensure(there, &settings, NOW).is_ok(), "{there} exists");
    }
    settings.auto_create_subscription_group = true;
    assert!(groups.ensure("CID_RMQ_SYS_y", &settings, NOW).is_ok());
}

#[test]
fn names_are_checked_and_the_table_is_bounded() {
    let mut settings = Settings::default();
    let mut groups = groups();
    for name in ["", "a b", &"x".repeat(121)] {
        let refused = groups.ensure(name, &settings, NOW);
        assert!(matches!(refused, Err(GroupError::IllegalName(_))), "{refused:?}");
    }
    let have = groups.iter().count();
    for limit in [have, have - 1] {
        settings.groups_max = u32::try_from(limit).expect("small");
        let refused = groups.ensure("g", &settings, NOW).err();
        assert_eq!(refused, Some(GroupError::Full { have, limit }));
    }
}

#[test]
fn a_group_has_settings_and_restrictions_of_bounded_size() {
    let settings = Settings::default();
    let mut groups = groups();
    let attributes = [("key".to_owned(), "x".repeat(SETTINGS_MAX_BYTES))].into();
    let large = SubscriptionGroupConfig { attributes, ..group("g") };
    let refused = groups.update(large, &settings, NOW);
    assert!(matches!(refused, Err(GroupError::TooLarge(_))), "{refused:?}");
    for (group, topic) in [("g", "x".repeat(1000)), (&*"g".repeat(1000), "t".to_owned())] {
        let refused = groups.set_readable(group, &topic, false, NOW);
        assert!(matches!(refused, Err(GroupError::IllegalName(_))), "{refused:?}");
    }
    assert_eq!(groups.set_readable("g", "t", false, NOW), Ok(true));
}

#[test]
fn the_settings_of_all_groups_together_are_of_bounded_size_and_use_makes_more_groups() {
    const LEN: usize = 15 << 10;
    let settings = Settings::default();
    let with = |name: &str, len: usize| {
        let attributes = [("key".to_owned(), "x".repeat(len))].into();
        SubscriptionGroupConfig { attributes, ..group(name) }
    };
    let mut groups = groups();
    let mut made = 0;
    let refused = loop {
        match groups.update(with(&format!("g{made}"), LEN), &settings, NOW) {
            Ok(_) => made += 1,
            Err(refused) => break refused,
        }
        assert!(made <= OWN_MAX_BYTES / LEN, "{made} groups of {LEN} bytes");
    };
    assert!(matches!(refused, GroupError::AllTooLarge(_)), "{refused}");
    assert!(refused.to_string().contains(&OWN_MAX_BYTES.to_string()), "{refused}");
    assert!(made > OWN_MAX_BYTES / LEN - 10, "{made} groups of {LEN} bytes");

    assert!(groups.ensure("by-use", &settings, NOW).expect("room").1);
    assert!(groups.update(with("g0", LEN - 1), &settings, NOW).is_ok(), "smaller than before");
    assert!(groups.delete("g1", NOW).expect("allowed").is_some());
    assert!(groups.update(with("next", LEN), &settings, NOW).is_ok(), "another took its place");
    let mut groups = SubscriptionGroups::load(groups.document(), NOW);
    let refused = groups.update(with("more", LEN), &settings, NOW);
    assert!(
        matches!(refused, Err(GroupError::AllTooLarge(_))),
        "a start forgets none: {refused:?}"
    );
}

/// Groups `g0`, `g1` and so on, of which each is forbidden so many topics `t0`, `t1` and so on.
fn forbidden(groups: usize, topics: usize) -> SubscriptionGroups {
    let bits: BTreeMap<_, _> = (0..topics).map(|n| (format!("t{n}"), 1)).collect();
    let forbidden_table = (0..groups).map(|n| (format!("g{n}"), bits.clone())).collect();
    let document = SubscriptionGroupTable { forbidden_table, ..Default::default() };
    SubscriptionGroups::load(document, NOW)
}

#[test]
fn at_the_limits_of_what_is_forbidden_the_next_topic_is_refused_and_known_ones_change() {
    let one_group = forbidden(1, FORBIDDEN_TOPICS_MAX);
    let all = forbidden(FORBIDDEN_MAX / FORBIDDEN_TOPICS_MAX, FORBIDDEN_TOPICS_MAX);
    for (mut groups, of) in [(one_group, "g0"), (all, "other")] {
        let before = groups.version();
        let refused = groups.set_readable(of, "next", false, NOW).expect_err("no room");
        let limit = if of == "g0" { FORBIDDEN_TOPICS_MAX } else { FORBIDDEN_MAX };
        assert!(refused.to_string().contains(&limit.to_string()), "{refused}");
        assert_eq!((groups.version(), groups.forbidden_topics(of)), (before, vec![]));
        assert_eq!(groups.set_readable("g0", "t7", false, NOW), Ok(true));
        assert_eq!(groups.forbidden_topics("g0"), ["t7"]);
    }
}

#[test]
fn only_changes_advance_the_version() {
    let settings = Settings::default();
    let mut groups = groups();
    assert!(groups.update(group("g"), &settings, NOW).expect("made").is_some());
    let before = groups.version();
    assert_eq!(groups.update(group("g"), &settings, NOW), Ok(None));
    assert_eq!(groups.version(), before);
    let changed = SubscriptionGroupConfig { retry_max_times: 3, ..group("g") };
    assert!(groups.update(changed, &settings, NOW).expect("changed").is_some());
    assert_ne!(groups.version(), before);
}

#[test]
fn a_deleted_group_takes_its_restrictions_along_and_built_in_ones_stay() {
    let settings = Settings::default();
    let mut groups = groups();
    groups.update(group("g"), &settings, NOW).expect("made");
    assert_eq!(groups.set_readable("g", "t", false, NOW), Ok(true));
    assert_eq!(groups.set_readable("g", "t", false, NOW), Ok(false));
    assert_eq!(groups.forbidden_topics("g"), ["t"]);
    assert!(groups.delete("g", NOW).expect("allowed").is_some());
    assert!(groups.forbidden_topics("g").is_empty());
    assert_eq!(groups.delete("g", NOW), Ok(None));
    assert!(groups.delete("TOOLS_CONSUMER", NOW).is_err());
}

#[test]
fn the_document_of_one_run_is_the_table_of_the_next() {
    let settings = Settings::default();
    let mut first = groups();
    first.update(group("g"), &settings, NOW).expect("made");
    first.set_readable("g", "t", false, NOW).expect("room");
    let text = serde_json::to_string(&first.document()).expect("serializable");
    let second = SubscriptionGroups::load(serde_json::from_str(&text).expect("readable"), NOW + 1);
    assert_eq!(second.get("g"), first.get("g"));
    assert_eq!(second.forbidden_topics("g"), ["t"]);
    assert_eq!(second.version(), first.version());
}

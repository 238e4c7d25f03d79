use super::*;

const BROKER: &str = "broker-a";
const NOW: i64 = 1_700_000_000_000;

fn topics(settings: &Settings) -> Topics {
    Topics::load(TopicConfigTable::default(), settings, BROKER, NOW)
}

fn config(name: &str, queues: i32, perm: i32) -> TopicConfig {
    TopicConfig {
        topic_name: name.into(),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm,
        ..TopicConfig::default()
    }
}

fn wanted(topic: &str, queues: i32) -> Wanted<'_> {
    Wanted { topic, template: TEMPLATE_TOPIC, queues, sys_flag: 0 }
}

fn facts(topic: &TopicConfig) -> (i32, i32, i32) {
    (topic.read_queue_nums, topic.write_queue_nums, topic.perm)
}

#[test]
fn a_fresh_broker_has_the_topics_that_clients_and_tools_look_for() {
    let topics = topics(&Settings::default());
    for (name, queues, perm) in [
        ("TBW102", 8, 7),
        ("DefaultCluster", 16, 7),
        (BROKER, 1, 7),
        ("BenchmarkTest", 1024, 6),
        ("SELF_TEST_TOPIC", 1, 6),
        ("OFFSET_MOVED_EVENT", 1, 6),
        ("SCHEDULE_TOPIC_XXXX", 18, 6),
    ] {
        let topic = topics.get(name).unwrap_or_else(|| panic!("{name} exists"));
        assert_eq!(facts(topic), (queues, queues, perm), "{name}");
    }
}

#[test]
fn a_topic_that_the_broker_is_named_after_keeps_all_but_its_permission() {
    let settings = Settings::default();
    let mut before = topics(&settings);
    let orders = TopicConfig { order: true, ..config("Orders", 8, 6) };
    before.update(orders, "+message.type=FIFO", &settings, BROKER, NOW).expect("made");
    let orders = TopicConfig::clone(before.get("Orders").expect("made"));
    let after = Topics::load(before.document(), &settings, "Orders", NOW);
    assert_eq!(after.get("Orders").map(|topic| &**topic), Some(&TopicConfig { perm: 7, ..orders }));
    assert_ne!(after.version(), before.version());
    // One that was made with fewer queues than the system needs gets them.
    let few = TopicConfigTable {
        topic_config_table: [("BenchmarkTest".to_owned(), config("BenchmarkTest", 1, 4))].into(),
        ..TopicConfigTable::default()
    };
    let after = Topics::load(few, &settings, BROKER, NOW);
    assert_eq!(facts(after.get("BenchmarkTest").expect("there")), (1024, 1024, 6));
}

#[test]
fn a_send_makes_the_topic_with_the_smaller_number_of_queues_and_without_the_inherit_bit() {
    let settings = Settings::default();
    let mut topics = topics(&settings);
    for (name, asked, given) in [("few", 4, 4), ("many", 100, 8), ("negative", -1, 0)] {
        let topic = topics.from_template(&wanted(name, asked), &settings, NOW).expect("made");
        assert_eq!(facts(&topic), (given, given, 6), "{name}");
    }
    // Whoever comes second gets the first one's topic.
    let again = topics.from_template(&wanted("few", 7), &settings, NOW).expect("found");
    assert_eq!(again.write_queue_nums, 4);
}

#[test]
fn templates_that_may_not_be_used_make_nothing() {
    let off = Settings { auto_create_topic_enable: false, ..Settings::default() };
    let mut without = topics(&off);
    assert!(without.get(TEMPLATE_TOPIC).is_none());
    assert!(without.from_template(&wanted("t", 4), &off, NOW).is_err());

    let settings = Settings::default();
    let mut topics = topics(&settings);
    for template in ["absent", "SELF_TEST_TOPIC"] {
        let wanted = Wanted { template, ..wanted("t", 4) };
        let error = topics.from_template(&wanted, &settings, NOW).expect_err("refused");
        assert!(
            error.to_string().starts_with("topic[t] not exist, apply first please!"),
            "{error}"
        );
    }
    for name in ["", "a b", "a/b", "é", &"x".repeat(128)] {
        let refused = topics.from_template(&wanted(name, 4), &settings, NOW);
        assert!(matches!(refused, Err(TopicError::IllegalName(_))), "{refused:?}");
    }
}

#[test]
fn every_change_has_a_version_of_its_own_and_an_equal_update_is_no_change() {
    let settings = Settings::default();
    let mut topics = topics(&settings);
    let mut versions = vec![topics.version()];
    topics.update(config("t", 4, 6), "", &settings, BROKER, NOW).expect("made").expect("changed");
    versions.push(topics.version());
    topics.update(config("t", 8, 6), "", &settings, BROKER, NOW).expect("made").expect("changed");
    versions.push(topics.version());
    topics.delete("t", &settings, BROKER, NOW).expect("allowed").expect("was there");
    versions.push(topics.version());
    for pair in versions.windows(2) {
        assert_ne!(pair[0], pair[1]);
    }
    assert_eq!(topics.delete("t", &settings, BROKER, NOW), Ok(None));

    topics.update(config("u", 4, 6), "", &settings, BROKER, NOW).expect("made");
    let before = topics.version();
    assert_eq!(topics.update(config("u", 4, 6), "", &settings, BROKER, NOW), Ok(None));
    assert_eq!(topics.version(), before);
}

#[test]
fn tools_can_not_touch_system_topics_or_ask_for_impossible_numbers() {
    let settings = Settings::default();
    let mut topics = topics(&settings);
    for name in [
        "TBW102",
        "DefaultCluster",
        BROKER,
        "BenchmarkTest",
        "rmq_sys_x",
        "DefaultCluster_REPLY_TOPIC",
    ] {
        let update = topics.update(config(name, 1, 6), "", &settings, BROKER, NOW);
        assert_eq!(update, Err(TopicError::SystemTopic(name.into())));
        assert!(topics.delete(name, &settings, BROKER, NOW).is_err(), "{name}");
    }
    for bad in [config("t", -1, 6), config("t", TOPIC_QUEUES_MAX + 1, 6), config("t", 1, 16)] {
        let refused = topics.update(bad, "", &settings, BROKER, NOW);
        assert!(matches!(refused, Err(TopicError::OutOfRange(_))), "{refused:?}");
    }
}

#[test]
fn attribute_edits_set_keep_and_remove() {
    let settings = Settings::default();
    let mut topics = topics(&settings);
    let mut edit = |edits: &str| {
        let queues = 1;
        topics.update(config("t", queues, 6), edits, &settings, BROKER, NOW).map(|topic| {
            topic.map(|topic| topic.attributes.clone().into_iter().collect::<Vec<_>>())
        })
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let made = edit("+message.type=FIFO,+queue.type=SimpleCQ").expect("made").expect("changed");
    assert_eq!(made, [pair("message.type", "FIFO"), pair("queue.type", "SimpleCQ")]);
    // An update without edits keeps the attributes.
    assert_eq!(edit(""), Ok(None));
    assert_eq!(edit("-message.type").expect("made"), Some(vec![pair("queue.type", "SimpleCQ")]));
    for bad in [
        "+queue.type=BatchCQ",
        "+nosuch=1",
        "-message.type",
        "message.type=FIFO",
        "+message.type=X",
    ] {
        assert!(edit(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_full_table_refuses_new_topics_but_changes_old_ones() {
    let mut settings = Settings::default();
    let mut topics = topics(&settings);
    topics.update(config("t", 1, 6), "", &settings, BROKER, NOW).expect("made");
    let have = topics.iter().count();
    for limit in [have, have - 1] {
        settings.topics_max = u32::try_from(limit).expect("small");
        let refused = topics.from_template(&wanted("u", 4), &settings, NOW);
        assert_eq!(refused.err(), Some(TopicError::Full { have, limit }));
    }
    assert!(topics.update(config("t", 2, 6), "", &settings, BROKER, NOW).is_ok());
}

#[test]
fn the_document_of_one_run_is_the_table_of_the_next() {
    let settings = Settings::default();
    let mut first = topics(&settings);
    first.update(config("t", 3, 6), "+message.type=DELAY", &settings, BROKER, NOW).expect("made");
    let text = serde_json::to_string(&first.document()).expect("serializable");
    let document: TopicConfigTable = serde_json::from_str(&text).expect("readable");
    let second = Topics::load(document, &settings, BROKER, NOW + 1);
    assert_eq!(second.get("t"), first.get("t"));
    assert_eq!(second.version(), first.version(), "nothing changed, so the version is the same");
}

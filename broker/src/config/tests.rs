use std::collections::BTreeSet;

use ringmq_settings::{Entry, Properties, Table as _};

use super::*;

fn read(text: &str) -> (Result<(), String>, Settings, Notes) {
    let mut settings = Settings::default();
    let mut notes = Notes::default();
    let properties = Properties::parse(text.as_bytes()).expect("well-formed properties");
    let result = settings.apply(&properties, &mut notes).map_err(|error| error.to_string());
    (result, settings, notes)
}

fn check_refused(text: &str, facts: &[&str]) {
    let (result, ..) = read(text);
    let message = result.expect_err("this configuration must be refused");
    for fact in facts {
        assert!(message.contains(fact), "{message:?} says {fact:?}");
    }
}

#[test]
fn values_of_a_file_reach_their_fields() {
    let (result, settings, notes) = read(
        "brokerClusterName = C1\nbrokerName=b-1\nflushDiskType=SYNC_FLUSH\nlistenPort=20911\n\
         shardCores=0,2-3\nautoCreateTopicEnable=false\nbrokerRole=ASYNC_MASTER\nbrokerId=0\n",
    );
    assert_eq!(result, Ok(()));
    assert_eq!(notes, Notes::default());
    assert_eq!(settings.broker_cluster_name, "C1");
    assert_eq!(settings.flush_disk_type, FlushDiskType::Sync);
    assert_eq!(settings.listen_port, 20911);
    assert_eq!(settings.shard_cores, ShardCores::List(vec![0, 2, 3]));
    assert!(!settings.auto_create_topic_enable);
}

#[test]
fn a_refused_value_names_key_line_found_and_allowed() {
    check_refused("# c\nlistenPort=70000", &["line 2", "listenPort", "70000", "3 to 65535"]);
    check_refused("flushDiskType=MAYBE", &["flushDiskType", "MAYBE", "ASYNC_FLUSH, SYNC_FLUSH"]);
    check_refused("autoCreateTopicEnable=yes", &["true or false"]);
    check_refused("shardCores=1,1", &["shardCores", "0-3"]);
    check_refused("shardCores=9-2", &["shardCores"]);
}

#[test]
fn what_this_version_can_not_do_is_refused_when_it_would_weaken_a_promise() {
    check_refused("brokerRole=SLAVE\nbrokerId=1", &["master"]);
    check_refused("brokerId=1", &["brokerId=1"]);
    check_refused("storePathRootDir=/a\nstorePathCommitLog=/b", &["/a/commitlog"]);
    assert_eq!(read("storePathRootDir=/a\nstorePathCommitLog=/a/commitlog").0, Ok(()));
    check_refused("aclEnable=true", &["aclEnable"]);
    check_refused("authenticationEnabled=true", &["authenticationEnabled"]);
    check_refused("enableControllerMode=true", &["enableControllerMode"]);
    for line in ["useTLS=true", "tlsEnable = TRUE", "tls.enable=true", "tls.server.mode=enforcing"]
    {
        check_refused(line, &["line 1: ", "this version does not have it"]);
    }
    let (result, _, notes) = read("useTLS=false\ntlsEnable=False\ntls.server.mode=disabled");
    assert_eq!((result, notes), (Ok(()), Notes::default()));
}

#[test]
fn all_that_is_wrong_is_named_at_once() {
    let lines = "listenPort=x\nflushDiskType=MAYBE\nbrokerId=3\nregionId=a\\u0001b";
    let facts = ["line 1: listenPort", "line 2: flushDiskType", "brokerId=3: ", "regionId has"];
    check_refused(lines, &facts);
    let (result, ..) = read("maxMessageSize=much\nmappedFileSizeCommitLog=65536");
    let message = result.expect_err("refused");
    assert!(!message.contains("65536"), "whether that is enough, nobody knows: {message}");
}

#[test]
fn texts_that_become_part_of_messages_and_topics_are_checked() {
    let longest = "r".repeat(REGION_MAX_BYTES);
    assert_eq!(read(&format!("regionId={longest}")).0, Ok(()));
    assert_eq!(read("regionId=\nmsgTraceTopicName=my_trace").0, Ok(()));
    check_refused(&format!("regionId={longest}r"), &["regionId", "256 bytes", "255"]);
    check_refused("regionId=a\\u0001b", &["regionId"]);
    check_refused("regionId=a\\u0002b", &["regionId"]);
    check_refused("msgTraceTopicName=a b%@!", &["msgTraceTopicName", "' '"]);
}

#[test]
fn unknown_keys_warn_with_the_nearest_known_name() {
    let (result, _, notes) = read("brokerNmae=x\ntotallyDifferentThing=1\n");
    assert_eq!(result, Ok(()));
    assert!(notes.warnings[0].contains("brokerNmae") && notes.warnings[0].contains("brokerName?"));
    assert!(notes.warnings[1].contains("ignored"), "{:?}", notes.warnings[1]);
}

#[test]
fn apache_keys_without_a_row_are_accepted_and_can_be_read_back() {
    let (result, settings, notes) = read("sendMessageThreadPoolNums=16\ntimerWheelEnable=true\n");
    assert_eq!(result, Ok(()));
    assert!(notes.warnings.is_empty());
    assert_eq!(notes.without_effect, ["timerWheelEnable"]);
    assert!(settings.entries().contains(&("sendMessageThreadPoolNums".into(), "16".into())));
}

#[test]
fn a_change_at_run_time_is_all_or_nothing_and_names_keys_that_need_a_restart() {
    let mut next = Settings::default();
    let mut update = |settings: &mut Settings, text: &str| {
        let properties = Properties::parse(text.as_bytes()).expect("well-formed properties");
        settings.update(&mut next, &properties, &mut Notes::default())
    };
    let mut settings = Settings::default();
    assert_eq!(
        update(&mut settings, "brokerPermission=4\nlistenPort=1234"),
        Ok(vec!["listenPort"])
    );
    assert_eq!((settings.broker_permission, settings.listen_port), (4, 10911));

    let before = settings.clone();
    assert!(update(&mut settings, "brokerPermission=2\nflushDiskType=no").is_err());
    assert_eq!(settings, before);
    assert_eq!(
        update(&mut settings, "brokerConfigPath=/etc/passwd"),
        Err(UpdateError::Forbidden("brokerConfigPath".into()))
    );
}

#[test]
fn every_default_is_allowed_by_its_own_row_and_reads_back() {
    let defaults = Settings::default();
    for row in ROWS {
        let text = defaults.text(row.key).expect("every row has a value");
        let entry = Entry { key: row.key.into(), value: text.clone(), line: 1 };
        let mut settings = Settings::default();
        assert_eq!(settings.assign(&entry), Ok(true), "{}", row.key);
        assert_eq!(settings, defaults, "{}", row.key);
    }
}

#[test]
fn keys_are_unique_and_the_accepted_ones_are_sorted() {
    let mut seen = BTreeSet::new();
    for key in ROWS.iter().map(|row| row.key).chain(accepted::all()) {
        assert!(seen.insert(key), "{key} stands in two places");
        assert!(accepted::class(key).is_some() || ROWS.iter().any(|row| row.key == key), "{key}");
    }
}

#[test]
fn the_sample_file_loads_and_changes_nothing_even_with_every_line_in_force() {
    let template = sample_file();
    let in_force: String = template
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', '#'])))
        .map(|line| format!("{line}\n"))
        .collect();
    for text in [template, in_force] {
        let (result, settings, notes) = read(&text);
        assert_eq!((result, notes), (Ok(()), Notes::default()));
        assert_eq!(settings, Settings::default());
    }
}

#[test]
fn the_sample_file_in_the_tree_is_the_one_made_from_the_rows() {
    let in_tree = include_str!("../../../conf/broker.conf");
    assert!(in_tree == sample_file(), "conf/broker.conf is old; run: cargo xtask conf");
}

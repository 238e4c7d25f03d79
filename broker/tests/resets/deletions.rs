//! Groups whose topic is deleted while much else goes on.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_lite::future::zip;
use ringmq_broker::config::Settings;
use ringmq_protocol::bodies::topic::{TopicConfig, TopicConfigList};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::TopicRequest;
use ringmq_protocol::json;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::sim::{Chance, PageCache, World};
use ringmq_runtime::task::{self, LocalFuture, Task};

use super::support::boot::{BROKER, boot, boot_until, boot_with, connect, settings};
use super::support::send_header;
use super::support::world::Client;
use super::{
    HELD_AFTER, QUEUE, ask_reset, consume, create_topic, delete, delete_topic, hold, pull,
};

/// One more than the resets that a log keeps.
const GROUPS: usize = 100_001;

/// Saves progress of this many groups in the topic, as if an earlier run of the broker had.
async fn save_groups(world: &World) {
    let groups: Vec<String> =
        (0..GROUPS).map(|group| format!(r#""T1@{group}":{{"{QUEUE}":0}}"#)).collect();
    let saved = format!(r#"{{"offsetTable":{{{}}}}}"#, groups.join(","));
    let disk = world.disk(BROKER);
    disk.create_dir_all("config").await.expect("a directory");
    disk.replace("config/consumerOffset.json", saved).await.expect("saved");
}

#[test]
fn a_group_that_waits_begins_anew_however_many_others_have_progress() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        save_groups(&here).await;
        let settings = Settings { commit_log_count: 1, ..settings(&here, "broker-a") };
        boot_with(&here, 1, settings);
        let client = Rc::new(connect(&here).await);
        create_topic(&client, 10).await;
        let held = hold(&client, "new", 10);
        task::sleep(HELD_AFTER).await;
        delete_topic(&client).await;
        assert_eq!(held.await, response::TOPIC_NOT_EXIST, "not held for the next topic");
        create_topic(&client, 12).await;
        assert_eq!(consume(&client, "new", 10).await, (0..12).collect::<Vec<_>>());
    });
}

#[test]
fn a_reset_that_a_deletion_overtakes_does_not_reach_the_next_topic() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        boot(&here, 2, "broker-a");
        let client = Rc::new(connect(&here).await);
        client.beat("c", &["T1"]).await;
        for delay_us in 0..40 {
            create_topic(&client, 10).await;
            assert_eq!(consume(&client, "g", 0).await.len(), 10);
            client.commit("T1", QUEUE, 10).await;
            let resets = Rc::clone(&client);
            let reset = async move { ask_reset(&resets, 5).await.code() };
            let reset = task::spawn("a reset", reset);
            task::sleep(Duration::from_micros(delay_us)).await;
            delete_topic(&client).await;
            let code = reset.await;
            create_topic(&client, 12).await;
            let got = consume(&client, "g", 10).await;
            assert_eq!(got, (0..12).collect::<Vec<_>>(), "{delay_us} us, answered {code}");
            delete_topic(&client).await;
        }
    });
}

/// A disk of which some writes take long, so that a deletion lies open for some milliseconds.
fn slow_disk(world: &World) {
    world.disk_faults(BROKER, |faults| {
        faults.slow_chance = Chance::per_mille(300);
        faults.slow = Duration::from_millis(5);
    });
}

/// Makes a topic of ten messages, all of which a group has consumed.
async fn create_consumed_topic(client: &Client) {
    create_topic(client, 10).await;
    assert_eq!(consume(client, "g", 0).await.len(), 10);
    // Until its progress is saved.
    task::sleep(Duration::from_secs(1)).await;
}

/// Has the topic deleted, and waits for so long; what waits for the answer.
async fn begin_deletion(client: Client, delay: Duration) -> Task<()> {
    let deletion = task::spawn("a deletion", async move { delete_topic(&client).await });
    task::sleep(delay).await;
    deletion
}

/// How many messages a group gets that had consumed all of them, when the broker is killed `delay`
/// after their topic began to be deleted.
async fn consumed_again(world: &World, client: Client, delay: Duration) -> usize {
    create_consumed_topic(&client).await;
    client.send("T1", QUEUE + 1).await;
    let deletion = begin_deletion(client, delay).await;
    world.kill(BROKER);
    drop(deletion);
    boot_often_saving(world);
    let client = connect(world).await;
    let header = TopicRequest { topic: "T1", lo: None };
    let found = client.call(request::GET_TOPIC_CONFIG, &header, &[]).await;
    if found.code() == response::TOPIC_NOT_EXIST {
        return 0;
    }
    let at = client.committed("T1", QUEUE).await.parse().expect("a number");
    let again = consume(&client, "g", at).await.len();
    delete_topic(&client).await;
    again
}

fn boot_often_saving(world: &World) {
    boot_with(world, 1, often_saving(world));
}

fn often_saving(world: &World) -> Settings {
    Settings {
        commit_log_count: 1,
        flush_consumer_offset_interval_ms: 10,
        ..settings(world, "broker-a")
    }
}

#[test]
fn a_group_gets_no_message_twice_wherever_a_kill_meets_the_deletion_of_its_topic() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        boot_often_saving(&here);
        slow_disk(&here);
        for round in 0..40 {
            let client = connect(&here).await;
            let delay = Duration::from_micros(500 * round);
            let again = consumed_again(&here, client, delay).await;
            assert_eq!(again, 0, "killed after {delay:?}");
        }
    });
}

async fn is_told(told: Arc<AtomicBool>) {
    while !told.load(Ordering::Relaxed) {
        task::sleep(Duration::from_micros(100)).await;
    }
}

/// How many of twelve new messages a group gets that had consumed all before them, when the broker
/// stops in good order `delay` after their topic began to be deleted.
async fn got_of_twelve(world: &World, delay: Duration) -> usize {
    let told = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&told);
    let until = |_: Rc<_>| Box::pin(is_told(until)) as LocalFuture<()>;
    let broker = boot_until(world, 1, often_saving(world), Box::new(until));
    let client = connect(world).await;
    create_consumed_topic(&client).await;
    let deletion = begin_deletion(client, delay).await;
    told.store(true, Ordering::Relaxed);
    drop(deletion);
    broker.await;
    // Its process ends, with all that is still under way in it.
    world.kill(BROKER);
    boot_often_saving(world);
    let client = connect(world).await;
    create_topic(&client, 12).await;
    let got = consume(&client, "g", 10).await.len();
    delete_topic(&client).await;
    world.kill(BROKER);
    got
}

#[test]
fn a_group_gets_every_new_message_wherever_a_stop_meets_the_deletion_of_its_topic() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        slow_disk(&here);
        for round in 0..40 {
            let delay = Duration::from_micros(500 * round);
            assert_eq!(got_of_twelve(&here, delay).await, 12, "stopped after {delay:?}");
        }
    });
}

#[test]
fn who_waits_in_a_topic_is_answered_however_long_its_deletion_takes_to_last() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        boot(&here, 1, "broker-a");
        let client = Rc::new(connect(&here).await);
        create_topic(&client, 10).await;
        let held = hold(&client, "new", 10);
        task::sleep(HELD_AFTER).await;
        let write = Duration::from_millis(50);
        here.disk_faults(BROKER, |faults| faults.latency = (write, write));
        let (deleting, asked) = (Rc::clone(&client), Instant::now());
        let deletion = task::spawn("a deletion", async move { delete_topic(&deleting).await });
        assert_eq!(held.await, response::TOPIC_NOT_EXIST);
        assert!(asked.elapsed() < write, "nothing of it is on disk yet: {:?}", asked.elapsed());
        deletion.await;
        create_topic(&client, 12).await;
        assert_eq!(consume(&client, "new", 10).await.len(), 12, "the group begins anew");
    });
}

/// A pull whose topic is deleted `delay` after it was sent; `None` when it was answered before.
async fn deleted_while_cold(world: &World, delay: Duration) -> Option<i32> {
    boot(world, 1, "broker-a");
    let client = connect(world).await;
    create_topic(&client, 8).await;
    // More than a start keeps in memory of the end of the log.
    for _ in 0..4 {
        let header = send_header("T2", 0, "");
        client.ask(request::SEND_MESSAGE_V2, &header, &[7; 1 << 20]).await;
    }
    task::sleep(Duration::from_secs(10)).await;
    world.kill(BROKER);
    boot(world, 1, "broker-a");
    let client = Rc::new(connect(world).await);
    let read = Duration::from_millis(20);
    world.disk_faults(BROKER, |faults| {
        faults.page_cache = PageCache::Brought;
        faults.latency = (read, read);
    });
    let pulling = Rc::clone(&client);
    let pulled = async move { pull(&pulling, "new", 0, true).await.code() };
    let pulled = task::spawn("a cold pull", pulled);
    task::sleep(delay).await;
    let is_answered = pulled.is_finished();
    delete_topic(&client).await;
    let code = pulled.await;
    (!is_answered).then_some(code)
}

#[test]
fn a_pull_that_waits_for_the_device_gets_nothing_of_a_topic_that_is_deleted_meanwhile() {
    let mut waited = 0;
    for seed in 0..4 {
        let world = World::new(seed);
        let here = world.clone();
        let delay = Duration::from_millis(2 + 4 * seed);
        let code = world.run(async move { deleted_while_cold(&here, delay).await });
        if let Some(code) = code {
            assert_eq!(code, response::TOPIC_NOT_EXIST, "seed {seed}, {delay:?}");
            waited += 1;
        }
    }
    assert!(waited > 1, "{waited} pulls waited for the device");
}

fn both_topics() -> Vec<u8> {
    let topic = |name: &str| TopicConfig {
        topic_name: name.into(),
        read_queue_nums: 4,
        write_queue_nums: 4,
        perm: 6,
        ..TopicConfig::default()
    };
    json::to_vec(&TopicConfigList { topic_config_list: ["T1", "T2"].map(topic).into() })
}

/// The first topic of a list is deleted `delay` after the second, whose deletion takes a
/// millisecond; the list is asked for between.
async fn delete_both_and_update(client: &Client, delay: Duration) {
    let code = request::UPDATE_AND_CREATE_TOPIC_LIST;
    client.ask(code, &(), &both_topics()).await;
    for topic in ["T1", "T2"] {
        client.send(topic, QUEUE).await;
    }
    let update = async {
        task::sleep(delay / 2).await;
        client.ask(code, &(), &both_topics()).await;
    };
    let later = async {
        task::sleep(delay).await;
        delete(client, "T1").await;
    };
    zip(zip(delete(client, "T2"), later), update).await;
}

#[test]
fn a_topic_of_a_list_that_is_deleted_while_another_is_awaited_is_made_again() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        boot(&here, 2, "broker-a");
        let client = connect(&here).await;
        for delay_us in (100..=500).step_by(50) {
            delete_both_and_update(&client, Duration::from_micros(delay_us)).await;
            for topic in ["T1", "T2"] {
                let header = TopicRequest { topic, lo: None };
                let found = client.call(request::GET_TOPIC_CONFIG, &header, &[]).await;
                assert_eq!(found.code(), response::SUCCESS, "{topic} after {delay_us} us");
            }
        }
    });
}

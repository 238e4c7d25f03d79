//! Groups whose topic is deleted while much else goes on.

use std::rc::Rc;
use std::time::Duration;

use ringmq_broker::config::Settings;
use ringmq_protocol::codes::response;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

use super::boot::{BROKER, boot_with, connect, settings};
use super::{QUEUE, consume, create_topic, delete_topic, pull};

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
        let waiting = Rc::clone(&client);
        let held = async move { pull(&waiting, "new", 10, true).await.code() };
        let held = task::spawn("a held pull", held);
        task::sleep(Duration::from_secs(1)).await;
        delete_topic(&client).await;
        assert_eq!(held.await, response::TOPIC_NOT_EXIST, "not held for the next topic");
        create_topic(&client, 12).await;
        assert_eq!(consume(&client, "new", 10).await, (0..12).collect::<Vec<_>>());
    });
}

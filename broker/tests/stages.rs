//! Where the time of sends goes, as a broker tells while `sendStageTracing` is on.

mod support;

use std::sync::Arc;

use ringmq_broker::config::{FlushDiskType, Settings};
use ringmq_broker::stages;
use ringmq_broker::view::Change;
use ringmq_protocol::batch;
use ringmq_protocol::bodies::send_stage::{SEND_STAGES, SendStage};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::send::SendRequest;
use ringmq_protocol::properties::Properties;
use ringmq_runtime::task;

use support::raw::{RawClient, requests};
use support::{Broker, Brokers, Client, in_time, send_header, temp_dir};

/// As the control plane does when the setting changes. All shards know it on return.
async fn switch(broker: &Broker, is_on: bool) {
    let settings = Settings::clone(broker.data.local.view().settings());
    let settings = Settings { send_stage_tracing: is_on, ..settings };
    broker.data.publish(Change::Settings(Arc::new(settings)));
    assert_eq!(stages::collect(&broker.data).await.is_empty(), !is_on);
}

/// A stage of all shards together.
fn of<'s>(stages: &'s [SendStage], name: &str) -> &'s SendStage {
    stages[..SEND_STAGES.len()]
        .iter()
        .find(|stage| stage.stage == name)
        .unwrap_or_else(|| panic!("no stage {name}"))
}

/// The stages once the answers of so many sends have left: a client may have one a little before
/// that is recorded.
async fn after(broker: &Broker, sends: u64) -> Vec<SendStage> {
    let recorded = async {
        loop {
            let stages = stages::collect(&broker.data).await;
            if of(&stages, "total").count >= sends {
                return stages;
            }
            task::yield_now().await;
        }
    };
    in_time("all sends are recorded", recorded).await
}

/// Every stage counts all sends, and their times add up; `hops` of the sends crossed shards. Those
/// of the single shards come behind the stages of all of them, and add up to these.
fn check(stages: &[SendStage], sends: u64, hops: u64) {
    let (stages, shards) = stages.split_at(SEND_STAGES.len());
    for (place, stage) in stages.iter().enumerate().filter(|_| !shards.is_empty()) {
        let parts = || (0..).zip(shards.chunks(SEND_STAGES.len()).map(|shard| &shard[place]));
        assert_eq!(parts().map(|(_, part)| part.count).sum::<u64>(), stage.count, "{shards:#?}");
        for (shard, part) in parts() {
            assert_eq!((part.shard, &part.stage), (Some(shard), &stage.stage));
        }
    }
    let names: Vec<_> = stages.iter().map(|stage| stage.stage.as_str()).collect();
    assert_eq!(names, SEND_STAGES);
    for stage in stages {
        let expected = if stage.stage == "hop" { hops } else { sends };
        assert_eq!(stage.count, expected, "{stages:#?}");
        assert!(stage.p50_us <= stage.p99_us && stage.p99_us <= stage.p999_us, "{stage:?}");
        assert!(stage.p999_us <= stage.max_us && stage.mean_us <= stage.max_us, "{stage:?}");
    }
    let (total, parts) = stages.split_last().expect("eight");
    let sum: f64 = parts.iter().map(|stage| stage.mean_us * stage.count as f64).sum();
    let ratio = sum / (total.mean_us * sends as f64);
    // Each histogram is exact to 1 %.
    assert!((0.98..=1.02).contains(&ratio), "{sum} of {total:?}: {stages:#?}");
}

async fn send_one_way(client: &Client) {
    let header = send_header("T", 1, "");
    client.connection.send_oneway(request::SEND_MESSAGE_V2, &header, b"one-way");
}

#[test]
fn each_send_is_counted_once_in_every_stage_and_the_stages_add_up() {
    for flush_disk_type in [FlushDiskType::Async, FlushDiskType::Sync] {
        let dir = temp_dir();
        let mut brokers = Brokers::new(1, 2);
        brokers.settings.flush_disk_type = flush_disk_type;
        brokers.run(dir.path(), |broker| async move {
            switch(&broker, true).await;
            let client = broker.client().await;
            for queue in 0..4 {
                client.store("T", queue, b"one").await;
            }
            check(&after(&broker, 4).await, 4, 0);
            // More than one turn, in one read and in parts, to one log and to both.
            let mut raw = RawClient::connect(broker.address).await;
            for queue in 0..2 {
                let header = send_header("T", queue, "");
                let many = requests(request::SEND_MESSAGE_V2, &header, &[7; 100], 600);
                raw.exchange(&many, 600).await;
            }
            let stages = after(&broker, 1_204).await;
            check(&stages, 1_204, 0);
            let device = of(&stages, "flushed");
            assert!(device.p50_us > 0.0 && of(&stages, "total").max_us >= device.max_us);
        });
    }
}

#[test]
fn a_batch_is_one_send_and_what_nobody_waits_for_or_is_refused_is_none() {
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        switch(&broker, true).await;
        let client = broker.client().await;
        let mut body = Vec::new();
        for number in 0..5_u8 {
            let item = batch::Item { flag: 0, body: &[number], properties: Properties::new("") };
            batch::push(&mut body, &item).expect("room");
        }
        let header = SendRequest { batch: true, ..send_header("T", 1, "") };
        let answer = client.call(request::SEND_BATCH_MESSAGE, &header, &body).await;
        assert_eq!(answer.code(), response::SUCCESS);
        send_one_way(&client).await;
        let hasty = client.send_with("T", 1, b"hasty", "WAIT\u{1}false\u{2}").await;
        assert_eq!(hasty.code(), response::SUCCESS);
        assert_ne!(client.send("T", 99, b"no such queue").await.code(), response::SUCCESS);
        assert_ne!(client.send("T", 1, b"").await.code(), response::SUCCESS);
        client.store("T", 1, b"last").await;
        check(&after(&broker, 2).await, 2, 0);
    });
}

#[test]
fn a_send_that_another_shard_owns_has_a_hop() {
    let dir = temp_dir();
    Brokers::new(2, 1).run(dir.path(), |broker| async move {
        switch(&broker, true).await;
        // The kernel spreads connections over the shards; of 64, some on each.
        let mut sends = 0;
        for number in 1..=64 {
            broker.client().await.store("T", 0, b"x").await;
            sends = number;
            let hops = of(&after(&broker, sends).await, "hop").count;
            if number >= 8 && 0 < hops && hops < sends {
                break;
            }
        }
        let hops = of(&after(&broker, sends).await, "hop").count;
        assert!(0 < hops && hops < sends, "{hops} of {sends}");
        let mut hopped = 0;
        for _ in 0..8 {
            let mut raw = RawClient::connect(broker.address).await;
            let many = requests(request::SEND_MESSAGE_V2, &send_header("T", 0, ""), b"x", 100);
            raw.exchange(&many, 100).await;
            sends += 100;
            hopped = of(&after(&broker, sends).await, "hop").count - hops;
            assert_eq!(hopped % 100, 0, "a connection is on one shard");
        }
        check(&after(&broker, sends).await, sends, hops + hopped);
    });
}

#[test]
fn nothing_is_recorded_while_it_is_off_and_each_time_begins_at_zero() {
    for (shards, logs) in [(1, 1), (2, 2)] {
        let dir = temp_dir();
        Brokers::new(shards, logs).run(dir.path(), |broker| async move {
            let clients = broker.clients().await;
            let send_all = || async {
                for client in &clients {
                    client.store("T", 1, b"x").await;
                }
            };
            send_all().await;
            assert_eq!(stages::collect(&broker.data).await, []);
            switch(&broker, true).await;
            let stages = stages::collect(&broker.data).await;
            assert!(!stages.is_empty() && stages.iter().all(|stage| stage.count == 0));
            send_all().await;
            after(&broker, clients.len() as u64).await;
            switch(&broker, false).await;
            send_all().await;
            assert_eq!(stages::collect(&broker.data).await, []);
            switch(&broker, true).await;
            assert_eq!(of(&stages::collect(&broker.data).await, "total").count, 0);
            send_all().await;
            let stages = after(&broker, clients.len() as u64).await;
            check(&stages, clients.len() as u64, of(&stages, "hop").count);
        });
    }
}

#[test]
fn it_can_be_turned_on_and_off_under_load() {
    let dir = temp_dir();
    Brokers::new(2, 2).run(dir.path(), |broker| async move {
        let mut senders = Vec::new();
        for number in 0..8 {
            let mut raw = RawClient::connect(broker.address).await;
            senders.push(task::spawn("sender", async move {
                let header = send_header("T", number % 4, "");
                let many = requests(request::SEND_MESSAGE_V2, &header, &[7; 200], 50);
                for _ in 0..40 {
                    raw.exchange(&many, 50).await;
                }
            }));
        }
        for round in 0..40 {
            switch(&broker, round % 2 == 0).await;
            for stage in stages::collect(&broker.data).await {
                assert!(stage.count <= 8 * 40 * 50, "{stage:?}");
            }
        }
        switch(&broker, false).await;
        for sender in senders {
            in_time("everything is acknowledged", sender).await;
        }
        switch(&broker, true).await;
        broker.client().await.store("T", 0, b"x").await;
        let stages = after(&broker, 1).await;
        check(&stages, 1, of(&stages, "hop").count);
    });
}

#[test]
fn a_send_acknowledged_from_memory_has_no_stages_of_the_device() {
    let dir = temp_dir();
    let mut brokers = Brokers::new(1, 1);
    brokers.settings.transient_store_pool_enable = true;
    // From the start, as a file may say.
    brokers.settings.send_stage_tracing = true;
    brokers.run(dir.path(), |broker| async move {
        let client = broker.client().await;
        for _ in 0..3 {
            client.store("T", 0, b"x").await;
        }
        let stages = after(&broker, 3).await;
        for stage in &stages {
            let expected =
                if ["hop", "submit", "flushed"].contains(&&*stage.stage) { 0 } else { 3 };
            assert_eq!(stage.count, expected, "{stages:#?}");
        }
    });
}

#[test]
fn waiting_for_a_topic_and_for_room_is_part_of_the_stages() {
    const SENDS: usize = 48;
    let dir = temp_dir();
    Brokers::new(2, 1).run(dir.path(), |broker| async move {
        switch(&broker, true).await;
        for (number, client) in broker.clients().await.iter().enumerate() {
            client.store(&format!("New-{number}"), 1, b"first").await;
        }
        let stages = after(&broker, 8).await;
        check(&stages, 8, of(&stages, "hop").count);
        // Three times what may be unwritten.
        let client = broker.client().await;
        let body = vec![b'x'; 1 << 20];
        let send = |_| {
            let header = send_header("T", 0, "");
            client.connection.call(request::SEND_MESSAGE_V2, &header, &body, support::TIMEOUT)
        };
        let calls: Vec<_> = (0..SENDS).map(send).collect();
        for call in calls {
            assert_eq!(call.await.expect("an answer").code(), response::SUCCESS);
        }
        let stages = after(&broker, 8 + SENDS as u64).await;
        check(&stages, 8 + SENDS as u64, of(&stages, "hop").count);
    });
}

use std::future::poll_fn;
use std::pin::pin;

use ringmq_runtime::sim::World;

use super::*;
use crate::append::tests::message;
use crate::entry::KeyEntry;
use crate::log::Log;
use crate::options::{FlushPolicy, LogOptions};
use crate::position::LogId;

/// Of two topics, fewer than there are slots.
const QUEUES: i32 = 2 * STEP_QUEUES as i32;

async fn send_to_all(log: &Log) {
    for queue_id in 0..QUEUES {
        for topic in ["gone", "kept"] {
            log.append(&message(topic, queue_id, b"body"), 1).expect("room");
        }
    }
    while log.acknowledged() < log.end_position() {
        log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
    }
}

#[test]
fn a_checkpoint_of_many_runs_of_keys_gives_way_between_them() {
    const RUNS: usize = 400;
    let world = World::new(1);
    world.run(async {
        let options = LogOptions {
            key_run_entries: 8,
            flush: FlushPolicy::Sync,
            checkpoint_interval: Duration::from_secs(1000),
            ..LogOptions::default()
        };
        let opened = Log::open(&world.disk(0), "log", LogId(0), options).await;
        let (log, _) = opened.expect("the log opens");
        log.append(&message("topic", 0, b"body"), 1).expect("room");
        let end = log.end_position();
        while log.acknowledged() < end {
            log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
        }
        // Past the log, whose own checkpoint would begin beside this one, when it sleeps.
        task::sleep(Duration::from_secs(1)).await;
        for number in 0..8 * RUNS as u64 {
            log.inner.state.borrow_mut().keys.push(KeyEntry::new(number, 0, 1));
        }
        let mut saving = pin!(save(&log.inner, end.byte()));
        let mut steps = 0;
        let counted = poll_fn(|context| {
            steps += 1;
            saving.as_mut().poll(context)
        });
        counted.await.expect("saved");
        // The simulated world has a turn for others at every fourth occasion.
        assert!(steps > RUNS / 8, "{RUNS} runs in {steps} steps");
        assert_eq!(log.inner.state.borrow().keys.runs().len(), RUNS);
    });
}

/// Such a queue has no entries in the checkpoint, though an earlier one has it, and it has
/// records on both sides of the mark.
#[test]
fn queues_that_are_deleted_while_a_checkpoint_gives_way_cost_nobody_a_message() {
    for seed in 0..32 {
        let world = World::new(seed);
        let disk = world.disk(0);
        let options = LogOptions {
            segment_size_bytes: 1 << 20,
            record_size_max_bytes: 64 << 10,
            fill_step_bytes: 64 << 10,
            flush: FlushPolicy::Sync,
            checkpoint_interval: Duration::from_secs(1000),
            ..LogOptions::default()
        };
        world.run(async {
            let opened = Log::open(&disk, "log", LogId(0), options.clone()).await;
            let (log, _) = opened.expect("the log opens");
            let durable = || log.inner.state.borrow().marks.durable();
            send_to_all(&log).await;
            save(&log.inner, durable()).await.expect("saved");
            send_to_all(&log).await;
            let below = durable();
            send_to_all(&log).await;
            let inner = log.inner.clone();
            let saved = task::spawn("save", async move { save(&inner, below).await });
            for _ in 0..seed / 4 {
                task::yield_now().await;
            }
            // Past the log, whose own checkpoint would begin beside this one.
            for queue_id in 0..QUEUES {
                let queues = &mut log.inner.state.borrow_mut().queues;
                let key = queues.find("gone", queue_id).expect("it is there");
                queues.delete(key);
            }
            saved.await.expect("saved");
        });
        world.kill(0);
        world.run(async {
            let opened = Log::open(&disk, "log", LogId(0), options).await;
            let (log, report) = opened.expect("the log opens");
            assert_eq!(report.damage, None, "seed {seed}");
            for queue_id in 0..QUEUES {
                let key = log.inner.state.borrow().queues.find("kept", queue_id);
                let state = log.inner.state.borrow();
                let queue = key.and_then(|key| state.queues.get(key)).expect("kept");
                assert_eq!(queue.next(), 3, "seed {seed}");
            }
        });
    }
}

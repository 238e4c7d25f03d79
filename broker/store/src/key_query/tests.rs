use std::future::poll_fn;
use std::pin::pin;

use ringmq_protocol::record::NewRecord;
use ringmq_runtime::sim::World;

use super::*;
use crate::append::tests::message;
use crate::options::{FlushPolicy, LogOptions};
use crate::position::{LOG_MAX_BYTES, LogId};
use crate::terms::KEYS_MAX;

#[test]
fn a_place_that_no_log_can_have_is_no_message_however_it_came_into_a_run() {
    let world = World::new(1);
    world.run(async {
        let opened = Log::open(&world.disk(0), "log", LogId(0), LogOptions::default()).await;
        let (log, _) = opened.expect("the log opens");
        let query =
            KeyQuery { topic: "t", key: "k", from_ms: 0, until_ms: 9, count: 1, limits: WIDE };
        for byte in [LOG_MAX_BYTES, (1 << 48) - 1] {
            let found = Search::new(&log, query).verified(byte).await;
            assert_eq!(found.expect("nothing is read"), None, "byte {byte}");
        }
    });
}

const WIDE: KeyLimits = KeyLimits { bytes: 16 << 20, reads: 1000 };

#[test]
fn a_lookup_of_what_every_message_carries_gives_way() {
    const STEPS: usize = 20;
    let world = World::new(1);
    let options = LogOptions { flush: FlushPolicy::Sync, ..LogOptions::default() };
    world.run(async {
        let opened = Log::open(&world.disk(0), "log", LogId(0), options).await;
        let (log, _) = opened.expect("the log opens");
        let words: String = (0..KEYS_MAX).map(|number| format!("k{number} ")).collect();
        let keys = format!("KEYS\u{1}{words}\u{2}");
        for _ in 0..STEPS * STEP_ENTRIES / KEYS_MAX {
            let sent = NewRecord { properties: &keys, ..message("topic", 0, b"body") };
            log.append(&sent, 1000).expect("room");
        }
        let query =
            KeyQuery { topic: "topic", key: "k0", from_ms: 1, until_ms: 2, count: 9, limits: WIDE };
        let mut asking = pin!(log.query_by_key(query));
        let mut steps = 0;
        let counted = poll_fn(|context| {
            steps += 1;
            asking.as_mut().poll(context)
        });
        assert_eq!(counted.await.expect("readable").records.len(), 0);
        // The simulated world has a turn for others at every fourth occasion.
        assert!(steps > STEPS / 8, "all in {steps} steps");
    });
}

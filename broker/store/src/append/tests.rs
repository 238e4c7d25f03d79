use ringmq_runtime::sim::World;

use super::*;
use crate::options::{FlushPolicy, LogOptions};
use crate::position::LogId;
use crate::queue_index::SLOTS_MAX;

/// A message as the unit tests of this crate append it.
pub(crate) fn message<'a>(topic: &'a str, queue_id: i32, body: &'a [u8]) -> NewRecord<'a> {
    let host = ([127, 0, 0, 1], 10911).into();
    NewRecord {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_at_ms: 1,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: "",
        extra: &[],
        with_record_crc: false,
    }
}

#[test]
fn the_slots_of_deleted_queues_are_used_again_after_a_start() {
    const QUEUES: i32 = SLOTS_MAX as i32 * 2 / 5;
    let world = World::new(1);
    let disk = world.disk(0);
    let options = LogOptions { flush: FlushPolicy::Sync, ..LogOptions::default() };
    for life in 0..6 {
        world.run(async {
            let opened = Log::open(&disk, "log", LogId(0), options.clone()).await;
            let (log, _) = opened.expect("the log opens");
            assert_eq!(log.queue_range("gone", 0), None, "life {life}");
            for queue_id in 0..QUEUES {
                log.append(&message("gone", queue_id, b""), 1).expect("a slot");
            }
            log.append(&message("kept", life, b""), 1).expect("a slot");
            while log.acknowledged() < log.end_position() {
                log.acknowledged_beyond(log.acknowledged()).await.expect("no fault");
            }
            log.delete_topic("gone");
            log.deletions_last().await.expect("no fault");
            if life % 2 == 0 {
                log.close().await.expect("a clean stop");
            }
        });
        world.kill(0);
    }
}

#[test]
fn what_has_no_slot_is_refused_wherever_the_segment_ends_and_moves_nothing() {
    let world = World::new(1);
    let disk = world.disk(0);
    let options = LogOptions {
        segment_size_bytes: 64 << 10,
        record_size_max_bytes: 24 << 10,
        fill_step_bytes: 16 << 10,
        ..LogOptions::default()
    };
    world.run(async {
        let opened = Log::open(&disk, "log", LogId(0), options).await;
        let (log, _) = opened.expect("the log opens");
        for queue_id in 0..SLOTS_MAX as i32 {
            log.append(&message("topic", queue_id, b""), 1).expect("a slot");
        }
        let new = SLOTS_MAX as i32;
        for _ in 0..64 {
            let end = log.end_position();
            let body = [7; 20 << 10];
            let refused = log.append(&message("topic", new, &body), 1).expect_err("no slot");
            assert!(matches!(refused, AppendError::OutOfSlots), "{refused}");
            let batch = [message("topic", 0, &body), message("topic", new, b"")];
            log.append_batch(&batch, 1, &mut Vec::new()).expect_err("no slot");
            assert_eq!(log.end_position(), end);
            log.append(&message("topic", 0, &body[..1000]), 1).expect("its queue has a slot");
        }
        log.append_batch(&[message("topic", 0, b""), message("topic", 1, b"")], 1, &mut Vec::new())
            .expect("their queues have slots");
    });
}

//! The store under a simulated disk: random operations, crashes in mid-flight, failing devices.
//!
//! Each seed is a story of several lives of one log. After each crash the log is opened again and
//! compared with a plain model: it must hold a prefix of what was appended, at least everything
//! that was promised, whole, once and in order; queues, keys and times must agree with it. A
//! failure prints the command that replays it.

mod common;

use std::time::Duration;

use ringmq_runtime::sim::Chance;
use ringmq_runtime::task;
use ringmq_store::{AppendError, FlushPolicy, Log, LogId, OpenError};

use common::message;
use common::story::{End, Sent, Story};

/// Seeds of each kind of story that a plain `cargo test` runs; `cargo xtask` asks for 500 by
/// `RINGMQ_SEEDS`.
const SEEDS_BY_DEFAULT: u64 = 24;

/// Seeds that found something once: told again with the others.
const SEEDS_KEPT: [u64; 2] = [240, 307];

const LIVES_MAX: u64 = 5;

/// Runs a story for many seeds, or for the one in `RINGMQ_SEED`; a failure names the seed.
fn for_each_seed(name: &str, story: fn(u64)) {
    if let Ok(seed) = std::env::var("RINGMQ_SEED") {
        return story(seed.parse().expect("RINGMQ_SEED is a number"));
    }
    let seeds = std::env::var("RINGMQ_SEEDS")
        .map_or(SEEDS_BY_DEFAULT, |seeds| seeds.parse().expect("RINGMQ_SEEDS is a number"));
    for seed in (0..seeds).chain(SEEDS_KEPT) {
        if let Err(panic) = std::panic::catch_unwind(|| story(seed)) {
            eprintln!("seed {seed} of {seeds} failed; replay it with:");
            eprintln!(
                "RINGMQ_SEED={seed} cargo test -p ringmq-store --test faults -- --exact {name}"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn what_was_promised_survives_every_crash() {
    for_each_seed("what_was_promised_survives_every_crash", |seed| {
        let mut story = Story::new(seed);
        for _ in 0..2 + story.random.below(LIVES_MAX) {
            let log = story.open_and_check();
            story.live(&log);
            let end = story.end();
            story.finish_life(log, end);
        }
        story.open_and_check();
    });
}

#[test]
fn a_failing_device_fences_the_log_and_takes_nothing_that_was_acknowledged() {
    let name = "a_failing_device_fences_the_log_and_takes_nothing_that_was_acknowledged";
    for_each_seed(name, |seed| {
        let mut story = Story::new(seed);
        for _ in 0..2 + story.random.below(LIVES_MAX) {
            let log = story.open_and_check();
            story.live(&log);
            story.break_device(&log);
            let refused = story.world.run(log.acknowledged_beyond(log.end_position()));
            assert!(refused.is_err(), "waiters learn of the fault");
            let now_ms = story.now_ms();
            let append = log.append(&message("orders", 0, b"late", ""), now_ms);
            assert!(matches!(append, Err(AppendError::Fenced(_))), "{append:?}");
            let end = [End::PowerLoss, End::Kill][story.random.below(2) as usize];
            story.world.disk_faults(0, |faults| {
                (faults.fail_next_sync, faults.fail_next_write) = (false, false);
            });
            story.finish_life(log, end);
        }
        story.open_and_check();
    });
}

#[test]
fn old_segments_expire_and_their_queues_keep_their_offsets_through_crashes() {
    let name = "old_segments_expire_and_their_queues_keep_their_offsets_through_crashes";
    for_each_seed(name, |seed| {
        let mut story = Story::new(seed);
        let reserved = Duration::from_millis(200);
        for _ in 0..2 + story.random.below(LIVES_MAX) {
            let (log, report) = story.open();
            story.model.survive(&report);
            // Finishes a deletion that was cut short, if the segment still counts as old: its file
            // may have been written again by recovery, or the clock set back.
            let now_ms = story.now_ms();
            story.world.run(log.expire(now_ms, reserved)).expect("deleted");
            story.model.expired = story.model.expired.max(log.min_position().byte());
            story.check_all(&log);
            for _ in 0..3 {
                story.live(&log);
                let now_ms = story.now_ms();
                // Some deletions are cut short, and some fail.
                let limit = Duration::from_micros(story.random.below(20_000));
                let remove_error = Chance::per_mille(story.random.below(2) as u32 * 300);
                story.world.disk_faults(0, |faults| faults.remove_error = remove_error);
                let expired = story.world.run(task::timeout(limit, log.expire(now_ms, reserved)));
                story.world.disk_faults(0, |faults| faults.remove_error = Chance::NEVER);
                if let Ok(Ok(_)) = expired {
                    story.model.expired = log.min_position().byte();
                    story.check_one_queue(&log);
                } else {
                    let next = log.min_position().byte() + common::TINY_SEGMENT_BYTES;
                    story.model.expiring = story.model.expiring.max(next);
                    break;
                }
            }
            let end = [End::PowerLoss, End::Kill][story.random.below(2) as usize];
            story.finish_life(log, end);
        }
    });
}

#[test]
fn damage_in_the_middle_of_the_log_is_refused_until_the_file_is_restored() {
    for_each_seed(
        "damage_in_the_middle_of_the_log_is_refused_until_the_file_is_restored",
        |seed| {
            let mut story = Story::new(seed);
            // The damage shall lie far in front of the end, and no checkpoint shall hide it.
            story.options.flush = FlushPolicy::Sync;
            story.options.checkpoint_interval = Duration::from_secs(1000);
            story.options.checkpoint_bytes = 1 << 40;
            story.options.key_run_entries = 40_000;
            story.options.index_segment_size_bytes = 1 << 20;
            let (log, report) = story.open();
            story.model.survive(&report);
            let far = report.end.byte() + (3 << 20);
            while log.end_position().byte() < far {
                story.send(&log);
            }
            while log.acknowledged() < log.end_position() {
                story.await_progress(&log);
            }
            story.finish_life(log, End::Kill);
            let victims: Vec<Sent> =
                story.model.sent.iter().filter(|s| s.body.len() > 100).cloned().collect();
            let victim = &victims[story.random.below(victims.len() as u64 / 8) as usize];
            let at = victim.appended.position.byte();
            let segment = at - at % common::TINY_SEGMENT_BYTES;
            let path = format!("log/commitlog/{segment:020}");
            let bit = story.random.next_u64() as u8;
            story.world.flip_bit(0, &path, at - segment + 90, bit);

            let opened =
                story.world.run(Log::open(&story.disk, "log", LogId(0), story.options.clone()));
            let Err(OpenError::Corrupt { at: found, .. }) = opened else {
                panic!("damage at {at} was not noticed")
            };
            assert_eq!(found.byte(), at);
            // As it was before: the refusal has changed nothing.
            story.world.flip_bit(0, &path, at - segment + 90, bit);
            let log = story.open_and_check();
            story.live(&log);
            story.finish_life(log, End::PowerLoss);
            story.open_and_check();
        },
    );
}

#[test]
fn a_full_disk_refuses_messages_and_recovers_when_there_is_space() {
    for_each_seed("a_full_disk_refuses_messages_and_recovers_when_there_is_space", |seed| {
        let mut story = Story::new(seed);
        let (log, _) = story.open();
        story.world.disk_faults(0, |faults| faults.capacity_bytes = 700 << 10);
        let mut refused = None;
        for _ in 0..5000 {
            let now_ms = story.now_ms();
            let (topic, queue_id) = story.target();
            let body = vec![7; 2000];
            let append = log.append(&message(topic, queue_id, &body, ""), now_ms);
            match append {
                Ok(appended) => {
                    let key = String::new();
                    story.model.sent.push(Sent { topic, queue_id, key, appended, body });
                }
                Err(AppendError::Full { .. }) => {
                    story.pause(Duration::from_millis(20));
                    if log.stats().no_space.is_some() {
                        refused = Some(AppendError::NoSpace(String::new()));
                        break;
                    }
                }
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        assert!(matches!(refused, Some(AppendError::NoSpace(_))), "{refused:?}");
        story.world.disk_faults(0, |faults| faults.capacity_bytes = 1 << 40);
        story.pause(Duration::from_secs(3));
        story.send(&log);
        while log.acknowledged() < log.end_position() {
            story.await_progress(&log);
        }
        story.check_all(&log);
        story.finish_life(log, End::Stop);
        story.open_and_check();
    });
}

#[test]
fn a_slow_device_only_costs_time() {
    for_each_seed("a_slow_device_only_costs_time", |seed| {
        let mut story = Story::new(seed);
        story.world.disk_faults(0, |faults| faults.slow_chance = Chance::per_mille(50));
        let (log, _) = story.open();
        story.live(&log);
        while log.acknowledged() < log.end_position() {
            story.await_progress(&log);
        }
        story.check_all(&log);
    });
}

/// Guards the harness itself: the model notices a lost message.
#[test]
#[should_panic(expected = "promised up to")]
fn a_lost_promise_is_noticed() {
    let mut story = Story::new(1);
    let (log, report) = story.open();
    story.model.survive(&report);
    story.send(&log);
    story.model.promised = log.end_position().byte();
    drop(log);
    story.world.crash(0);
    let (_, report) = story.open();
    story.model.survive(&report);
}

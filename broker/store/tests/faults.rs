//! The store under a simulated disk: random operations, crashes in mid-flight, failing devices.
//!
//! Each seed is a story of several lives of one log. After each crash the log is opened again and compared with a plain model:
//! it must hold a prefix of what was appended, at least everything that was promised, whole, once and in
//! order; queues, keys and times must agree with it. A failure prints the command that replays it.

mod common;

use std::time::Duration;

use common::{Seen, consume, message, tiny_options};
use ringmq_runtime::disk::Disk;
use ringmq_runtime::random::Sequence;
use ringmq_runtime::sim::{Chance, World};
use ringmq_runtime::{clock, task};
use ringmq_store::{
    AppendError, Appended, FlushPolicy, KeyQuery, Log, LogId, LogOptions, OpenError,
    RecoveryReport, Repair, TimeBoundary,
};

/// Seeds of each kind of story that a plain `cargo test` runs; `cargo xtask` asks for 500 by `RINGMQ_SEEDS`.
const SEEDS_BY_DEFAULT: u64 = 24;

const TOPICS: [&str; 3] = ["orders", "payments", "%RETRY%group"];
const QUEUES: u64 = 3;
const LIVES_MAX: u64 = 5;

/// One message of the model.
#[derive(Clone, Debug)]
struct Sent {
    topic: &'static str,
    queue_id: i32,
    key: String,
    appended: Appended,
    body: Vec<u8>,
}

/// What a log should hold, and what it has promised.
#[derive(Default)]
struct Model {
    /// In log order.
    sent: Vec<Sent>,
    /// Log byte below which everything must survive the next crash.
    promised: u64,
    /// Log byte that retention deleted up to.
    expired: u64,
    /// Numbers given to messages so far.
    numbered: u64,
}

impl Model {
    fn queue(&self, topic: &str, queue_id: i32) -> Vec<&Sent> {
        let of_queue = |sent: &&Sent| sent.topic == topic && sent.queue_id == queue_id;
        self.sent.iter().filter(of_queue).collect()
    }

    /// Forgets what the crash took, after checking that it was allowed to.
    fn survive(&mut self, report: &RecoveryReport) {
        let end = report.end.byte();
        assert!(
            self.promised <= end,
            "promised up to {}, but the log ends at {end}: {report:?}",
            self.promised
        );
        let torn = self.sent.iter().find(|sent| {
            sent.appended.position.byte() < end && sent.appended.end.byte() > end
        });
        assert!(torn.is_none(), "{torn:?} is cut by the end {end}");
        self.sent.retain(|sent| sent.appended.end.byte() <= end);
        self.promised = end;
    }
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    PowerLoss,
    Kill,
    Stop,
}

/// One story: a world, a log in it, and the model.
struct Story {
    world: World,
    random: Sequence,
    options: LogOptions,
    disk: Disk,
    model: Model,
}

impl Story {
    fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let mut random = world.sequence();
        let interval = Duration::from_millis(1 + random.below(40));
        let flush = match random.below(5) {
            0 | 1 => FlushPolicy::Sync,
            2 | 3 => FlushPolicy::Async { interval },
            _ => FlushPolicy::Memory { interval },
        };
        let options = tiny_options(flush);
        let disk = world.disk(0);
        Self { world, random, options, disk, model: Model::default() }
    }

    fn end(&mut self) -> End {
        [End::PowerLoss, End::PowerLoss, End::Kill, End::Stop][self.random.below(4) as usize]
    }

    /// Opens the log; some attempts are themselves cut short by a crash.
    fn open(&mut self) -> (Log, RecoveryReport) {
        while self.random.chance(1, 3) {
            let limit = Duration::from_micros(self.random.below(6000));
            let attempt = Log::open(&self.disk, "log", LogId(0), self.options.clone());
            match self.world.run(task::timeout(limit, attempt)) {
                Ok(Ok(opened)) => return opened,
                Ok(Err(error)) => panic!("the log does not open: {error}"),
                Err(_) if self.random.chance(1, 2) => self.world.crash(0),
                Err(_) => self.world.kill(0),
            }
        }
        let attempt = Log::open(&self.disk, "log", LogId(0), self.options.clone());
        self.world.run(attempt).unwrap_or_else(|error| panic!("the log does not open: {error}"))
    }

    /// What has been promised by now to survive `end`.
    fn promise(&mut self, log: &Log, end: End) {
        let durable = log.stats().durable.byte();
        let acknowledged = log.acknowledged().byte();
        let promised = match (self.options.flush, end) {
            (FlushPolicy::Memory { .. }, End::PowerLoss | End::Kill) => durable,
            (FlushPolicy::Async { .. }, End::PowerLoss) => durable,
            _ => acknowledged,
        };
        self.model.promised = self.model.promised.max(promised);
    }

    /// Random operations.
    fn live(&mut self, log: &Log) {
        let steps = self.random.below(120);
        for _ in 0..steps {
            match self.random.below(100) {
                0..60 => self.send(log),
                60..70 => self.send_batch(log),
                70..78 => {
                    let pause = Duration::from_micros(self.random.below(3000));
                    self.world.run(task::sleep(pause));
                }
                78..80 => {
                    let pause = Duration::from_millis(self.random.below(400));
                    self.world.run(task::sleep(pause));
                }
                80..88 => self.await_progress(log),
                88..93 => self.check_one_queue(log),
                93..96 => self.check_one_message(log),
                96..98 => self.check_visible_is_safe(log),
                _ => self.world.step_wall_clock(self.random.below(2000) as i64 - 1000),
            }
        }
    }

    fn body(&mut self) -> Vec<u8> {
        let len = match self.random.below(20) {
            0 => self.random.below(20_000),
            1..5 => self.random.below(4096),
            _ => self.random.below(700),
        };
        let fill = self.random.next_u64() as u8;
        vec![fill; len as usize]
    }

    fn target(&mut self) -> (&'static str, i32) {
        let topic = TOPICS[self.random.below(TOPICS.len() as u64) as usize];
        (topic, self.random.below(QUEUES) as i32)
    }

    fn now_ms(&self) -> i64 {
        self.world.run(async { clock::unix_ms() })
    }

    fn send(&mut self, log: &Log) {
        let (topic, queue_id) = self.target();
        let body = self.body();
        self.model.numbered += 1;
        let key = format!("key{}", self.model.numbered);
        let properties = format!("UNIQ_KEY\u{1}{key}\u{2}KEYS\u{1}shared x{key}\u{2}");
        let now_ms = self.now_ms();
        let log = log.clone();
        let appended = self.world.run(async {
            log.append(&message(topic, queue_id, &body, &properties), now_ms)
        });
        match appended {
            Ok(appended) => self.model.sent.push(Sent { topic, queue_id, key, appended, body }),
            Err(AppendError::Full { .. }) => self.world.run(log.room()),
            Err(AppendError::Fenced(_)) => {}
            Err(error) => panic!("append: {error}"),
        }
    }

    fn send_batch(&mut self, log: &Log) {
        let (topic, queue_id) = self.target();
        let count = 1 + self.random.below(5);
        let bodies: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                let len = self.random.below(500) as usize;
                vec![self.random.next_u64() as u8; len]
            })
            .collect();
        let messages: Vec<_> =
            bodies.iter().map(|body| message(topic, queue_id, body, "")).collect();
        let now_ms = self.now_ms();
        let mut out = Vec::new();
        let result = self.world.run(async { log.append_batch(&messages, now_ms, &mut out) });
        match result {
            Ok(()) => {
                assert_eq!(out.len(), bodies.len());
                for (appended, body) in out.into_iter().zip(bodies) {
                    let key = String::new();
                    self.model.sent.push(Sent { topic, queue_id, key, appended, body });
                }
            }
            Err(AppendError::Full { .. } | AppendError::Fenced(_)) => assert!(out.is_empty()),
            Err(error) => panic!("batch: {error}"),
        }
    }

    fn await_progress(&mut self, log: &Log) {
        let after = log.acknowledged();
        let limit = Duration::from_secs(10);
        // Nothing to wait for is fine too.
        if after < log.end_position() {
            let moved = self.world.run(task::timeout(limit, log.progress(after)));
            moved.expect("groups are written in time").ok();
        }
    }

    fn check_one_queue(&mut self, log: &Log) {
        let (topic, queue_id) = self.target();
        self.check_queue(log, topic, queue_id);
    }

    /// A queue, read to its end, is what the model says, up to what may be seen.
    fn check_queue(&mut self, log: &Log, topic: &'static str, queue_id: i32) {
        let seen = self.world.run(consume(log, topic, queue_id));
        let sent = self.model.queue(topic, queue_id);
        let range = log.queue_range(topic, queue_id);
        let min = range.map_or(0, |(min, _)| min.0);
        assert!(sent.len() as u64 >= min + seen.len() as u64, "{topic}/{queue_id} grew");
        for (index, seen) in seen.iter().enumerate() {
            let expected = sent[min as usize + index];
            assert_eq!(seen, &as_seen(expected), "{topic}/{queue_id} at {}", min as usize + index);
        }
        let acknowledged = log.acknowledged().byte();
        let visible = sent.iter().filter(|sent| sent.appended.end.byte() <= acknowledged).count();
        assert!(
            min as usize + seen.len() <= visible,
            "{topic}/{queue_id} shows {} of {visible} safe messages",
            min as usize + seen.len()
        );
        let expired = sent.iter().filter(|sent| sent.appended.position.byte() < self.model.expired);
        assert_eq!(min as usize, expired.count(), "{topic}/{queue_id} lost its head");
    }

    fn check_visible_is_safe(&mut self, log: &Log) {
        let acknowledged = log.acknowledged().byte();
        for topic in TOPICS {
            for queue_id in 0..QUEUES as i32 {
                let Some((_, max)) = log.queue_range(topic, queue_id) else { continue };
                let sent = self.model.queue(topic, queue_id);
                let safe = |sent: &&Sent| sent.appended.end.byte() <= acknowledged;
                assert!(sent.iter().take(max.0 as usize).all(|sent| safe(&sent)));
            }
        }
    }

    /// A random message is found by position, by key and by time.
    fn check_one_message(&mut self, log: &Log) {
        let acknowledged = log.acknowledged().byte();
        let expired = self.model.expired;
        let is_there = |sent: &&Sent| {
            sent.appended.end.byte() <= acknowledged && sent.appended.position.byte() >= expired
        };
        let there: Vec<Sent> = self.model.sent.iter().filter(is_there).cloned().collect();
        let Some(index) = (there.len() as u64).checked_sub(1) else { return };
        let sent = &there[self.random.below(index + 1) as usize];
        let record = self.world.run(log.record_at(sent.appended.position)).expect("readable");
        let record = record.unwrap_or_else(|| panic!("{:?} is not at its place", sent.appended));
        assert_eq!(common::parse_all(&record), [as_seen(sent)]);
        let wrong = log.id().at(sent.appended.position.byte() + 1 + self.random.below(60));
        assert_eq!(self.world.run(log.record_at(wrong)).expect("readable"), None);

        if !sent.key.is_empty() {
            let query = KeyQuery {
                topic: sent.topic,
                key: &sent.key,
                from_ms: sent.appended.stored_at_ms,
                until_ms: sent.appended.stored_at_ms,
                count: 10,
            };
            let found = self.world.run(log.query_by_key(query)).expect("readable");
            assert_eq!(found.len(), 1, "{} is found by its key", sent.key);
            assert_eq!(common::parse_all(&found[0]), [as_seen(sent)]);
        }
        let time = sent.appended.stored_at_ms;
        let lookup = log.offset_by_time(sent.topic, sent.queue_id, time, TimeBoundary::Lower);
        let found = self.world.run(lookup).expect("readable").expect("a queue").0;
        let of_queue = self.model.queue(sent.topic, sent.queue_id);
        let first = of_queue
            .iter()
            .position(|other| {
                other.appended.stored_at_ms >= time && other.appended.position.byte() >= expired
            })
            .expect("the message itself");
        assert_eq!(found, first as u64, "lookup by time {time}");
    }

    /// Everything agrees with the model after a restart.
    fn check_all(&mut self, log: &Log) {
        for topic in TOPICS {
            for queue_id in 0..QUEUES as i32 {
                let sent = self.model.queue(topic, queue_id).len() as u64;
                assert_eq!(log.next_offset(topic, queue_id).0, sent, "{topic}/{queue_id}");
                let visible = log.queue_range(topic, queue_id).map_or(0, |range| range.1.0);
                assert_eq!(visible, sent, "{topic}/{queue_id}");
                self.check_queue(log, topic, queue_id);
            }
        }
        for _ in 0..10 {
            self.check_one_message(log);
        }
        let shared = KeyQuery {
            topic: TOPICS[0],
            key: "shared",
            from_ms: 0,
            until_ms: i64::MAX,
            count: usize::MAX,
        };
        let found = self.world.run(log.query_by_key(shared)).expect("readable");
        let expired = self.model.expired;
        let expected = self.model.sent.iter().filter(|sent| {
            sent.topic == TOPICS[0]
                && !sent.key.is_empty()
                && sent.appended.position.byte() >= expired
        });
        assert_eq!(found.len(), expected.count(), "the key index agrees with the log");
        let order: Vec<i64> =
            found.iter().map(|record| common::parse_all(record)[0].position).collect();
        assert!(order.is_sorted_by(|a, b| a > b), "newest first");
    }

    fn finish_life(&mut self, log: Log, end: End) {
        match end {
            End::Stop => {
                let closed = self.world.run(log.close());
                self.promise(&log, end);
                if closed.is_ok() {
                    self.model.promised = log.end_position().byte();
                }
                drop(log);
                // A clean stop leaves nothing for the power to take.
                self.world.crash(0);
            }
            End::PowerLoss => {
                self.promise(&log, end);
                drop(log);
                self.world.crash(0);
            }
            End::Kill => {
                self.promise(&log, end);
                drop(log);
                self.world.kill(0);
            }
        }
    }
}

fn as_seen(sent: &Sent) -> Seen {
    Seen {
        offset: sent.appended.queue_offset.0,
        position: sent.appended.position.wire(),
        stored_at_ms: sent.appended.stored_at_ms,
        body: sent.body.clone(),
    }
}

/// Runs a story for many seeds, or for the one in `RINGMQ_SEED`; a failure names the seed.
fn for_each_seed(name: &str, story: fn(u64)) {
    if let Ok(seed) = std::env::var("RINGMQ_SEED") {
        return story(seed.parse().expect("RINGMQ_SEED is a number"));
    }
    let seeds = std::env::var("RINGMQ_SEEDS").map_or(SEEDS_BY_DEFAULT, |seeds| {
        seeds.parse().expect("RINGMQ_SEEDS is a number")
    });
    for seed in 0..seeds {
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
            let (log, report) = story.open();
            story.model.survive(&report);
            story.check_all(&log);
            story.live(&log);
            let end = story.end();
            story.finish_life(log, end);
        }
        let (log, report) = story.open();
        story.model.survive(&report);
        story.check_all(&log);
    });
}

#[test]
fn a_failing_device_fences_the_log_and_takes_nothing_that_was_acknowledged() {
    let name = "a_failing_device_fences_the_log_and_takes_nothing_that_was_acknowledged";
    for_each_seed(name, |seed| {
        let mut story = Story::new(seed);
        for _ in 0..2 + story.random.below(LIVES_MAX) {
            let (log, report) = story.open();
            story.model.survive(&report);
            story.check_all(&log);
            story.live(&log);
            let fails_sync = story.random.chance(1, 2);
            story.world.disk_faults(0, |faults| {
                if fails_sync { faults.fail_next_sync = true } else { faults.fail_next_write = true }
            });
            story.live(&log);
            // Something is on its way, so the fault strikes.
            story.send(&log);
            let fenced = story.world.run(task::timeout(Duration::from_secs(5), async {
                while log.stats().fenced.is_none() {
                    task::sleep(Duration::from_millis(10)).await;
                }
            }));
            let is_fenced = fenced.is_ok();
            assert!(is_fenced, "the fault was not noticed");
            let refused = story.world.run(log.progress(log.end_position()));
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
        let (log, report) = story.open();
        story.model.survive(&report);
        story.check_all(&log);
    });
}

#[test]
fn old_segments_expire_and_their_queues_keep_their_offsets_through_crashes() {
    let name = "old_segments_expire_and_their_queues_keep_their_offsets_through_crashes";
    for_each_seed(name, |seed| {
        let mut story = Story::new(seed);
        story.options.retention.reserved = Duration::from_millis(200);
        for _ in 0..2 + story.random.below(LIVES_MAX) {
            let (log, report) = story.open();
            story.model.survive(&report);
            story.model.expired = story.model.expired.max(log.min_position().byte());
            story.check_all(&log);
            for _ in 0..3 {
                story.live(&log);
                let now_ms = story.now_ms();
                // Some deletions are cut short.
                let limit = Duration::from_micros(story.random.below(20_000));
                if let Ok(expired) = story.world.run(task::timeout(limit, log.expire(now_ms))) {
                    expired.expect("deleted");
                    story.model.expired = log.min_position().byte();
                    story.check_one_queue(&log);
                } else {
                    break;
                }
            }
            let end = [End::PowerLoss, End::Kill][story.random.below(2) as usize];
            story.finish_life(log, end);
        }
    });
}

#[test]
fn damage_in_the_middle_of_the_log_is_refused_unless_a_person_decides() {
    for_each_seed("damage_in_the_middle_of_the_log_is_refused_unless_a_person_decides", |seed| {
        let mut story = Story::new(seed);
        // The damage shall lie far in front of the end, and no checkpoint shall hide it.
        story.options.flush = FlushPolicy::Sync;
        story.options.checkpoint_interval = Duration::from_secs(1000);
        story.options.checkpoint_bytes = 1 << 40;
        story.options.key_run_entries = 4096;
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
        story.world.flip_bit(0, &path, at - segment + 90, story.random.next_u64() as u8);

        let opened = story.world.run(Log::open(&story.disk, "log", LogId(0), story.options.clone()));
        let Err(OpenError::Corrupt { at: found, .. }) = opened else {
            panic!("damage at {at} was not noticed")
        };
        assert_eq!(found.byte(), at);
        story.options.repair = Repair::Truncate;
        let (log, report) = story.open();
        assert_eq!(report.end.byte(), at);
        story.model.promised = 0;
        story.model.survive(&report);
        story.check_all(&log);
        story.live(&log);
        story.finish_life(log, End::PowerLoss);
        story.options.repair = Repair::Refuse;
        let (log, report) = story.open();
        story.model.survive(&report);
        story.check_all(&log);
    });
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
                    story.world.run(task::sleep(Duration::from_millis(20)));
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
        story.world.run(task::sleep(Duration::from_secs(3)));
        story.send(&log);
        while log.acknowledged() < log.end_position() {
            story.await_progress(&log);
        }
        story.check_all(&log);
        story.finish_life(log, End::Stop);
        let (log, report) = story.open();
        story.model.survive(&report);
        story.check_all(&log);
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

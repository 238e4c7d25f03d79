//! A story: several lives of one log in a simulated world, told together with a plain model of it.

use std::time::Duration;

use ringmq_runtime::disk::Disk;
use ringmq_runtime::random::Sequence;
use ringmq_runtime::sim::World;
use ringmq_runtime::{clock, task};
use ringmq_store::{
    AppendError, Appended, FlushPolicy, KeyQuery, Log, LogId, LogOptions, RecoveryReport,
    TimeBoundary,
};

use super::{Seen, WIDE_SEARCH, consume, message, parse_all, tiny_options};

pub const TOPICS: [&str; 3] = ["orders", "payments", "%RETRY%group"];
pub const QUEUES: u64 = 3;

/// One message of the model.
#[derive(Clone, Debug)]
pub struct Sent {
    pub topic: &'static str,
    pub queue_id: i32,
    pub key: String,
    pub appended: Appended,
    pub body: Vec<u8>,
}

/// What a log should hold, and what it has promised.
#[derive(Default)]
pub struct Model {
    /// In log order.
    pub sent: Vec<Sent>,
    /// Log byte below which everything must survive the next crash.
    pub promised: u64,
    /// Log byte that retention deleted up to.
    pub expired: u64,
    /// Log byte up to which a deletion that was cut short may have taken messages out of the
    /// indexes, if that is more.
    pub expiring: u64,
    /// Numbers given to messages so far.
    pub numbered: u64,
}

impl Model {
    pub fn queue(&self, topic: &str, queue_id: i32) -> Vec<&Sent> {
        let of_queue = |sent: &&Sent| sent.topic == topic && sent.queue_id == queue_id;
        self.sent.iter().filter(of_queue).collect()
    }

    /// Log byte from which on everything is in the indexes.
    pub fn indexed_from(&self) -> u64 {
        self.expired.max(self.expiring)
    }

    /// Forgets what the crash took, after checking that it was allowed to.
    pub fn survive(&mut self, report: &RecoveryReport) {
        let end = report.end.byte();
        assert!(
            self.promised <= end,
            "promised up to {}, but the log ends at {end}: {report:?}",
            self.promised
        );
        let torn = self
            .sent
            .iter()
            .find(|sent| sent.appended.position.byte() < end && sent.appended.end.byte() > end);
        assert!(torn.is_none(), "{torn:?} is cut by the end {end}");
        self.sent.retain(|sent| sent.appended.end.byte() <= end);
        self.promised = end;
    }
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    PowerLoss,
    KernelCrash,
    Kill,
    Stop,
}

/// One story: a world, a log in it, and the model.
pub struct Story {
    pub world: World,
    pub random: Sequence,
    pub options: LogOptions,
    pub disk: Disk,
    pub model: Model,
    pub last_end: End,
}

impl Story {
    pub fn new(seed: u64) -> Self {
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
        Self { world, random, options, disk, model: Model::default(), last_end: End::PowerLoss }
    }

    pub fn end(&mut self) -> End {
        let ends = [End::PowerLoss, End::PowerLoss, End::KernelCrash, End::Kill, End::Stop];
        ends[self.random.below(ends.len() as u64) as usize]
    }

    /// Opens the log; some attempts are themselves cut short by a crash.
    pub fn open(&mut self) -> (Log, RecoveryReport) {
        // What survives a kill or a kernel crash need not survive a power loss before the log has
        // been recovered.
        let may_lose_power = !matches!(self.last_end, End::Kill | End::KernelCrash)
            || self.options.flush == FlushPolicy::Sync;
        while self.random.chance(1, 3) {
            let limit = Duration::from_micros(self.random.below(6000));
            let attempt = Log::open(&self.disk, "log", LogId(0), self.options.clone());
            match self.world.run(task::timeout(limit, attempt)) {
                Ok(Ok(opened)) => return opened,
                Ok(Err(error)) => panic!("the log does not open: {error}"),
                Err(_) if may_lose_power && self.random.chance(1, 2) => self.world.crash(0),
                Err(_) => self.world.kill(0),
            }
        }
        let attempt = Log::open(&self.disk, "log", LogId(0), self.options.clone());
        self.world.run(attempt).unwrap_or_else(|error| panic!("the log does not open: {error}"))
    }

    /// Opens the log; it has kept what was promised and agrees with the model.
    pub fn open_and_check(&mut self) -> Log {
        let (log, report) = self.open();
        self.model.survive(&report);
        self.check_all(&log);
        log
    }

    /// What has been promised by now to survive `end`.
    pub fn promise(&mut self, log: &Log, end: End) {
        let durable = log.stats().durable.byte();
        let acknowledged = log.acknowledged().byte();
        let promised = match (self.options.flush, end) {
            (FlushPolicy::Memory { .. }, End::PowerLoss | End::KernelCrash | End::Kill) => durable,
            (FlushPolicy::Async { .. }, End::PowerLoss) => durable,
            _ => acknowledged,
        };
        self.model.promised = self.model.promised.max(promised);
    }

    /// Random operations.
    pub fn live(&mut self, log: &Log) {
        let steps = self.random.below(120);
        for _ in 0..steps {
            match self.random.below(100) {
                0..60 => self.send(log),
                60..70 => self.send_batch(log),
                70..78 => {
                    let pause = Duration::from_micros(self.random.below(3000));
                    self.pause(pause);
                }
                78..80 => {
                    let pause = Duration::from_millis(self.random.below(400));
                    self.pause(pause);
                }
                80..88 => self.await_progress(log),
                88..93 => self.check_one_queue(log),
                93..96 => self.check_one_message(log),
                96..98 => self.check_visible_is_safe(log),
                _ => self.world.step_wall_clock(self.random.below(2000) as i64 - 1000),
            }
        }
    }

    pub fn pause(&self, duration: Duration) {
        self.world.run(async { task::sleep(duration).await });
    }

    pub fn body(&mut self) -> Vec<u8> {
        let len = match self.random.below(20) {
            0 => self.random.below(20_000),
            1..5 => self.random.below(4096),
            _ => self.random.below(700),
        };
        let fill = self.random.next_u64() as u8;
        vec![fill; len as usize]
    }

    pub fn target(&mut self) -> (&'static str, i32) {
        let topic = TOPICS[self.random.below(TOPICS.len() as u64) as usize];
        (topic, self.random.below(QUEUES) as i32)
    }

    pub fn now_ms(&self) -> i64 {
        self.world.run(async { clock::unix_ms() })
    }

    pub fn send(&mut self, log: &Log) {
        let (topic, queue_id) = self.target();
        let body = self.body();
        self.model.numbered += 1;
        let key = format!("key{}", self.model.numbered);
        let properties = format!("UNIQ_KEY\u{1}{key}\u{2}KEYS\u{1}shared x{key}\u{2}");
        let now_ms = self.now_ms();
        let log = log.clone();
        let appended = self
            .world
            .run(async { log.append(&message(topic, queue_id, &body, &properties), now_ms) });
        match appended {
            Ok(appended) => self.model.sent.push(Sent { topic, queue_id, key, appended, body }),
            Err(AppendError::Full { .. }) => self.world.run(log.room()),
            Err(AppendError::Fenced(_)) => {}
            // A segment could not be made; that is tried again every second.
            Err(AppendError::NoSpace(_)) => self.pause(Duration::from_millis(1500)),
            Err(error) => panic!("append: {error}"),
        }
    }

    pub fn send_batch(&mut self, log: &Log) {
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
            Err(AppendError::Full { .. } | AppendError::Fenced(_) | AppendError::NoSpace(_)) => {
                assert!(out.is_empty())
            }
            Err(error) => panic!("batch: {error}"),
        }
    }

    pub fn await_progress(&mut self, log: &Log) {
        let after = log.acknowledged();
        let limit = Duration::from_secs(10);
        // Nothing to wait for is fine too.
        if after < log.end_position() {
            let moved = self.world.run(task::timeout(limit, log.acknowledged_beyond(after)));
            moved.expect("groups are written in time").ok();
        }
    }

    pub fn check_one_queue(&mut self, log: &Log) {
        let (topic, queue_id) = self.target();
        self.check_queue(log, topic, queue_id);
    }

    /// A queue, read to its end, is what the model says, up to what may be seen.
    pub fn check_queue(&mut self, log: &Log, topic: &'static str, queue_id: i32) {
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
        let below =
            |byte| sent.iter().filter(|sent| sent.appended.position.byte() < byte).count() as u64;
        let (least, most) = (below(self.model.expired), below(self.model.indexed_from()));
        assert!(
            (least..=most).contains(&min),
            "{topic}/{queue_id} begins at {min} instead of {least}, at most {most}"
        );
    }

    pub fn check_visible_is_safe(&mut self, log: &Log) {
        let acknowledged = log.acknowledged().byte();
        for topic in TOPICS {
            for queue_id in 0..QUEUES as i32 {
                let Some((_, max)) = log.queue_range(topic, queue_id) else { continue };
                let sent = self.model.queue(topic, queue_id);
                let safe = |sent: &&Sent| sent.appended.end.byte() <= acknowledged;
                assert!(sent.iter().take(max.0 as usize).all(safe));
            }
        }
    }

    /// A random message is found by position, by key and by time.
    pub fn check_one_message(&mut self, log: &Log) {
        let acknowledged = log.acknowledged().byte();
        let from = self.model.indexed_from();
        let is_there = |sent: &&Sent| {
            sent.appended.end.byte() <= acknowledged && sent.appended.position.byte() >= from
        };
        let there: Vec<Sent> = self.model.sent.iter().filter(is_there).cloned().collect();
        let Some(index) = (there.len() as u64).checked_sub(1) else { return };
        let sent = &there[self.random.below(index + 1) as usize];
        let record = self.world.run(log.record_at(sent.appended.position)).expect("readable");
        let record = record.unwrap_or_else(|| panic!("{:?} is not at its place", sent.appended));
        assert_eq!(parse_all(&record), [as_seen(sent)]);
        let wrong = log.id().at(sent.appended.position.byte() + 1 + self.random.below(60));
        assert_eq!(self.world.run(log.record_at(wrong)).expect("readable"), None);

        if !sent.key.is_empty() {
            let query = KeyQuery {
                topic: sent.topic,
                key: &sent.key,
                from_ms: sent.appended.stored_at_ms,
                until_ms: sent.appended.stored_at_ms,
                count: 10,
                limits: WIDE_SEARCH,
            };
            let found = self.world.run(log.query_by_key(query)).expect("readable").records;
            assert_eq!(found.len(), 1, "{} is found by its key", sent.key);
            assert_eq!(parse_all(&found[0]), [as_seen(sent)]);
        }
        let time = sent.appended.stored_at_ms;
        let lookup = log.offset_by_time(sent.topic, sent.queue_id, time, TimeBoundary::Lower);
        let found = self.world.run(lookup).expect("readable").expect("a queue").0;
        let min = log.queue_range(sent.topic, sent.queue_id).map_or(0, |range| range.0.0);
        let of_queue = self.model.queue(sent.topic, sent.queue_id);
        let first = of_queue
            .iter()
            .position(|other| {
                other.appended.stored_at_ms >= time && other.appended.queue_offset.0 >= min
            })
            .expect("the message itself");
        assert_eq!(found, first as u64, "lookup by time {time}");
    }

    /// Everything agrees with the model after a restart.
    pub fn check_all(&mut self, log: &Log) {
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
            limits: WIDE_SEARCH,
        };
        let found = self.world.run(log.query_by_key(shared)).expect("readable").records;
        let keyed = |sent: &&Sent| sent.topic == TOPICS[0] && !sent.key.is_empty();
        let from = |byte| {
            let behind = |sent: &&Sent| sent.appended.position.byte() >= byte;
            self.model.sent.iter().filter(keyed).filter(behind).count()
        };
        let (least, most) = (from(self.model.indexed_from()), from(self.model.expired));
        assert!(
            (least..=most).contains(&found.len()),
            "the key index knows {} of {least} to {most} messages",
            found.len()
        );
        let order: Vec<i64> = found.iter().map(|record| parse_all(record)[0].position).collect();
        assert!(order.is_sorted_by(|a, b| a > b), "newest first");
    }

    /// Lets a write or a flush fail while something is on its way. The fault may strike the making
    /// of a segment, which is tried again; then another one follows.
    pub fn break_device(&mut self, log: &Log) {
        for _ in 0..50 {
            if log.stats().no_space.is_some() {
                self.pause(Duration::from_millis(2500));
            }
            let fails_sync = self.random.chance(1, 2);
            self.world.disk_faults(0, |faults| {
                if fails_sync {
                    faults.fail_next_sync = true
                } else {
                    faults.fail_next_write = true
                }
            });
            self.send(log);
            let wait = Duration::from_millis(self.random.below(200));
            self.pause(wait);
            if log.stats().fenced.is_some() {
                return;
            }
        }
        panic!("the fault was not noticed: {:?}", log.stats());
    }

    pub fn finish_life(&mut self, log: Log, end: End) {
        let stats = log.stats();
        assert_eq!(stats.counters.damages, 0, "the scrubber finds only what is damaged: {stats:?}");
        self.last_end = end;
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
            End::KernelCrash => {
                self.promise(&log, end);
                drop(log);
                self.world.crash_kernel(0);
            }
            End::Kill => {
                self.promise(&log, end);
                drop(log);
                self.world.kill(0);
            }
        }
    }
}

pub fn as_seen(sent: &Sent) -> Seen {
    Seen {
        offset: sent.appended.queue_offset.0,
        position: sent.appended.position.wire(),
        stored_at_ms: sent.appended.stored_at_ms,
        body: sent.body.clone(),
    }
}

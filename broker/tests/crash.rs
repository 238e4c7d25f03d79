//! A whole broker in the simulated world, killed, cut off from power or let down by its disk while
//! clients send to it and consume from it over a network that loses connections.
//!
//! Each seed is one history: where the crash falls, what the disk keeps, how the shards interleave.
//! What holds in all of them: an acknowledged message is there, once, as it was sent, at the offset
//! that was answered; what a consumer has seen is never taken back; queue offsets have no gaps; and
//! the broker serves again.
//!
//! Another number of histories: `RINGMQ_SEEDS=200 cargo test -p ringmq-broker --test crash`. One of
//! them again: `RINGMQ_SEED=17` in its place.

mod support;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use ringmq_broker::config::FlushDiskType;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_runtime::sim::{Chance, World};
use ringmq_runtime::task;

use support::simulated::{self, BROKER};
use support::{Brokers, Client, field, pull_header, pulled, send_header};

const PRODUCERS: u32 = 6;
const QUEUES: i32 = 4;

/// Histories per kind of crash, unless the environment says otherwise: about a second each.
const SEEDS: u64 = 8;

/// Bodies by queue and offset: what was acknowledged, or what consumers saw.
type Bodies = BTreeMap<(i32, i64), Vec<u8>>;
type Noted = Rc<RefCell<Bodies>>;

/// A piece of a stream in so many millions is lost with its connection.
const RESETS_PER_MILLION: u32 = 300;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    /// `kill -9`: what was written stays.
    Kill,
    /// Power loss: only what was flushed stays.
    PowerLoss,
    /// A flush fails, sends are refused from then on, and a person kills the broker.
    FailedFlush,
}

struct History {
    world: World,
    seed: u64,
    crash: Crash,
}

impl History {
    /// Starts the broker on its machine; it runs until it is killed.
    fn boot(&self, shards: usize) {
        let mut brokers = Brokers::simulated(shards, 3);
        brokers.settings.flush_disk_type = match self.crash {
            Crash::Kill => FlushDiskType::Async,
            Crash::PowerLoss | Crash::FailedFlush => FlushDiskType::Sync,
        };
        brokers.start_in(&self.world, |_| std::future::pending()).detach();
    }

    async fn connect(&self) -> Client {
        simulated::connect(&self.world).await
    }

    /// Sends and notes what was acknowledged, through as many connections as it takes.
    fn start_producer(self: &Rc<Self>, number: u32, acknowledged: &Noted) {
        let (history, acknowledged) = (Rc::clone(self), Rc::clone(acknowledged));
        let queue = number as i32 % QUEUES;
        let produce = async move {
            let mut client = history.connect().await;
            for message in 0.. {
                let body = format!("{}/{number}/{message}", history.seed).into_bytes();
                let header = send_header("T", queue, "");
                let (code, timeout) = (request::SEND_MESSAGE_V2, support::TIMEOUT);
                let call = client.connection.call(code, &header, &body, timeout);
                match call.await {
                    // Whether it was stored is unknown; it is not sent again.
                    Err(_) => client = history.connect().await,
                    Ok(answer) if answer.code() == response::SUCCESS => {
                        let offset = field(&answer, "queueOffset").parse().expect("a number");
                        note(&acknowledged, history.seed, (queue, offset), body);
                    }
                    Ok(answer) => {
                        let expected = [response::SERVICE_NOT_AVAILABLE];
                        assert!(expected.contains(&answer.code()), "seed {}", history.seed);
                        task::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
        };
        task::spawn("producer", produce).detach();
    }

    /// Consumes a queue with long polls, and notes what it sees.
    fn start_consumer(self: &Rc<Self>, queue: i32, seen: &Noted) {
        let (history, seen) = (Rc::clone(self), Rc::clone(seen));
        let consume = async move {
            let mut client = history.connect().await;
            let mut next = 0;
            loop {
                let header = PullRequest {
                    sys_flag: pull_flag::SUBSCRIPTION | pull_flag::SUSPEND,
                    ..pull_header("T", queue, next)
                };
                let (code, timeout) = (request::PULL_MESSAGE, support::TIMEOUT);
                let Ok(answer) = client.connection.call(code, &header, &[], timeout).await else {
                    client = history.connect().await;
                    continue;
                };
                let pulled = pulled(&answer);
                let seed = history.seed;
                assert_ne!(pulled.code, response::PULL_OFFSET_MOVED, "seed {seed}: {pulled:?}");
                for message in pulled.messages {
                    note(&seen, seed, (queue, message.queue_offset), message.body);
                }
                next = pulled.next.max(next);
            }
        };
        task::spawn("consumer", consume).detach();
    }

    async fn live_through(self: &Rc<Self>) {
        let (acknowledged, seen) = (Noted::default(), Noted::default());
        let mut random = self.world.sequence();
        self.world.net_faults(|faults| faults.reset = Chance(RESETS_PER_MILLION));
        (0..PRODUCERS).for_each(|number| self.start_producer(number, &acknowledged));
        (0..QUEUES).for_each(|queue| self.start_consumer(queue, &seen));
        for _ in 0..2 {
            self.boot(1 + (random.next_u64() % 3) as usize);
            // An answer of the life before may still be on its way; only a broker that has started
            // accepts connections, and a flush that fails must not be one of its start.
            self.connect().await;
            self.until_more(&acknowledged, random.next_u64() % 200).await;
            match self.crash {
                Crash::Kill => self.world.kill(BROKER),
                Crash::PowerLoss => self.world.crash(BROKER),
                Crash::FailedFlush => {
                    self.world.disk_faults(BROKER, |faults| faults.fail_next_sync = true);
                    task::sleep(Duration::from_millis(random.next_u64() % 50)).await;
                    self.world.kill(BROKER);
                    self.world.disk_faults(BROKER, |faults| faults.fail_next_sync = false);
                }
            }
        }
        self.world.net_faults(|faults| faults.reset = Chance::NEVER);
        self.boot(2);
        self.until_more(&acknowledged, 50).await;
        let (acknowledged, seen) = (acknowledged.borrow().clone(), seen.borrow().clone());
        self.check(&self.connect().await, &acknowledged, &seen).await;
    }

    /// Waits until so many more messages were acknowledged.
    async fn until_more(&self, acknowledged: &Noted, more: u64) {
        let wanted = acknowledged.borrow().len() + more as usize + 1;
        let deadline = self.world.age() + Duration::from_secs(120);
        while acknowledged.borrow().len() < wanted {
            assert!(self.world.age() < deadline, "seed {}: no progress", self.seed);
            task::sleep(Duration::from_micros(200)).await;
        }
    }

    async fn check(&self, client: &Client, acknowledged: &Bodies, seen: &Bodies) {
        let seed = self.seed;
        let mut bodies = BTreeSet::new();
        for queue in 0..QUEUES {
            let stored = client.pull_all("T", queue).await;
            for (number, message) in stored.iter().enumerate() {
                assert_eq!(message.queue_offset, number as i64, "seed {seed}: a gap");
                assert!(bodies.insert(message.body.clone()), "seed {seed}: stored twice");
            }
            for (what, noted) in [("acknowledged", acknowledged), ("seen", seen)] {
                for ((_, offset), body) in noted.range((queue, 0)..(queue + 1, 0)) {
                    let found = stored.get(*offset as usize).map(|message| &message.body);
                    assert_eq!(found, Some(body), "seed {seed}: {what}, queue {queue} {offset}");
                }
            }
        }
    }
}

fn note(noted: &Noted, seed: u64, place: (i32, i64), body: Vec<u8>) {
    let before = noted.borrow_mut().insert(place, body.clone());
    let is_new = before.is_none_or(|before| before == body);
    assert!(is_new, "seed {seed}: queue {} offset {} was given twice", place.0, place.1);
}

/// Lives through the histories of a test; one that fails says how to replay it.
fn check(test: &str, crash: Crash) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seeds = match number("RINGMQ_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RINGMQ_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let live = || {
            let world = World::new(seed);
            let history = Rc::new(History { world: world.clone(), seed, crash });
            world.run(async { history.live_through().await });
        };
        if let Err(panic) = std::panic::catch_unwind(live) {
            eprintln!("seed {seed} failed; replay it with:");
            eprintln!(
                "RINGMQ_SEED={seed} cargo test -p ringmq-broker --test crash -- --exact {test}"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_with_async_flush() {
    check("what_was_acknowledged_survives_kill_9_with_async_flush", Crash::Kill);
}

#[test]
fn what_was_acknowledged_survives_power_loss_with_sync_flush() {
    check("what_was_acknowledged_survives_power_loss_with_sync_flush", Crash::PowerLoss);
}

#[test]
fn what_was_acknowledged_survives_a_flush_that_failed() {
    check("what_was_acknowledged_survives_a_flush_that_failed", Crash::FailedFlush);
}

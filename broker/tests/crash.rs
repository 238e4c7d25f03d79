//! A whole broker in the simulated world, killed or cut off from power while clients send to it.
//!
//! Each seed is one history: where the crash falls, what the disk keeps, how the shards interleave. What holds in
//! all of them: an acknowledged message is there, once, as it was sent, at the offset that was
//! answered; queue offsets have no gaps; and the broker serves again.
//!
//! Another number of histories: `SEEDS=200 cargo test -p ringmq-broker --test crash`. One of them again:
//! `SEED=17` in its place.

mod support;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_broker::config::{FlushDiskType, Settings};
use ringmq_broker::control::LocalFuture;
use ringmq_broker::start::{self, Plan};
use ringmq_protocol::codes::{request, response};
use ringmq_runtime::shards::{Cores, ShardsConfig};
use ringmq_runtime::sim::World;
use ringmq_runtime::task;
use support::{Client, Setup, TestControl, field, send_header};

const BROKER: u32 = 1;
const PORT: u16 = 10_911;
const PRODUCERS: u32 = 6;

/// Histories per kind of crash, unless the environment says otherwise: about a second each.
const SEEDS: u64 = 8;

/// What was acknowledged: body by queue and offset.
type Acknowledged = Rc<RefCell<BTreeMap<(i32, i64), Vec<u8>>>>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    /// `kill -9`: what was written stays.
    Kill,
    /// Power loss: only what was flushed stays.
    PowerLoss,
}

struct History {
    world: World,
    seed: u64,
    crash: Crash,
}

impl History {
    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.world.ip(BROKER), PORT)
    }

    /// Starts the broker on its machine; it runs until it is killed.
    fn boot(&self, shards: usize) {
        let flush_disk_type = match self.crash {
            Crash::Kill => FlushDiskType::Async,
            Crash::PowerLoss => FlushDiskType::Sync,
        };
        let settings = Settings {
            flush_disk_type,
            listen_port: PORT,
            bind_address: "0.0.0.0".into(),
            ..Setup::new(shards, 3).settings
        };
        let plan = Plan {
            settings: Arc::new(settings),
            shards: ShardsConfig::new(Cores::Floating(shards)),
            root: "unused".into(),
            store_host: self.address(),
        };
        let disk = self.world.disk(BROKER);
        let run = async move {
            let control =
                |data| Box::pin(async move { Ok(TestControl::start(data)) }) as LocalFuture<_>;
            let forever = |_| Box::pin(std::future::pending()) as LocalFuture<()>;
            let ran = start::run_together(&plan, disk, Box::new(control), Box::new(forever)).await;
            ran.expect("the broker starts");
        };
        self.world.spawn_on(BROKER, "broker", run).detach();
    }

    async fn connect(&self) -> Client {
        loop {
            match Client::connect(self.address()).await {
                Ok(client) => return client,
                Err(_) => task::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// Sends until the connection breaks, and notes what was acknowledged.
    fn start_producer(&self, number: u32, client: Client, acknowledged: &Acknowledged) {
        let (seed, acknowledged) = (self.seed, Rc::clone(acknowledged));
        let queue = number as i32 % 4;
        let produce = async move {
            for message in 0.. {
                let body = format!("{seed}/{number}/{message}").into_bytes();
                let header = send_header("T", queue, "");
                let (code, timeout) = (request::SEND_MESSAGE_V2, support::TIMEOUT);
                let call = client.connection.call(code, &header, &body, timeout);
                let Ok(answer) = call.await else { return };
                assert_eq!(answer.code(), response::SUCCESS, "seed {seed}");
                let offset = field(&answer, "queueOffset").parse().expect("a number");
                let before = acknowledged.borrow_mut().insert((queue, offset), body);
                assert_eq!(before, None, "seed {seed}: offset {offset} was given twice");
            }
        };
        task::spawn("producer", produce).detach();
    }

    async fn live_through(&self) {
        let acknowledged = Acknowledged::default();
        let mut random = self.world.sequence();
        for round in 0..2 {
            self.boot(1 + (random.next_u64() % 3) as usize);
            for number in 0..PRODUCERS {
                let client = self.connect().await;
                self.start_producer(round * PRODUCERS + number, client, &acknowledged);
            }
            task::sleep(Duration::from_micros(random.next_u64() % 40_000)).await;
            match self.crash {
                Crash::Kill => self.world.kill(BROKER),
                Crash::PowerLoss => self.world.crash(BROKER),
            }
        }
        self.boot(2);
        let acknowledged = acknowledged.take();
        self.check(&self.connect().await, &acknowledged).await;
    }

    async fn check(&self, client: &Client, acknowledged: &BTreeMap<(i32, i64), Vec<u8>>) {
        let seed = self.seed;
        assert!(!acknowledged.is_empty(), "seed {seed}: nothing was acknowledged");
        let mut bodies = HashSet::new();
        for queue in 0..4 {
            let stored = client.pull_all("T", queue).await;
            for (number, message) in stored.iter().enumerate() {
                assert_eq!(message.queue_offset, number as i64, "seed {seed}: a gap");
                assert!(bodies.insert(message.body.clone()), "seed {seed}: stored twice");
            }
            for ((_, offset), body) in acknowledged.range((queue, 0)..(queue + 1, 0)) {
                let found = stored.get(*offset as usize).map(|message| &message.body);
                assert_eq!(found, Some(body), "seed {seed}: queue {queue} offset {offset}");
            }
            assert_eq!(client.store("T", queue, b"goes on").await, stored.len() as i64);
        }
    }
}

fn check(crash: Crash) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let world = World::new(seed);
        let history = History { world: world.clone(), seed, crash };
        world.run(async { history.live_through().await });
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_with_async_flush() {
    check(Crash::Kill);
}

#[test]
fn what_was_acknowledged_survives_power_loss_with_sync_flush() {
    check(Crash::PowerLoss);
}

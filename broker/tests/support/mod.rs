//! What these tests share: a broker in this process, and a client that speaks the protocol to it
//! over loopback.
//!
//! The scenario runs on shard 0 beside the broker, as its lifetime: the broker stops when it ends.
//! Topics come from a control plane of a few lines, so that these tests are about the data plane
//! alone. Brokers with a control plane of their own are in `world` and `boot`.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod boot;
pub mod child;
mod client;
mod control;
pub mod raw;
pub mod scenario;
pub mod simulated;
pub mod world;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use ringmq_broker::config::Settings;
use ringmq_broker::shard::DataPlane;
use ringmq_broker::start::Plan;
use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::shards::{Cores, ShardsConfig};
use ringmq_runtime::task::{self, LocalFuture};

pub use client::*;
pub use control::*;
use scenario::run_until;

pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Brokers of one kind, each to be started on a directory.
#[derive(Clone, Debug)]
pub struct Brokers {
    pub shards: usize,
    pub logs: u16,
    pub settings: Settings,
}

impl Brokers {
    pub fn new(shards: usize, logs: u16) -> Self {
        let settings = Settings {
            broker_name: "test".into(),
            bind_address: [127, 0, 0, 1].into(),
            commit_log_count: logs,
            // The smallest that holds the largest record, so that a start fills little.
            mapped_file_size_commit_log: 8 << 20,
            ..Settings::default()
        };
        Self { shards, logs, settings }
    }

    /// Runs `scenario` against a broker on `dir`, then stops the broker.
    pub fn run<F, Fut>(&self, dir: &Path, scenario: F)
    where
        F: FnOnce(Broker) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let listen_port = free_port();
        let settings = Settings { listen_port, ..self.settings.clone() };
        let address = SocketAddr::from(([127, 0, 0, 1], listen_port));
        let plan = Plan {
            settings: Arc::new(settings),
            shards: ShardsConfig::new(Cores::Floating(self.shards)),
            root: dir.to_owned(),
            store_host: address,
        };
        let control =
            |data| Box::pin(async move { Ok(TestControl::start(data)) }) as LocalFuture<_>;
        run_until(&plan, Box::new(control), move |data| scenario(Broker { address, data }));
    }
}

/// A scenario of a broker that others stop: it ends when the flag is set.
pub async fn until_set(flag: Arc<AtomicBool>) {
    while !flag.load(Ordering::Relaxed) {
        task::sleep(Duration::from_millis(1)).await;
    }
}

/// A port that is free, and with it the one two below.
pub fn free_port() -> u16 {
    // Tests of one binary run side by side: each look starts elsewhere.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed) * 4;
        // Below 32,768, where Linux takes the ports of outgoing connections from.
        let port = 23_000 + (std::process::id() % 1_000) as u16 * 8 + offset % 1_000;
        let is_free =
            |port: u16| Listener::bind(SocketAddr::from(([127, 0, 0, 1], port)), Reuse::No).is_ok();
        if is_free(port) && is_free(port - 2) {
            return port;
        }
    }
}

/// Waits for what has to come true, or fails with its name.
pub async fn in_time<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    let result = task::timeout(TIMEOUT, awaited).await;
    result.unwrap_or_else(|_| panic!("not within {TIMEOUT:?}: {what}"))
}

pub fn temp_dir() -> tempfile::TempDir {
    // Not the system's: that may be in memory, where direct I/O is impossible.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

/// What a scenario works with: a broker that serves.
#[derive(Clone)]
pub struct Broker {
    pub address: SocketAddr,
    pub data: Rc<DataPlane>,
}

impl Broker {
    pub async fn client(&self) -> Client {
        Client::connect(self.address).await.expect("the broker listens")
    }

    /// So many clients that each of a few shards has one, since the kernel spreads them.
    pub async fn clients(&self) -> Vec<Client> {
        let mut clients = Vec::new();
        for _ in 0..8 {
            clients.push(self.client().await);
        }
        clients
    }
}

//! A broker on one machine of a simulated world, with the control plane of these tests.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_broker::shard::DataPlane;
use ringmq_broker::start::{self, Plan};
use ringmq_runtime::shards::{Cores, ShardsConfig};
use ringmq_runtime::sim::World;
use ringmq_runtime::task::{self, LocalFuture, Task};

use super::{Brokers, Client, TestControl};

/// The machine of the broker.
pub const BROKER: u32 = 1;

pub const PORT: u16 = 10_911;

/// Where the broker of this world listens.
pub fn address(world: &World) -> SocketAddr {
    SocketAddr::new(world.ip(BROKER), PORT)
}

impl Brokers {
    /// A broker to be started with [`Brokers::start_in`].
    pub fn simulated(shards: usize, logs: u16) -> Self {
        let mut brokers = Self::new(shards, logs);
        brokers.settings.listen_port = PORT;
        brokers.settings.bind_address = [0, 0, 0, 0].into();
        brokers
    }

    /// Starts a broker on the disk of its machine, from within [`World::run`]; it stops when
    /// `until` ends, which runs on shard 0. The task fails unless it started and stopped cleanly.
    pub fn start_in<F, Fut>(self, world: &World, until: F) -> Task<()>
    where
        F: FnOnce(Rc<DataPlane>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let plan = Plan {
            settings: Arc::new(self.settings),
            shards: ShardsConfig::new(Cores::Floating(self.shards)),
            root: "unused".into(),
            store_host: address(world),
        };
        let disk = world.disk(BROKER);
        world.spawn_on(BROKER, "broker", async move {
            let control =
                |data| Box::pin(async move { Ok(TestControl::start(data)) }) as LocalFuture<_>;
            let until = move |data| Box::pin(until(data)) as LocalFuture<()>;
            let ran = start::run_together(&plan, disk, Box::new(control), Box::new(until)).await;
            ran.expect("the broker starts and stops cleanly");
        })
    }
}

/// A connection to the broker, as soon as it listens.
pub async fn connect(world: &World) -> Client {
    repeat_connect(async || Client::connect(address(world)).await).await
}

/// What `connect` makes, as soon as somebody listens.
pub async fn repeat_connect<C>(connect: impl AsyncFn() -> std::io::Result<C>) -> C {
    loop {
        match connect().await {
            Ok(client) => return client,
            Err(_) => task::sleep(Duration::from_millis(5)).await,
        }
    }
}

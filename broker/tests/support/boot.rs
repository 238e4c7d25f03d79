//! A whole broker on one machine of a simulated world.

use std::collections::BTreeMap;
use std::rc::Rc;

use ringmq_broker::config::{EmbeddedNamesrv, Settings};
use ringmq_broker::start::Until;
use ringmq_broker::{setup, start};
use ringmq_runtime::shards::{Cores, ShardsConfig};
use ringmq_runtime::sim::World;
use ringmq_runtime::task::{LocalFuture, Task};

pub use super::simulated::BROKER;
use super::simulated::{PORT, address, repeat_connect};
use super::world::Client;

/// Starts a broker named `name`; it runs until it is killed.
pub fn boot(world: &World, shards: usize, name: &str) {
    boot_with(world, shards, settings(world, name));
}

/// Small files on two logs, and no name server in the process.
pub fn settings(world: &World, name: &str) -> Settings {
    Settings {
        broker_name: name.into(),
        bind_address: [0, 0, 0, 0].into(),
        broker_ip1: world.ip(BROKER).to_string(),
        listen_port: PORT,
        commit_log_count: 2,
        embedded_namesrv: EmbeddedNamesrv::No,
        mapped_file_size_commit_log: 8 << 20,
        ..Settings::default()
    }
}

/// Starts a broker with these settings; it runs until it is killed.
pub fn boot_with(world: &World, shards: usize, settings: Settings) {
    let forever = |_: Rc<_>| Box::pin(std::future::pending()) as LocalFuture<()>;
    boot_until(world, shards, settings, Box::new(forever)).detach();
}

/// Starts a broker with these settings, which stops in good order when `until` ends; the task ends
/// with it.
pub fn boot_until(world: &World, shards: usize, settings: Settings, until: Until) -> Task<()> {
    let setup = setup::Setup::new(settings, BTreeMap::new()).expect("good settings");
    let mut plan = setup.plan();
    plan.shards = ShardsConfig::new(Cores::Floating(shards));
    let disk = world.disk(BROKER);
    let run = async move {
        let control = move |data| setup::control_plane(setup, data, Box::new(|_| ()));
        let ran = start::run_together(&plan, disk, Box::new(control), until).await;
        ran.expect("the broker starts and stops");
    };
    world.spawn_on(BROKER, "broker", run)
}

/// A connection to the broker, as soon as it listens.
pub async fn connect(world: &World) -> Client {
    repeat_connect(async || Client::try_connect(address(world)).await).await
}

//! A broker and a name server that starts again, in the simulated world.
//!
//! In a process of its own, since the simulated disks are memory, which other tests measure.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringmq_broker::config::Settings;
use ringmq_protocol::Command;
use ringmq_protocol::bodies::register::REGISTER_SIZE_MAX_BYTES;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::namesrv::QueryDataVersionResponse;
use ringmq_remoting::{Connection, ReplyTo, ServerLimits, Service, serve};
use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::sim::World;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;

use support::boot;
use support::simulated::repeat_connect;
use support::world::{Client, route};

const NAMESRV: u32 = 2;

/// Three attempts: far below the 30 s after which a broker registers in any case.
const SOON: Duration = Duration::from_secs(4);

fn name_server_address(world: &World) -> SocketAddr {
    SocketAddr::new(world.ip(NAMESRV), 9876)
}

/// Starts the name server; it runs until it is killed.
fn boot_name_server(world: &World) {
    let config = ringmq_namesrv::Config {
        listen_port: name_server_address(world).port(),
        bind_address: world.ip(NAMESRV),
        kv_config_path: "namesrv/kvConfig.json".to_owned(),
        ..ringmq_namesrv::Config::default()
    };
    let disk = world.disk(NAMESRV);
    let run = async move {
        let started = ringmq_namesrv::start_on(disk, config, REGISTER_SIZE_MAX_BYTES).await;
        let _running = started.expect("started");
        std::future::pending::<()>().await;
    };
    world.spawn_on(NAMESRV, "name server", run).detach();
}

/// Starts the broker; it runs until the world ends.
fn boot_broker(world: &World) {
    boot::boot_with(world, 1, settings(world));
}

fn settings(world: &World) -> Settings {
    Settings {
        namesrv_addr: name_server_address(world).to_string(),
        commit_log_count: 1,
        ..boot::settings(world, "broker-a")
    }
}

/// Waits until the name server knows the broker, at most `limit`.
async fn wait_for_broker(world: &World, limit: Duration) {
    let known = async {
        let connect = async || Client::try_connect(name_server_address(world)).await;
        let namesrv = repeat_connect(connect).await;
        while route(&namesrv, "TBW102").await.is_none() {
            task::sleep(Duration::from_millis(5)).await;
        }
    };
    task::timeout(limit, known).await.expect("the name server knows the broker in time");
}

#[test]
fn a_name_server_that_starts_again_at_once_soon_knows_the_broker() {
    for seed in 0..8 {
        let world = World::new(seed);
        let here = world.clone();
        world.run(async move {
            boot_name_server(&here);
            boot_broker(&here);
            wait_for_broker(&here, support::TIMEOUT).await;
            let mut random = here.sequence();
            for _ in 0..3 {
                task::sleep(Duration::from_millis(random.next_u64() % 5_000)).await;
                here.kill(NAMESRV);
                task::sleep(Duration::from_millis(random.next_u64() % 500)).await;
                boot_name_server(&here);
                wait_for_broker(&here, SOON).await;
            }
        });
    }
}

/// A name server that closes connections as soon as the answer to a registration has left.
struct Closing {
    registrations: Cell<usize>,
    /// The connections that they came over.
    connections: RefCell<BTreeSet<u64>>,
    /// It closes the connections of so many registrations, and none after them.
    closes: usize,
    /// It refuses the next registration.
    refuses: Cell<bool>,
    refused: Notify,
}

impl Closing {
    fn new(closes: usize) -> Rc<Self> {
        let (registrations, refuses) = (Cell::new(0), Cell::new(false));
        let (connections, refused) = (RefCell::default(), Notify::new());
        Rc::new(Self { registrations, connections, closes, refuses, refused })
    }

    /// Starts it; it runs until the world ends.
    fn boot(self: &Rc<Self>, world: &World) {
        let (service, address) = (Rc::clone(self), name_server_address(world));
        let run = async move {
            let listener = Listener::bind(address, Reuse::No).expect("a free port");
            let _server = serve(listener, service, ServerLimits::default());
            std::future::pending::<()>().await;
        };
        world.spawn_on(NAMESRV, "closes", run).detach();
    }
}

impl Service for Closing {
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, _: &[u8]) {
        if command.code == request::QUERY_DATA_VERSION {
            let answer = QueryDataVersionResponse { changed: false };
            return connection.reply(&ReplyTo::of(command), response::SUCCESS, None, &answer, &[]);
        }
        let is_registration = command.code == request::REGISTER_BROKER;
        let is_refused = is_registration && self.refuses.take();
        let code = if is_refused { response::SYSTEM_ERROR } else { response::SUCCESS };
        connection.reply(&ReplyTo::of(command), code, None, &(), &[]);
        if is_refused {
            self.refused.notify_one();
            return;
        }
        if !is_registration {
            return;
        }
        self.registrations.set(self.registrations.get() + 1);
        self.connections.borrow_mut().insert(connection.id());
        if self.registrations.get() > self.closes {
            return;
        }
        let connection = Rc::clone(connection);
        let close = async move {
            task::sleep(Duration::from_millis(50)).await;
            connection.close("as the test wants it");
        };
        task::spawn("close", close).detach();
    }
}

#[test]
fn a_name_server_that_closes_every_connection_is_told_ever_more_seldom() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let name_server = Closing::new(usize::MAX);
        name_server.boot(&here);
        boot_broker(&here);
        task::sleep(Duration::from_secs(120)).await;
        // After 2, 4, 8, 16, 30, 30 s and what connecting takes.
        let registrations = name_server.registrations.get();
        assert!((5..=8).contains(&registrations), "{registrations} registrations in two minutes");
    });
}

#[test]
fn a_name_server_that_once_closed_connections_and_refuses_much_later_is_soon_told_again() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let name_server = Closing::new(6);
        name_server.boot(&here);
        boot_broker(&here);
        task::sleep(Duration::from_secs(600)).await;
        name_server.refuses.set(true);
        // At most a period of 30 s from now.
        let refused = task::timeout(Duration::from_secs(60), name_server.refused.notified());
        refused.await.expect("a registration in each period");
        let before = name_server.registrations.get();
        assert!(before > 6, "the name server kept the seventh connection");
        task::sleep(SOON).await;
        assert!(name_server.registrations.get() > before, "the broker tries again soon");
    });
}

#[test]
fn a_name_server_hears_everything_over_each_connection_though_nothing_has_changed() {
    let world = World::new(1);
    let here = world.clone();
    world.run(async move {
        let name_server = Closing::new(1);
        name_server.boot(&here);
        boot::boot_with(&here, 1, Settings { force_register: false, ..settings(&here) });
        task::sleep(Duration::from_secs(20)).await;
        // It has still to notice that the first is closed, and forgets the broker then.
        let connections = name_server.connections.borrow().len();
        assert_eq!(connections, 2, "connections with a registration");
    });
}

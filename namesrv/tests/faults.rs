//! The name server in a simulated world: power cuts, and brokers that vanish without a word.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringmq_namesrv::{Config, start_on};
use ringmq_protocol::bodies::register::REGISTER_SIZE_MAX_BYTES;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::{WriteHeader, json};
use ringmq_remoting::{Connection, ConnectionLimits, NoService, OwnedCommand, dial};
use ringmq_runtime::sim::World;
use ringmq_runtime::sync::oneshot;
use ringmq_runtime::task;

const PORT: u16 = 9876;
const NAMESRV: u32 = 1;
const BROKER: u32 = 2;
const TIMEOUT: Duration = Duration::from_secs(3);

/// Starts the name server on its node; it runs until the node crashes or the world ends.
async fn boot(world: &World) {
    let config = Config {
        listen_port: PORT,
        bind_address: world.ip(NAMESRV),
        kv_config_path: "namesrv/kvConfig.json".to_owned(),
        ..Config::default()
    };
    let disk = world.disk(NAMESRV);
    let (started, is_started) = oneshot();
    let name_server = async move {
        let _running = start_on(disk, config, REGISTER_SIZE_MAX_BYTES).await.expect("started");
        started.send(()).expect("awaited");
        std::future::pending::<()>().await;
    };
    world.spawn_on(NAMESRV, "name server", name_server).detach();
    is_started.await.expect("started");
}

async fn connect(address: SocketAddr) -> Rc<Connection> {
    let limits = ConnectionLimits::default();
    dial(address, TIMEOUT, Rc::new(NoService), limits).await.expect("connected")
}

async fn call(connection: &Rc<Connection>, code: i32, header: &impl WriteHeader) -> OwnedCommand {
    connection.call(code, header, &[], TIMEOUT).await.expect("answered")
}

#[test]
fn an_answered_change_survives_a_power_cut() {
    for seed in 0..30 {
        let world = World::new(seed);
        let address = SocketAddr::new(world.ip(NAMESRV), PORT);
        world.run(async {
            boot(&world).await;
            let connection = connect(address).await;
            let fields = [("namespace", "n"), ("key", "k"), ("value", "first")];
            assert_eq!(call(&connection, request::PUT_KV_CONFIG, &fields).await.code(), 0);
            let fields = [("namespace", "n"), ("key", "k"), ("value", "second")];
            assert_eq!(call(&connection, request::PUT_KV_CONFIG, &fields).await.code(), 0);
            // On its way when the power goes: either value may be there afterwards.
            let fields = [("namespace", "n"), ("key", "k"), ("value", "third")];
            let unanswered = connection.call(request::PUT_KV_CONFIG, &fields, &[], TIMEOUT);
            task::sleep(Duration::from_micros(100 * seed)).await;
            world.crash(NAMESRV);
            drop(unanswered);
            boot(&world).await;
            let connection = connect(address).await;
            let answer = call(&connection, request::GET_KV_CONFIG, &fields).await;
            let value = answer.command().fields.get("value").map(str::to_owned);
            let is_kept = matches!(value.as_deref(), Some("second" | "third"));
            assert!(is_kept, "seed {seed}: {value:?}");
        });
    }
}

#[test]
fn a_broker_that_vanished_is_out_of_the_routes_after_two_minutes() {
    let world = World::new(3);
    let address = SocketAddr::new(world.ip(NAMESRV), PORT);
    world.run(async {
        boot(&world).await;
        let broker = world.spawn_on(BROKER, "broker", async move {
            let connection = connect(address).await;
            let header = [
                ("brokerName", "b1"),
                ("brokerAddr", "192.0.2.1:10911"),
                ("clusterName", "c1"),
                ("haServerAddr", "192.0.2.1:10912"),
                ("brokerId", "0"),
            ];
            let mut body = ringmq_protocol::bodies::register::RegisterBrokerBody::default();
            let topics = &mut body.topic_config_serialize_wrapper.topic_config_table;
            topics.extend(["T1", "T2"].map(|topic| (topic.to_owned(), Default::default())));
            let body = json::to_vec(&body);
            let answer = connection.call(request::REGISTER_BROKER, &header, &body, TIMEOUT).await;
            assert_eq!(answer.expect("answered").code(), response::SUCCESS);
            std::future::pending::<()>().await;
        });
        task::sleep(Duration::from_secs(1)).await;
        let connection = connect(address).await;
        let route = [("topic", "T1")];
        let code = call(&connection, request::GET_ROUTEINFO_BY_TOPIC, &route).await.code();
        assert_eq!(code, response::SUCCESS);
        world.net_faults(|faults| {
            faults.partitions.extend([(BROKER, NAMESRV), (NAMESRV, BROKER)]);
        });
        task::sleep(Duration::from_secs(110)).await;
        let code = call(&connection, request::GET_ROUTEINFO_BY_TOPIC, &route).await.code();
        assert_eq!(code, response::SUCCESS);
        task::sleep(Duration::from_secs(20)).await;
        let code = call(&connection, request::GET_ROUTEINFO_BY_TOPIC, &route).await.code();
        assert_eq!(code, response::TOPIC_NOT_EXIST);
        drop(broker);
    });
}

//! Name servers that come late, or never answer.

use std::net::SocketAddr;
use std::time::Duration;

use ringmq_protocol::codes::request;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::{Listener, Reuse};

use crate::support::world::{Client, check, create, wait_for_route};
use crate::support::{free_port, temp_dir};

#[test]
fn every_name_server_knows_the_topics_also_one_that_comes_later() {
    let dir = temp_dir();
    let late_port = free_port();
    let kept = dir.path().join("late-namesrv/kvConfig.json").to_string_lossy().into_owned();
    check(1, dir.path(), &[late_port], move |at| async move {
        let (broker, namesrv) =
            (Client::connect(at.broker).await, Client::connect(at.namesrv).await);
        wait_for_route(&namesrv, "TBW102").await;
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await;

        let late = ringmq_namesrv::Config {
            listen_port: late_port,
            bind_address: [127, 0, 0, 1].into(),
            kv_config_path: kept,
            ..ringmq_namesrv::Config::default()
        };
        let late = ringmq_namesrv::start(late).await.expect("a free port");
        let client = Client::connect(late.address()).await;
        let route = wait_for_route(&client, "T1").await;
        assert_eq!(route.broker_datas[0].broker_name, "broker-a");
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T2"), &[]).await;
        for namesrv in [&namesrv, &client] {
            wait_for_route(namesrv, "T2").await;
        }
        late.stop(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_name_server_that_never_answers_holds_up_one_change_and_no_more() {
    let dir = temp_dir();
    let port = free_port();
    // The kernel takes its connections, and nobody reads them.
    let silent = Listener::bind(SocketAddr::from(([127, 0, 0, 1], port)), Reuse::No);
    check(1, dir.path(), &[port], |at| async move {
        let (broker, namesrv) =
            (Client::connect(at.broker).await, Client::connect(at.namesrv).await);
        let started = Instant::now();
        for number in 0..8 {
            let name = format!("t{number}");
            broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create(&name), &[]).await;
            wait_for_route(&namesrv, &name).await;
        }
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "eight changes took {took:?}");
    });
    drop(silent);
}

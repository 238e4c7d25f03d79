//! How clients and name servers reach a broker: two name servers, IPv6.

use std::io::{IoSlice, Write, stderr};
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::query::ViewMessageRequest;
use ringmq_protocol::ids::OffsetMessageId;
use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::shards::block_on;
use ringmq_runtime::task;

use crate::node::{Node, client, name_server, route, wait_for_route};
use crate::support::child::Child;
use crate::support::{Client, TIMEOUT, field, free_port, in_time, messages};

#[test]
fn one_of_two_name_servers_may_die_and_come_back() {
    block_on(async {
        let (node, first, second) = (Node::new(""), free_port(), free_port());
        let dying = name_server(&node.store(), first).await;
        let steady = name_server(&node.store(), second).await;
        let mut command = node.command();
        command.args(["-n", &format!("127.0.0.1:{first};127.0.0.1:{second}")]);
        let mut child = Child::start(&mut command);
        child.booted().await;
        let broker = node.client().await;
        broker.store("Before", 0, b"m").await;
        for port in [first, second] {
            wait_for_route(&client(port).await, "Before", true).await;
        }

        dying.stop(TIMEOUT).await;
        broker.store("Meanwhile", 0, b"m").await;
        let namesrv = client(second).await;
        wait_for_route(&namesrv, "Meanwhile", true).await;
        assert!(route(&namesrv, "Before").await.is_some(), "the other one is not disturbed");

        let revived = name_server(&node.store(), first).await;
        let namesrv = client(first).await;
        for topic in ["Before", "Meanwhile", "TBW102"] {
            wait_for_route(&namesrv, topic, true).await;
        }
        child.stop("TERM").await;
        for port in [first, second] {
            wait_for_route(&client(port).await, "Before", false).await;
        }
        revived.stop(TIMEOUT).await;
        steady.stop(TIMEOUT).await;
    });
}

#[test]
fn a_name_server_that_is_none_is_named_once_and_clients_are_not_sent_there() {
    block_on(async {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any, Reuse::No).expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let node = Node::new("");
        let mut child = Child::start(node.command().args(["-n", &address]));
        // It has heard of each failure but perhaps the last.
        for _ in 0..3 {
            let accepted = in_time("the broker tries on", listener.accept()).await;
            let (mut read, mut write) = accepted.expect("a connection").0.split();
            read.read_with(|_| ()).await.expect("a request");
            let mut answer = [IoSlice::new(b"HTTP/1.1 400 Bad Request\r\n\r\n")];
            write.write_all(&mut answer).await.expect("answered");
            task::sleep(Duration::from_millis(10)).await;
        }
        let booted = child.booted().await;
        assert!(booted.contains(&format!("and name server is {address}")), "{booted}");
        child.says("No client finds this broker yet").await.expect("it says so");
        child.signal("TERM");
        let ended = child.ended().await;
        let told = format!("name server {address}: something answers, and it is no name server");
        assert_eq!(ended.errors.matches(&told).count(), 1, "{ended:?}");
        assert!(!ended.errors.contains("malformed frame"), "{ended:?}");
    });
}

#[test]
fn clients_send_pull_and_look_up_messages_over_ipv6() {
    block_on(async {
        let loopback = |port| SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        if let Err(error) = Listener::bind(loopback(0), Reuse::No) {
            // Not by a macro: what those print is kept back when a test passes.
            let told = writeln!(stderr(), "IPv6 is not tested: this machine has no ::1: {error}");
            told.expect("a standard error");
            return;
        }
        let node = Node::new("brokerIP1=::1\nbindAddress=::");
        let mut child = Child::start(&mut node.command());
        let line = child.booted().await;
        let address = loopback(node.port);
        assert!(line.starts_with(&format!("The broker[node, {address}] boot success.")), "{line}");
        let known = route(&node.namesrv().await, "TBW102").await.expect("registered");
        assert!(known.contains(&format!("\"0\":\"{address}\"")), "{known}");

        let broker = Client::connect(address).await.expect("it listens there");
        let answer = broker.send("Mine", 0, b"hello").await;
        assert_eq!(answer.code(), response::SUCCESS);
        let id = field(&answer, "msgId");
        assert_eq!(id.len(), 56, "16 bytes of address, 4 of port, 8 of offset: {id}");
        let id: OffsetMessageId = id.parse().expect("an id");
        assert_eq!(id.host, address);
        let pulled = broker.pull_all("Mine", 0).await;
        assert_eq!((pulled.len(), pulled[0].body.as_slice()), (1, b"hello".as_slice()));

        let header = ViewMessageRequest { offset: id.physical_offset, topic: Some("Mine") };
        // As a tool does: it dials the host that the id names.
        let tool = Client::connect(id.host).await.expect("it listens there");
        let answer = tool.call(request::VIEW_MESSAGE_BY_ID, &header, &[]).await;
        assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
        assert_eq!(messages(answer.body()), pulled);

        // The unspecified address serves both families.
        assert_eq!(node.client().await.pull_all("Mine", 0).await, pulled);
        child.stop("TERM").await;
    });
}

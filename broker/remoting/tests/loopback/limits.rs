//! What bounds a server: peers that take nothing, requests in flight, connections.

use std::time::Duration;

use ringmq_remoting::ServerLimits;
use ringmq_runtime::task;

use crate::fixture::{ECHO, HOLD, LARGE, PATIENCE, RawClient, check, request, until};

#[test]
fn a_peer_that_does_not_read_is_not_read_from_and_loses_nothing() {
    let mut limits = ServerLimits::default();
    limits.connection.out_limit_bytes = 256 << 10;
    check(limits, |fixture| async move {
        let count = 100;
        let size: usize = 200_000;
        let size_bytes = u32::try_from(size).expect("small").to_be_bytes();
        let mut client = RawClient::connect(fixture.address).await;
        for opaque in 0..count {
            client.send(&request(opaque, LARGE, false, &size_bytes)).await.expect("sent");
        }
        let mut largest = 0;
        let mut steady = 0;
        while steady < 20 {
            let mut waiting = 0;
            fixture.server.for_each_connection(|connection| waiting = connection.out_bytes());
            largest = largest.max(waiting);
            steady = if waiting > 0 { steady + 1 } else { 0 };
            task::sleep(Duration::from_millis(1)).await;
        }
        let bound = (256 << 10) + 2 * (size as u64 + 200);
        assert!(largest <= bound, "{largest} bytes waited, bound {bound}");
        assert!(fixture.service.requests.borrow().len() < 100, "reading has stopped");
        for opaque in 0..count {
            let (found, code, body) = client.answer().await.expect("answered");
            assert_eq!((found, code, body.len()), (opaque, 0, size));
        }
    });
}

#[test]
fn a_peer_that_takes_nothing_past_the_hard_limit_is_disconnected() {
    let mut limits = ServerLimits::default();
    limits.connection.out_limit_bytes = 64 << 10;
    limits.connection.out_hard_limit_bytes = 1 << 20;
    limits.connection.write_timeout = Duration::from_millis(50);
    check(limits, |fixture| async move {
        let mut client = RawClient::connect(fixture.address).await;
        let size_bytes = (15_000_000u32).to_be_bytes();
        client.send(&request(1, LARGE, false, &size_bytes)).await.expect("sent");
        until("disconnected", || !fixture.service.closed.borrow().is_empty()).await;
    });
}

#[test]
fn a_peer_that_has_more_made_for_it_than_it_may_is_disconnected_at_once() {
    let mut limits = ServerLimits::default();
    limits.connection.out_copied_max_bytes = 2 << 20;
    check(limits, |fixture| async move {
        // Answers to requests that were read before reading stopped: nobody takes them.
        let mut client = RawClient::connect(fixture.address).await;
        for opaque in 0..16 {
            client.send(&request(opaque, HOLD, false, &[])).await.expect("sent");
        }
        until("all are held", || fixture.service.held.borrow().len() == 16).await;
        let answer = vec![7; 256 << 10];
        let mut largest = 0;
        for (to, connection, permit) in fixture.service.held.take() {
            connection.reply(&to, 0, None, &(), &answer);
            largest = largest.max(connection.out_bytes());
            drop(permit);
        }
        assert!(largest <= 3 << 20, "{largest} bytes were kept");
        until("disconnected", || !fixture.service.closed.borrow().is_empty()).await;

        // One that takes its answers may have any number of them.
        let mut client = RawClient::connect(fixture.address).await;
        for opaque in 0..16 {
            let size_bytes = (256u32 << 10).to_be_bytes();
            client.send(&request(opaque, LARGE, false, &size_bytes)).await.expect("sent");
            let (found, _, body) = client.answer().await.expect("answered");
            assert_eq!((found, body.len()), (opaque, 256 << 10));
        }
    });
}

#[test]
fn a_peer_that_reads_what_was_made_for_it_at_once_gets_all_of_it() {
    const ANSWERS: usize = 80;
    check(ServerLimits::default(), |fixture| async move {
        let mut client = RawClient::connect(fixture.address).await;
        for opaque in 0..ANSWERS as i32 {
            client.send(&request(opaque, HOLD, false, &[])).await.expect("sent");
        }
        until("all are held", || fixture.service.held.borrow().len() == ANSWERS).await;
        let answer = vec![7; 1 << 20];
        for (to, connection, permit) in fixture.service.held.take() {
            connection.reply(&to, 0, None, &(), &answer);
            drop(permit);
        }
        for opaque in 0..ANSWERS as i32 {
            let (found, _, body) = client.answer().await.expect("not closed");
            assert_eq!((found, body.len()), (opaque, 1 << 20));
        }
    });
}

#[test]
fn reading_stops_while_too_much_is_in_flight() {
    let limits = ServerLimits { in_flight_max_bytes: 1000, ..ServerLimits::default() };
    check(limits, |fixture| async move {
        let mut client = RawClient::connect(fixture.address).await;
        for opaque in 0..20 {
            client.send(&request(opaque, HOLD, false, &[0; 400])).await.expect("sent");
        }
        until("the gate is closed", || !fixture.server.in_flight().has_room()).await;
        let mut released = 0;
        while released < 20 {
            until("one is held", || !fixture.service.held.borrow().is_empty()).await;
            let held = fixture.service.held.borrow().len();
            assert!(held <= 3, "{held} requests of 500 bytes in flight, 1000 allowed");
            let (to, connection, permit) = fixture.service.held.borrow_mut().remove(0);
            connection.reply(&to, 0, None, &(), &[]);
            drop(permit);
            assert_eq!(client.answer().await.map(|answer| answer.0), Some(released));
            released += 1;
        }
        assert_eq!(fixture.server.in_flight().used_bytes(), 0);
    });
}

#[test]
fn connections_past_the_limit_are_closed_at_once() {
    let limits = ServerLimits { connections_max: 2, ..ServerLimits::default() };
    check(limits, |fixture| async move {
        let _first = fixture.dial().await;
        let _second = fixture.dial().await;
        until("both accepted", || fixture.server.stats().connections == 2).await;
        let third = fixture.dial().await;
        assert!(third.call(ECHO, &(), b"", PATIENCE).await.is_err());
        assert_eq!(fixture.server.stats().refused, 1);
    });
}

#[test]
fn a_request_that_comes_with_the_end_of_its_connection_is_not_carried_out() {
    check(ServerLimits::default(), |fixture| async move {
        let mut client = RawClient::connect(fixture.address).await;
        client.send(&request(1, ECHO, false, b"x")).await.expect("sent");
        client.answer().await.expect("answered");
        // In the socket before the server closes, and not looked at yet.
        client.send(&request(2, ECHO, false, b"x")).await.expect("sent");
        fixture.server.for_each_connection(|connection| connection.close("the test says so"));
        until("closed", || !fixture.service.closed.borrow().is_empty()).await;
        assert_eq!(*fixture.service.requests.borrow(), [1]);
    });
}

//! Calls of either side, what becomes of them at an end, and connections that are shared.

use std::rc::Rc;
use std::time::Duration;

use ringmq_remoting::{
    CallError, ConnectionLimits, DialError, Dialer, NoService, ServerLimits, dial,
};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::task;

use crate::fixture::{CALL_BACK, ECHO, HOLD, PATIENCE, TestService, check, until};

#[test]
fn calls_are_answered_in_both_directions() {
    check(ServerLimits::default(), |fixture| async move {
        let service = Rc::new(TestService::default());
        let limits = ConnectionLimits::default();
        let connection = dial(fixture.address, PATIENCE, service, limits).await.expect("connected");
        let answer = connection.call(ECHO, &(), b"hello", PATIENCE).await.expect("answered");
        assert_eq!((answer.code(), answer.body()), (0, b"hello".as_slice()));
        let answer = connection.call(CALL_BACK, &(), b"", PATIENCE).await.expect("answered");
        assert_eq!(answer.body(), b"from the server");
    });
}

#[test]
fn pending_calls_fail_when_the_connection_closes() {
    check(ServerLimits::default(), |fixture| async move {
        let connection = fixture.dial().await;
        let first = connection.call(HOLD, &(), b"", PATIENCE);
        let second = connection.call(HOLD, &(), b"", PATIENCE);
        until("both arrived", || fixture.service.held.borrow().len() == 2).await;
        fixture.server.for_each_connection(|connection| connection.close("test"));
        assert!(matches!(first.await, Err(CallError::Closed { .. })));
        assert!(matches!(second.await, Err(CallError::Closed { .. })));
        assert!(connection.is_closed());
        let third = connection.call(ECHO, &(), b"", PATIENCE).await;
        assert!(matches!(third, Err(CallError::Closed { .. })));
    });
}

#[test]
fn calls_time_out_one_by_one_and_late_answers_are_dropped() {
    check(ServerLimits::default(), |fixture| async move {
        let connection = fixture.dial().await;
        let started = Instant::now();
        let long = connection.call(HOLD, &(), b"", Duration::from_millis(60));
        let short = connection.call(HOLD, &(), b"", Duration::from_millis(20));
        let timeout = Duration::from_millis(20);
        assert_eq!(short.await, Err(CallError::Timeout { timeout }));
        assert!(started.elapsed() >= timeout);
        let timeout = Duration::from_millis(60);
        assert_eq!(long.await, Err(CallError::Timeout { timeout }));
        assert!(started.elapsed() >= timeout);
        let held = std::mem::take(&mut *fixture.service.held.borrow_mut());
        for (to, connection, _) in held {
            connection.reply(&to, 0, None, &(), b"late");
        }
        let answer = connection.call(ECHO, &(), b"next", PATIENCE).await.expect("answered");
        assert_eq!(answer.body(), b"next");
    });
}

#[test]
fn more_calls_than_allowed_fail_at_once() {
    check(ServerLimits::default(), |fixture| async move {
        let limits = ConnectionLimits { calls_max: 2, ..ConnectionLimits::default() };
        let service = Rc::new(NoService);
        let connection = dial(fixture.address, PATIENCE, service, limits).await.expect("connected");
        let first = connection.call(HOLD, &(), b"", PATIENCE);
        let _second = connection.call(HOLD, &(), b"", PATIENCE);
        let third = connection.call(ECHO, &(), b"", PATIENCE).await;
        assert_eq!(third, Err(CallError::TooMany { limit: 2 }));
        drop(first);
        assert!(connection.call(ECHO, &(), b"", PATIENCE).await.is_ok());
    });
}

#[test]
fn a_stop_lets_open_requests_be_answered() {
    check(ServerLimits::default(), |fixture| async move {
        let connection = fixture.dial().await;
        let call = connection.call(HOLD, &(), b"", PATIENCE);
        until("it arrived", || fixture.service.held.borrow().len() == 1).await;
        let server = Rc::clone(&fixture.server);
        let stop = task::spawn("stop", async move { server.stop(PATIENCE).await });
        until("the port is free", || Listener::bind(fixture.address, Reuse::No).is_ok()).await;
        assert!(!stop.is_finished());
        let held = std::mem::take(&mut *fixture.service.held.borrow_mut());
        for (to, connection, permit) in held {
            connection.reply(&to, 0, None, &(), b"at last");
            drop(permit);
        }
        assert_eq!(call.await.expect("answered").body(), b"at last");
        stop.await;
        assert_eq!(fixture.server.stats().connections, 0);
        assert_eq!(fixture.service.closed.borrow().len(), 1);
    });
}

#[test]
fn a_dialer_shares_connections_backs_off_and_reconnects() {
    check(ServerLimits::default(), |fixture| async move {
        let limits = ConnectionLimits::default();
        let dialer = Rc::new(Dialer::new(Rc::new(NoService), limits, PATIENCE));
        let address = format!("localhost:{}", fixture.address.port());
        let others: Vec<_> = (0..3)
            .map(|_| {
                let (dialer, address) = (Rc::clone(&dialer), address.clone());
                task::spawn("dial", async move {
                    dialer.get(&address).await.map(|connection| connection.id())
                })
            })
            .collect();
        let connection = dialer.get(&address).await.expect("connected");
        for other in others {
            assert_eq!(other.await.expect("connected"), connection.id());
        }
        connection.close("test");
        let again = dialer.get(&address).await.expect("connected");
        assert_ne!(again.id(), connection.id());

        fixture.server.stop(Duration::ZERO).await;
        until("noticed", || again.is_closed()).await;
        assert!(matches!(dialer.get(&address).await, Err(DialError::Connect { .. })));
        assert!(matches!(dialer.get(&address).await, Err(DialError::Backoff { .. })));
        assert!(matches!(dialer.get("no port").await, Err(DialError::Resolve { .. })));
    });
}

#[test]
fn a_connection_that_is_retired_ends_with_its_calls_and_takes_no_new_ones() {
    check(ServerLimits::default(), |fixture| async move {
        let limits = ConnectionLimits::default();
        let dialer = Dialer::new(Rc::new(NoService), limits, PATIENCE);
        let address = fixture.address.to_string();
        let old = dialer.get(&address).await.expect("connected");
        let call = old.call(HOLD, &(), b"", PATIENCE);
        until("it arrived", || fixture.service.held.borrow().len() == 1).await;
        dialer.retire(&address, &old, "test");
        let new = dialer.get(&address).await.expect("connected");
        assert_ne!(new.id(), old.id());
        // Said again by a late answer: the new one is not meant.
        dialer.retire(&address, &old, "test");
        assert_eq!(dialer.get(&address).await.expect("connected").id(), new.id());
        let held = std::mem::take(&mut *fixture.service.held.borrow_mut());
        for (to, connection, _) in held {
            connection.reply(&to, 0, None, &(), b"answered");
        }
        assert_eq!(call.await.expect("an answer").body(), b"answered");
        until("its end", || fixture.service.closed.borrow().len() == 1).await;
        assert!(old.is_closed() && !new.is_closed());
        dialer.retire(&address, &new, "test");
        assert!(new.is_closed(), "it has no call to wait for");
    });
}

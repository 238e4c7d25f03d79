//! The connections that we open: one per address, with reconnection.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::net;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::sync::Notify;

use crate::{Connection, ConnectionLimits, DialError, Service, dial};

/// Pause after the first failed attempt to reach an address; doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// Longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Addresses that a dialer keeps. When another is asked for, the one goes that was asked for the
/// longest time ago, one without a connection first; its connection is closed. A client knows some
/// hundred brokers; who says to a name server where brokers are may name any.
const ADDRESSES_MAX: usize = 1024;

/// Keeps one connection per address, opened when it is first asked for and again after it was
/// lost, with growing pauses while nobody answers.
pub struct Dialer<S> {
    service: Rc<S>,
    limits: ConnectionLimits,
    connect_timeout: Duration,
    peers: RefCell<HashMap<String, Rc<Peer>>>,
}

struct Peer {
    state: RefCell<PeerState>,
    /// When somebody last wanted a connection to it.
    asked_at: Cell<Instant>,
    /// Pause after the next failure; zero before the first.
    pause: Cell<Duration>,
    /// Wakes those who wait for an attempt that another caller makes.
    attempt_over: Notify,
}

#[derive(Default)]
enum PeerState {
    #[default]
    Idle,
    Connecting,
    Open(Rc<Connection>),
    Failed {
        error: DialError,
        retry_at: Instant,
    },
    /// The dialer has forgotten it, for this reason; some may still wait for an attempt.
    Forgotten(&'static str),
}

/// What a caller that wants a connection does next.
enum Step {
    Done(Result<Rc<Connection>, DialError>),
    WaitForOther,
    Attempt,
}

impl Peer {
    fn new(now: Instant) -> Self {
        Self {
            state: RefCell::default(),
            asked_at: Cell::new(now),
            pause: Cell::default(),
            attempt_over: Notify::default(),
        }
    }

    /// Decides what a caller does; marks the attempt if it is the one to make it.
    fn step(&self, address: &str, now: Instant) -> Step {
        self.asked_at.set(now);
        let mut state = self.state.borrow_mut();
        match &*state {
            PeerState::Open(connection) if !connection.is_closed() => {
                Step::Done(Ok(Rc::clone(connection)))
            }
            PeerState::Connecting => Step::WaitForOther,
            PeerState::Failed { error, retry_at } if now < *retry_at => {
                let (address, last) = (address.to_owned(), Box::new(error.clone()));
                let wait = retry_at.saturating_since(now);
                Step::Done(Err(DialError::Backoff { address, wait, last }))
            }
            PeerState::Forgotten(reason) => Step::Done(Err(closed(address, reason))),
            PeerState::Idle | PeerState::Open(_) | PeerState::Failed { .. } => {
                *state = PeerState::Connecting;
                Step::Attempt
            }
        }
    }

    /// What the attempt comes to for its caller: a connection that nobody wants any more is closed.
    fn attempt_ended(
        &self,
        address: &str,
        result: Result<Rc<Connection>, DialError>,
    ) -> Result<Rc<Connection>, DialError> {
        if let PeerState::Forgotten(reason) = &*self.state.borrow() {
            return result.and_then(|connection| {
                connection.close(reason);
                Err(closed(address, reason))
            });
        }
        let state = match &result {
            Ok(connection) => {
                self.pause.set(Duration::ZERO);
                PeerState::Open(Rc::clone(connection))
            }
            Err(error) => {
                let pause = (self.pause.get() * 2).clamp(BACKOFF_FIRST, BACKOFF_MAX);
                self.pause.set(pause);
                PeerState::Failed { error: error.clone(), retry_at: Instant::now() + pause }
            }
        };
        *self.state.borrow_mut() = state;
        result
    }

    fn forget(&self, reason: &'static str) {
        if let PeerState::Open(connection) = self.state.replace(PeerState::Forgotten(reason)) {
            connection.close(reason);
        }
    }

    /// The smaller, the less is lost with it; none while somebody is being connected to it.
    fn worth(&self) -> Option<(bool, Instant)> {
        match &*self.state.borrow() {
            PeerState::Connecting => None,
            PeerState::Open(connection) => Some((!connection.is_closed(), self.asked_at.get())),
            PeerState::Idle | PeerState::Failed { .. } | PeerState::Forgotten(_) => {
                Some((false, self.asked_at.get()))
            }
        }
    }
}

fn closed(address: &str, reason: &str) -> DialError {
    DialError::Connect { address: address.to_owned(), detail: reason.to_owned() }
}

/// Lets the others go on when an attempt is over, also when its caller was dropped meanwhile.
struct Attempt<'a>(&'a Peer);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.borrow_mut();
        if matches!(&*state, PeerState::Connecting) {
            *state = PeerState::Idle;
        }
        drop(state);
        self.0.attempt_over.notify_all();
    }
}

impl<S: Service> Dialer<S> {
    /// A dialer without connections. Apache's clients give a connection 3 s to come about.
    pub fn new(service: Rc<S>, limits: ConnectionLimits, connect_timeout: Duration) -> Self {
        Self { service, limits, connect_timeout, peers: RefCell::default() }
    }

    /// The open connection to `address` (`host:port`), opening it if need be. Callers that come
    /// while one is being opened share it.
    ///
    /// # Errors
    /// See [`DialError`]; `Backoff` at once while the last failure is recent.
    pub async fn get(&self, address: &str) -> Result<Rc<Connection>, DialError> {
        let peer = self.peer(address);
        loop {
            match peer.step(address, Instant::now()) {
                Step::Done(result) => return result,
                Step::WaitForOther => peer.attempt_over.notified().await,
                Step::Attempt => {
                    let _attempt = Attempt(&peer);
                    let result = self.connect(address).await;
                    return peer.attempt_ended(address, result);
                }
            }
        }
    }

    async fn connect(&self, address: &str) -> Result<Rc<Connection>, DialError> {
        let resolved = net::resolve(address).await.map_err(|error| DialError::Resolve {
            address: address.to_owned(),
            detail: match error.kind() {
                io::ErrorKind::InvalidInput => "expected host:port, such as 10.0.0.1:9876".into(),
                _ => error.to_string(),
            },
        })?;
        let service = Rc::clone(&self.service);
        let dialed = dial(resolved, self.connect_timeout, service, self.limits.clone()).await;
        dialed.map_err(|error| DialError::Connect {
            address: address.to_owned(),
            detail: error.to_string(),
        })
    }

    /// The connection to `address` if it is open now; opens nothing.
    pub fn get_open(&self, address: &str) -> Option<Rc<Connection>> {
        let peers = self.peers.borrow();
        let state = peers.get(address)?.state.borrow();
        match &*state {
            PeerState::Open(connection) if !connection.is_closed() => Some(Rc::clone(connection)),
            _ => None,
        }
    }

    /// Closes and forgets the connection to `address`, also one that is on its way: who waits for
    /// it gets an error.
    pub fn close(&self, address: &str, reason: &'static str) {
        let peer = self.peers.borrow_mut().remove(address);
        if let Some(peer) = peer {
            peer.forget(reason);
        }
    }

    /// Hands `connection` out no more: who asks for `address` next gets another. It is closed when
    /// the calls made over it have ended.
    pub fn retire(&self, address: &str, connection: &Connection, reason: &'static str) {
        let is_current = self.get_open(address).is_some_and(|open| open.id() == connection.id());
        if is_current {
            self.peers.borrow_mut().remove(address);
        }
        connection.retire(reason);
    }

    /// Closes and forgets all connections.
    pub fn close_all(&self, reason: &'static str) {
        let peers = std::mem::take(&mut *self.peers.borrow_mut());
        peers.values().for_each(|peer| peer.forget(reason));
    }

    fn peer(&self, address: &str) -> Rc<Peer> {
        if let Some(peer) = self.peers.borrow().get(address) {
            return Rc::clone(peer);
        }
        if self.peers.borrow().len() >= ADDRESSES_MAX {
            self.forget_one();
        }
        let peer = Rc::new(Peer::new(Instant::now()));
        self.peers.borrow_mut().insert(address.to_owned(), Rc::clone(&peer));
        peer
    }

    /// Makes room for another address. Where all are being connected to none goes: those who wait
    /// for that are the bound then.
    fn forget_one(&self) {
        let peers = self.peers.borrow();
        let worths = peers.iter().filter_map(|(address, peer)| Some((peer.worth()?, address)));
        let least = worths.min().map(|(_, address)| address.clone());
        drop(peers);
        if let Some(address) = least {
            self.close(&address, "other addresses were asked for since");
        }
    }
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::net::{Listener, Reuse};
    use ringmq_runtime::shards;

    use super::*;
    use crate::{NoService, ServerLimits, serve};

    #[test]
    fn a_connection_that_is_closed_on_its_way_is_not_kept_by_anybody() {
        let dialed = shards::try_block_on("test", async {
            let listener = Listener::bind(([127, 0, 0, 1], 0).into(), Reuse::No).expect("a port");
            let address = listener.local_addr().expect("bound").to_string();
            let server = serve(listener, Rc::new(NoService), ServerLimits::default());
            let (limits, patience) = (ConnectionLimits::default(), Duration::from_secs(10));
            let dialer = Dialer::new(Rc::new(NoService), limits, patience);
            let peer = dialer.peer(&address);
            assert!(matches!(peer.step(&address, Instant::now()), Step::Attempt));
            dialer.close(&address, "the test says so");
            let waiting = peer.step(&address, Instant::now());
            assert!(matches!(waiting, Step::Done(Err(_))), "who waits for it is told");
            let connection = dialer.connect(&address).await.expect("connected");
            let got = peer.attempt_ended(&address, Ok(Rc::clone(&connection)));
            let error = got.map(drop).expect_err("it was closed");
            assert!(error.to_string().contains("the test says so"), "{error}");
            assert!(connection.is_closed() && dialer.get_open(&address).is_none());
            dialer.get(&address).await.expect("it is wanted again");
            drop(server);
        });
        dialed.expect("an executor");
    }

    #[test]
    fn a_dialer_forgets_the_address_that_was_asked_for_longest_ago() {
        let dialed = shards::try_block_on("test", async {
            let limits = ConnectionLimits::default();
            let dialer = Dialer::new(Rc::new(NoService), limits, Duration::from_secs(3));
            // None of them is `host:port`, so nothing goes out.
            for number in 0..=ADDRESSES_MAX {
                assert!(dialer.get(&format!("no port {number}")).await.is_err());
                assert!(dialer.get("no port 0").await.is_err());
            }
            let peers = dialer.peers.borrow();
            let knows = |number| peers.contains_key(&format!("no port {number}"));
            assert_eq!(peers.len(), ADDRESSES_MAX);
            assert!(knows(0) && !knows(1) && knows(2) && knows(ADDRESSES_MAX));
        });
        dialed.expect("an executor");
    }
}

//! A name server and broker in one, in memory, for tests of the client over real connections.
//!
//! It does what the protocol asks of a broker for sends, pulls, offsets, membership and locks, and
//! on demand what a bad day asks: refuse, stay silent.

mod service;
mod state;

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use ringmq_remoting::{ServerLimits, serve};
use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::remote::{Remote, spawn_executor};

pub use state::{State, Trouble, reset_to};

/// A test that waits longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The state, and who waits for it to change.
pub struct Shared {
    pub state: Mutex<State>,
    pub changed: Condvar,
}

/// A running fake; it ends when dropped.
pub struct FakeBroker {
    /// `host:port`, of the name server and of the broker.
    pub address: String,
    shared: Arc<Shared>,
    _executor: Remote,
}

impl FakeBroker {
    /// Starts a broker of this name with no topics but those that sends create.
    pub fn start(name: &str) -> Self {
        let executor = spawn_executor("fake-broker").expect("an executor");
        let state = Mutex::new(State::new(name));
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let in_executor = shared.clone();
        let listen = move || async move {
            let any = "127.0.0.1:0".parse().expect("an address");
            let listener = Listener::bind(any, Reuse::No).expect("a free port");
            let address = listener.local_addr().expect("bound");
            let mut state = in_executor.state.lock().expect("no panic");
            let name = state.name.clone();
            state.brokers.push((name, address.to_string()));
            state.address = Some(address);
            drop(state);
            // The executor drops the server's tasks when it ends; the handle may go now.
            let service = std::rc::Rc::new(service::Fake::new(in_executor));
            std::mem::forget(serve(listener, service, ServerLimits::default()));
            address.to_string()
        };
        let address = futures_lite::future::block_on(executor.run(listen)).expect("started");
        Self { address, shared, _executor: executor }
    }

    /// What the broker knows.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no panic in the fake")
    }

    /// Waits until the state is as wanted.
    pub fn wait_for(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        let changed = &self.shared.changed;
        let waited = changed.wait_timeout_while(self.state(), PATIENCE, |state| !is_so(state));
        let (state, timeout) = waited.expect("no panic in the fake");
        drop(state);
        assert!(!timeout.timed_out(), "waited in vain for {what}");
    }

    /// Has this fake's name server also name `other` for every topic.
    pub fn also_name(&self, other: &Self) {
        let other = other.state().brokers.clone();
        self.state().brokers.extend(other);
    }
}

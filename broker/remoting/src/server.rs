//! Accepts connections on one shard, watches over them and stops them without losses.

use core::net::SocketAddr;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::{Listener, Stream};
use ringmq_runtime::random::HashMap;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task::{self, Task};

use crate::limits::Growth;
use crate::seldom::Seldom;
use crate::writer::Flusher;
use crate::{Connection, InFlight, ServerLimits, Service, reader, writer};

/// How often connections are looked at for idleness and spare memory.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Quiet time after which a connection gives its buffers back.
const QUIET_TIME: Duration = Duration::from_secs(10);

/// Wait after a failed accept, so that a shortage of file descriptors does not spin. Who wants to
/// connect meanwhile waits in the kernel's backlog.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How often a stopping server looks whether everything has been answered.
const DRAIN_CHECK: Duration = Duration::from_millis(2);

/// Serves the connections of any number of listeners of one shard with one service.
pub struct Server<S> {
    service: Rc<S>,
    limits: ServerLimits,
    in_flight: Rc<InFlight>,
    growth: Rc<Growth>,
    connections: RefCell<HashMap<u64, Rc<Connection>>>,
    /// Wakes a stop that waits for the last connection.
    emptied: Notify,
    accepted: Cell<u64>,
    refused: Cell<u64>,
    accepts_failed: Cell<u64>,
    accept_reports: Seldom,
    refusal_reports: Seldom,
    tasks: RefCell<Vec<Task<()>>>,
    flusher: Rc<Flusher>,
    /// Flushes as long as there is a connection, also while the server stops.
    _flushing: Task<()>,
    is_stopping: Cell<bool>,
}

/// What a server has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerStats {
    /// Connections open now.
    pub connections: usize,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Connections refused because there were too many.
    pub refused: u64,
    /// Times that the kernel gave no connection, mostly for lack of file descriptors.
    pub accepts_failed: u64,
    /// Bytes of requests that wait for their answer.
    pub in_flight_bytes: u64,
}

/// Starts a server with one listener. Must run inside an executor; the server works until
/// [`Server::stop`].
pub fn serve<S: Service>(
    listener: Listener,
    service: Rc<S>,
    limits: ServerLimits,
) -> Rc<Server<S>> {
    let server = Server::new(service, limits);
    server.listen(listener);
    server
}

impl<S: Service> Server<S> {
    /// A server without listeners. Must run inside an executor.
    pub fn new(service: Rc<S>, limits: ServerLimits) -> Rc<Self> {
        let flusher = Rc::<Flusher>::default();
        let server = Rc::new(Self {
            service,
            _flushing: task::spawn("connection flusher", Rc::clone(&flusher).run()),
            flusher,
            in_flight: InFlight::new(limits.in_flight_max_bytes),
            growth: Growth::new(&limits),
            limits,
            connections: RefCell::default(),
            emptied: Notify::new(),
            accepted: Cell::new(0),
            refused: Cell::new(0),
            accepts_failed: Cell::new(0),
            accept_reports: Seldom::default(),
            refusal_reports: Seldom::default(),
            tasks: RefCell::default(),
            is_stopping: Cell::new(false),
        });
        let sweep = task::spawn("connection sweep", Rc::clone(&server).sweep());
        let relief = task::spawn("connection relief", Rc::clone(&server).relieve_in_time());
        server.tasks.borrow_mut().extend([sweep, relief]);
        server
    }

    /// Accepts connections from one more listener.
    pub fn listen(self: &Rc<Self>, listener: Listener) {
        let accept = task::spawn("accept", Rc::clone(self).accept(listener));
        self.tasks.borrow_mut().push(accept);
    }

    /// The gate that all connections of this server share.
    pub fn in_flight(&self) -> &Rc<InFlight> {
        &self.in_flight
    }

    /// Numbers for the metrics.
    pub fn stats(&self) -> ServerStats {
        ServerStats {
            connections: self.connections.borrow().len(),
            accepted: self.accepted.get(),
            refused: self.refused.get(),
            accepts_failed: self.accepts_failed.get(),
            in_flight_bytes: self.in_flight.used_bytes(),
        }
    }

    /// Runs `visit` for each open connection. It must neither open nor drop any.
    pub fn for_each_connection(&self, visit: impl FnMut(&Rc<Connection>)) {
        self.connections.borrow().values().for_each(visit);
    }

    /// Accepts and reads nothing more; answers still leave. Requests that were not read yet are
    /// lost with their connection; clients repeat those elsewhere.
    pub fn stop_reading(&self) {
        self.is_stopping.set(true);
        // Dropping the tasks ends accepting and frees the ports.
        self.tasks.borrow_mut().clear();
        self.for_each_connection(|connection| connection.drain());
    }

    /// Stops: reads nothing more ([`Server::stop_reading`]), waits until every permit is released
    /// and every answer has left, at most `drain_time`, and closes.
    pub async fn stop(&self, drain_time: Duration) {
        self.stop_reading();
        let deadline = Instant::now() + drain_time;
        while !self.is_drained() && Instant::now() < deadline {
            task::sleep(DRAIN_CHECK).await;
        }
        self.for_each_connection(|connection| connection.close("the server stops"));
        while !self.connections.borrow().is_empty() {
            self.emptied.notified().await;
        }
    }

    fn is_drained(&self) -> bool {
        let connections = self.connections.borrow();
        self.in_flight.used_bytes() == 0
            && connections.values().all(|connection| connection.out_bytes() == 0)
    }

    async fn accept(self: Rc<Self>, listener: Listener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    self.welcome(stream, peer);
                    // A flood of them must not keep those that are here from their turn.
                    task::yield_if_needed().await;
                }
                Err(error) => {
                    self.accepts_failed.set(self.accepts_failed.get() + 1);
                    if self.accept_reports.is_due() {
                        let failed = self.accepts_failed.get();
                        tracing::warn!(
                            %error,
                            failed,
                            "accept failed, trying again; raise `ulimit -n` if files are short"
                        );
                    }
                    task::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn welcome(self: &Rc<Self>, stream: Stream, peer: SocketAddr) {
        let open = self.connections.borrow().len();
        if open >= self.limits.connections_max {
            let refused = self.refused.get() + 1;
            self.refused.set(refused);
            if self.refusal_reports.is_due() {
                tracing::warn!(%peer, open, refused, "too many connections: refused");
            }
            return;
        }
        self.accepted.set(self.accepted.get() + 1);
        let limits = self.limits.connection.clone();
        let in_flight = Rc::clone(&self.in_flight);
        let flusher = Rc::downgrade(&self.flusher);
        let growth = Rc::clone(&self.growth);
        let (connection, read_half) = Connection::new(stream, limits, in_flight, growth, flusher);
        self.connections.borrow_mut().insert(connection.id(), Rc::clone(&connection));
        task::spawn("connection writer", writer::run(Rc::clone(&connection))).detach();
        let server = Rc::clone(self);
        let read = async move {
            reader::run(Rc::clone(&connection), read_half, Rc::clone(&server.service)).await;
            server.connections.borrow_mut().remove(&connection.id());
            if server.connections.borrow().is_empty() {
                server.emptied.notify_one();
            }
        };
        task::spawn("connection reader", read).detach();
    }

    /// Relieves the server between sweeps: memory may grow by gigabytes in a second.
    async fn relieve_in_time(self: Rc<Self>) {
        loop {
            self.growth.look().await;
            self.relieve();
        }
    }

    /// Closes connections whose peers take the least, or finish the least, while all of them
    /// together have too much.
    fn relieve(&self) {
        let copied_max = self.limits.out_copied_total_max_bytes;
        self.close_largest(copied_max, Connection::out_copied_bytes, Connection::close_overfull);
        let unfinished_max = self.limits.unfinished_total_max_bytes;
        let close = Connection::close_unfinished;
        self.close_largest(unfinished_max, Connection::unfinished_bytes, close);
    }

    /// Closes the connections that hold the most bytes, as `held` counts them, until the others
    /// hold `total_max` at most.
    fn close_largest(&self, total_max: u64, held: fn(&Connection) -> u64, close: fn(&Connection)) {
        let mut holders: Vec<(u64, Rc<Connection>)> = Vec::new();
        self.for_each_connection(|connection| match held(connection) {
            0 => {}
            bytes => holders.push((bytes, Rc::clone(connection))),
        });
        let mut total: u64 = holders.iter().map(|(bytes, _)| bytes).sum();
        if total <= total_max {
            return;
        }
        holders.sort_unstable_by_key(|(bytes, connection)| (*bytes, connection.id()));
        while total > total_max
            && let Some((bytes, connection)) = holders.pop()
        {
            close(&connection);
            total -= bytes;
        }
    }

    /// Closes idle connections and takes spare memory from quiet ones.
    async fn sweep(self: Rc<Self>) {
        while !self.is_stopping.get() {
            task::sleep(SWEEP_INTERVAL).await;
            self.relieve();
            let now = Instant::now();
            self.for_each_connection(|connection| {
                let quiet = now.saturating_since(connection.last_progress());
                if quiet >= self.limits.idle_timeout {
                    connection.close("idle");
                } else if quiet >= QUIET_TIME {
                    connection.release_memory();
                }
            });
        }
    }
}

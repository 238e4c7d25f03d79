//! Registration with the name servers: how clients find this broker.
//!
//! One task per name server, so that a slow one delays nobody. A task registers the whole topic
//! table when it connects, every `registerNameServerPeriod`, and whenever an attempt failed; a
//! topic that was made or changed goes out at once, alone with the version of the whole (the
//! incremental registration that name servers since 4.x understand), so that ten thousand new
//! topics do not cost ten thousand tables. A name server that lost us refuses such a registration,
//! and the whole table follows. A large table goes out in portions.
//!
//! A name server takes changes of a known topic only under a new version. The version is the
//! registrar's own, not the table's: that one moves when a change begins, and a topic that is sent
//! meanwhile would use up the version of one that is not.
//!
//! The connection stays open between registrations: a name server forgets a broker when its
//! connection closes. So does one that starts again, and a connection that closes is therefore
//! followed by attempts, as at the start; ever more seldom where connections close at once, since
//! each of them costs a whole table. At the end the broker takes itself out before it stops
//! serving.
//!
//! Whoever changes a topic waits until the name servers know of it, but for those that cannot be
//! reached, and only once for one that does not answer: it is awaited again when it has answered.
//!
//! The states of one name server are in [`name_server`]; after [`Registrar::unregister`] none of
//! them is talked to. What is sent of the table is in [`portions`](self::portions).

mod name_server;
mod portions;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_protocol::bodies::topic::{DataVersion, TopicConfig};
use ringmq_protocol::codes::request;
use ringmq_protocol::headers::namesrv::{
    BrokerRequest, QueryDataVersionResponse, RegisterBrokerRequest,
};
use ringmq_protocol::{Header, json};
use ringmq_remoting::Connection;
use ringmq_runtime::clock::{self, Instant};
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task::{self, Task};

use self::name_server::{Due, Server};
use self::portions::{masked, portions, registration_body};
use crate::directory::Directory;

/// Pause after a failed registration; the dialer paces connection attempts on top.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause where each connection closes within [`SHORT_LIVED`]; every pause is twice the one
/// before.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// A name server that starts again lives longer.
const SHORT_LIVED: Duration = Duration::from_secs(2);

/// Longest wait for a name server while the broker stops.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(3);

/// Registers this broker with every name server it was given.
pub struct Registrar {
    directory: Rc<Directory>,
    servers: Vec<Rc<Server>>,
    /// Counts changes that the name servers should hear of.
    generation: Cell<u64>,
    /// Unix time; tells this run's versions from those of an earlier one.
    made_at_ms: i64,
    answered: Notify,
    tasks: RefCell<Vec<Task<()>>>,
}

impl Registrar {
    /// A registrar for these name servers; it does nothing before [`Registrar::start`].
    pub fn new(directory: &Rc<Directory>, addresses: &[String]) -> Rc<Self> {
        let servers = addresses.iter().map(|address| Rc::new(Server::new(address))).collect();
        Rc::new(Self {
            directory: Rc::clone(directory),
            servers,
            generation: Cell::new(1),
            made_at_ms: clock::unix_ms(),
            answered: Notify::new(),
            tasks: RefCell::default(),
        })
    }

    /// Starts to register, and goes on until [`Registrar::unregister`].
    pub fn start(self: &Rc<Self>) {
        let mut tasks = self.tasks.borrow_mut();
        for server in &self.servers {
            let run = Rc::clone(self).run(Rc::clone(server));
            tasks.push(task::spawn("registration", run));
        }
        tasks.push(task::spawn("registration of changes", Rc::clone(self).pass_changes()));
    }

    /// Waits until every name server knows all changes made so far, at most `limit`; not for those
    /// that are unreachable or late.
    pub async fn settled(&self, limit: Duration) {
        self.collect_changes();
        let goal = self.generation.get();
        let all = async {
            while self.servers.iter().any(|server| server.is_awaited(goal)) {
                self.answered.notified().await;
            }
        };
        if task::timeout(limit, all).await.is_ok() {
            return;
        }
        // One that is slow, not dead, hears of it later; the caller goes on.
        for server in self.servers.iter().filter(|server| server.is_awaited(goal)) {
            server.is_late.set(true);
            let address = &server.address;
            tracing::warn!(
                "name server {address}: silent for {limit:?}; changes do not wait for it"
            );
        }
    }

    /// A name server that knows of this broker, if there is one.
    pub fn reached(&self) -> Option<&str> {
        let mut servers = self.servers.iter();
        let reached = servers.find(|server| server.is_reachable.get() == Some(true));
        reached.map(|server| server.address.as_str())
    }

    /// Takes this broker out of every name server it is registered with, and ends.
    pub async fn unregister(&self) {
        self.tasks.borrow_mut().clear();
        let calls: Vec<_> = self
            .servers
            .iter()
            .filter_map(|server| server.dialer.get_open(&server.address))
            .map(|connection| {
                let timeout = UNREGISTER_TIMEOUT;
                connection.call(request::UNREGISTER_BROKER, &self.broker_header(), &[], timeout)
            })
            .collect();
        for call in calls {
            if let Err(error) = call.await {
                tracing::warn!("a name server was not told that this broker stops: {error}");
            }
        }
        for server in &self.servers {
            server.dialer.close_all("the broker stops");
        }
    }

    /// Hands the directory's changes to all servers.
    fn collect_changes(&self) {
        let topics = self.directory.registrations_due.take();
        if topics.is_empty() {
            return;
        }
        self.generation.set(self.generation.get() + 1);
        for server in &self.servers {
            server.due.borrow_mut().add(&topics);
            server.wake.0.notify_one();
        }
    }

    async fn pass_changes(self: Rc<Self>) {
        loop {
            self.directory.registrations_due.grew.notified().await;
            self.collect_changes();
        }
    }

    async fn run(self: Rc<Self>, server: Rc<Server>) {
        let (mut reached_at, mut pause) = (Instant::now(), RETRY_PAUSE);
        loop {
            match self.register(&server).await {
                Ok(()) => {
                    server.is_late.set(false);
                    if server.is_reachable.replace(Some(true)) != Some(true) {
                        reached_at = Instant::now();
                        tracing::info!("registered with name server {}", server.address);
                    }
                }
                Err(error) => {
                    pause = match server.is_reachable.get() {
                        Some(true) => pause_after(reached_at.elapsed(), pause),
                        _ => RETRY_PAUSE,
                    };
                    server.lost(&error);
                }
            }
            self.answered.notify_all();
            if server.is_reachable.get() == Some(true) {
                let woken = task::timeout(self.period(), server.wake.0.notified()).await;
                if server.dialer.get_open(&server.address).is_none() {
                    server.lost("the connection closed, and it forgets this broker with it");
                    pause = pause_after(reached_at.elapsed(), pause);
                } else if woken.is_err() {
                    *server.due.borrow_mut() = Due::Everything;
                }
            }
            if server.is_reachable.get() != Some(true) {
                task::sleep(pause).await;
            }
        }
    }

    /// Tells one name server what is due: all of it over one connection, and everything over each
    /// new one. A name server forgets what came over another when that closes, be it between two of
    /// these requests, and would take the second for the whole.
    async fn register(&self, server: &Server) -> Result<(), String> {
        let connection = server.connect().await?;
        let is_told = server.told_over.get() == Some(connection.id());
        let goal = self.generation.get();
        let due = server.due.replace(Due::Topics(BTreeSet::new()));
        let due = if is_told { due } else { Due::Everything };
        let (topics, version) = self.topics(&due);
        let mut portions = portions(&topics, version);
        match due {
            Due::Topics(topics) if topics.is_empty() => portions.clear(),
            Due::Topics(_) => {}
            Due::Everything => {
                let is_forced = self.directory.settings().force_register;
                let asks = is_told && (!is_forced || portions.len() > 1);
                if asks && !self.has_changed(&connection, &version).await? {
                    // The last one alone says that we live. Sent whole, a large table would undo
                    // what an administrator changed at the name server.
                    portions.drain(..portions.len() - usize::from(is_forced));
                }
            }
        }
        for (topics, version) in portions {
            self.send(&connection, topics, version).await?;
        }
        server.told_over.set(Some(connection.id()));
        server.acknowledged.set(goal);
        Ok(())
    }

    async fn send(
        &self,
        connection: &Rc<Connection>,
        topics: &[Arc<TopicConfig>],
        version: DataVersion,
    ) -> Result<(), String> {
        let body = json::to_vec(&registration_body(topics, version));
        let identity = &self.directory.identity;
        let header = RegisterBrokerRequest {
            broker_name: &identity.name,
            broker_addr: &identity.address,
            cluster_name: &identity.cluster,
            ha_server_addr: &identity.ha_address,
            broker_id: identity.id,
            heartbeat_timeout_ms: None,
            enable_acting_master: Some(false),
            compressed: false,
            // No check: the transport's is enough between two machines that trust each other.
            body_crc32: 0,
            zone_name: None,
        };
        let code = request::REGISTER_BROKER;
        Server::call(connection, code, &header, &body, self.timeout()).await.map(drop)
    }

    /// Whether the name server has another table than ours (322).
    async fn has_changed(
        &self,
        connection: &Rc<Connection>,
        version: &DataVersion,
    ) -> Result<bool, String> {
        let (body, header) = (json::to_vec(version), self.broker_header());
        let code = request::QUERY_DATA_VERSION;
        let answer = Server::call(connection, code, &header, &body, self.timeout()).await?;
        let command = answer.command();
        let header = QueryDataVersionResponse::decode(&command.fields);
        Ok(header.map_or(true, |header| header.changed))
    }

    /// The topics that are due, as they are now, with the version under which they are registered.
    fn topics(&self, due: &Due) -> (Vec<Arc<TopicConfig>>, DataVersion) {
        let table = self.directory.topics();
        let allowed = self.directory.settings().broker_permission;
        let topics = match due {
            Due::Everything => table.iter().map(|topic| masked(topic, allowed)).collect(),
            Due::Topics(names) => {
                let known = names.iter().filter_map(|name| table.get(name));
                known.map(|topic| masked(topic, allowed)).collect()
            }
        };
        let counter = i64::try_from(self.generation.get()).unwrap_or(i64::MAX);
        let version = DataVersion { counter, state_version: 0, timestamp: self.made_at_ms };
        (topics, version)
    }

    fn broker_header(&self) -> BrokerRequest<'_> {
        let identity = &self.directory.identity;
        BrokerRequest {
            broker_name: &identity.name,
            broker_addr: &identity.address,
            cluster_name: &identity.cluster,
            broker_id: identity.id,
        }
    }

    /// Time for an answer.
    fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.directory.settings().register_broker_timeout_ms))
    }

    fn period(&self) -> Duration {
        Duration::from_millis(u64::from(self.directory.settings().register_namesrv_period_ms))
    }
}

/// The pause after a connection that lived for `lived`, with a pause of `before` in front of it.
fn pause_after(lived: Duration, before: Duration) -> Duration {
    if lived < SHORT_LIVED { (before * 2).min(RETRY_PAUSE_MAX) } else { RETRY_PAUSE }
}

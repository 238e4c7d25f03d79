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
//! States of one name server: silent (never reached, or the last attempt failed: everything is
//! due), current (knows everything up to a generation), and gone after `unregister`.

use crate::directory::Directory;
use ringmq_protocol::bodies::register::RegisterBrokerBody;
use ringmq_protocol::bodies::topic::{DataVersion, TopicConfig, TopicConfigTable};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::namesrv::{
    BrokerRequest, QueryDataVersionResponse, RegisterBrokerRequest,
};
use ringmq_protocol::names::perm;
use ringmq_protocol::{Command, Header, WriteHeader, json};
use ringmq_remoting::{
    CallError, Connection, ConnectionLimits, Dialer, MALFORMED_FRAME, OwnedCommand, Service,
};
use ringmq_runtime::clock::{self, Instant};
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task::{self, Task};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Time for a connection to a name server to come about (Apache's client default).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause after a failed registration; the dialer paces connection attempts on top.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause where each connection closes within [`SHORT_LIVED`]; every pause is twice the one
/// before.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// A name server that starts again lives longer.
const SHORT_LIVED: Duration = Duration::from_secs(2);

/// Topics of one registration. A larger table goes out in portions: a name server reads 16 MiB at
/// most, which 50,000 topics exceed, and 2,000 are written as JSON (400 KB) in about 1 ms.
const TOPICS_PER_REQUEST: usize = 2_000;

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

/// One name server.
struct Server {
    address: String,
    dialer: Dialer<Wake>,
    due: RefCell<Due>,
    wake: Rc<Wake>,
    /// The newest generation that it acknowledged.
    acknowledged: Cell<u64>,
    /// Whether the last attempt succeeded; `None` before the first ended.
    is_reachable: Cell<Option<bool>>,
    /// Somebody waited in vain for it to hear of a change, and it has not answered since.
    is_late: Cell<bool>,
}

/// Ends the pause between two registrations: something changed, or the connection closed.
#[derive(Default)]
struct Wake(Notify);

impl Service for Wake {
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, _: &[u8]) {
        connection.reply_unsupported(command);
    }

    fn on_close(&self, _: &Rc<Connection>) {
        self.0.notify_one();
    }
}

/// What a name server has to be told.
enum Due {
    Everything,
    Topics(BTreeSet<String>),
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
        let topics = self.directory.unregistered.take();
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
            self.directory.unregistered.due.notified().await;
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
                Err(error) => server.lost(&error),
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

    /// Tells one name server what is due.
    async fn register(&self, server: &Server) -> Result<(), String> {
        let goal = self.generation.get();
        let due = server.due.replace(Due::Topics(BTreeSet::new()));
        let (topics, version) = self.topics(&due);
        let mut portions = portions(&topics, version);
        match due {
            Due::Topics(topics) if topics.is_empty() => portions.clear(),
            Due::Topics(_) => {}
            Due::Everything => {
                let is_forced = self.directory.settings().force_register;
                let asks = !is_forced || portions.len() > 1;
                if asks && !self.has_changed(server, &version).await? {
                    // The last one alone says that we live. Sent whole, a large table would undo
                    // what an administrator changed at the name server.
                    portions.drain(..portions.len() - usize::from(is_forced));
                }
            }
        }
        for (topics, version) in portions {
            self.send(server, topics, version).await?;
        }
        server.acknowledged.set(goal);
        Ok(())
    }

    async fn send(
        &self,
        server: &Server,
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
        self.call(server, request::REGISTER_BROKER, &header, &body).await.map(drop)
    }

    /// Whether the name server has another table than ours (322).
    async fn has_changed(&self, server: &Server, version: &DataVersion) -> Result<bool, String> {
        let body = json::to_vec(version);
        let header = self.broker_header();
        let answer = self.call(server, request::QUERY_DATA_VERSION, &header, &body).await?;
        let command = answer.command();
        let header = QueryDataVersionResponse::decode(&command.fields);
        Ok(header.map_or(true, |header| header.changed))
    }

    async fn call(
        &self,
        server: &Server,
        code: i32,
        header: &impl WriteHeader,
        body: &[u8],
    ) -> Result<OwnedCommand, String> {
        let connection =
            server.dialer.get(&server.address).await.map_err(|error| error.to_string())?;
        let timeout_ms = u64::from(self.directory.settings().register_broker_timeout_ms);
        let call = connection.call(code, header, body, Duration::from_millis(timeout_ms));
        let answer = call.await.map_err(|error| match error {
            CallError::Closed { reason: MALFORMED_FRAME } => no_name_server("in another protocol"),
            error => error.to_string(),
        })?;
        let remark = || answer.command().remark().unwrap_or("no remark").trim().to_owned();
        match answer.code() {
            response::SUCCESS => Ok(answer),
            response::REQUEST_CODE_NOT_SUPPORTED => Err(no_name_server(&remark())),
            other => Err(format!("it answered {code} with code {other}: {}", remark())),
        }
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

    fn period(&self) -> Duration {
        Duration::from_millis(u64::from(self.directory.settings().register_namesrv_period_ms))
    }
}

impl Server {
    fn new(address: &str) -> Self {
        let wake = Rc::new(Wake::default());
        Self {
            address: address.to_owned(),
            dialer: Dialer::new(Rc::clone(&wake), ConnectionLimits::default(), CONNECT_TIMEOUT),
            due: RefCell::new(Due::Everything),
            wake,
            acknowledged: Cell::new(0),
            is_reachable: Cell::new(None),
            is_late: Cell::new(false),
        }
    }

    /// It has to be told everything; the first time this is said.
    fn lost(&self, reason: &str) {
        if self.is_reachable.replace(Some(false)) != Some(false) {
            tracing::warn!("name server {}: {reason}; trying on", self.address);
        }
        *self.due.borrow_mut() = Due::Everything;
    }

    /// Whether who made the changes up to `goal` waits for it.
    fn is_awaited(&self, goal: u64) -> bool {
        let is_unreachable = self.is_reachable.get() == Some(false);
        self.acknowledged.get() < goal && !is_unreachable && !self.is_late.get()
    }
}

impl Due {
    fn add(&mut self, more: &BTreeSet<String>) {
        if let Self::Topics(topics) = self {
            topics.extend(more.iter().cloned());
        }
    }
}

/// The pause after a connection that lived so long, and whose pause was `before`.
fn pause_after(lived: Duration, before: Duration) -> Duration {
    if lived < SHORT_LIVED { (before * 2).min(RETRY_PAUSE_MAX) } else { RETRY_PAUSE }
}

/// What answers there is something else, such as a broker or a web server.
fn no_name_server(found: &str) -> String {
    format!(
        "something answers, and it is no name server ({found}): give the address of one \
         (mqnamesrv, port 9876 by default), with -n or namesrvAddr"
    )
}

/// A topic as clients may use it: with no more than the broker's own permission.
fn masked(topic: &Arc<TopicConfig>, allowed: i32) -> Arc<TopicConfig> {
    if allowed & perm::READ_WRITE == perm::READ_WRITE {
        return Arc::clone(topic);
    }
    Arc::new(TopicConfig { perm: topic.perm & allowed, ..TopicConfig::clone(topic) })
}

/// Cuts a table into registrations, each with its version; an empty table is one, too.
///
/// A name server passes over a table whose version it has. So only the last portion carries the
/// table's, and the others one that no table has: what breaks off on the way is not taken for the
/// whole.
fn portions(
    topics: &[Arc<TopicConfig>],
    version: DataVersion,
) -> Vec<(&[Arc<TopicConfig>], DataVersion)> {
    let mut portions: Vec<_> = topics.chunks(TOPICS_PER_REQUEST).collect();
    let last = portions.pop().unwrap_or_default();
    let unfinished = (1..).map(|number: i64| DataVersion { counter: -number, ..version });
    let unfinished = portions.into_iter().zip(unfinished);
    unfinished.chain([(last, version)]).collect()
}

fn registration_body(topics: &[Arc<TopicConfig>], version: DataVersion) -> RegisterBrokerBody {
    let table = topics.iter().map(|topic| (topic.topic_name.clone(), TopicConfig::clone(topic)));
    RegisterBrokerBody {
        filter_server_list: Vec::new(),
        topic_config_serialize_wrapper: TopicConfigTable {
            data_version: version,
            mapping_data_version: Some(DataVersion::default()),
            topic_config_table: table.collect(),
            topic_queue_mapping_detail_map: Some(BTreeMap::new()),
            topic_queue_mapping_info_map: Some(BTreeMap::new()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_table_is_cut_and_only_its_last_portion_has_its_version() {
        let version = DataVersion { state_version: 0, timestamp: 7, counter: 3 };
        let counters_of = |topics: usize| -> Vec<_> {
            let topic = Arc::new(TopicConfig::default());
            let topics = vec![topic; topics];
            let portions = portions(&topics, version);
            assert_eq!(portions.iter().map(|(part, _)| part.len()).sum::<usize>(), topics.len());
            let is_sized = |part: &[_]| part.len() <= TOPICS_PER_REQUEST;
            assert!(portions.iter().all(|(part, _)| is_sized(part)));
            portions.into_iter().map(|(_, version)| version.counter).collect()
        };
        assert_eq!(counters_of(0), [3]);
        assert_eq!(counters_of(TOPICS_PER_REQUEST), [3]);
        assert_eq!(counters_of(2 * TOPICS_PER_REQUEST + 1), [-1, -2, 3]);
    }
}

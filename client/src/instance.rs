//! The part of the client that lives in its executor: connections, routes, and the groups that use
//! them.
//!
//! States: running, stopping, stopped. `stop` runs once, and whoever calls it again waits: groups
//! first (they store offsets and give queues back), then every broker hears an unregister, then
//! connections close. What fails on the way is logged, never retried: a broker forgets a silent
//! client after two minutes anyway.

mod batch_turns;
mod calls;
mod heartbeat;
mod identity;
mod inbound;
mod local_files;
pub(crate) mod name_servers;
mod offset;
mod routes;
mod server;
mod timers;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};

use ringmq_protocol::WriteHeader;
use ringmq_remoting::{Connection, ConnectionLimits, Dialer};
use ringmq_runtime::random;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::sync::{Notify, Turn};

pub(crate) use calls::{Pull, PullAnswer};
pub(crate) use identity::Identity;
pub(crate) use name_servers::read_json;
pub(crate) use offset::{Commit, Place};
pub(crate) use server::{Read, Server, expect_success, malformed, refusal};

use self::batch_turns::BatchTurns;
use self::inbound::Inbound;
use self::local_files::LocalFiles;
use self::name_servers::NameServers;
use crate::config::ClientConfig;
use crate::consumer::member::Member;
use crate::error::{ClientError, Fault};
use crate::producer::ProducerCore;
use crate::routes::{BrokerTable, TopicRoute};

/// One client as its executor sees it.
pub(crate) struct Instance {
    pub(crate) config: ClientConfig,
    dialer: Dialer<Inbound>,
    names: NameServers,
    /// The connection last used for each address.
    connections: RefCell<HashMap<String, u64>>,
    routes: RefCell<HashMap<String, Rc<TopicRoute>>>,
    brokers: RefCell<BrokerTable>,
    identity: OnceCell<Identity>,
    producers: RefCell<BTreeMap<u64, Rc<ProducerCore>>>,
    next_producer: Cell<u64>,
    /// Groups of consumers of this client.
    members: RefCell<BTreeMap<String, Rc<Member>>>,
    heartbeat_now: Notify,
    /// Topics whose route failed in use.
    suspects: RefCell<BTreeSet<String>>,
    route_now: Notify,
    local_files: OnceCell<LocalFiles>,
    /// Orderly consumers: who may have a listener consume a queue now.
    pub(crate) batch_turns: BatchTurns,
    is_stopping: Cell<bool>,
    /// Entered by the first that stops the client; others wait until that is done.
    stop_turn: Turn,
}

impl Instance {
    /// A client that knows nobody yet.
    pub(crate) fn new(config: ClientConfig) -> Rc<Self> {
        Rc::new_cyclic(|this: &Weak<Self>| Self {
            dialer: Dialer::new(
                Rc::new(Inbound::new(this.clone())),
                ConnectionLimits::default(),
                config.connect_timeout,
            ),
            names: NameServers::new(config.name_servers.clone(), random::seed_u64()),
            connections: RefCell::default(),
            routes: RefCell::default(),
            brokers: RefCell::default(),
            identity: OnceCell::new(),
            producers: RefCell::default(),
            next_producer: Cell::new(0),
            suspects: RefCell::default(),
            local_files: OnceCell::new(),
            route_now: Notify::new(),
            members: RefCell::default(),
            heartbeat_now: Notify::new(),
            batch_turns: BatchTurns::default(),
            is_stopping: Cell::new(false),
            stop_turn: Turn::default(),
            config,
        })
    }

    /// Who this client is, for good: made up from an address of this host if no server was reached
    /// yet.
    pub(crate) fn identity(&self) -> &Identity {
        self.identity.get_or_init(|| Identity::new(&self.config, None))
    }

    /// The open connection to `address`.
    pub(crate) async fn connect(&self, address: &str) -> Result<Rc<Connection>, Fault> {
        let dialled = self.dialer.get(address).await;
        let connection = dialled.map_err(Fault::silence)?;
        let ip = connection.local_addr().ip();
        self.identity.get_or_init(|| Identity::new(&self.config, Some(ip)));
        let last = self.connections.borrow_mut().insert(address.to_owned(), connection.id());
        if last.is_some_and(|last| last != connection.id()) {
            // Whoever restarted does not know our groups any more.
            self.heartbeat_soon();
        }
        Ok(connection)
    }

    /// Asks name servers until one answers.
    pub(crate) async fn ask_name_server<T: 'static>(
        &self,
        action: &str,
        code: i32,
        header: &impl WriteHeader,
        read: Read<T>,
    ) -> Result<T, ClientError> {
        self.names.call(self, action, code, header, read).await
    }

    /// The name servers, the one in use first.
    pub(crate) fn name_servers(&self) -> Vec<Server> {
        self.names.servers()
    }

    /// Opens a connection to a name server, which settles who we are.
    pub(crate) async fn reach_name_server(&self) -> Result<(), ClientError> {
        let mut attempts = Vec::new();
        for server in self.names.servers() {
            match self.connect(&server.address).await {
                Ok(_) => return Ok(()),
                Err(fault) => attempts.push(server.attempt(fault)),
            }
        }
        Err(ClientError::Failed { action: "connect to a name server".into(), attempts })
    }

    /// Whether a connection to this server is open.
    pub(crate) fn is_connected(&self, server: &Server) -> bool {
        self.dialer.get_open(&server.address).is_some()
    }

    /// Adds a producer; brokers hear of its group soon.
    pub(crate) fn add_producer(&self, producer: Rc<ProducerCore>) -> u64 {
        let id = self.next_producer.get();
        self.next_producer.set(id + 1);
        self.producers.borrow_mut().insert(id, producer);
        self.heartbeat_soon();
        id
    }

    /// The producer with this number.
    pub(crate) fn producer(&self, id: u64) -> Option<Rc<ProducerCore>> {
        self.producers.borrow().get(&id).cloned()
    }

    /// Groups of producers of this client.
    pub(crate) fn producer_groups(&self) -> BTreeSet<String> {
        self.producers.borrow().values().map(|producer| producer.config.group.clone()).collect()
    }

    /// Forgets producers without handles and returns the groups that are left without any.
    pub(crate) fn forget_producers(&self) -> BTreeSet<String> {
        let before = self.producer_groups();
        self.producers.borrow_mut().retain(|_, producer| producer.is_wanted());
        &before - &self.producer_groups()
    }

    /// Files of this client, below the configured directory.
    pub(crate) fn local_files(&self) -> &LocalFiles {
        self.local_files.get_or_init(|| LocalFiles::new(self.config.local_offset_dir.clone()))
    }

    /// Adds a member of a consumer group.
    ///
    /// # Errors
    /// `Invalid`: this client is a member already; brokers could not tell the two apart.
    pub(crate) fn add_member(&self, member: &Rc<Member>) -> Result<(), ClientError> {
        let mut members = self.members.borrow_mut();
        let group = &member.config.group;
        if members.contains_key(group) {
            let what = format!("this client is in consumer group {group} already");
            return Err(ClientError::invalid(what));
        }
        members.insert(group.clone(), member.clone());
        Ok(())
    }

    /// Removes a member of a consumer group.
    pub(crate) fn remove_member(&self, group: &str) {
        self.members.borrow_mut().remove(group);
    }

    /// The member of `group` that this client is.
    pub(crate) fn member(&self, group: &str) -> Option<Rc<Member>> {
        self.members.borrow().get(group).cloned()
    }

    /// All memberships of this client.
    pub(crate) fn members(&self) -> Vec<Rc<Member>> {
        self.members.borrow().values().cloned().collect()
    }

    /// Has every broker hear of changed groups or subscriptions soon.
    pub(crate) fn heartbeat_soon(&self) {
        self.heartbeat_now.notify_one();
    }

    /// Whether the client was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    /// Lets go of the groups, which hold this instance: without it nothing of a client whose
    /// executor ended would ever be freed, its sockets included.
    pub(crate) fn abandon(&self) {
        self.producers.take();
        self.members.take();
    }

    /// Stops all groups, says goodbye to brokers and closes connections.
    pub(crate) async fn stop(self: &Rc<Self>) {
        let _turn = self.stop_turn.enter().await;
        if self.is_stopping.replace(true) {
            return;
        }
        for member in self.members() {
            member.stop().await;
        }
        let groups = self.producer_groups();
        self.producers.borrow_mut().clear();
        for group in groups {
            self.unregister_producer(&group).await;
        }
        self.dialer.close_all("the client was shut down");
    }
}

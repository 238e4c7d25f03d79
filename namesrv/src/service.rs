//! The name server as a service: requests in, the route table and two small files behind it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::frame::ANSWER_BODY_MAX_BYTES;
use ringmq_protocol::headers::namesrv::MinBrokerIdChange;
use ringmq_protocol::{Command, Header, WriteHeader, json};
use ringmq_remoting::{Connection, ConnectionLimits, Dialer, NoService, ReplyTo, Service};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::task;
use ringmq_settings::Rules as _;
use serde::Serialize;

use crate::config::Config;
use crate::kv::KvConfig;
use crate::outcome::Refusal;
use crate::registration::MinIdChange;
use crate::routes::RouteTable;
use crate::saver::Saver;
use crate::views::UnitTopics;

/// Time for a connection to a broker that is told of a new smallest id.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The name server of one shard. Its state is small and changes in single synchronous steps.
pub struct NameServer {
    pub(crate) table: RefCell<RouteTable>,
    pub(crate) kv: RefCell<KvConfig>,
    pub(crate) kv_saver: Saver,
    /// What is in force.
    pub(crate) config: RefCell<Config>,
    /// What the next start will find: also the keys that a running server does not change.
    pub(crate) next_config: RefCell<Config>,
    /// Settings changed by requests, as they are kept on disk.
    pub(crate) overrides: RefCell<BTreeMap<String, String>>,
    pub(crate) overrides_saver: Saver,
    pub(crate) started_at: Instant,
    /// Longest registration that is read, unfolded.
    pub(crate) registration_max_bytes: usize,
    /// Connections that brokers registered on, by their id.
    pub(crate) broker_connections: RefCell<HashMap<u64, Rc<Connection>>>,
    dialer: Rc<Dialer<NoService>>,
}

/// What a handler comes to: it has answered, or refuses to.
pub(crate) type Handled = Result<(), Refusal>;

/// One request with the way back.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a, 'c> {
    pub connection: &'a Rc<Connection>,
    pub command: &'a Command<'c>,
    pub to: ReplyTo,
}

impl<'a> Request<'a, '_> {
    /// The typed header fields.
    pub(crate) fn header<H: Header<'a>>(&self) -> Result<H, Refusal> {
        H::decode(&self.command.fields).map_err(Refusal::error)
    }

    /// The body, if it is no longer than a registration may be: it is read in one step, too.
    pub(crate) fn body_within(&self, max_bytes: usize) -> Result<&'a [u8], Refusal> {
        match self.command.body {
            body if body.len() <= max_bytes => Ok(body),
            body => Err(Refusal::error(format_args!(
                "the body has {} bytes, at most {max_bytes} are read",
                body.len()
            ))),
        }
    }

    pub(crate) fn reply(&self, header: &impl WriteHeader, body: &[u8]) -> Handled {
        self.connection.reply(&self.to, response::SUCCESS, None, header, body);
        Ok(())
    }

    pub(crate) fn reply_json(&self, body: &impl Serialize) -> Handled {
        self.reply(&(), &answer_body(body)?)
    }
}

/// A body that fits the frames that clients take; one that would not is made no further.
pub(crate) fn answer_body(body: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    json::to_vec_within(body, ANSWER_BODY_MAX_BYTES).map_err(|error| {
        Refusal::error(format_args!(
            "the answer has {error}, and a frame that clients take has no room for more: ask for \
             one topic, or for the topics of one cluster"
        ))
    })
}

impl NameServer {
    pub(crate) fn new(
        config: Config,
        (overrides, overrides_saver): (BTreeMap<String, String>, Saver),
        (kv, kv_saver): (KvConfig, Saver),
        registration_max_bytes: usize,
    ) -> Rc<Self> {
        let limits = ConnectionLimits::default();
        let mut table = RouteTable::default();
        table.set_rules(config.route_rules());
        Rc::new(Self {
            table: RefCell::new(table),
            kv: RefCell::new(kv),
            kv_saver,
            next_config: RefCell::new(config.clone()),
            config: RefCell::new(config),
            overrides: RefCell::new(overrides),
            overrides_saver,
            started_at: Instant::now(),
            registration_max_bytes,
            broker_connections: RefCell::default(),
            dialer: Rc::new(Dialer::new(Rc::new(NoService), limits, CONNECT_TIMEOUT)),
        })
    }

    fn handle(&self, request: Request<'_, '_>) -> Handled {
        match request.command.code {
            request::GET_ROUTEINFO_BY_TOPIC => self.route(request),
            request::REGISTER_BROKER => self.register_broker(request),
            request::UNREGISTER_BROKER => self.unregister_broker(request),
            request::QUERY_DATA_VERSION => self.query_data_version(request),
            request::BROKER_HEARTBEAT => self.heartbeat(request),
            request::GET_BROKER_MEMBER_GROUP => self.member_group(request),
            request::GET_BROKER_CLUSTER_INFO => {
                request.reply_json(&self.table.borrow().cluster_info())
            }
            request::WIPE_WRITE_PERM_OF_BROKER => self.wipe_write_permission(request),
            request::ADD_WRITE_PERM_OF_BROKER => self.add_write_permission(request),
            request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => self.all_topics(request),
            request::GET_TOPICS_BY_CLUSTER => self.topics_of_cluster(request),
            request::GET_SYSTEM_TOPIC_LIST_FROM_NS => {
                request.reply_json(&self.table.borrow().system_topics())
            }
            request::GET_UNIT_TOPIC_LIST => self.unit_topics(request, UnitTopics::Unit),
            request::GET_HAS_UNIT_SUB_TOPIC_LIST => {
                self.unit_topics(request, UnitTopics::Subscribed)
            }
            request::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => {
                self.unit_topics(request, UnitTopics::SubscribedNotUnit)
            }
            request::REGISTER_TOPIC_IN_NAMESRV => self.register_topic(request),
            request::DELETE_TOPIC_IN_NAMESRV => self.delete_topic(request),
            request::PUT_KV_CONFIG => self.put_kv(request),
            request::GET_KV_CONFIG => self.get_kv(request),
            request::DELETE_KV_CONFIG => self.delete_kv(request),
            request::GET_KVLIST_BY_NAMESPACE => self.list_kv(request),
            request::UPDATE_NAMESRV_CONFIG => self.update_config(request),
            request::GET_NAMESRV_CONFIG => {
                request.reply(&(), self.config.borrow().to_properties().as_bytes())
            }
            _ => {
                request.connection.reply_unsupported(request.command);
                Ok(())
            }
        }
    }

    /// Removes brokers that were not heard of in time and closes their connections.
    pub(crate) fn expire(&self, now: Instant) {
        let (connections, changes) = self.table.borrow_mut().expire(now);
        for id in connections {
            let connection = self.broker_connections.borrow_mut().remove(&id);
            if let Some(connection) = connection {
                let peer = connection.peer_addr();
                tracing::warn!(%peer, "broker not heard of in time: removed");
                connection.close("broker expired");
            }
        }
        self.notify(changes);
    }

    /// Tells the members of broker groups about their new smallest id, if that is wanted.
    pub(crate) fn notify(&self, changes: Vec<MinIdChange>) {
        if !self.config.borrow().notify_min_broker_id {
            return;
        }
        for change in changes {
            let dialer = Rc::clone(&self.dialer);
            task::spawn("notify brokers", notify_members(dialer, change)).detach();
        }
    }
}

/// Sends one-way notices; a member that cannot be reached finds out when it registers again.
async fn notify_members(dialer: Rc<Dialer<NoService>>, change: MinIdChange) {
    let notice = MinBrokerIdChange {
        min_broker_id: Some(change.min_broker_id),
        broker_name: Some(&change.broker_name),
        min_broker_addr: Some(&change.min_broker_address),
        offline_broker_addr: change.offline_address.as_deref(),
        ha_broker_addr: change.ha_address.as_deref(),
    };
    for address in &change.recipients {
        match dialer.get(address).await {
            Ok(connection) => {
                connection.send_oneway(request::NOTIFY_MIN_BROKER_ID_CHANGE, &notice, &[])
            }
            Err(error) => tracing::warn!(%error, "broker not told of the new smallest id"),
        }
    }
}

impl Service for NameServer {
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, _frame: &[u8]) {
        let to = ReplyTo::of(command);
        if let Err(refusal) = self.handle(Request { connection, command, to }) {
            connection.reply(&to, refusal.code, Some(&refusal.remark), &(), &[]);
        }
        // What clients ask all the time is short; a list of all topics takes tens of milliseconds.
        if command.code != request::GET_ROUTEINFO_BY_TOPIC {
            connection.give_way();
        }
    }

    fn on_close(&self, connection: &Rc<Connection>) {
        if self.broker_connections.borrow_mut().remove(&connection.id()).is_some() {
            let changes = self.table.borrow_mut().connection_closed(connection.id());
            self.notify(changes);
        }
    }
}

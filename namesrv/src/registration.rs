//! What a broker says when it registers, and what it and others are told.

use std::collections::BTreeMap;
use std::time::Duration;

use ringmq_protocol::bodies::topic::{DataVersion, TopicConfig, TopicQueueMappingInfo};

use crate::admission::{
    BROKERS_MAX, FILTER_SERVERS_MAX, MAPPINGS_MAX_BYTES, NAME_MAX_BYTES, ROUTES_MAX_BYTES,
    TOPICS_MAX,
};
use crate::routes::BrokerKey;

/// Everything that a broker says when it registers.
pub struct Registration<'a> {
    /// Cluster that the broker belongs to.
    pub cluster: &'a str,
    /// Name shared by a master and its slaves.
    pub broker_name: &'a str,
    /// 0 for the master, more for slaves.
    pub broker_id: i64,
    /// `ip:port` that clients connect to.
    pub address: &'a str,
    /// `ip:port` that slaves replicate from.
    pub ha_address: &'a str,
    /// Zone, for clients that want to stay in theirs.
    pub zone: Option<&'a str>,
    /// The broker's own expiry in place of [`crate::routes::BROKER_EXPIRY`].
    pub timeout: Option<Duration>,
    /// Whether a slave may act as master; brokers before 5.0 do not say.
    pub enable_acting_master: Option<bool>,
    /// Version of the broker's topic table.
    pub data_version: DataVersion,
    /// Its topics, or the one that changed.
    pub topics: &'a BTreeMap<String, TopicConfig>,
    /// Static topics: their queue mapping on this broker.
    pub mappings: Option<&'a BTreeMap<String, TopicQueueMappingInfo>>,
    /// Filter servers; `None` leaves them as they are (brokers before 3.0.11).
    pub filter_servers: Option<&'a [String]>,
    /// The connection it registers on; when that closes the broker is gone.
    pub connection: u64,
}

/// What a successful registration tells the broker, and whom else.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// For a slave: address and replication address of its master, if there is one.
    pub master: Option<MasterAddresses>,
    /// The broker group has a new smallest id.
    pub min_id_change: Option<MinIdChange>,
}

/// Where a master is found.
#[derive(Debug, PartialEq, Eq)]
pub struct MasterAddresses {
    /// `ip:port` for clients.
    pub address: String,
    /// `ip:port` for replication.
    pub ha_address: String,
}

/// A broker group has another smallest id: its members want to know (905).
#[derive(Debug, PartialEq, Eq)]
pub struct MinIdChange {
    /// The group.
    pub broker_name: String,
    /// Smallest id now.
    pub min_broker_id: i64,
    /// Its address.
    pub min_broker_address: String,
    /// The member that left, if one left.
    pub offline_address: Option<String>,
    /// Replication address of the member that came, if one came.
    pub ha_address: Option<String>,
    /// Members to tell.
    pub recipients: Vec<String>,
}

/// Why a registration was refused. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// One topic only, from a broker that is not registered: an incremental registration that
    /// reached a name server which never saw the full one.
    #[error("a broker's first registration must hold all its topics, not one")]
    SingleTopicOfNewBroker,
    /// A name or an address that nothing real has, [`NAME_MAX_BYTES`].
    #[error("a name of {0} bytes, at most {NAME_MAX_BYTES} are allowed")]
    NameTooLong(usize),
    /// [`BROKERS_MAX`] are registered.
    #[error("{BROKERS_MAX} broker addresses are registered")]
    TooManyBrokers,
    /// [`TOPICS_MAX`] would be passed.
    #[error("{TOPICS_MAX} topics are registered")]
    TooManyTopics,
    /// [`ROUTES_MAX_BYTES`] would be passed.
    #[error("what brokers say of topics takes {} MiB", ROUTES_MAX_BYTES >> 20)]
    TooManyRoutes,
    /// [`MAPPINGS_MAX_BYTES`] would be passed.
    #[error("the queues of static topics take {} MiB", MAPPINGS_MAX_BYTES >> 20)]
    TooManyMappings,
    /// [`FILTER_SERVERS_MAX`] of one broker.
    #[error("a broker has at most {FILTER_SERVERS_MAX} filter servers")]
    TooManyFilterServers,
}

impl Registration<'_> {
    pub(crate) fn key(&self) -> BrokerKey {
        BrokerKey { cluster: self.cluster.to_owned(), address: self.address.to_owned() }
    }
}

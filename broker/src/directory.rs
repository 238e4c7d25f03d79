//! Topics, consumer groups and settings of the broker, as shard 0 keeps them for everybody.
//!
//! One way for every change: the pure table changes in one step, the document goes to disk, the
//! entry is published to all shards, the name servers hear of it, and only then the request is
//! answered. Two kinds publish before the disk has them, as nobody is promised anything by then:
//! groups that a heartbeat makes, and settings. Publishing always sends the entry as the table has
//! it at that moment, so two changes of one name that overtake each other on the way end with the
//! newer one everywhere. The deletion of a topic goes the other way.

mod deletion;
mod settings;
mod tables;
mod topics;

pub use tables::{OVERRIDES_FILE, Tables};

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use ringmq_protocol::bodies::group::SubscriptionGroupConfig;
use ringmq_protocol::bodies::topic::DataVersion;
use ringmq_runtime::clock;
use ringmq_runtime::sync::Notify;

use self::deletion::Deletions;
use self::tables::Writers;
use self::topics::topic_view;
use crate::clients::Clients;
use crate::config::Settings;
use crate::documents::NotWritten;
use crate::shard::DataPlane;
use crate::subscription_groups::{GroupError, SubscriptionGroups};
use crate::topics::{TopicError, Topics};
use crate::view::{self, Change};

/// Who this broker is, fixed at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the broker.
    pub name: String,
    /// 0 is the master.
    pub id: i64,
    /// What clients connect to, as `ip:port`.
    pub address: String,
    /// What slaves connect to, as `ip:port`.
    pub ha_address: String,
}

/// Why a change of the directory was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// About a topic.
    #[error("{0}")]
    Topic(#[from] TopicError),
    /// About a group.
    #[error("{0}")]
    Group(#[from] GroupError),
    /// It was made, and is lost at the next start: the disk refused it.
    #[error("{0}")]
    NotWritten(#[from] NotWritten),
    /// It is still there, though maybe with fewer messages.
    #[error("topic {topic} is not deleted: {reason}")]
    NotDeleted {
        /// The topic.
        topic: String,
        /// What a log or the disk said.
        reason: String,
    },
}

/// Topics whose registration with the name servers is due.
#[derive(Default)]
pub struct RegistrationsDue {
    topics: RefCell<BTreeSet<String>>,
    /// Signalled when `topics` grew.
    pub grew: Notify,
}

impl RegistrationsDue {
    /// Takes the names; the caller registers them.
    pub fn take(&self) -> BTreeSet<String> {
        self.topics.take()
    }

    fn add(&self, topic: &str) {
        self.topics.borrow_mut().insert(topic.to_owned());
        self.grew.notify_one();
    }
}

/// Names that a request is about, and whether it changed what the table has under them.
type Touched = BTreeMap<String, bool>;

/// Has `update` take the entries of a request into a table, up to the first that it refuses; it
/// says whether the table changed.
fn take_in_turn<T, E>(
    wanted: Vec<T>,
    name_of: impl Fn(&T) -> String,
    mut update: impl FnMut(T) -> Result<bool, E>,
) -> (Touched, Result<(), E>) {
    let mut touched = Touched::new();
    for entry in wanted {
        let name = name_of(&entry);
        match update(entry) {
            Ok(is_changed) => *touched.entry(name).or_default() |= is_changed,
            Err(error) => return (touched, Err(error)),
        }
    }
    (touched, Ok(()))
}

/// The durable half of the control plane.
pub struct Directory {
    /// Who we are.
    pub identity: Identity,
    /// What the name servers do not know yet.
    pub registrations_due: RegistrationsDue,
    /// What is in force.
    settings: RefCell<Arc<Settings>>,
    /// What the next start will find: also the keys that a running broker does not change.
    next_settings: RefCell<Settings>,
    settings_version: Cell<DataVersion>,
    tables: Rc<Tables>,
    clients: Rc<Clients>,
    data: Rc<DataPlane>,
    writers: Writers,
    deletions: Deletions,
}

impl Directory {
    /// Puts the tables of an earlier run in force: publishes everything to this and all other
    /// shards.
    pub fn start(
        identity: Identity,
        settings: Arc<Settings>,
        tables: Tables,
        clients: Rc<Clients>,
        data: Rc<DataPlane>,
    ) -> Rc<Self> {
        let tables = Rc::new(tables);
        let writers = tables.writers(data.disk());
        let directory = Rc::new(Self {
            identity,
            registrations_due: RegistrationsDue::default(),
            next_settings: RefCell::new(Settings::clone(&settings)),
            settings: RefCell::new(settings),
            settings_version: Cell::default(),
            tables,
            clients,
            data,
            writers,
            deletions: Deletions::default(),
        });
        for topic in directory.topics().iter() {
            directory.data.publish(Change::Topic(Arc::new(topic_view(topic))));
        }
        let names: Vec<_> = directory.groups().iter().map(|g| g.group_name.clone()).collect();
        for name in names {
            directory.publish_group(&name);
        }
        // What this version adds to the tables of an earlier one.
        directory.writers.topics.changed();
        directory.writers.groups.changed();
        directory
    }

    /// The settings as of now.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// The topic table; not to be held across an await.
    pub fn topics(&self) -> Ref<'_, Topics> {
        self.tables.topics.borrow()
    }

    /// The table of groups; not to be held across an await.
    pub fn groups(&self) -> Ref<'_, SubscriptionGroups> {
        self.tables.groups.borrow()
    }

    /// The group of a client that consumes, made if the settings allow it, in one step: it is
    /// published, and on its way to the disk. Should it be lost with a crash, the next use makes it
    /// again.
    ///
    /// # Errors
    /// See [`SubscriptionGroups::ensure`].
    pub fn ensure_group(&self, name: &str) -> Result<Arc<SubscriptionGroupConfig>, DirectoryError> {
        let settings = self.settings();
        let (group, is_new) =
            self.tables.groups.borrow_mut().ensure(name, &settings, clock::unix_ms())?;
        if is_new {
            self.writers.groups.changed();
            self.publish_group(name);
        }
        Ok(group)
    }

    /// Creates or replaces groups as a tool asks. All of them cost one write.
    ///
    /// # Errors
    /// An illegal name, a full table, and the disk's. Groups before the first refused one are
    /// changed.
    pub async fn update_groups(
        &self,
        wanted: Vec<SubscriptionGroupConfig>,
    ) -> Result<(), DirectoryError> {
        let (settings, now_ms) = (self.settings(), clock::unix_ms());
        let name = |group: &SubscriptionGroupConfig| group.group_name.clone();
        let (touched, taken) = take_in_turn(wanted, name, |group| {
            let mut groups = self.tables.groups.borrow_mut();
            groups.update(group, &settings, now_ms).map(|change| change.is_some())
        });
        self.settle_groups(touched).await?;
        Ok(taken?)
    }

    /// Removes a group.
    ///
    /// # Errors
    /// A built-in group, and the disk's.
    pub async fn delete_group(&self, name: &str) -> Result<(), DirectoryError> {
        let deleted = self.tables.groups.borrow_mut().delete(name, clock::unix_ms())?.is_some();
        self.settle_groups(Touched::from([(name.to_owned(), deleted)])).await
    }

    /// Allows or forbids a group to read a topic.
    ///
    /// # Errors
    /// See [`SubscriptionGroups::set_readable`], and the disk's.
    pub async fn set_readable(
        &self,
        group: &str,
        topic: &str,
        readable: bool,
    ) -> Result<(), DirectoryError> {
        let now_ms = clock::unix_ms();
        let changed =
            self.tables.groups.borrow_mut().set_readable(group, topic, readable, now_ms)?;
        self.settle_groups(Touched::from([(group.to_owned(), changed)])).await
    }

    /// What follows a step in the table: disk, shards.
    async fn settle_groups(&self, touched: Touched) -> Result<(), DirectoryError> {
        if touched.values().any(|is_changed| *is_changed) {
            self.writers.groups.changed();
        }
        self.writers.groups.settled().await?;
        touched.keys().for_each(|name| self.publish_group(name));
        Ok(())
    }

    /// Publishes a group with its settings, members' subscriptions and locks as they are now.
    pub fn publish_group(&self, name: &str) {
        let settings = self.tables.groups.borrow().get(name).cloned();
        let live = self.clients.live(name);
        let forbidden = self.tables.groups.borrow().forbidden_topics(name);
        let change = match settings {
            Some(settings) => Change::Group(Arc::new(group_view(&settings, forbidden, live))),
            None => Change::GroupGone(name.to_owned()),
        };
        self.data.publish(change);
    }

    /// Publishes until when a group holds locks.
    pub fn publish_locks(&self, name: &str) {
        let until_ms = self.clients.locked_until_ms(name);
        self.data.publish(Change::Locked { group: name.to_owned(), until_ms });
    }

    /// Waits until every document is on disk.
    ///
    /// # Errors
    /// One of them is not.
    pub async fn settled(&self) -> Result<(), NotWritten> {
        self.writers.topics.settled().await?;
        self.writers.groups.settled().await?;
        self.writers.overrides.settled().await
    }
}

fn group_view(
    group: &SubscriptionGroupConfig,
    forbidden_topics: Vec<String>,
    live: Option<view::LiveGroup>,
) -> view::Group {
    view::Group {
        name: group.group_name.clone(),
        consume_enabled: group.consume_enable,
        broadcast_enabled: group.consume_broadcast_enable,
        retries_max: group.retry_max_times,
        sys_flag: group.group_sys_flag,
        forbidden_topics,
        live,
    }
}

//! Topics, consumer groups and settings of the broker, as shard 0 keeps them for everybody.
//!
//! One way for every change: the pure table changes in one step, the document goes to disk, the
//! entry is published to all shards, the name servers hear of it, and only then the request is
//! answered. Publishing always sends the entry as the table has it at that moment, so two changes
//! of one name that overtake each other on the way end with the newer one everywhere.

mod tables;

pub use tables::{OVERRIDES_FILE, Tables};

use crate::clients::Clients;
use crate::config::{ConfigError, Notes, Rules as _, Settings, UpdateError};
use crate::documents::{self, NotWritten};
use crate::shard::DataPlane;
use crate::subscription_groups::{GroupError, SubscriptionGroups};
use crate::topics::{TopicError, Topics, Wanted};
use crate::view::{self, Change};
use ringmq_protocol::bodies::group::SubscriptionGroupConfig;
use ringmq_protocol::bodies::topic::{DataVersion, TopicConfig};
use ringmq_protocol::names::retry_topic;
use ringmq_runtime::clock;
use ringmq_runtime::sync::Notify;
use ringmq_settings::Properties;
use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use tables::Writers;

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
}

/// Topics whose registration with the name servers is due.
#[derive(Default)]
pub struct Unregistered {
    topics: RefCell<BTreeSet<String>>,
    /// Signalled when `topics` grew.
    pub due: Notify,
}

impl Unregistered {
    /// Takes the names; the caller registers them.
    pub fn take(&self) -> BTreeSet<String> {
        self.topics.take()
    }

    fn add(&self, topic: &str) {
        self.topics.borrow_mut().insert(topic.to_owned());
        self.due.notify_one();
    }
}

/// The durable half of the control plane.
pub struct Directory {
    /// Who we are.
    pub identity: Identity,
    /// What the name servers do not know yet.
    pub unregistered: Unregistered,
    /// What is in force.
    settings: RefCell<Arc<Settings>>,
    /// What the next start will find: also the keys that a running broker does not change.
    next_settings: RefCell<Settings>,
    settings_version: Cell<DataVersion>,
    tables: Rc<Tables>,
    clients: Rc<Clients>,
    data: Rc<DataPlane>,
    writers: Writers,
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
            unregistered: Unregistered::default(),
            next_settings: RefCell::new(Settings::clone(&settings)),
            settings: RefCell::new(settings),
            settings_version: Cell::default(),
            tables,
            clients,
            data,
            writers,
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

    /// Makes the topic that a client sends to.
    ///
    /// # Errors
    /// See [`Topics::from_template`], and the disk's.
    pub async fn topic_from_template(&self, wanted: &Wanted<'_>) -> Result<(), DirectoryError> {
        let settings = self.settings();
        let change =
            |topics: &mut Topics| topics.from_template(wanted, &settings, clock::unix_ms());
        self.change_topic(wanted.topic, |topics| change(topics).map(drop)).await
    }

    /// Makes a topic that the broker itself needs, such as the retry topic of a group.
    ///
    /// # Errors
    /// See [`Topics::ensure`], and the disk's.
    pub async fn ensure_topic(
        &self,
        name: &str,
        queues: i32,
        sys_flag: i32,
    ) -> Result<(), DirectoryError> {
        let settings = self.settings();
        let now_ms = clock::unix_ms();
        self.change_topic(name, |topics| {
            topics.ensure(name, queues, sys_flag, &settings, now_ms).map(drop)
        })
        .await
    }

    /// Creates or replaces topics as a tool asks, each with its attribute edits. All of them cost
    /// one write.
    ///
    /// # Errors
    /// See [`Topics::update`], and the disk's. Topics before the first refused one are changed.
    pub async fn update_topics(
        &self,
        wanted: Vec<(TopicConfig, String)>,
    ) -> Result<(), DirectoryError> {
        let (settings, broker) = (self.settings(), &self.identity.name);
        let now_ms = clock::unix_ms();
        let (mut named, mut changed, mut refused) = (Vec::new(), BTreeSet::new(), None);
        for (topic, edits) in wanted {
            let name = topic.topic_name.clone();
            let updated =
                self.tables.topics.borrow_mut().update(topic, &edits, &settings, broker, now_ms);
            match updated {
                Ok(None) => {}
                Ok(Some(_)) => drop(changed.insert(name.clone())),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
            named.push(name);
        }
        if !changed.is_empty() {
            self.writers.topics.changed();
        }
        // Also without a change of our own: another request may have made the topic a moment ago.
        self.writers.topics.settled().await?;
        for name in named {
            self.publish_topic(&name);
        }
        for name in changed {
            self.unregistered.add(&name);
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Removes a topic; false when there was none.
    ///
    /// # Errors
    /// A system topic, and the disk's.
    pub async fn delete_topic(&self, name: &str) -> Result<bool, DirectoryError> {
        let (settings, broker) = (self.settings(), &self.identity.name);
        let deleted = self
            .tables
            .topics
            .borrow_mut()
            .delete(name, &settings, broker, clock::unix_ms())?
            .is_some();
        if deleted {
            self.writers.topics.changed();
        }
        self.writers.topics.settled().await?;
        self.publish_topic(name);
        Ok(deleted)
    }

    /// One step in the table, then disk, shards, name servers.
    async fn change_topic(
        &self,
        name: &str,
        change: impl FnOnce(&mut Topics) -> Result<(), TopicError>,
    ) -> Result<(), DirectoryError> {
        let before = self.tables.topics.borrow().version();
        change(&mut self.tables.topics.borrow_mut())?;
        let is_changed = self.tables.topics.borrow().version() != before;
        if is_changed {
            self.writers.topics.changed();
        }
        // Also without a change of our own: another request may have made the topic a moment ago.
        self.writers.topics.settled().await?;
        self.publish_topic(name);
        if is_changed {
            self.unregistered.add(name);
        }
        Ok(())
    }

    fn publish_topic(&self, name: &str) {
        let topic = self.tables.topics.borrow().get(name).map(|topic| Arc::new(topic_view(topic)));
        let is_known = match (&topic, self.data.local.view().topic(name)) {
            (Some(topic), Some(known)) => topic == known,
            (None, None) => true,
            _ => false,
        };
        if !is_known {
            let gone = || Change::TopicGone(name.to_owned());
            self.data.publish(topic.map_or_else(gone, Change::Topic));
        }
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

    /// The retry topics of these groups, each with unit flags. Many groups cost few writes.
    ///
    /// # Errors
    /// See [`Topics::ensure`], and the disk's. Topics before the first refused one are made.
    pub async fn ensure_retry_topics(
        &self,
        groups: &[(Arc<SubscriptionGroupConfig>, i32)],
    ) -> Result<(), DirectoryError> {
        let (settings, now_ms) = (self.settings(), clock::unix_ms());
        let mut made = Vec::new();
        for (group, sys_flag) in groups {
            let name = retry_topic(&group.group_name);
            if self.tables.topics.borrow().get(&name).is_none() {
                let queues = group.retry_queue_nums;
                self.tables
                    .topics
                    .borrow_mut()
                    .ensure(&name, queues, *sys_flag, &settings, now_ms)?;
                self.writers.topics.changed();
                made.push(name);
            }
        }
        self.settled().await?;
        for name in made {
            self.publish_topic(&name);
            self.unregistered.add(&name);
        }
        Ok(())
    }

    /// Creates or replaces a group as a tool asks.
    ///
    /// # Errors
    /// An illegal name, a full table, and the disk's.
    pub async fn update_group(&self, group: SubscriptionGroupConfig) -> Result<(), DirectoryError> {
        let (settings, name) = (self.settings(), group.group_name.clone());
        let changed =
            self.tables.groups.borrow_mut().update(group, &settings, clock::unix_ms())?.is_some();
        self.groups_changed(changed, &name).await
    }

    /// Removes a group.
    ///
    /// # Errors
    /// A built-in group, and the disk's.
    pub async fn delete_group(&self, name: &str) -> Result<(), DirectoryError> {
        let deleted = self.tables.groups.borrow_mut().delete(name, clock::unix_ms())?.is_some();
        self.groups_changed(deleted, name).await
    }

    /// Allows or forbids a group to read a topic.
    ///
    /// # Errors
    /// The disk's.
    pub async fn set_readable(
        &self,
        group: &str,
        topic: &str,
        readable: bool,
    ) -> Result<(), DirectoryError> {
        let now_ms = clock::unix_ms();
        let changed = self.tables.groups.borrow_mut().set_readable(group, topic, readable, now_ms);
        self.groups_changed(changed, group).await
    }

    async fn groups_changed(&self, changed: bool, name: &str) -> Result<(), DirectoryError> {
        if changed {
            self.writers.groups.changed();
        }
        self.writers.groups.settled().await?;
        self.publish_group(name);
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

    /// Applies settings that came by request, keeps them for the next start, and returns what the
    /// requester should know: unknown keys, and keys that take effect only then.
    ///
    /// # Errors
    /// A key or value that is refused; nothing is changed then.
    pub fn update_settings(&self, text: &[u8]) -> Result<Vec<String>, UpdateError> {
        let properties =
            Properties::parse(text).map_err(|error| ConfigError::Combination(error.to_string()))?;
        let mut notes = Notes::default();
        let mut settings = Settings::clone(&self.settings());
        let next = &mut *self.next_settings.borrow_mut();
        let needs_restart = settings.update(next, &properties, &mut notes)?;
        let mut told = notes.warnings;
        if !needs_restart.is_empty() {
            told.push(format!("in force after the next start: {}", needs_restart.join(", ")));
        }
        for line in &told {
            tracing::warn!("configuration change: {line}");
        }
        let settings = Arc::new(settings);
        let before = self.settings.replace(Arc::clone(&settings));
        let mut version = self.settings_version.get();
        documents::advance(&mut version, clock::unix_ms());
        self.settings_version.set(version);
        let known = properties.entries().iter().filter(|entry| Settings::is_known(&entry.key));
        let changes = known.map(|entry| (entry.key.clone(), entry.value.clone()));
        self.tables.overrides.borrow_mut().extend(changes);
        self.writers.overrides.changed();
        self.data.publish(Change::Settings(Arc::clone(&settings)));
        self.after_update(&before, &settings);
        Ok(told)
    }

    /// Identifies the state of the settings.
    pub fn settings_version(&self) -> DataVersion {
        self.settings_version.get()
    }

    /// Publishes a group that a lock request named; one without settings is nobody's business.
    pub fn publish_group_if_known(&self, name: &str) {
        if self.tables.groups.borrow().get(name).is_some() {
            self.publish_group(name);
        }
    }

    /// What follows from a change besides its publication.
    fn after_update(&self, before: &Settings, settings: &Settings) {
        let now_ms = clock::unix_ms();
        let template = self.tables.topics.borrow_mut().add_template(settings, now_ms);
        if let Some(template) = template {
            self.writers.topics.changed();
            self.publish_topic(&template.topic_name);
            self.unregistered.add(&template.topic_name);
        }
        if before.broker_permission != settings.broker_permission {
            // Topics are registered with no more than the broker's permission, so every route
            // changes.
            for topic in self.topics().iter() {
                self.unregistered.add(&topic.topic_name);
            }
        }
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

fn topic_view(topic: &TopicConfig) -> view::Topic {
    let queues = |count| u32::try_from(count).unwrap_or(0);
    view::Topic {
        name: topic.topic_name.clone(),
        read_queues: queues(topic.read_queue_nums),
        write_queues: queues(topic.write_queue_nums),
        permission: topic.perm,
        is_ordered: topic.order,
        sys_flag: topic.topic_sys_flag,
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
        retry_queues: u32::try_from(group.retry_queue_nums).unwrap_or(0),
        sys_flag: group.group_sys_flag,
        forbidden_topics,
        live,
    }
}

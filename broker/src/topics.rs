//! The topic table: what exists, how it is made, how it changes.
//!
//! Pure: the owner (shard 0) passes the time, writes [`Topics::document`] to disk and publishes the
//! entry before anyone is told that a change happened.
//!
//! A topic comes into being as a system topic at start, through a tool, from a template when a
//! client sends to it (`TBW102` with the inherit bit), or as the retry or dead-letter topic of a
//! group. It ends when a tool deletes it; system topics do not end.

pub mod attributes;
pub mod system;

use std::collections::BTreeMap;
use std::sync::Arc;

use ringmq_protocol::bodies::topic::{DataVersion, TopicConfig, TopicConfigTable};
use ringmq_protocol::names::{TEMPLATE_TOPIC, perm};

use crate::config::Settings;
use crate::names;
use crate::versioned_table::{Full, VersionedTable};

/// Most queues of one topic: what a route can say, and far above any use.
pub const TOPIC_QUEUES_MAX: i32 = 65_535;

/// Why a topic was not made or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The name is empty, too long, or has characters that are not allowed.
    #[error("{0}")]
    IllegalName(String),
    /// The name belongs to the system.
    #[error("the topic {0} belongs to the system and cannot be changed")]
    SystemTopic(String),
    /// A number of queues or a permission that no topic can have.
    #[error("{0}")]
    OutOfRange(String),
    /// An attribute that does not exist, or cannot be changed.
    #[error("{0}")]
    Attribute(String),
    /// The template does not exist, or may not be used.
    #[error("topic[{topic}] not exist, apply first please! (template {template}: {why})")]
    NotCreated {
        /// The topic that was wanted.
        topic: String,
        /// The template that the client named.
        template: String,
        /// What stood against it.
        why: &'static str,
    },
    /// The table is full.
    #[error("{have} topics exist, the limit is topicsMax={limit}: raise it or delete unused ones")]
    Full {
        /// Topics in the table.
        have: usize,
        /// How many there may be: less than there are when it was lowered since.
        limit: usize,
    },
}

/// A client wants to send to a topic that does not exist.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Its name.
    pub topic: &'a str,
    /// The template that the client names, usually [`TEMPLATE_TOPIC`].
    pub template: &'a str,
    /// How many queues the client wants at most.
    pub queues: i32,
    /// Unit flags.
    pub sys_flag: i32,
}

/// The topics of this broker.
#[derive(Debug)]
pub struct Topics {
    table: VersionedTable<TopicConfig>,
}

impl Topics {
    /// The table of an earlier run, completed with the system topics of this configuration.
    pub fn load(
        document: TopicConfigTable,
        settings: &Settings,
        broker_name: &str,
        now_ms: i64,
    ) -> Self {
        let mut table = VersionedTable::new(document.topic_config_table, document.data_version);
        let wanted = system::topics(settings, broker_name).into_iter();
        table.complete(wanted.map(|topic| (topic.topic_name.clone(), topic)), completed, now_ms);
        Self { table }
    }

    /// The whole table, as it is written to disk (Apache's `topics.json`).
    pub fn document(&self) -> TopicConfigTable {
        self.table_of(TopicConfig::clone)
    }

    /// The whole table, lent to be sent to tools: some of it may be all that they get.
    pub fn lent(&self) -> TopicConfigTable<&TopicConfig> {
        self.table_of(|topic| topic)
    }

    fn table_of<'a, C>(&'a self, of: impl Fn(&'a TopicConfig) -> C) -> TopicConfigTable<C> {
        TopicConfigTable {
            data_version: self.table.version(),
            mapping_data_version: None,
            topic_config_table: self.table.to_map(of),
            topic_queue_mapping_detail_map: None,
            topic_queue_mapping_info_map: None,
        }
    }

    /// The topic of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<TopicConfig>> {
        self.table.get(name)
    }

    /// All topics, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TopicConfig>> {
        self.table.iter()
    }

    /// Identifies this state of the table.
    pub fn version(&self) -> DataVersion {
        self.table.version()
    }

    /// Makes a topic from a template because a client sends to it; the existing one if there is
    /// one.
    ///
    /// # Errors
    /// An illegal name, a template without the inherit bit or switched off, a full table.
    pub fn from_template(
        &mut self,
        wanted: &Wanted<'_>,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<Arc<TopicConfig>, TopicError> {
        if let Some(topic) = self.table.get(wanted.topic) {
            return Ok(Arc::clone(topic));
        }
        check_name(wanted.topic)?;
        let refuse = |why| {
            let (topic, template) = (wanted.topic.to_owned(), wanted.template.to_owned());
            Err(TopicError::NotCreated { topic, template, why })
        };
        if wanted.template == TEMPLATE_TOPIC && !settings.auto_create_topic_enable {
            return refuse("autoCreateTopicEnable=false");
        }
        let Some(template) = self.table.get(wanted.template) else {
            return refuse("it does not exist");
        };
        if template.perm & perm::INHERIT == 0 {
            return refuse("its permission has no inherit bit");
        }
        let queues = wanted.queues.min(template.write_queue_nums).max(0);
        let topic = TopicConfig {
            topic_name: wanted.topic.to_owned(),
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: template.perm & !perm::INHERIT,
            topic_filter_type: template.topic_filter_type,
            topic_sys_flag: wanted.sys_flag,
            ..TopicConfig::default()
        };
        self.insert(topic, settings, now_ms)
    }

    /// Makes the retry or dead-letter topic of a group, or any other topic that the broker itself
    /// needs; the existing one if there is one.
    ///
    /// # Errors
    /// An illegal name, a full table.
    pub fn ensure(
        &mut self,
        name: &str,
        queues: i32,
        sys_flag: i32,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<Arc<TopicConfig>, TopicError> {
        if let Some(topic) = self.table.get(name) {
            return Ok(Arc::clone(topic));
        }
        check_name(name)?;
        let queues = queues.clamp(0, TOPIC_QUEUES_MAX);
        let topic = TopicConfig {
            topic_name: name.to_owned(),
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: perm::READ_WRITE,
            topic_sys_flag: sys_flag,
            ..TopicConfig::default()
        };
        self.insert(topic, settings, now_ms)
    }

    /// Creates or replaces a topic as a tool asks; `edits` are attribute edits such as
    /// `+message.type=FIFO,-reserve.time`. `None`: it was exactly so already.
    ///
    /// # Errors
    /// A name, number or attribute that is not allowed, a system topic, a full table.
    pub fn update(
        &mut self,
        mut topic: TopicConfig,
        edits: &str,
        settings: &Settings,
        broker_name: &str,
        now_ms: i64,
    ) -> Result<Option<Arc<TopicConfig>>, TopicError> {
        check_name(&topic.topic_name)?;
        let is_guarded = settings.validate_system_topic_when_update_topic;
        if is_guarded && system::is_system(&topic.topic_name, settings, broker_name) {
            return Err(TopicError::SystemTopic(topic.topic_name));
        }
        check_numbers(&topic)?;
        let known = self.table.get(&topic.topic_name);
        let nothing = BTreeMap::new();
        let before = known.map_or(&nothing, |known| &known.attributes);
        topic.attributes =
            attributes::apply(before, edits, known.is_none()).map_err(TopicError::Attribute)?;
        if known.is_some_and(|known| **known == topic) {
            return Ok(None);
        }
        self.insert(topic, settings, now_ms).map(Some)
    }

    /// Removes a topic; `None` when there is none of that name.
    ///
    /// # Errors
    /// A system topic.
    pub fn delete(
        &mut self,
        name: &str,
        settings: &Settings,
        broker_name: &str,
        now_ms: i64,
    ) -> Result<Option<Arc<TopicConfig>>, TopicError> {
        if !self.is_deletable(name, settings, broker_name)? {
            return Ok(None);
        }
        Ok(self.table.remove(name, now_ms))
    }

    /// Whether there is a topic of that name to delete.
    ///
    /// # Errors
    /// A system topic.
    pub fn is_deletable(
        &self,
        name: &str,
        settings: &Settings,
        broker_name: &str,
    ) -> Result<bool, TopicError> {
        if system::is_system(name, settings, broker_name) {
            return Err(TopicError::SystemTopic(name.to_owned()));
        }
        Ok(self.table.contains(name))
    }

    /// Puts the template for unknown topics into the table after `autoCreateTopicEnable` was
    /// switched on.
    pub fn add_template(&mut self, settings: &Settings, now_ms: i64) -> Option<Arc<TopicConfig>> {
        if self.table.contains(TEMPLATE_TOPIC) || !settings.auto_create_topic_enable {
            return None;
        }
        self.insert(system::template(settings), settings, now_ms).ok()
    }

    fn insert(
        &mut self,
        topic: TopicConfig,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<Arc<TopicConfig>, TopicError> {
        let (name, limit) = (topic.topic_name.clone(), settings.topics_max as usize);
        let made = self.table.insert(name, topic, limit, now_ms);
        made.map_err(|Full { have, limit }| TopicError::Full { have, limit })
    }
}

/// What a topic of the system becomes beside the one that an earlier run had: its permission
/// follows the settings. All else stays, such as queues with messages: broker and cluster may be
/// called like a topic.
fn completed(known: Option<&TopicConfig>, topic: TopicConfig) -> Option<TopicConfig> {
    let Some(known) = known else { return Some(topic) };
    (known.perm != topic.perm).then(|| TopicConfig {
        read_queue_nums: known.read_queue_nums.max(topic.read_queue_nums),
        write_queue_nums: known.write_queue_nums.max(topic.write_queue_nums),
        perm: topic.perm,
        ..known.clone()
    })
}

fn check_name(name: &str) -> Result<(), TopicError> {
    names::check_topic(name).map_err(TopicError::IllegalName)
}

fn check_numbers(topic: &TopicConfig) -> Result<(), TopicError> {
    let queues =
        [("readQueueNums", topic.read_queue_nums), ("writeQueueNums", topic.write_queue_nums)];
    for (field, value) in queues {
        if !(0..=TOPIC_QUEUES_MAX).contains(&value) {
            let text = format!("{field}={value}: expected 0 to {TOPIC_QUEUES_MAX}");
            return Err(TopicError::OutOfRange(text));
        }
    }
    if !(0..=perm::ALL).contains(&topic.perm) {
        return Err(TopicError::OutOfRange(format!(
            "perm={}: expected 0 to {}",
            topic.perm,
            perm::ALL
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

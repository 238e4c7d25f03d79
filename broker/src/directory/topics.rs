//! Changes of topics.
//!
//! Each is a step in the table and then [`Directory::settle_topics`]. A deletion goes the other way
//! round ([`deletion`](super::deletion)).

use std::sync::Arc;

use ringmq_protocol::bodies::group::SubscriptionGroupConfig;
use ringmq_protocol::bodies::topic::TopicConfig;
use ringmq_protocol::names::retry_topic;
use ringmq_runtime::{clock, task};

use super::{Directory, DirectoryError, Touched, take_in_turn};
use crate::topics::{TopicError, Topics, Wanted};
use crate::view::{self, Change};

impl Directory {
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
        // While one is awaited, another of them may begin.
        let names = wanted.iter().map(|(topic, _)| &topic.topic_name);
        while let Some(name) = names.clone().find(|name| self.deletions.are_under_way(name)) {
            self.deletions.ended(name).await;
        }
        let (settings, broker) = (self.settings(), &self.identity.name);
        let now_ms = clock::unix_ms();
        let name = |(topic, _): &(TopicConfig, String)| topic.topic_name.clone();
        let (touched, taken) = take_in_turn(wanted, name, |(topic, edits)| {
            let mut topics = self.tables.topics.borrow_mut();
            let change = topics.update(topic, &edits, &settings, broker, now_ms);
            change.map(|change| change.is_some())
        });
        self.settle_topics(touched).await?;
        Ok(taken?)
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
        let (mut made, mut refused) = (Touched::new(), None);
        for (group, sys_flag) in groups {
            task::yield_if_needed().await;
            let name = retry_topic(&group.group_name);
            self.deletions.ended(&name).await;
            let mut topics = self.tables.topics.borrow_mut();
            if topics.get(&name).is_some() {
                // One that the disk refused before is in the table, and no shard has it.
                if self.data.local.view().topic(&name).is_none() {
                    made.insert(name, false);
                }
                continue;
            }
            match topics.ensure(&name, group.retry_queue_nums, *sys_flag, &settings, now_ms) {
                Ok(_) => drop(made.insert(name, true)),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        self.settle_topics(made).await?;
        // The groups, too: who is answered finds both after a crash.
        self.settled().await?;
        refused.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn change_topic(
        &self,
        name: &str,
        change: impl FnOnce(&mut Topics) -> Result<(), TopicError>,
    ) -> Result<(), DirectoryError> {
        self.deletions.ended(name).await;
        let before = self.topics().version();
        change(&mut self.tables.topics.borrow_mut())?;
        let is_changed = self.topics().version() != before;
        self.settle_topics(Touched::from([(name.to_owned(), is_changed)])).await
    }

    /// What follows a step in the table: disk, shards, name servers.
    async fn settle_topics(&self, touched: Touched) -> Result<(), DirectoryError> {
        if touched.values().any(|is_changed| *is_changed) {
            self.writers.topics.changed();
        }
        // Also without a change of our own: another request may have made the topic a moment ago.
        self.writers.topics.settled().await?;
        for (name, is_changed) in touched {
            // A change that the disk refused before is none now, and as new to everybody.
            let is_news = self.publish_topic(&name);
            if is_changed || is_news {
                self.registrations_due.add(&name);
            }
            task::yield_if_needed().await;
        }
        Ok(())
    }

    /// Publishes a topic as the table has it; one that is being deleted is gone for shards. False:
    /// they had it so already.
    pub(super) fn publish_topic(&self, name: &str) -> bool {
        let topics = self.tables.topics.borrow();
        let topic = topics.get(name).filter(|_| !self.deletions.are_under_way(name));
        let topic = topic.map(|topic| Arc::new(topic_view(topic)));
        drop(topics);
        let is_known = match (&topic, self.data.local.view().topic(name)) {
            (Some(topic), Some(known)) => topic == known,
            (None, None) => true,
            _ => false,
        };
        if !is_known {
            let gone = || Change::TopicGone(name.to_owned());
            self.data.publish(topic.map_or_else(gone, Change::Topic));
        }
        !is_known
    }
}

pub(super) fn topic_view(topic: &TopicConfig) -> view::Topic {
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

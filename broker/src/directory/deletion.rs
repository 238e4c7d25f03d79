//! Topics that are being deleted.
//!
//! A deletion begins where a change ends: the shards forget the topic, its queues and the progress
//! in them, and make that last; only then the table forgets it, and its document. A crash in
//! between leaves a topic with less in it, and the tool that asked has had no answer. The other way
//! round it would leave queues that no table knows, and the next topic of that name would begin
//! with their messages.
//!
//! Members of groups that run keep their positions in memory, and come with them to the next topic
//! of that name: they would miss its first messages. So each group with progress in the topic, or
//! with a pull that was held for it or waited for the device, is reset to 0 in the same step that
//! forgets its progress (`ringmq_store::resets`). There may be 300,000 groups, so a step takes some
//! of them. In between the views have no such topic, so pulls and commits are refused, and who asks
//! how far a group is learns that it is where it was, or begins anew. The resets are on disk before
//! the topic is gone from the table, and outlive a restart. Progress is saved all the while, so it
//! is forgotten only when no crash brings the messages back: one that comes before finds all of
//! them, with each group where it was, and gives nobody a message twice. One that comes later, or a
//! stop, which waits for no deletion, leaves a topic without messages: every start takes what is
//! left of progress in it back to 0.
//!
//! What this cannot know is a member that has neither committed nor has a pull here at that moment:
//! it goes on where it was. So do members of a broadcasting group but for the first that comes
//! back: a reset is of a group, and ends with that one. Of more groups than there may be resets
//! some are forgotten, those with held pulls last.
//!
//! A request to make or change the topic meanwhile waits until it is gone.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use ringmq_runtime::clock;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;

use super::{Directory, DirectoryError};
use crate::services::pull::held::{self, Waited};
use crate::shard::DataPlane;

/// Names of topics that are being deleted.
#[derive(Default)]
pub(super) struct Deletions {
    names: RefCell<BTreeSet<String>>,
    ended: Notify,
}

/// One of them; it has ended when this is dropped.
struct UnderWay<'a> {
    deletions: &'a Deletions,
    name: &'a str,
}

impl Deletions {
    pub(super) fn are_under_way(&self, name: &str) -> bool {
        self.names.borrow().contains(name)
    }

    /// Waits until this topic is not being deleted.
    pub(super) async fn ended(&self, name: &str) {
        while self.are_under_way(name) {
            self.ended.notified().await;
        }
    }

    fn begin<'a>(&'a self, name: &'a str) -> UnderWay<'a> {
        self.names.borrow_mut().insert(name.to_owned());
        UnderWay { deletions: self, name }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.deletions.names.borrow_mut().remove(self.name);
        self.deletions.ended.notify_all();
    }
}

impl Directory {
    /// Removes a topic, its messages and the progress of groups in it, for good; false when there
    /// was none.
    ///
    /// # Errors
    /// A system topic, and the disk's.
    pub async fn delete_topic(&self, name: &str) -> Result<bool, DirectoryError> {
        self.deletions.ended(name).await;
        let (settings, broker) = (self.settings(), &self.identity.name);
        if !self.topics().is_deletable(name, &settings, broker)? {
            // An earlier deletion of it may have failed to reach the disk, where it is then.
            self.writers.topics.settled().await?;
            return Ok(false);
        }
        let under_way = self.deletions.begin(name);
        self.publish_topic(name);
        if let Err(reason) = delete_queues(&self.data, name).await {
            drop(under_way);
            self.publish_topic(name);
            return Err(DirectoryError::NotDeleted { topic: name.to_owned(), reason });
        }
        let now_ms = clock::unix_ms();
        self.tables.topics.borrow_mut().delete(name, &settings, broker, now_ms)?;
        self.writers.topics.changed();
        self.writers.topics.settled().await?;
        Ok(true)
    }
}

/// Forgets the queues of a topic, and every group's progress in them, until no crash brings them
/// back. Shards that get this know already that the topic is gone: nothing is appended to it.
async fn delete_queues(data: &Rc<DataPlane>, topic: &str) -> Result<(), String> {
    let topic = topic.to_owned();
    let deleted = data.on_all_shards(move |data| {
        let topic = topic.clone();
        async move {
            // All at once: a wait that ends meanwhile would tell nothing of its group.
            let taken = held::take_topic(&data, &topic);
            for owned in data.local.logs() {
                owned.log.delete_topic(&topic);
            }
            let waited = held::answer_taken(&data, &topic, taken).await;
            let forgotten = forget_progress(&data, &topic, &waited).await;
            for owned in data.local.logs() {
                owned.save_progress().await.map_err(|error| error.to_string())?;
            }
            forgotten
        }
    });
    deleted.await.into_iter().collect()
}

/// Forgets the progress of groups in each queue of a topic that no crash brings back, and lets
/// those that `waited` there begin anew.
///
/// # Errors
/// What the last of the logs said that may bring theirs back.
async fn forget_progress(data: &DataPlane, topic: &str, waited: &[Waited]) -> Result<(), String> {
    let mut outcome = Ok(());
    for owned in data.local.logs() {
        if let Err(error) = owned.log.deletions_last().await {
            outcome = Err(error.to_string());
            continue;
        }
        owned.forget_topic(topic).await;
        // Last, as the newest resets stay when there are too many: these groups run.
        for Waited { group, queue_id } in waited {
            if data.local.log_of(topic, *queue_id).is_some_and(|of| Rc::ptr_eq(of, owned)) {
                owned.begin_anew(group, topic, *queue_id);
            }
            task::yield_if_needed().await;
        }
    }
    outcome
}

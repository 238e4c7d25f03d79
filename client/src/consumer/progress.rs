//! How far a member has consumed: where it begins, and when and where that is stored.

use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_protocol::names::RETRY_PREFIX;
use ringmq_runtime::clock;

use super::at_brokers::at_brokers;
use super::member::Member;
use super::offsets;
use crate::config::ConsumeFrom;
use crate::error::{Attempt, ClientError, Fault};
use crate::instance::{Commit, Place, Server};
use crate::queue::MessageQueue;

/// Where a group goes on in a queue.
#[derive(Clone, Copy)]
pub(crate) enum First {
    /// Where its progress is stored.
    Stored(i64),
    /// Where its settings have a new group begin.
    New(i64),
}

impl First {
    /// The offset of the next message.
    pub(crate) fn offset(self) -> i64 {
        match self {
            Self::Stored(offset) | Self::New(offset) => offset,
        }
    }
}

/// Progress in one queue, to be stored.
pub(crate) enum Due {
    /// What is known when its turn comes, if the queue is ours then: another owner moves it on.
    Ours(MessageQueue),
    /// This offset of a queue that was just given up.
    GivenUp(MessageQueue, i64),
}

impl Due {
    fn queue(&self) -> &MessageQueue {
        match self {
            Self::Ours(queue) | Self::GivenUp(queue, _) => queue,
        }
    }
}

impl Member {
    /// Where consumption of `queue` begins, which is ours from now on.
    ///
    /// # Errors
    /// The broker cannot be asked now; the queue waits for the next turn.
    pub(crate) async fn first_offset(&self, queue: &MessageQueue) -> Result<i64, Fault> {
        if let Some(known) = self.offsets.borrow().get(queue) {
            return Ok(known);
        }
        let first = self.look_up_first(queue).await?;
        if let First::Stored(offset) = first {
            self.offsets.borrow_mut().loaded(queue, offset, clock::monotonic_ms());
        }
        Ok(first.offset())
    }

    /// Where the group goes on in `queue`, whoever's it is.
    ///
    /// # Errors
    /// The broker cannot be asked now.
    pub(crate) async fn look_up_first(&self, queue: &MessageQueue) -> Result<First, Fault> {
        let broker = self.instance.broker(queue)?;
        if !self.is_broadcasting() {
            let next = Place::NextOf(&self.config.group);
            let stored = self.instance.offset_of(&broker, queue, next).await;
            match stored {
                Ok(offset) if offset >= 0 => {
                    return Ok(First::Stored(offset));
                }
                Err(fault) if fault.code() != Some(response::QUERY_NOT_FOUND) => return Err(fault),
                // Never stored; -1 is what some clients commit before they have consumed anything.
                Ok(_) | Err(_) => {}
            }
        }
        let is_retry = queue.topic.starts_with(RETRY_PREFIX);
        match self.config.consume_from {
            ConsumeFrom::FirstOffset => Ok(First::New(0)),
            ConsumeFrom::LastOffset if is_retry => Ok(First::New(0)),
            ConsumeFrom::Timestamp(at_ms) if !is_retry => {
                let at = Place::StoredAt(at_ms);
                self.instance.offset_of(&broker, queue, at).await.map(First::New)
            }
            ConsumeFrom::LastOffset | ConsumeFrom::Timestamp(_) => {
                self.instance.offset_of(&broker, queue, Place::End).await.map(First::New)
            }
        }
    }

    /// Whether offsets are stored without being asked to.
    pub(crate) fn commits_by_itself(&self) -> bool {
        !self.consumption.is_polled() || self.config.auto_commit
    }

    /// Stores the offsets of all queues that are ours, now.
    ///
    /// # Errors
    /// `Failed`: some of them are not stored.
    pub(crate) async fn persist_all(self: &Rc<Self>) -> Result<(), ClientError> {
        if self.is_broadcasting() {
            return self.persist_locally().await;
        }
        let all = ours(self.offsets.borrow().queues());
        let attempts = self.commit(all, Commit::Confirm).await;
        if attempts.is_empty() {
            return Ok(());
        }
        let action = format!("commit of group {}", self.config.group);
        Err(ClientError::Failed { action, attempts })
    }

    /// Stores what is due, wherever this group keeps its offsets.
    pub(crate) async fn persist(self: &Rc<Self>) {
        if !self.commits_by_itself() {
            return;
        }
        if self.is_broadcasting() {
            // Told by the log, and tried again.
            let _ = self.persist_locally().await;
        } else {
            let due = ours(self.offsets.borrow().due(clock::monotonic_ms()));
            self.commit(due, Commit::Tell).await;
        }
    }

    /// Sends offsets to their brokers, to all at once, and returns what failed. One that cannot be
    /// sent stays due.
    pub(crate) async fn commit(self: &Rc<Self>, due: Vec<Due>, how: Commit) -> Vec<Attempt> {
        let commit = |_, due| self.clone().commit_at_broker(due, how);
        at_brokers("commit", due, Due::queue, commit).await.concat()
    }

    /// Sends offsets to their broker. One that does not answer is not asked again.
    async fn commit_at_broker(self: Rc<Self>, due: Vec<Due>, how: Commit) -> Vec<Attempt> {
        let group = &self.config.group;
        let mut failed = Vec::new();
        for due in due {
            // Looked at now: the answer for the one before was waited for.
            let Some((queue, offset)) = self.still_due(due) else { continue };
            let (broker, told) = match self.instance.broker(&queue) {
                Ok(broker) => {
                    let told =
                        self.instance.store_offset(&broker, group, &queue, offset, how).await;
                    (broker, told)
                }
                Err(fault) => (Server::unknown(&queue.broker_name), Err(fault)),
            };
            match told {
                Ok(()) => self.offsets.borrow_mut().stored(&queue, offset, clock::monotonic_ms()),
                Err(fault) => {
                    tracing::warn!(%queue, offset, group, %fault, "offset not stored");
                    let is_silent = fault.is_silence();
                    failed.push(broker.attempt(fault));
                    if is_silent {
                        break;
                    }
                }
            }
        }
        failed
    }

    /// What of it is to be sent now, if anything is.
    fn still_due(&self, due: Due) -> Option<(MessageQueue, i64)> {
        match due {
            Due::Ours(queue) => {
                self.find(&queue)?;
                let offset = self.offsets.borrow().get(&queue)?;
                Some((queue, offset))
            }
            Due::GivenUp(queue, offset) => Some((queue, offset)),
        }
    }

    async fn persist_locally(&self) -> Result<(), ClientError> {
        if self.offsets.borrow().due(clock::monotonic_ms()).next().is_none() {
            return Ok(());
        }
        let all = self.offsets.borrow().all();
        let path = offsets::local_path(&self.instance.identity().lasting, &self.config.group);
        let text = offsets::to_local_text(&all);
        match self.instance.local_files().replace(&path, &text).await {
            Ok(()) => {
                let mut table = self.offsets.borrow_mut();
                all.iter().for_each(|(queue, offset)| {
                    table.stored(queue, *offset, clock::monotonic_ms())
                });
                Ok(())
            }
            Err(error) => {
                let group = &self.config.group;
                tracing::warn!(group, ?path, %error, "offset file not written, tried again");
                let file = Server::new("offset file", &path.to_string_lossy());
                let fault = Fault::silence(error);
                Err(file.failed(format!("commit of group {group}"), fault))
            }
        }
    }

    /// Reads the offset file of a broadcasting group.
    ///
    /// # Errors
    /// The file exists and cannot be read: to begin somewhere else would be worse than to stop.
    pub(crate) async fn load_local_offsets(&self) -> Result<(), ClientError> {
        let path = offsets::local_path(&self.instance.identity().lasting, &self.config.group);
        let text = match self.instance.local_files().read(&path).await {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(()),
            Err(error) => return Err(ClientError::invalid(format!("{path:?}: {error}"))),
        };
        let known = offsets::from_local_text(&text)
            .map_err(|error| ClientError::invalid(format!("{path:?}: {error}")))?;
        let mut table = self.offsets.borrow_mut();
        known
            .iter()
            .for_each(|(queue, offset)| table.loaded(queue, *offset, clock::monotonic_ms()));
        Ok(())
    }
}

/// The progress of these queues, of which those are stored that are ours when their turn comes.
fn ours<'q>(queues: impl Iterator<Item = &'q MessageQueue>) -> Vec<Due> {
    queues.cloned().map(Due::Ours).collect()
}

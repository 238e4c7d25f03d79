//! How far a member has consumed: where it begins, and when and where that is stored.

use ringmq_protocol::codes::response;
use ringmq_protocol::names::RETRY_PREFIX;
use ringmq_runtime::clock;

use super::member::Member;
use super::offsets;
use crate::config::ConsumeFrom;
use crate::error::{ClientError, Fault};
use crate::instance::{Commit, Place};
use crate::queue::MessageQueue;

impl Member {
    /// Where consumption of `queue` begins.
    ///
    /// # Errors
    /// The broker cannot be asked now; the queue waits for the next turn.
    pub(crate) async fn first_offset(&self, queue: &MessageQueue) -> Result<i64, Fault> {
        if let Some(known) = self.offsets.borrow().get(queue) {
            return Ok(known);
        }
        let broker = self.instance.broker(queue)?;
        if !self.is_broadcasting() {
            let next = Place::NextOf(&self.config.group);
            let stored = self.instance.offset_of(&broker, queue, next).await;
            match stored {
                Ok(offset) if offset >= 0 => {
                    self.offsets.borrow_mut().loaded(queue, offset, clock::monotonic_ms());
                    return Ok(offset);
                }
                Err(fault) if fault.code() != Some(response::QUERY_NOT_FOUND) => return Err(fault),
                // Never stored; -1 is what some clients commit before they have consumed anything.
                Ok(_) | Err(_) => {}
            }
        }
        let is_retry = queue.topic.starts_with(RETRY_PREFIX);
        match self.config.consume_from {
            ConsumeFrom::FirstOffset => Ok(0),
            ConsumeFrom::LastOffset if is_retry => Ok(0),
            ConsumeFrom::Timestamp(at_ms) if !is_retry => {
                self.instance.offset_of(&broker, queue, Place::StoredAt(at_ms)).await
            }
            ConsumeFrom::LastOffset | ConsumeFrom::Timestamp(_) => {
                self.instance.offset_of(&broker, queue, Place::End).await
            }
        }
    }

    /// Whether offsets are stored without being told.
    pub(crate) fn commits_by_itself(&self) -> bool {
        !self.consumption.is_polled() || self.config.auto_commit
    }

    /// Stores all offsets now.
    pub(crate) async fn persist_all(&self) {
        if self.is_broadcasting() {
            self.persist_locally().await;
        } else {
            let all = self.offsets.borrow().all();
            self.commit(all, Commit::Confirm).await;
        }
    }

    /// Stores what is due, wherever this group keeps its offsets.
    pub(crate) async fn persist(&self) {
        if !self.commits_by_itself() {
            return;
        }
        if self.is_broadcasting() {
            self.persist_locally().await;
        } else {
            let due = self.offsets.borrow().due(clock::monotonic_ms());
            self.commit(due, Commit::Tell).await;
        }
    }

    /// Sends offsets to their brokers. One that cannot be sent stays due.
    pub(crate) async fn commit(&self, due: Vec<(MessageQueue, i64)>, how: Commit) {
        let group = &self.config.group;
        for (queue, offset) in due {
            let told = match self.instance.broker(&queue) {
                Ok(broker) => self.instance.store_offset(&broker, group, &queue, offset, how).await,
                Err(fault) => Err(fault),
            };
            match told {
                Ok(()) => self.offsets.borrow_mut().stored(&queue, offset, clock::monotonic_ms()),
                Err(fault) => {
                    tracing::warn!(%queue, offset, group, %fault, "offset not stored, tried again");
                }
            }
        }
    }

    async fn persist_locally(&self) {
        if self.offsets.borrow().due(clock::monotonic_ms()).is_empty() {
            return;
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
            }
            Err(error) => {
                let group = &self.config.group;
                tracing::warn!(group, ?path, %error, "offset file not written, tried again");
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

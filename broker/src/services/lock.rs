//! Queue locks of consumers that consume in order: LOCK_BATCH_MQ (41), UNLOCK_BATCH_MQ (42).

use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::bodies::lock::{LockBatchRequest, LockBatchResponse};
use ringmq_runtime::clock;

use super::control::{Answer, json_answer, read_body};
use crate::clients::Clients;
use crate::directory::Directory;
use crate::locks::QueueLocks;
use crate::names;
use crate::outcome::Refusal;
use crate::peer::Peer;

/// Serves lock requests.
pub struct Locks {
    directory: Rc<Directory>,
    clients: Rc<Clients>,
}

impl Locks {
    /// The service.
    pub fn new(directory: Rc<Directory>, clients: Rc<Clients>) -> Self {
        Self { directory, clients }
    }

    /// Takes or renews locks; answers those that the client now owns. Queues that do not exist
    /// nobody owns.
    pub fn lock(&self, peer: &Peer, command: &Command<'_>) -> Result<Answer, Refusal> {
        let mut request: LockBatchRequest = read_body(command)?;
        names::check_member(&request.client_id, [request.consumer_group.as_str()])
            .map_err(Refusal::invalid_parameter)?;
        if request.mq_set.iter().any(|queue| names::check_topic(&queue.topic).is_err()) {
            return Err(Refusal::invalid_parameter("a queue to lock has a topic of no legal name"));
        }
        request.mq_set.retain(|queue| self.exists(queue));
        let LockBatchRequest { consumer_group, client_id, mq_set, .. } = &request;
        let (connection, now_ms) = (peer.key(), clock::monotonic_ms());
        let owned = self.change(consumer_group, |locks| {
            locks.lock(connection, consumer_group, client_id, mq_set, now_ms)
        });
        json_answer(&LockBatchResponse { locked: owned })
    }

    fn exists(&self, queue: &MessageQueue) -> bool {
        let topics = self.directory.topics();
        let queues = topics
            .get(&queue.topic)
            .map_or(0, |topic| topic.read_queue_nums.max(topic.write_queue_nums));
        (0..queues).contains(&queue.queue_id)
    }

    /// Gives locks back.
    pub fn unlock(&self, command: &Command<'_>) -> Result<Answer, Refusal> {
        let request: LockBatchRequest = read_body(command)?;
        let LockBatchRequest { consumer_group, client_id, mq_set, .. } = &request;
        names::check_member(client_id, [consumer_group.as_str()])
            .map_err(Refusal::invalid_parameter)?;
        self.change(consumer_group, |locks| locks.unlock(consumer_group, client_id, mq_set));
        Ok(Answer::default())
    }

    /// Changes locks of a group, and tells all shards when that changes until when it holds any.
    fn change<T>(&self, group: &str, change: impl FnOnce(&mut QueueLocks<MessageQueue>) -> T) -> T {
        let (changed, is_news) = {
            let mut locks = self.clients.locks();
            let before = locks.held_until(group);
            let changed = change(&mut locks);
            (changed, locks.held_until(group) != before)
        };
        if is_news {
            self.directory.publish_locks(group);
        }
        changed
    }
}

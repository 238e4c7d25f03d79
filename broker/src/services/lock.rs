//! Queue locks of consumers that consume in order: LOCK_BATCH_MQ (41), UNLOCK_BATCH_MQ (42).

use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_protocol::bodies::lock::{LockBatchRequest, LockBatchResponse};
use ringmq_runtime::clock;

use super::control::{Answer, json_answer, read_body};
use crate::clients::Clients;
use crate::directory::Directory;
use crate::names;
use crate::outcome::Refusal;

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

    /// Takes or renews locks; answers those that the client now owns.
    pub fn lock(&self, command: &Command<'_>) -> Result<Answer, Refusal> {
        let request: LockBatchRequest = read_body(command)?;
        names::check_member(&request.client_id, [request.consumer_group.as_str()])
            .map_err(Refusal::invalid_parameter)?;
        if request.mq_set.iter().any(|queue| names::check_topic(&queue.topic).is_err()) {
            return Err(Refusal::invalid_parameter("a queue to lock has a topic of no legal name"));
        }
        let owned = self.clients.locks().lock(
            &request.consumer_group,
            &request.client_id,
            &request.mq_set,
            clock::monotonic_ms(),
        );
        self.directory.publish_group_if_known(&request.consumer_group);
        Ok(json_answer(&LockBatchResponse { locked: owned }))
    }

    /// Gives locks back.
    pub fn unlock(&self, command: &Command<'_>) -> Result<Answer, Refusal> {
        let request: LockBatchRequest = read_body(command)?;
        self.clients.locks().unlock(&request.consumer_group, &request.client_id, &request.mq_set);
        self.directory.publish_group_if_known(&request.consumer_group);
        Ok(Answer::default())
    }
}

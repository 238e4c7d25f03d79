//! Client life: heartbeat (34), leaving (35), who else is in my group (38), is my filter valid
//! (46).
//!
//! A heartbeat takes effect in one step, before its answer is written and before any later request
//! is looked at: taken in several, it would bring back what leaves meanwhile, and undo what a newer
//! one of the same client says. Only the answer waits for the disk, and with it the word to the
//! members that their group has changed (40): one of them is who sent it, and Apache's Java client
//! that is told before its heartbeat is answered leaves out the heartbeat with its new
//! subscription, for 30 s. It is told from a task, right behind the answer, because a slow first
//! rebalance makes consumers skip messages. Where an answer finds no place to wait, nobody is told,
//! and members see the change when they look themselves, every 20 s. A connection that ends leaves
//! its groups in steps, between which others have a turn.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_protocol::bodies::group::SubscriptionGroupConfig;
use ringmq_protocol::bodies::heartbeat::{
    CheckClientRequest, ConsumerData, ConsumerList, HeartbeatData, is_tag_type,
};
use ringmq_protocol::codes::response;
use ringmq_protocol::headers::client::{
    ConsumerGroupRequest, HeartbeatResponse, UnregisterClientRequest,
};
use ringmq_protocol::names::topic_flag;
use ringmq_protocol::{Command, Header};
use ringmq_runtime::{clock, task};

use super::control::{Answer, Reaction, json_answer};
use crate::clients::Clients;
use crate::directory::Directory;
use crate::groups::{Client, HeartbeatError, Left, Look};
use crate::link::ConnectionKey;
use crate::names;
use crate::outcome::Refusal;
use crate::peer::Peer;

/// Groups of one heartbeat that are taken; a client has a handful, a gateway thousands. They hold
/// up the shard for some 3 us each, and 40 where they are new.
pub const GROUPS_PER_HEARTBEAT_MAX: usize = 4096;

/// Groups of a heartbeat that need a retry topic, each with the topic's unit flags.
type RetryTopics = Vec<(Arc<SubscriptionGroupConfig>, i32)>;

/// What became of a heartbeat.
#[derive(Default)]
struct Taken {
    retry_topics: RetryTopics,
    /// Groups whose members are to be told.
    changed: Vec<String>,
    /// It came in the short form.
    is_short: bool,
    /// The full form is wanted next.
    wants_full: bool,
    /// Why the first of the groups that were not taken was not; the others of the client are none
    /// the worse for it.
    refused: Option<HeartbeatError>,
}

impl Taken {
    fn refuse(&mut self, error: HeartbeatError) {
        self.refused.get_or_insert(error);
    }

    /// What the client is told. It takes the wish for the full form from a success alone, so after
    /// the short one that goes first: the full one is refused then.
    fn outcome(self) -> Result<Answer, Refusal> {
        match self.refused {
            Some(error) if !(self.is_short && self.wants_full) => Err(heartbeat_refused(error)),
            _ => Ok(Answer::with_header(&HeartbeatResponse {
                supports_heartbeat_v2: Some(true),
                subscription_changed: Some(self.wants_full),
            })),
        }
    }
}

/// Serves clients' life signs.
#[derive(Clone)]
pub struct Heartbeats {
    directory: Rc<Directory>,
    clients: Rc<Clients>,
}

impl Heartbeats {
    /// The service.
    pub fn new(directory: Rc<Directory>, clients: Rc<Clients>) -> Self {
        Self { directory, clients }
    }

    /// HEART_BEAT.
    ///
    /// # Errors
    /// The body is no heartbeat, or has more groups or longer names than any table takes.
    pub fn register(&self, peer: &Peer, command: &Command<'_>) -> Result<Reaction, Refusal> {
        let heartbeat: HeartbeatData = super::control::read_body(command)?;
        let groups = heartbeat.consumer_data_set.len() + heartbeat.producer_data_set.len();
        if groups > GROUPS_PER_HEARTBEAT_MAX {
            return Err(Refusal::invalid_parameter(format!(
                "a heartbeat names at most {GROUPS_PER_HEARTBEAT_MAX} groups, this one {groups}"
            )));
        }
        let producers = heartbeat.producer_data_set.iter().map(|data| data.group_name.as_str());
        let consumers = heartbeat.consumer_data_set.iter().map(|data| data.group_name.as_str());
        names::check_member(&heartbeat.client_id, producers.chain(consumers))
            .map_err(Refusal::invalid_parameter)?;
        let client = Client {
            id: heartbeat.client_id.clone(),
            connection: peer.key(),
            address: peer.peer_addr(),
            language: command.language.name(),
            version: command.version,
        };
        // Before its groups hear of the change, since it is one of those that are told.
        self.clients.remember(peer);
        let taken = self.take(&heartbeat, &client);
        self.clients.forget(peer.key());
        Ok(self.answer(taken))
    }

    /// Registers every group of a heartbeat that it can.
    fn take(&self, heartbeat: &HeartbeatData, client: &Client) -> Taken {
        let is_short = heartbeat.heartbeat_fingerprint != 0 && heartbeat.without_sub;
        let mut taken = Taken { is_short, ..Taken::default() };
        for producer in &heartbeat.producer_data_set {
            let mut groups = self.clients.groups_mut();
            let clock_ms = clock::monotonic_ms();
            let made = groups.producer_heartbeat(&producer.group_name, client, clock_ms);
            made.unwrap_or_else(|error| taken.refuse(error));
        }
        for consumer in &heartbeat.consumer_data_set {
            // As in Apache: a group that may not be made is left out, and its pulls say why.
            let Ok(group) = self.directory.ensure_group(&consumer.group_name) else { continue };
            let fingerprint = heartbeat.heartbeat_fingerprint;
            if let Err(error) = self.take_consumer(consumer, client, fingerprint, &mut taken) {
                taken.refuse(error);
                continue;
            }
            let sys_flag = if consumer.unit_mode { topic_flag::UNIT_SUBSCRIPTION } else { 0 };
            taken.retry_topics.push((group, sys_flag));
        }
        taken
    }

    fn take_consumer(
        &self,
        consumer: &ConsumerData,
        client: &Client,
        fingerprint: i32,
        taken: &mut Taken,
    ) -> Result<(), HeartbeatError> {
        let registered = self.clients.groups_mut().consumer_heartbeat(
            consumer,
            client,
            fingerprint,
            taken.is_short,
            clock::monotonic_ms(),
        )?;
        if registered.must_publish {
            self.directory.publish_group(&consumer.group_name);
        }
        if registered.must_notify {
            taken.changed.push(consumer.group_name.clone());
        }
        taken.wants_full |= registered.wants_full;
        Ok(())
    }

    fn answer(&self, taken: Taken) -> Reaction {
        let service = self.clone();
        Reaction::later(async move {
            let made = service.directory.ensure_retry_topics(&taken.retry_topics).await;
            if let Err(error) = made {
                // The client consumes without a retry topic; the next heartbeat tries again.
                tracing::warn!("retry topics of a heartbeat: {error}");
            }
            taken.changed.iter().for_each(|group| service.notify(group));
            taken.outcome()
        })
    }

    /// UNREGISTER_CLIENT.
    pub fn unregister(&self, peer: &Peer, command: &Command<'_>) -> Result<Answer, Refusal> {
        let request =
            UnregisterClientRequest::decode(&command.fields).map_err(Refusal::malformed)?;
        let left = self.clients.groups_mut().unregister(
            request.client_id,
            request.producer_group,
            request.consumer_group,
        );
        self.clients.forget(peer.key());
        left.consumers.iter().for_each(|group| self.after_leaving(group));
        Ok(Answer::default())
    }

    /// A connection was closed: its clients leave their groups.
    pub async fn connection_closed(&self, connection: ConnectionKey) {
        while self.go_on_without(&self.clients.connection_closed(connection)).await {}
    }

    /// Clients that were silent for longer than `limit` leave their groups, and locks lapse.
    pub async fn expire(&self, limit: Duration) {
        let mut look = Look::default();
        while !look.is_over() {
            let left = self.clients.expire_next(&mut look, limit);
            self.go_on_without(&left).await;
        }
        for group in self.clients.expire_locks().await {
            self.directory.publish_locks(&group);
            task::yield_if_needed().await;
        }
    }

    /// What follows when clients left; whether any did.
    async fn go_on_without(&self, left: &Left) -> bool {
        for group in &left.consumers {
            self.after_leaving(group);
            task::yield_if_needed().await;
        }
        task::yield_if_needed().await;
        !left.is_empty()
    }

    fn after_leaving(&self, group: &str) {
        self.directory.publish_group(group);
        self.notify(group);
    }

    fn notify(&self, group: &str) {
        let is_wanted = self.directory.settings().notify_consumer_ids_changed_enable;
        let groups = self.directory.groups();
        let is_wanted_by_group =
            groups.get(group).is_none_or(|group| group.notify_consumer_ids_changed_enable);
        if is_wanted && is_wanted_by_group {
            self.clients.notify_changed(group);
        }
    }

    /// GET_CONSUMER_LIST_BY_GROUP.
    pub fn consumer_list(&self, command: &Command<'_>) -> Result<Answer, Refusal> {
        let request = ConsumerGroupRequest::decode(&command.fields).map_err(Refusal::malformed)?;
        let groups = self.clients.groups();
        let Some(consumers) = groups.consumers(request.consumer_group) else {
            let remark = format!("no consumer for this group, {}", request.consumer_group);
            return Err(Refusal::new(response::SYSTEM_ERROR, remark));
        };
        let consumer_id_list = consumers.members.keys().cloned().collect();
        json_answer(&ConsumerList { consumer_id_list })
    }

    /// CHECK_CLIENT_CONFIG.
    pub fn check_client(&self, command: &Command<'_>) -> Result<Answer, Refusal> {
        let request: CheckClientRequest = super::control::read_body(command)?;
        let expression_type = request.subscription_data.expression_type.as_str();
        if is_tag_type(expression_type) {
            return Ok(Answer::default());
        }
        let remark =
            format!("The broker does not support consumer to filter message by {expression_type}");
        Err(Refusal::new(response::SYSTEM_ERROR, remark))
    }
}

fn heartbeat_refused(error: HeartbeatError) -> Refusal {
    match error {
        HeartbeatError::Topics(_) | HeartbeatError::Tags(_) => {
            Refusal::invalid_parameter(error.to_string())
        }
        HeartbeatError::Members | HeartbeatError::Subscriptions(_) => {
            Refusal::unavailable(error.to_string())
        }
    }
}

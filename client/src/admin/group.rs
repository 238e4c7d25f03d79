//! Groups: create and delete, who is in them, how far they are, setting that back.

use std::collections::BTreeMap;

use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::bodies::connection::{ConsumerConnection, ProducerConnection};
use ringmq_protocol::bodies::group::SubscriptionGroupConfig;
use ringmq_protocol::bodies::offset::ResetOffsetBody;
use ringmq_protocol::bodies::stats::ConsumeStats;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::{
    ConsumeStatsRequest, DeleteGroupRequest, ProducerGroupRequest,
};
use ringmq_protocol::headers::client::{ConsumerGroupRequest, ResetOffsetRequest};
use ringmq_protocol::json;

use super::{Admin, BrokerTarget, Done, Request};
use crate::error::ClientError;
use crate::instance::{Read, read_json};

impl Admin {
    /// Creates or changes a consumer group on brokers.
    ///
    /// # Errors
    /// The brokers that failed; the others have the group.
    pub async fn create_group(
        &self,
        target: &BrokerTarget,
        settings: &SubscriptionGroupConfig,
    ) -> Result<Vec<Done>, ClientError> {
        let action = format!("creation of group {}", settings.group_name);
        let request = Request::new(action, request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &());
        self.change(target, request.with_body(json::to_vec(settings))).await
    }

    /// Deletes a consumer group on brokers, and its progress if `with_offsets`.
    ///
    /// # Errors
    /// The brokers that failed; the others have lost the group.
    pub async fn delete_group(
        &self,
        target: &BrokerTarget,
        group: &str,
        with_offsets: bool,
    ) -> Result<Vec<Done>, ClientError> {
        let action = format!("deletion of group {group}");
        let header = DeleteGroupRequest { group_name: group, clean_offset: with_offsets };
        let request = Request::new(action, request::DELETE_SUBSCRIPTIONGROUP, &header);
        self.change(target, request).await
    }

    /// How far a group is on the broker at `address`: in one topic, or in all it consumes there.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn consume_stats(
        &self,
        address: &str,
        group: &str,
        topic: Option<&str>,
    ) -> Result<ConsumeStats, ClientError> {
        let action = format!("look-up of the progress of {group}");
        let header = ConsumeStatsRequest { consumer_group: group, topic, topic_list: None };
        let request = Request::new(action, request::GET_CONSUME_STATS, &header);
        self.ask(address, request, read_json).await
    }

    /// Members of a consumer group that the broker at `address` is connected with; `None`: nobody.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn consumers(
        &self,
        address: &str,
        group: &str,
    ) -> Result<Option<ConsumerConnection>, ClientError> {
        let action = format!("look-up of the members of {group}");
        let header = ConsumerGroupRequest { consumer_group: group };
        let request = Request::new(action, request::GET_CONSUMER_CONNECTION_LIST, &header);
        let read: Read<Option<ConsumerConnection>> = |answer| match answer.code {
            response::CONSUMER_NOT_ONLINE => Ok(None),
            _ => read_json(answer).map(Some),
        };
        self.ask(address, request, read).await
    }

    /// Members of a producer group that the broker at `address` is connected with.
    ///
    /// # Errors
    /// `Failed` also when there are none.
    pub async fn producers(
        &self,
        address: &str,
        group: &str,
    ) -> Result<ProducerConnection, ClientError> {
        let action = format!("look-up of the producers of {group}");
        let header = ProducerGroupRequest { producer_group: group };
        let request = Request::new(action, request::GET_PRODUCER_CONNECTION_LIST, &header);
        self.ask(address, request, read_json).await
    }

    /// Has the broker at `address` set a group's progress in a topic to the first messages stored
    /// at or after a Unix time in milliseconds (-1: behind the last ones), and tell its members;
    /// not forward unless `is_forced`. Returns the new offsets.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn reset_offsets(
        &self,
        address: &str,
        group: &str,
        topic: &str,
        timestamp_ms: i64,
        is_forced: bool,
    ) -> Result<BTreeMap<MessageQueue, i64>, ClientError> {
        let action = format!("reset of the progress of {group} in {topic}");
        let header = ResetOffsetRequest {
            topic,
            group,
            queue_id: -1,
            offset: None,
            timestamp_ms,
            is_force: is_forced,
        };
        let request = Request::new(action, request::INVOKE_BROKER_TO_RESET_OFFSET, &header);
        let read: Read<ResetOffsetBody> = read_json;
        Ok(self.ask(address, request, read).await?.offset_table)
    }
}

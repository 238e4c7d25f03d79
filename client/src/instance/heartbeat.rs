//! The heartbeat: who we are and what we subscribed, to every broker that matters.

use std::rc::Rc;

use ringmq_protocol::bodies::heartbeat::{
    CheckClientRequest, ConsumeFromWhere, ConsumeType, ConsumerData, HeartbeatData,
    MessageModel as WireModel, ProducerData, SubscriptionData,
};
use ringmq_protocol::codes::request;
use ringmq_protocol::json;
use ringmq_protocol::names::MASTER_ID;

use super::{Instance, Server, expect_success};
use crate::config::{ConsumeFrom, MessageModel};
use crate::consumer::member::Member;
use crate::consumer::subscription::{Filter, Subscription};
use crate::error::Fault;

impl Instance {
    /// Tells brokers of all groups of this client: masters, and slaves too when there are
    /// consumers. Does nothing without groups.
    pub(crate) async fn heartbeat(&self) {
        for (broker, id) in self.all_brokers() {
            let has_members = !self.members_to_tell().is_empty();
            // Of a client without groups nothing is said: who it is, is settled by its first
            // connection.
            if has_members || id == MASTER_ID && !self.producers.borrow().is_empty() {
                self.beat(&broker).await;
            }
        }
    }

    async fn beat(&self, broker: &Server) {
        let timeout = self.config.call_timeout;
        // As we are when it leaves: a member may say goodbye while one broker is waited for.
        let body = || json::to_vec(&self.heartbeat_data());
        let code = request::HEART_BEAT;
        let told = self.call_with(broker, code, &(), body, timeout, expect_success).await;
        let Err(fault) = told else { return };
        let (name, address) = (&broker.name, &broker.address);
        tracing::warn!(broker = name, address, %fault, "heartbeat failed");
        if matches!(fault, Fault::Unreachable { .. }) {
            // A peer that vanished without a word leaves a connection that looks open.
            self.dialer.close(address, "no answer to a heartbeat");
        }
    }

    /// Has a broker look at an SQL92 expression before it is subscribed.
    ///
    /// # Errors
    /// Code 23: it cannot be parsed; code 1: the broker does not evaluate such expressions.
    pub(crate) async fn check_filter(
        &self,
        broker: &Server,
        group: &str,
        subscription: &Subscription,
    ) -> Result<(), Fault> {
        let body = json::to_vec(&CheckClientRequest {
            client_id: self.identity().client_id.clone(),
            group: group.to_owned(),
            namespace: None,
            subscription_data: to_data(subscription),
        });
        let (code, timeout) = (request::CHECK_CLIENT_CONFIG, self.config.call_timeout);
        self.call(broker, code, &(), &body, timeout, expect_success).await
    }

    fn members_to_tell(&self) -> Vec<Rc<Member>> {
        let mut members = self.members();
        members.retain(|member| !member.has_left.get());
        members
    }

    fn heartbeat_data(&self) -> HeartbeatData {
        let members = self.members_to_tell();
        let producers = self.producer_groups().into_iter();
        HeartbeatData {
            client_id: self.identity().client_id.clone(),
            producer_data_set: producers.map(|group_name| ProducerData { group_name }).collect(),
            consumer_data_set: members.iter().map(|member| consumer_data(member)).collect(),
            heartbeat_fingerprint: 0,
            without_sub: false,
        }
    }
}

fn consumer_data(member: &Member) -> ConsumerData {
    ConsumerData {
        group_name: member.config.group.clone(),
        consume_type: match member.consumption.is_polled() {
            true => ConsumeType::Actively,
            false => ConsumeType::Passively,
        },
        message_model: match member.config.model {
            MessageModel::Clustering => WireModel::Clustering,
            MessageModel::Broadcasting => WireModel::Broadcasting,
        },
        consume_from_where: match member.config.consume_from {
            ConsumeFrom::LastOffset => ConsumeFromWhere::LastOffset,
            ConsumeFrom::FirstOffset => ConsumeFromWhere::FirstOffset,
            ConsumeFrom::Timestamp(_) => ConsumeFromWhere::Timestamp,
        },
        subscription_data_set: member.subscriptions.borrow().values().map(to_data).collect(),
        unit_mode: false,
    }
}

/// A subscription as it travels.
pub(crate) fn to_data(subscription: &Subscription) -> SubscriptionData {
    let Subscription { topic, filter, version } = subscription;
    match filter {
        Filter::Tags(_) => SubscriptionData::tags(topic, &filter.expression(), *version),
        Filter::Sql(expression) => SubscriptionData {
            topic: topic.clone(),
            sub_string: expression.clone(),
            sub_version: *version,
            expression_type: filter.kind().to_owned(),
            ..SubscriptionData::default()
        },
    }
}

//! Consumer groups: create, change, delete.

use clap::{ArgAction, Args};
use ringmq_client::admin::{Admin, BrokerTarget};
use ringmq_protocol::bodies::group::SubscriptionGroupConfig;
use ringmq_protocol::json;
use ringmq_protocol::names::{dead_letter_topic, retry_topic};
use serde_json::json as value;

use crate::report::Report;
use crate::target::{Failure, Which};

#[derive(Debug, Args)]
pub struct UpdateSubGroup {
    #[command(flatten)]
    which: Which,
    /// The group.
    #[arg(short = 'g', long = "groupName")]
    group_name: String,
    /// Whether it may consume.
    #[arg(short = 's', long = "consumeEnable", default_value_t = true, action = ArgAction::Set)]
    consume_enable: bool,
    /// Whether it may begin at the first message.
    #[arg(short = 'm', long = "consumeFromMinEnable", default_value_t = false, action = ArgAction::Set)]
    consume_from_min_enable: bool,
    /// Whether it may broadcast.
    #[arg(short = 'd', long = "consumeBroadcastEnable", default_value_t = false, action = ArgAction::Set)]
    consume_broadcast_enable: bool,
    /// Whether it consumes in order.
    #[arg(short = 'o', long = "consumeMessageOrderly", default_value_t = false, action = ArgAction::Set)]
    consume_message_orderly: bool,
    /// Queues of its retry topic.
    #[arg(short = 'q', long = "retryQueueNums", default_value_t = 1)]
    retry_queue_nums: i32,
    /// Deliveries before a message is dead.
    #[arg(short = 'r', long = "retryMaxTimes", default_value_t = 16)]
    retry_max_times: i32,
    /// Broker to read from.
    #[arg(short = 'i', long = "brokerId", default_value_t = 0)]
    broker_id: i64,
    /// Broker to read from when far behind.
    #[arg(short = 'w', long = "whichBrokerWhenConsumeSlowly", default_value_t = 1)]
    which_broker_when_consume_slowly: i64,
    /// Whether members are told of changes.
    #[arg(short = 'a', long = "notifyConsumerIdsChanged", default_value_t = true, action = ArgAction::Set)]
    notify_consumer_ids_changed: bool,
}

impl UpdateSubGroup {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let config = SubscriptionGroupConfig {
            group_name: self.group_name.clone(),
            consume_enable: self.consume_enable,
            consume_from_min_enable: self.consume_from_min_enable,
            consume_broadcast_enable: self.consume_broadcast_enable,
            consume_message_orderly: self.consume_message_orderly,
            retry_queue_nums: self.retry_queue_nums,
            retry_max_times: self.retry_max_times,
            broker_id: self.broker_id,
            which_broker_when_consume_slowly: self.which_broker_when_consume_slowly,
            notify_consumer_ids_changed_enable: self.notify_consumer_ids_changed,
            ..SubscriptionGroupConfig::default()
        };
        let done = admin.create_group(&self.which.target(), &config).await?;
        let line = |address| format!("create subscription group to {address} success.");
        let mut lines: Vec<_> = done.into_iter().map(|broker| line(broker.address)).collect();
        let text = String::from_utf8_lossy(&json::to_vec(&config)).into_owned();
        lines.push(format!("SubscriptionGroupConfig{text}"));
        Ok(Report::lines(lines, serde_json::to_value(&config).unwrap_or_default()))
    }
}

#[derive(Debug, Args)]
pub struct DeleteSubGroup {
    #[command(flatten)]
    which: Which,
    /// The group.
    #[arg(short = 'g', long = "groupName")]
    group_name: String,
    /// Also forget its progress.
    #[arg(short = 'r', long = "removeOffset", default_value_t = false, action = ArgAction::Set)]
    remove_offset: bool,
}

impl DeleteSubGroup {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let group = &self.group_name;
        let target = self.which.target();
        let mut lines = Vec::new();
        for broker in admin.delete_group(&target, group, self.remove_offset).await? {
            let address = broker.address;
            let place = match &target {
                BrokerTarget::Cluster(name) => format!("broker [{address}] in cluster [{name}]"),
                BrokerTarget::Address(_) | BrokerTarget::All => format!("broker [{address}]"),
            };
            lines.push(format!("delete subscription group [{group}] from {place} success."));
        }
        if let BrokerTarget::Cluster(_) = &target {
            for topic in [retry_topic(group), dead_letter_topic(group)] {
                admin.delete_topic(&target, &topic).await?;
            }
        }
        Ok(Report::lines(lines, value!({ "deleted": group })))
    }
}

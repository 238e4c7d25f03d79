//! The commands, one file per subject.

mod broker;
mod consumer;
mod group;
mod message;
mod topic;

use crate::cluster::{Cluster, Failure};
use crate::report::Report;
use clap::Subcommand;

/// A command with its options, in Apache's spelling.
#[derive(Debug, Subcommand)]
#[command(rename_all = "camelCase")]
pub enum Command {
    /// List clusters and their brokers.
    ClusterList(broker::ClusterList),
    /// Show the runtime information of a broker.
    BrokerStatus(broker::BrokerStatus),
    /// Show all settings of a broker.
    GetBrokerConfig(broker::GetBrokerConfig),
    /// Change a setting of a broker.
    UpdateBrokerConfig(broker::UpdateBrokerConfig),
    /// Take the write permission of a broker out of all routes.
    WipeWritePerm(broker::WritePerm),
    /// Give it back.
    AddWritePerm(broker::WritePerm),
    /// List topics.
    TopicList(topic::TopicList),
    /// Show where a topic is.
    TopicRoute(topic::TopicRoute),
    /// Show the offsets of a topic's queues.
    TopicStatus(topic::TopicStatus),
    /// Create a topic or change it.
    UpdateTopic(topic::UpdateTopic),
    /// Delete a topic.
    DeleteTopic(topic::DeleteTopic),
    /// Create a consumer group or change it.
    UpdateSubGroup(group::UpdateSubGroup),
    /// Delete a consumer group.
    DeleteSubGroup(group::DeleteSubGroup),
    /// Show how far consumer groups are.
    ConsumerProgress(consumer::ConsumerProgress),
    /// Show the members of a consumer group.
    ConsumerConnection(consumer::ConsumerConnection),
    /// Show the members of a producer group.
    ProducerConnection(consumer::ProducerConnection),
    /// Set the progress of a group to a point in time.
    ResetOffsetByTime(consumer::ResetOffsetByTime),
    /// Find a message by its offset id or unique key.
    QueryMsgById(message::QueryMsgById),
    /// Find messages by a key.
    QueryMsgByKey(message::QueryMsgByKey),
    /// Send one message.
    SendMessage(message::SendMessage),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Why it failed; what was done before stays done.
    pub async fn run(&self, cluster: &Cluster) -> Result<Report, Failure> {
        match self {
            Self::ClusterList(options) => options.run(cluster).await,
            Self::BrokerStatus(options) => options.run(cluster).await,
            Self::GetBrokerConfig(options) => options.run(cluster).await,
            Self::UpdateBrokerConfig(options) => options.run(cluster).await,
            Self::WipeWritePerm(options) => options.wipe(cluster).await,
            Self::AddWritePerm(options) => options.add(cluster).await,
            Self::TopicList(options) => options.run(cluster).await,
            Self::TopicRoute(options) => options.run(cluster).await,
            Self::TopicStatus(options) => options.run(cluster).await,
            Self::UpdateTopic(options) => options.run(cluster).await,
            Self::DeleteTopic(options) => options.run(cluster).await,
            Self::UpdateSubGroup(options) => options.run(cluster).await,
            Self::DeleteSubGroup(options) => options.run(cluster).await,
            Self::ConsumerProgress(options) => options.run(cluster).await,
            Self::ConsumerConnection(options) => options.run(cluster).await,
            Self::ProducerConnection(options) => options.run(cluster).await,
            Self::ResetOffsetByTime(options) => options.run(cluster).await,
            Self::QueryMsgById(options) => options.run(cluster).await,
            Self::QueryMsgByKey(options) => options.run(cluster).await,
            Self::SendMessage(options) => options.run(cluster).await,
        }
    }
}

//! The commands, one file per subject.

mod broker;
mod consumer;
mod group;
mod message;
mod topic;

use clap::Subcommand;
use ringmq_client::Client;

use crate::report::Report;
use crate::target::Failure;

/// A command with its options, in Apache's spelling.
#[derive(Debug, Subcommand)]
#[command(rename_all = "camelCase")]
pub enum Command {
    /// List clusters and their brokers.
    ClusterList(broker::ClusterList),
    /// Show the runtime information of a broker.
    BrokerStatus(broker::BrokerStatus),
    /// Show where the time of sends goes inside a broker, while its sendStageTracing is on.
    SendStages(broker::SendStages),
    /// Show all settings of a broker.
    GetBrokerConfig(broker::GetBrokerConfig),
    /// Change a setting of a broker.
    UpdateBrokerConfig(broker::UpdateBrokerConfig),
    /// Take the write permission of a broker out of all routes.
    WipeWritePerm(broker::WritePerm),
    /// Give the write permission of a broker back to all routes.
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
    #[command(after_help = consumer::RESET_EXAMPLES)]
    ResetOffsetByTime(consumer::ResetOffsetByTime),
    /// Find a message by its offset id or unique key.
    QueryMsgById(message::QueryMsgById),
    /// Find messages by a key.
    #[command(after_help = message::QUERY_BY_KEY_EXAMPLES)]
    QueryMsgByKey(message::QueryMsgByKey),
    /// Send one message.
    #[command(after_help = message::SEND_EXAMPLES)]
    SendMessage(message::SendMessage),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Why it failed; what was done before stays done.
    pub async fn run(&self, client: &Client) -> Result<Report, Failure> {
        let admin = &client.admin();
        match self {
            Self::ClusterList(options) => options.run(admin).await,
            Self::BrokerStatus(options) => options.run(admin).await,
            Self::SendStages(options) => options.run(admin).await,
            Self::GetBrokerConfig(options) => options.run(admin).await,
            Self::UpdateBrokerConfig(options) => options.run(admin).await,
            Self::WipeWritePerm(options) => options.wipe(admin).await,
            Self::AddWritePerm(options) => options.add(admin).await,
            Self::TopicList(options) => options.run(admin).await,
            Self::TopicRoute(options) => options.run(admin).await,
            Self::TopicStatus(options) => options.run(admin).await,
            Self::UpdateTopic(options) => options.run(admin).await,
            Self::DeleteTopic(options) => options.run(admin).await,
            Self::UpdateSubGroup(options) => options.run(admin).await,
            Self::DeleteSubGroup(options) => options.run(admin).await,
            Self::ConsumerProgress(options) => options.run(admin).await,
            Self::ConsumerConnection(options) => options.run(admin).await,
            Self::ProducerConnection(options) => options.run(admin).await,
            Self::ResetOffsetByTime(options) => options.run(admin).await,
            Self::QueryMsgById(options) => options.run(admin).await,
            Self::QueryMsgByKey(options) => options.run(admin).await,
            Self::SendMessage(options) => options.run(client).await,
        }
    }
}

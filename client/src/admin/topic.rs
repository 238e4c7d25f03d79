//! Topics: which there are, where and how full they are, create and delete.

use std::rc::Rc;

use ringmq_protocol::bodies::group::GroupList;
use ringmq_protocol::bodies::route::TopicRouteData;
use ringmq_protocol::bodies::stats::TopicStatsTable;
use ringmq_protocol::bodies::topic::TopicList;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::{CreateTopicRequest, TopicRequest};
use ringmq_protocol::headers::namesrv::DeleteTopicInNamesrvRequest;
use ringmq_protocol::names::{TEMPLATE_TOPIC, perm};

use super::{Admin, BrokerTarget, Done, Request};
use crate::error::ClientError;
use crate::instance::{Instance, Read, expect_success, read_json};
use crate::message::check_topic;
use crate::queue::MessageQueue;

/// What a topic shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// Name.
    pub topic: String,
    /// Queues per broker that are read.
    pub read_queues: i32,
    /// Queues per broker that are written.
    pub write_queues: i32,
    /// Permission bits: 2 write, 4 read.
    pub perm: i32,
    /// 1: a unit topic, 2: it has unit subscriptions.
    pub sys_flag: i32,
    /// Ordered: it is not written while one of its brokers is away.
    pub is_ordered: bool,
    /// Changes of attributes, `+key=value,-key`.
    pub attributes: Option<String>,
}

impl TopicSettings {
    /// A topic with this many queues per broker, read and written.
    pub fn new(topic: impl Into<String>, queues: i32) -> Self {
        Self {
            topic: topic.into(),
            read_queues: queues,
            write_queues: queues,
            perm: perm::READ_WRITE,
            sys_flag: 0,
            is_ordered: false,
            attributes: None,
        }
    }
}

impl Admin {
    /// Names of all topics.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn topics(&self) -> Result<Vec<String>, ClientError> {
        let code = request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
        let read: Read<TopicList> = read_json;
        let request = Request::new("list of topics", code, &());
        Ok(self.ask_name_server(request, read).await?.topic_list)
    }

    /// Queues and brokers of a topic, as the name server answers.
    ///
    /// # Errors
    /// `Failed` with code 17 when there is no such topic.
    pub async fn topic_route(&self, topic: &str) -> Result<TopicRouteData, ClientError> {
        let topic = topic.to_owned();
        self.client.run(move |instance| async move { instance.route_data(&topic).await }).await
    }

    /// Readable queues of a topic.
    ///
    /// # Errors
    /// See [`Admin::topic_route`].
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, ClientError> {
        let topic = topic.to_owned();
        let look_up = move |instance: Rc<Instance>| async move {
            Ok(instance.refresh_route(&topic).await?.subscribe.clone())
        };
        self.client.run(look_up).await
    }

    /// Offsets of a topic's queues on the broker at `address`, and how much is sent to it.
    ///
    /// # Errors
    /// `Failed` with code 17 when the broker does not know the topic.
    pub async fn topic_stats(
        &self,
        address: &str,
        topic: &str,
    ) -> Result<TopicStatsTable, ClientError> {
        let action = format!("look-up of the queues of {topic}");
        let header = TopicRequest { topic, lo: None };
        let request = Request::new(action, request::GET_TOPIC_STATS_INFO, &header);
        self.ask(address, request, read_json).await
    }

    /// Groups that consume a topic from the broker at `address`.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn groups_of_topic(
        &self,
        address: &str,
        topic: &str,
    ) -> Result<Vec<String>, ClientError> {
        let action = format!("look-up of the groups of {topic}");
        let header = TopicRequest { topic, lo: None };
        let request = Request::new(action, request::QUERY_TOPIC_CONSUME_BY_WHO, &header);
        let read: Read<GroupList> = read_json;
        Ok(self.ask(address, request, read).await?.group_list)
    }

    /// Creates or changes a topic on brokers. Of an ordered one the name servers are told which
    /// queues it has.
    ///
    /// # Errors
    /// `Invalid`, or the brokers that failed; the others have the topic.
    pub async fn create_topic(
        &self,
        target: &BrokerTarget,
        settings: &TopicSettings,
    ) -> Result<Vec<Done>, ClientError> {
        check_topic(&settings.topic)?;
        let action = format!("creation of topic {}", settings.topic);
        let header = CreateTopicRequest {
            topic: &settings.topic,
            default_topic: TEMPLATE_TOPIC,
            read_queue_nums: settings.read_queues,
            write_queue_nums: settings.write_queues,
            perm: settings.perm,
            topic_filter_type: "SINGLE_TAG",
            topic_sys_flag: Some(settings.sys_flag),
            order: settings.is_ordered,
            attributes: settings.attributes.as_deref(),
            force: None,
        };
        let request = Request::new(action, request::UPDATE_AND_CREATE_TOPIC, &header);
        let done = self.change(target, request).await?;
        if settings.is_ordered {
            self.store_order(target, &settings.topic, settings.write_queues).await?;
        }
        Ok(done)
    }

    /// Deletes a topic on brokers, with its messages, and in the name servers. Who does not know it
    /// is content.
    ///
    /// # Errors
    /// The brokers that failed, then nothing is asked of the name servers, or the first of those
    /// that failed.
    pub async fn delete_topic(
        &self,
        target: &BrokerTarget,
        topic: &str,
    ) -> Result<Vec<Done>, ClientError> {
        let action = format!("deletion of topic {topic}");
        let header = TopicRequest { topic, lo: None };
        let request = Request::new(&action, request::DELETE_TOPIC_IN_BROKER, &header);
        let done = self.change(target, request).await?;
        let cluster_name = match target {
            BrokerTarget::Cluster(name) => Some(name.as_str()),
            BrokerTarget::Address(_) | BrokerTarget::All => None,
        };
        let header = DeleteTopicInNamesrvRequest { topic, cluster_name };
        let request = Request::new(action, request::DELETE_TOPIC_IN_NAMESRV, &header);
        let read: Read<()> = |answer| match answer.code {
            response::TOPIC_NOT_EXIST => Ok(()),
            _ => expect_success(answer),
        };
        self.ask_name_servers(request, read).await?;
        Ok(done)
    }
}

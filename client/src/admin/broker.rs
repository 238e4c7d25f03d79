//! Changes on brokers.

use std::future::Future;
use std::rc::Rc;

use ringmq_protocol::bodies::group::SubscriptionGroupConfig;
use ringmq_protocol::bodies::topic::TopicConfig;
use ringmq_protocol::codes::request;
use ringmq_protocol::headers::admin::{CreateTopicRequest, TopicRequest};
use ringmq_protocol::headers::namesrv::DeleteTopicInNamesrvRequest;
use ringmq_protocol::json;
use ringmq_protocol::names::{MASTER_ID, TEMPLATE_TOPIC, perm};

use super::Admin;
use crate::error::ClientError;
use crate::instance::{Instance, Read, Server, expect_success, read_json};
use crate::message::check_topic;

/// Which brokers a change goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerTarget {
    /// The broker at this `host:port`.
    Address(String),
    /// Every master of this cluster.
    Cluster(String),
    /// Every master that the name server knows.
    All,
}

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
            attributes: None,
        }
    }
}

impl Admin {
    /// Creates or changes a topic on brokers.
    ///
    /// # Errors
    /// `Invalid`, or the first broker that failed; brokers before it have the topic.
    pub async fn create_topic(
        &self,
        target: BrokerTarget,
        settings: TopicSettings,
    ) -> Result<(), ClientError> {
        check_topic(&settings.topic)?;
        let action = format!("creation of topic {}", settings.topic);
        self.at_brokers(target, move |instance, broker| {
            let (settings, action) = (settings.clone(), action.clone());
            async move {
                let header = CreateTopicRequest {
                    topic: &settings.topic,
                    default_topic: TEMPLATE_TOPIC,
                    read_queue_nums: settings.read_queues,
                    write_queue_nums: settings.write_queues,
                    perm: settings.perm,
                    topic_filter_type: "SINGLE_TAG",
                    topic_sys_flag: Some(0),
                    order: false,
                    attributes: settings.attributes.as_deref(),
                    force: None,
                };
                let (code, timeout) =
                    (request::UPDATE_AND_CREATE_TOPIC, instance.config.call_timeout);
                let done = instance.call(&broker, code, &header, &[], timeout, expect_success);
                done.await.map_err(|fault| broker.failed(action, fault))
            }
        })
        .await
    }

    /// Deletes a topic on brokers, with its messages, and in the name servers.
    ///
    /// # Errors
    /// The first server that failed.
    pub async fn delete_topic(&self, target: BrokerTarget, topic: &str) -> Result<(), ClientError> {
        let (topic, action) = (topic.to_owned(), format!("deletion of topic {topic}"));
        let name = topic.clone();
        self.at_brokers(target, move |instance, broker| {
            let (topic, action) = (topic.clone(), action.clone());
            async move {
                let header = TopicRequest { topic: &topic, lo: None };
                let (code, timeout) =
                    (request::DELETE_TOPIC_IN_BROKER, instance.config.call_timeout);
                let done = instance.call(&broker, code, &header, &[], timeout, expect_success);
                done.await.map_err(|fault| broker.failed(action, fault))
            }
        })
        .await?;
        let in_name_servers = move |instance: Rc<Instance>| async move {
            let header = DeleteTopicInNamesrvRequest { topic: &name, cluster_name: None };
            let (code, timeout) = (request::DELETE_TOPIC_IN_NAMESRV, instance.config.call_timeout);
            for server in instance.name_servers() {
                let done = instance.call(&server, code, &header, &[], timeout, expect_success);
                let action = format!("deletion of topic {name}");
                done.await.map_err(|fault| server.failed(action, fault))?;
            }
            Ok(())
        };
        self.client.run(in_name_servers).await
    }

    /// A topic's settings on the broker at `address`.
    ///
    /// # Errors
    /// `Failed` with code 17 when the broker does not know it.
    pub async fn topic_config(
        &self,
        address: &str,
        topic: &str,
    ) -> Result<TopicConfig, ClientError> {
        let (address, topic) = (address.to_owned(), topic.to_owned());
        let look_up = move |instance: Rc<Instance>| async move {
            let broker = Server::new("broker", &address);
            let header = TopicRequest { topic: &topic, lo: None };
            let (code, timeout) = (request::GET_TOPIC_CONFIG, instance.config.call_timeout);
            let read: Read<TopicConfig> = read_json;
            let found = instance.call(&broker, code, &header, &[], timeout, read).await;
            found.map_err(|fault| broker.failed(format!("look-up of topic {topic}"), fault))
        };
        self.client.run(look_up).await
    }

    /// Creates or changes a consumer group on brokers.
    ///
    /// # Errors
    /// The first broker that failed.
    pub async fn create_group(
        &self,
        target: BrokerTarget,
        settings: SubscriptionGroupConfig,
    ) -> Result<(), ClientError> {
        let action = format!("creation of group {}", settings.group_name);
        let body = json::to_vec(&settings);
        self.at_brokers(target, move |instance, broker| {
            let (body, action) = (body.clone(), action.clone());
            async move {
                let (code, timeout) =
                    (request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, instance.config.call_timeout);
                let done = instance.call(&broker, code, &(), &body, timeout, expect_success);
                done.await.map_err(|fault| broker.failed(action, fault))
            }
        })
        .await
    }

    async fn at_brokers<F>(
        &self,
        target: BrokerTarget,
        change: impl Fn(Rc<Instance>, Server) -> F + Send + 'static,
    ) -> Result<(), ClientError>
    where
        F: Future<Output = Result<(), ClientError>> + 'static,
    {
        let change_all = move |instance: Rc<Instance>| async move {
            for broker in masters(&instance, &target).await? {
                change(instance.clone(), broker).await?;
            }
            Ok(())
        };
        self.client.run(change_all).await
    }
}

async fn masters(instance: &Instance, target: &BrokerTarget) -> Result<Vec<Server>, ClientError> {
    if let BrokerTarget::Address(address) = target {
        return Ok(vec![Server::new("broker", address)]);
    }
    let info = instance.cluster().await?;
    let is_meant = |cluster: &str| match target {
        BrokerTarget::Cluster(name) => cluster == name,
        BrokerTarget::All | BrokerTarget::Address(_) => true,
    };
    let sets = info.broker_addr_table.values().filter(|set| is_meant(&set.cluster));
    let masters: Vec<_> = sets
        .filter_map(|set| {
            let address = set.broker_addrs.get(&MASTER_ID)?;
            Some(Server::new(&set.broker_name, address))
        })
        .collect();
    if masters.is_empty() {
        let known: Vec<_> = info.cluster_addr_table.keys().collect();
        let what = format!("no master broker for {target:?}; known clusters: {known:?}");
        return Err(ClientError::invalid(what));
    }
    Ok(masters)
}

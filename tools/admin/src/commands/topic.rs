//! Topics: list, where, how full, create, change, delete.

use crate::cluster::{Cluster, Failure, Which, address_of};
use crate::report::Report;
use clap::Args;
use ringmq_protocol::bodies::group::GroupList;
use ringmq_protocol::bodies::stats::TopicStatsTable;
use ringmq_protocol::bodies::topic::TopicList as Names;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::{CreateTopicRequest, TopicRequest};
use ringmq_protocol::headers::namesrv::DeleteTopicInNamesrvRequest;
use ringmq_protocol::names::{MASTER_ID, TEMPLATE_TOPIC};
use serde_json::json;

#[derive(Debug, Args)]
pub struct TopicList {
    /// Show cluster and consumer groups of each topic.
    #[arg(short = 'c', long = "clusterModel")]
    cluster_model: bool,
}

impl TopicList {
    pub async fn run(&self, cluster: &Cluster) -> Result<Report, Failure> {
        let code = request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
        let mut topics = cluster.namesrv::<Names>(code, &()).await?.topic_list;
        topics.sort();
        if !self.cluster_model {
            let json = json!(topics);
            return Ok(Report::lines(topics, json));
        }
        let mut rows = Vec::new();
        for topic in topics {
            let route = cluster.route(&topic).await?;
            let Some(broker) = route.broker_datas.first() else { continue };
            let Some(address) = address_of(broker) else { continue };
            let header = TopicRequest { topic: &topic, lo: None };
            let code = request::QUERY_TOPIC_CONSUME_BY_WHO;
            let mut groups = cluster.body::<GroupList>(address, code, &header).await?.group_list;
            if groups.is_empty() {
                groups.push(String::new());
            }
            let row = |group| vec![broker.cluster.clone(), topic.clone(), group];
            rows.extend(groups.into_iter().map(row));
        }
        Ok(Report::table(&["#Cluster Name", "#Topic", "#Consumer Group"], rows))
    }
}

#[derive(Debug, Args)]
pub struct TopicRoute {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Print a table instead of JSON.
    #[arg(short = 'l', long = "list")]
    list: bool,
}

impl TopicRoute {
    pub async fn run(&self, cluster: &Cluster) -> Result<Report, Failure> {
        let route = cluster.route(&self.topic).await?;
        let json = serde_json::to_value(&route).unwrap_or_default();
        if !self.list {
            return Ok(Report::lines([format!("{json:#}")], json));
        }
        let mut rows = Vec::new();
        let (mut read, mut write) = (0, 0);
        for queues in &route.queue_datas {
            let name = &queues.broker_name;
            let broker = route.broker_datas.iter().find(|broker| broker.broker_name == *name);
            let addresses = broker.map(|broker| {
                broker.broker_addrs.iter().map(|(id, addr)| format!("{id}:{addr}")).collect()
            });
            let addresses: Vec<String> = addresses.unwrap_or_default();
            read += queues.read_queue_nums;
            write += queues.write_queue_nums;
            rows.push(vec![
                broker.map(|broker| broker.cluster.clone()).unwrap_or_default(),
                name.clone(),
                addresses.join(","),
                queues.read_queue_nums.to_string(),
                queues.write_queue_nums.to_string(),
                queues.perm.to_string(),
            ]);
        }
        let headings =
            ["#ClusterName", "#BrokerName", "#BrokerAddrs", "#ReadQueue", "#WriteQueue", "#Perm"];
        let brokers = rows.len();
        let total = format!("Total: {brokers} brokers, {read} read queues, {write} write queues");
        Ok(Report::table(&headings, rows).then(total).with_json(json))
    }
}

#[derive(Debug, Args)]
pub struct TopicStatus {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// A topic or cluster whose route names the brokers to ask.
    #[arg(short = 'c', long = "cluster")]
    cluster: Option<String>,
}

impl TopicStatus {
    pub async fn run(&self, cluster: &Cluster) -> Result<Report, Failure> {
        let route = cluster.route(self.cluster.as_ref().unwrap_or(&self.topic)).await?;
        let (mut rows, mut rate) = (Vec::new(), 0.0);
        for address in route.broker_datas.iter().filter_map(address_of) {
            let header = TopicRequest { topic: &self.topic, lo: None };
            let code = request::GET_TOPIC_STATS_INFO;
            let stats: TopicStatsTable = cluster.body(address, code, &header).await?;
            rate += stats.topic_put_tps;
            rows.extend(stats.offset_table.iter().map(|(queue, offsets)| {
                vec![
                    queue.broker_name.clone(),
                    queue.queue_id.to_string(),
                    offsets.min_offset.to_string(),
                    offsets.max_offset.to_string(),
                    super::message::time_text(offsets.last_update_timestamp),
                ]
            }));
        }
        let headings = ["#Broker Name", "#QID", "#Min Offset", "#Max Offset", "#Last Updated"];
        let report = Report::table(&headings, rows);
        Ok(report.then("").then(format!("Topic Put TPS: {rate:.1}")))
    }
}

#[derive(Debug, Args)]
pub struct UpdateTopic {
    #[command(flatten)]
    which: Which,
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Queues that consumers read.
    #[arg(short = 'r', long = "readQueueNums", default_value_t = 8)]
    read_queue_nums: i32,
    /// Queues that producers write.
    #[arg(short = 'w', long = "writeQueueNums", default_value_t = 8)]
    write_queue_nums: i32,
    /// 2 write, 4 read, 6 both.
    #[arg(short = 'p', long = "perm", default_value_t = 6)]
    perm: i32,
    /// Ordered topic.
    #[arg(short = 'o', long = "order", default_value_t = false, action = clap::ArgAction::Set)]
    order: bool,
    /// Unit topic.
    #[arg(short = 'u', long = "unit", default_value_t = false, action = clap::ArgAction::Set)]
    unit: bool,
    /// Has unit subscriptions.
    #[arg(short = 's', long = "hasUnitSub", default_value_t = false, action = clap::ArgAction::Set)]
    has_unit_sub: bool,
    /// Attribute edits: +key=value,-key.
    #[arg(short = 'a', long = "attributes", allow_hyphen_values = true)]
    attributes: Option<String>,
}

impl UpdateTopic {
    pub async fn run(&self, cluster: &Cluster) -> Result<Report, Failure> {
        let header = CreateTopicRequest {
            topic: &self.topic,
            default_topic: TEMPLATE_TOPIC,
            read_queue_nums: self.read_queue_nums,
            write_queue_nums: self.write_queue_nums,
            perm: self.perm,
            topic_filter_type: "SINGLE_TAG",
            topic_sys_flag: Some(i32::from(self.unit) | i32::from(self.has_unit_sub) << 1),
            order: self.order,
            attributes: self.attributes.as_deref(),
            force: None,
        };
        let (mut lines, mut done) = (Vec::new(), Vec::new());
        for address in cluster.targets(&self.which).await? {
            let code = request::UPDATE_AND_CREATE_TOPIC;
            cluster.ask(&address, code, &header, &[]).await?;
            lines.push(format!("create topic to {address} success."));
            done.push(address);
        }
        lines.push(self.config_text());
        Ok(Report::lines(lines, json!({ "topic": self.topic, "brokers": done })))
    }

    fn config_text(&self) -> String {
        let bit = |bit, letter| if self.perm & bit != 0 { letter } else { '-' };
        let perm: String = [bit(4, 'R'), bit(2, 'W'), bit(1, 'X')].into_iter().collect();
        format!(
            "TopicConfig [topicName={}, readQueueNums={}, writeQueueNums={}, perm={perm}, \
             topicFilterType=SINGLE_TAG, topicSysFlag={}, order={}, attributes={{{}}}]",
            self.topic,
            self.read_queue_nums,
            self.write_queue_nums,
            i32::from(self.unit) | i32::from(self.has_unit_sub) << 1,
            self.order,
            self.attributes.as_deref().unwrap_or_default()
        )
    }
}

#[derive(Debug, Args)]
pub struct DeleteTopic {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// The cluster.
    #[arg(short = 'c', long = "clusterName")]
    cluster_name: String,
}

impl DeleteTopic {
    pub async fn run(&self, cluster: &Cluster) -> Result<Report, Failure> {
        delete(cluster, &self.cluster_name, &self.topic).await?;
        let (topic, name) = (&self.topic, &self.cluster_name);
        let lines = [
            format!("delete topic [{topic}] from cluster [{name}] success."),
            format!("delete topic [{topic}] from NameServer success."),
        ];
        Ok(Report::lines(lines, json!({ "deleted": topic })))
    }
}

/// Deletes a topic from the masters of a cluster and from every name server.
pub async fn delete(cluster: &Cluster, cluster_name: &str, topic: &str) -> Result<(), Failure> {
    for broker in cluster.brokers(Some(cluster_name)).await? {
        if broker.id == MASTER_ID {
            let header = TopicRequest { topic, lo: None };
            let code = request::DELETE_TOPIC_IN_BROKER;
            cluster.ask(&broker.address, code, &header, &[]).await?;
        }
    }
    for server in &cluster.namesrvs {
        let header = DeleteTopicInNamesrvRequest { topic, cluster_name: Some(cluster_name) };
        let code = request::DELETE_TOPIC_IN_NAMESRV;
        match cluster.ask(server, code, &header, &[]).await {
            Err(failure) if !failure.is_code(response::TOPIC_NOT_EXIST) => return Err(failure),
            _ => {}
        }
    }
    Ok(())
}

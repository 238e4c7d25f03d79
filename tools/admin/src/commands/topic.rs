//! Topics: list, where, how full, create, change, delete.

use clap::Args;
use ringmq_client::admin::{Admin, BrokerTarget, TopicSettings};
use serde_json::json;

use crate::report::Report;
use crate::target::{Failure, Which, addresses};
use crate::times::time_text;

#[derive(Debug, Args)]
pub struct TopicList {
    /// Show cluster and consumer groups of each topic.
    #[arg(short = 'c', long = "clusterModel")]
    cluster_model: bool,
}

impl TopicList {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let mut topics = admin.topics().await?;
        topics.sort();
        if !self.cluster_model {
            let json = json!(topics);
            return Ok(Report::lines(topics, json));
        }
        let (mut rows, mut failures) = (Vec::new(), Vec::new());
        for topic in topics {
            match rows_of(admin, &topic).await {
                Ok(found) => rows.extend(found),
                Err(failure) => failures.push(format!("{topic}: {failure}")),
            }
        }
        let headings = ["#Cluster Name", "#Topic", "#Consumer Group"];
        Ok(Report::table(&headings, rows).with_failures(failures))
    }
}

/// A row for each group of a topic, one without a group when it has none.
async fn rows_of(admin: &Admin, topic: &str) -> Result<Vec<Vec<String>>, Failure> {
    let route = admin.topic_route(topic).await?;
    let Some(broker) = route.broker_datas.first() else { return Ok(Vec::new()) };
    let Some(address) = addresses(&route).next() else { return Ok(Vec::new()) };
    let mut groups = admin.groups_of_topic(address, topic).await?;
    if groups.is_empty() {
        groups.push(String::new());
    }
    let row = |group| vec![broker.cluster.clone(), topic.to_owned(), group];
    Ok(groups.into_iter().map(row).collect())
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
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let route = admin.topic_route(&self.topic).await?;
        let json = serde_json::to_value(&route).unwrap_or_default();
        if !self.list {
            return Ok(Report::lines([format!("{json:#}")], json));
        }
        let mut rows = Vec::new();
        let (mut read, mut write) = (0_i64, 0_i64);
        for queues in &route.queue_datas {
            let name = &queues.broker_name;
            let broker = route.broker_datas.iter().find(|broker| broker.broker_name == *name);
            let addresses = broker.map(|broker| {
                broker.broker_addrs.iter().map(|(id, addr)| format!("{id}:{addr}")).collect()
            });
            let addresses: Vec<String> = addresses.unwrap_or_default();
            read += i64::from(queues.read_queue_nums);
            write += i64::from(queues.write_queue_nums);
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
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let route = admin.topic_route(self.cluster.as_ref().unwrap_or(&self.topic)).await?;
        let (mut rows, mut rate) = (Vec::new(), 0.0);
        for address in addresses(&route) {
            let stats = admin.topic_stats(address, &self.topic).await?;
            rate += stats.topic_put_tps;
            rows.extend(stats.offset_table.iter().map(|(queue, offsets)| {
                vec![
                    queue.broker_name.clone(),
                    queue.queue_id.to_string(),
                    offsets.min_offset.to_string(),
                    offsets.max_offset.to_string(),
                    time_text(offsets.last_update_timestamp),
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
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let settings = TopicSettings {
            topic: self.topic.clone(),
            read_queues: self.read_queue_nums,
            write_queues: self.write_queue_nums,
            perm: self.perm,
            sys_flag: self.sys_flag(),
            is_ordered: self.order,
            attributes: self.attributes.clone(),
        };
        let done = admin.create_topic(&self.which.target(), &settings).await?;
        let done: Vec<_> = done.into_iter().map(|broker| broker.address).collect();
        let line = |address| format!("create topic to {address} success.");
        let mut lines: Vec<_> = done.iter().map(line).collect();
        lines.push(self.config_text());
        Ok(Report::lines(lines, json!({ "topic": self.topic, "brokers": done })))
    }

    fn sys_flag(&self) -> i32 {
        i32::from(self.unit) | i32::from(self.has_unit_sub) << 1
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
            self.sys_flag(),
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
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let (topic, name) = (&self.topic, &self.cluster_name);
        admin.delete_topic(&BrokerTarget::Cluster(name.clone()), topic).await?;
        let lines = [
            format!("delete topic [{topic}] from cluster [{name}] success."),
            format!("delete topic [{topic}] from NameServer success."),
        ];
        Ok(Report::lines(lines, json!({ "deleted": topic })))
    }
}

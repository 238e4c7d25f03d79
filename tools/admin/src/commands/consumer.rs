//! Who consumes and produces, how far they are, and setting that back.

use clap::{ArgAction, Args};
use ringmq_client::admin::Admin;
use ringmq_protocol::bodies::connection::{ClientConnection, ConsumerConnection as Members};
use ringmq_protocol::bodies::route::TopicRouteData;
use ringmq_protocol::bodies::stats::{ConsumeStats, OffsetWrapper};
use ringmq_protocol::codes::response;
use ringmq_protocol::names::{group_of_retry_topic, retry_topic};
use serde_json::json;

use crate::report::Report;
use crate::target::{Failure, addresses};
use crate::times::{point_in_time, time_text};

/// Where a group is: on the brokers that have its retry topic, which every group gets.
async fn route(admin: &Admin, group: &str) -> Result<TopicRouteData, Failure> {
    let topic = retry_topic(group);
    admin.topic_route(&topic).await.map_err(|error| match error.code() {
        Some(response::TOPIC_NOT_EXIST) => {
            Failure::other(format!("no broker knows the consumer group {group} (topic {topic})"))
        }
        _ => error.into(),
    })
}

/// The members of a group, from whichever broker has them; `None` when nobody is online.
async fn members(admin: &Admin, group: &str) -> Result<Option<Members>, Failure> {
    let route = route(admin, group).await?;
    for address in addresses(&route) {
        if let Some(members) = admin.consumers(address, group).await? {
            return Ok(Some(members));
        }
    }
    Ok(None)
}

#[derive(Debug, Args)]
pub struct ConsumerProgress {
    /// The group; all of them without it.
    #[arg(short = 'g', long = "groupName")]
    group_name: Option<String>,
    /// Only this topic.
    #[arg(short = 't', long = "topicName")]
    topic_name: Option<String>,
}

impl ConsumerProgress {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        match &self.group_name {
            Some(group) => self.of_group(admin, group).await,
            None => of_all(admin).await,
        }
    }

    async fn of_group(&self, admin: &Admin, group: &str) -> Result<Report, Failure> {
        let stats = stats(admin, group, self.topic_name.as_deref()).await?;
        let (mut rows, mut behind) = (Vec::new(), 0);
        for (queue, offsets) in &stats.offset_table {
            let diff = behind_by(offsets);
            let in_flight = offsets.pull_offset.saturating_sub(offsets.consumer_offset).max(0);
            behind = i64::saturating_add(behind, diff);
            rows.push(vec![
                queue.topic.clone(),
                queue.broker_name.clone(),
                queue.queue_id.to_string(),
                offsets.broker_offset.to_string(),
                offsets.consumer_offset.to_string(),
                diff.to_string(),
                in_flight.to_string(),
                time_text(offsets.last_timestamp),
            ]);
        }
        let headings = [
            "#Topic",
            "#Broker Name",
            "#QID",
            "#Broker Offset",
            "#Consumer Offset",
            "#Diff",
            "#Inflight",
            "#LastTime",
        ];
        let report = Report::table(&headings, rows);
        let json = json!({
            "group": group, "consumeTps": stats.consume_tps, "diffTotal": behind,
            "queues": report.json(),
        });
        let report = report.then("").then(format!("Consume TPS: {:.2}", stats.consume_tps));
        Ok(report.then(format!("Consume Diff Total: {behind}")).with_json(json))
    }
}

/// Messages that a group is behind in a queue. Clients may claim any progress.
fn behind_by(offsets: &OffsetWrapper) -> i64 {
    offsets.broker_offset.saturating_sub(offsets.consumer_offset)
}

/// Progress of a group, of all brokers that it consumes from.
async fn stats(admin: &Admin, group: &str, topic: Option<&str>) -> Result<ConsumeStats, Failure> {
    let route = route(admin, group).await?;
    let mut sum = ConsumeStats::default();
    for address in addresses(&route) {
        let stats = admin.consume_stats(address, group, topic).await?;
        sum.consume_tps += stats.consume_tps;
        sum.offset_table.extend(stats.offset_table);
    }
    Ok(sum)
}

/// One row per group. What a group's brokers do not tell stands below the rows of the others.
async fn of_all(admin: &Admin) -> Result<Report, Failure> {
    let topics = admin.topics().await?;
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for group in topics.iter().filter_map(|topic| group_of_retry_topic(topic)) {
        match row_of(admin, group).await {
            Ok(row) => rows.push(row),
            Err(failure) => failures.push(format!("{group}: {failure}")),
        }
    }
    let headings = ["#Group", "#Count", "#Version", "#Type", "#Model", "#TPS", "#Diff Total"];
    Ok(Report::table(&headings, rows).with_failures(failures))
}

async fn row_of(admin: &Admin, group: &str) -> Result<Vec<String>, Failure> {
    let stats = stats(admin, group, None).await?;
    let members = members(admin, group).await?;
    let behind = |sum: i64, offsets| sum.saturating_add(behind_by(offsets));
    let (kind, model) = members
        .as_ref()
        .map_or(("", ""), |members| (members.consume_type.name(), members.message_model.name()));
    let connections = members.as_ref().map_or(&[][..], |members| &members.connection_set);
    let version = connections.iter().map(|one| one.version).min();
    Ok(vec![
        group.to_owned(),
        connections.len().to_string(),
        version.map_or("OFFLINE".to_owned(), |version| version.to_string()),
        kind.to_owned(),
        model.to_owned(),
        format!("{:.2}", stats.consume_tps),
        stats.offset_table.values().fold(0, behind).to_string(),
    ])
}

#[derive(Debug, Args)]
pub struct ConsumerConnection {
    /// The group.
    #[arg(short = 'g', long = "consumerGroup")]
    consumer_group: String,
    /// Ask this broker.
    #[arg(short = 'b', long = "brokerAddr")]
    broker_addr: Option<String>,
}

fn client_rows(connections: &[ClientConnection]) -> Vec<Vec<String>> {
    let row = |one: &ClientConnection| {
        let (id, address) = (one.client_id.clone(), one.client_addr.clone());
        vec![id, address, one.language.clone(), one.version.to_string()]
    };
    connections.iter().map(row).collect()
}

const CLIENT_HEADINGS: [&str; 4] = ["#ClientId", "#ClientAddr", "#Language", "#Version"];

impl ConsumerConnection {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let group = &self.consumer_group;
        let found = match &self.broker_addr {
            Some(address) => admin.consumers(address, group).await?,
            None => members(admin, group).await?,
        };
        let Some(members) = found else {
            return Err(Failure::other(format!("the consumer group[{group}] is not online")));
        };
        let mut report = Report::table(&CLIENT_HEADINGS, client_rows(&members.connection_set));
        report = report.then("").then("Below is subscription:");
        for subscription in members.subscription_table.values() {
            let line = format!("{:<20}  {}", subscription.topic, subscription.sub_string);
            report = report.then(line);
        }
        let json = serde_json::to_value(&members).unwrap_or_default();
        let report = report
            .then("")
            .then(format!("ConsumeType: {}", members.consume_type.name()))
            .then(format!("MessageModel: {}", members.message_model.name()))
            .then(format!("ConsumeFromWhere: {}", members.consume_from_where.name()));
        Ok(report.with_json(json))
    }
}

#[derive(Debug, Args)]
pub struct ProducerConnection {
    /// The group.
    #[arg(short = 'g', long = "producerGroup")]
    producer_group: String,
    /// A topic that it sends to.
    #[arg(short = 't', long = "topic")]
    topic: String,
}

impl ProducerConnection {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let route = admin.topic_route(&self.topic).await?;
        let Some(address) = addresses(&route).next() else {
            return Err(Failure::other(format!("topic {} has no broker", self.topic)));
        };
        let producers = admin.producers(address, &self.producer_group).await?;
        Ok(Report::table(&CLIENT_HEADINGS, client_rows(&producers.connection_set)))
    }
}

pub const RESET_EXAMPLES: &str = "\
Examples:
  mqadmin resetOffsetByTime -g billing -t Orders -s 2026-11-21#13:05:09:000
  mqadmin resetOffsetByTime -g billing -t Orders -s 1795266309000
  mqadmin resetOffsetByTime -g billing -t Orders -s now";

#[derive(Debug, Args)]
pub struct ResetOffsetByTime {
    /// The group.
    #[arg(short = 'g', long = "group")]
    group: String,
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// now, yyyy-MM-dd#HH:mm:ss:SSS in this machine's time zone, Unix milliseconds, or -1 for the
    /// end.
    #[arg(short = 's', long = "timestamp", allow_hyphen_values = true)]
    timestamp: String,
    /// Also to later messages than the present ones.
    #[arg(short = 'f', long = "force", default_value_t = true, action = ArgAction::Set)]
    force: bool,
}

impl ResetOffsetByTime {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let timestamp_ms = point_in_time(&self.timestamp)?;
        let mut rows = Vec::new();
        let route = admin.topic_route(&self.topic).await?;
        for address in addresses(&route) {
            let reset = admin
                .reset_offsets(address, &self.group, &self.topic, timestamp_ms, self.force)
                .await?;
            rows.extend(reset.iter().map(|(queue, offset)| {
                vec![queue.broker_name.clone(), queue.queue_id.to_string(), offset.to_string()]
            }));
        }
        Ok(Report::table(&["#brokerName", "#queueId", "#offset"], rows))
    }
}

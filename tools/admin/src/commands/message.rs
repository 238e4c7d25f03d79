//! Messages: find by id or key, send one.

use clap::Args;
use ringmq_client::Client;
use ringmq_client::admin::Admin;
use ringmq_client::config::ProducerConfig;
use ringmq_client::message::Message;
use ringmq_client::producer::SendStatus;
use ringmq_client::queue::MessageQueue;
use ringmq_client::received::ReceivedMessage;
use ringmq_protocol::ids::OffsetMessageId;
use ringmq_protocol::properties::keys;
use serde_json::{Value, json};

use crate::report::Report;
use crate::target::Failure;
use crate::times::time_text;

fn describe(message: &ReceivedMessage) -> (Vec<String>, Value) {
    let property = |name: &str| message.property(name).unwrap_or_default().to_owned();
    let properties: serde_json::Map<String, Value> =
        message.properties().iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let body = String::from_utf8_lossy(&message.body).into_owned();
    let facts = [
        ("OffsetID", message.offset_message_id()),
        ("Topic", message.topic.clone()),
        ("Tags", property(keys::TAGS)),
        ("Keys", property(keys::KEYS)),
        ("Queue ID", message.queue.queue_id.to_string()),
        ("Queue Offset", message.queue_offset.to_string()),
        ("CommitLog Offset", message.physical_offset.to_string()),
        ("Reconsume Times", message.reconsume_times.to_string()),
        ("Born Timestamp", time_text(message.born_at_ms)),
        ("Store Timestamp", time_text(message.stored_at_ms)),
        ("Born Host", message.born_host.to_string()),
        ("Store Host", message.store_host.to_string()),
        ("System Flag", message.sys_flag.to_string()),
        ("Properties", Value::Object(properties.clone()).to_string()),
        ("Body", body.clone()),
    ];
    let lines = facts.iter().map(|(name, value)| format!("{:<20} {value}", format!("{name}:")));
    let json = json!({
        "offsetId": facts[0].1, "topic": message.topic, "queueId": message.queue.queue_id,
        "queueOffset": message.queue_offset, "physicalOffset": message.physical_offset,
        "reconsumeTimes": message.reconsume_times, "bornTimestamp": message.born_at_ms,
        "storeTimestamp": message.stored_at_ms, "properties": properties, "body": body,
    });
    (lines.collect(), json)
}

fn report(messages: &[ReceivedMessage]) -> Report {
    let (mut lines, mut found) = (Vec::new(), Vec::new());
    for message in messages {
        let (text, json) = describe(message);
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(text);
        found.push(json);
    }
    Report::lines(lines, Value::Array(found))
}

#[derive(Debug, Args)]
pub struct QueryMsgById {
    /// The topic; needed for unique keys.
    #[arg(short = 't', long = "topic")]
    topic: Option<String>,
    /// Offset id (32 or 56 digits that name broker and position), or unique key.
    #[arg(short = 'i', long = "msgId")]
    msg_id: String,
}

impl QueryMsgById {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        if let Some(topic) = &self.topic {
            // What a producer was told is the unique key; it looks like an offset id.
            let found = admin.find_by_unique_key(topic, &self.msg_id).await?;
            if !found.is_empty() {
                return Ok(report(&found));
            }
        }
        let id = &self.msg_id;
        let hint = match &self.topic {
            Some(topic) => format!("no message of {topic} has {id} as its unique key"),
            None => format!("give the topic with -t if {id} is a unique key, as sends return it"),
        };
        if id.parse::<OffsetMessageId>().is_err() {
            return Err(Failure::other(format!("{id} is no offset id; {hint}")));
        }
        let viewed = admin.view_message(id).await;
        Ok(report(&[viewed.map_err(|error| Failure::other(format!("{error}\n  {hint}")))?]))
    }
}

pub const QUERY_BY_KEY_EXAMPLES: &str = "\
Examples:
  mqadmin queryMsgByKey -t Orders -k order-17
  mqadmin queryMsgByKey -t Orders -k order-17 -m 1 --json";

#[derive(Debug, Args)]
pub struct QueryMsgByKey {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// One of the message's keys.
    #[arg(short = 'k', long = "msgKey")]
    msg_key: String,
    /// Messages of each broker at most.
    #[arg(short = 'm', long = "maxNum", default_value_t = 64)]
    max_num: i32,
}

impl QueryMsgByKey {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let found = admin.find_by_key(&self.topic, &self.msg_key, self.max_num).await?;
        if found.is_empty() {
            let text = format!("no message of {} has the key {}", self.topic, self.msg_key);
            return Err(Failure::other(text));
        }
        Ok(report(&found))
    }
}

pub const SEND_EXAMPLES: &str = "\
Examples:
  mqadmin sendMessage -t Orders -p hello
  mqadmin sendMessage -t Orders -p hello -k order-17 -c paid
  mqadmin sendMessage -t Orders -p hello -b broker-a -i 0";

#[derive(Debug, Args)]
pub struct SendMessage {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// The body, UTF-8.
    #[arg(short = 'p', long = "body")]
    body: String,
    /// Keys, separated by blanks.
    #[arg(short = 'k', long = "key")]
    key: Option<String>,
    /// The tag.
    #[arg(short = 'c', long = "tags")]
    tags: Option<String>,
    /// Name of the broker; needs -i.
    #[arg(short = 'b', long = "broker", requires = "qid")]
    broker: Option<String>,
    /// The queue; needs -b.
    #[arg(short = 'i', long = "qid", requires = "broker")]
    qid: Option<i32>,
}

impl SendMessage {
    pub async fn run(&self, client: &Client) -> Result<Report, Failure> {
        // A topic that does not exist is not made by a slip of the pen.
        client.admin().topic_route(&self.topic).await?;
        let producer = client.producer(ProducerConfig::new("TOOLS_PRODUCER")).await?;
        let keys = self.key.as_deref().unwrap_or_default();
        let tag = self.tags.as_deref().unwrap_or_default();
        let message = Message::new(&self.topic, self.body.clone()).keys(keys).tag(tag);
        let sent = match (&self.broker, self.qid) {
            (Some(broker), Some(queue_id)) => {
                let queue = MessageQueue::new(self.topic.as_str(), broker.as_str(), queue_id);
                producer.send_to(message, queue).await?
            }
            _ => producer.send(message).await?,
        };
        let row = vec![
            sent.queue.broker_name.to_string(),
            sent.queue.queue_id.to_string(),
            status_text(sent.status).to_owned(),
            sent.message_id,
        ];
        let headings = ["#Broker Name", "#QID", "#Send Result", "#MsgId"];
        Ok(Report::table(&headings, vec![row]))
    }
}

/// Java's name of the status.
fn status_text(status: SendStatus) -> &'static str {
    match status {
        SendStatus::Ok => "SEND_OK",
        SendStatus::FlushDiskTimeout => "FLUSH_DISK_TIMEOUT",
        SendStatus::FlushSlaveTimeout => "FLUSH_SLAVE_TIMEOUT",
        SendStatus::SlaveNotAvailable => "SLAVE_NOT_AVAILABLE",
    }
}

//! Messages: find by id or key, send one.

use crate::cluster::{Cluster, Failure, address_of};
use crate::report::Report;
use clap::Args;
use ringmq_protocol::Header;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::query::{QueryMessageRequest, ViewMessageRequest};
use ringmq_protocol::headers::send::{SendRequest, SendResponse};
use ringmq_protocol::ids::OffsetMessageId;
use ringmq_protocol::names::TEMPLATE_TOPIC;
use ringmq_protocol::properties::{Builder, keys};
use ringmq_protocol::record::{Record, records};
use ringmq_runtime::clock;
use serde_json::{Value, json};

/// Unix time in milliseconds as `2026-11-21 13:05:09,123` (UTC); nothing for 0.
pub fn time_text(unix_ms: i64) -> String {
    if unix_ms <= 0 {
        return String::new();
    }
    let (days, of_day) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    let (year, month, day) = date(days);
    let (seconds, ms) = (of_day / 1_000, of_day % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02},{ms:03}")
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn describe(record: &Record<'_>) -> (Vec<String>, Value) {
    let id = OffsetMessageId { host: record.store_host, physical_offset: record.physical_offset };
    let property = |name: &str| record.properties.get(name).unwrap_or_default().to_owned();
    let properties: serde_json::Map<String, Value> =
        record.properties.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let body = String::from_utf8_lossy(record.body).into_owned();
    let facts = [
        ("OffsetID", id.text().as_str().to_owned()),
        ("Topic", record.topic.to_owned()),
        ("Tags", property(keys::TAGS)),
        ("Keys", property(keys::KEYS)),
        ("Queue ID", record.queue_id.to_string()),
        ("Queue Offset", record.queue_offset.to_string()),
        ("CommitLog Offset", record.physical_offset.to_string()),
        ("Reconsume Times", record.reconsume_times.to_string()),
        ("Born Timestamp", time_text(record.born_at_ms)),
        ("Store Timestamp", time_text(record.stored_at_ms)),
        ("Born Host", record.born_host.to_string()),
        ("Store Host", record.store_host.to_string()),
        ("System Flag", record.sys_flag.to_string()),
        ("Properties", Value::Object(properties.clone()).to_string()),
        ("Body", body.clone()),
    ];
    let lines = facts.iter().map(|(name, value)| format!("{:<20} {value}", format!("{name}:")));
    let json = json!({
        "offsetId": facts[0].1, "topic": record.topic, "queueId": record.queue_id,
        "queueOffset": record.queue_offset, "physicalOffset": record.physical_offset,
        "reconsumeTimes": record.reconsume_times, "bornTimestamp": record.born_at_ms,
        "storeTimestamp": record.stored_at_ms, "properties": properties, "body": body,
    });
    (lines.collect(), json)
}

fn report(bytes: &[u8]) -> Result<Report, Failure> {
    let (mut lines, mut found) = (Vec::new(), Vec::new());
    for record in records(bytes) {
        let record = record.map_err(|error| Failure::other(error.to_string()))?;
        let (text, json) = describe(&record);
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(text);
        found.push(json);
    }
    Ok(Report::lines(lines, Value::Array(found)))
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
    pub async fn run(&self, cluster: &Cluster) -> Result<Report, Failure> {
        if let Some(topic) = &self.topic {
            // What a producer was told is the unique key; it looks like an offset id.
            match find(cluster, topic, &self.msg_id, true, 32).await {
                Err(failure) if failure.is_code(response::QUERY_NOT_FOUND) => {}
                result => return result,
            }
        }
        let Ok(id) = self.msg_id.parse::<OffsetMessageId>() else {
            let text = format!("{} is not found, and is no offset id", self.msg_id);
            return Err(Failure::other(text));
        };
        let header =
            ViewMessageRequest { offset: id.physical_offset, topic: self.topic.as_deref() };
        let code = request::VIEW_MESSAGE_BY_ID;
        let answer = cluster.ask(&id.host.to_string(), code, &header, &[]).await?;
        report(answer.body())
    }
}

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
    pub async fn run(&self, cluster: &Cluster) -> Result<Report, Failure> {
        find(cluster, &self.topic, &self.msg_key, false, self.max_num).await
    }
}

/// Asks every broker of a topic for messages with a key.
async fn find(
    cluster: &Cluster,
    topic: &str,
    key: &str,
    is_unique: bool,
    max_num: i32,
) -> Result<Report, Failure> {
    let (mut bytes, mut missing) = (Vec::new(), None);
    for address in cluster.route(topic).await?.broker_datas.iter().filter_map(address_of) {
        let header = QueryMessageRequest {
            topic,
            key,
            max_num,
            begin_timestamp_ms: 0,
            end_timestamp_ms: i64::MAX,
            unique_key_query: is_unique,
            index_type: None,
            last_key: None,
        };
        match cluster.ask(address, request::QUERY_MESSAGE, &header, &[]).await {
            Ok(answer) => bytes.extend_from_slice(answer.body()),
            Err(failure) if failure.is_code(response::QUERY_NOT_FOUND) => missing = Some(failure),
            Err(failure) => return Err(failure),
        }
    }
    match missing {
        Some(failure) if bytes.is_empty() => Err(failure),
        _ => report(&bytes),
    }
}

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
    pub async fn run(&self, cluster: &Cluster) -> Result<Report, Failure> {
        let route = cluster.route(&self.topic).await?;
        let broker = match &self.broker {
            Some(name) => route.broker_datas.iter().find(|broker| broker.broker_name == *name),
            None => route.broker_datas.first(),
        };
        let target = broker.and_then(|broker| Some((broker, address_of(broker)?)));
        let Some((broker, address)) = target else {
            return Err(Failure::other(format!("no broker of topic {} fits", self.topic)));
        };
        let properties = self.properties()?;
        let header = SendRequest {
            producer_group: "TOOLS_PRODUCER",
            topic: &self.topic,
            default_topic: TEMPLATE_TOPIC,
            default_topic_queue_nums: 4,
            queue_id: self.qid.unwrap_or(-1),
            sys_flag: 0,
            born_at_ms: clock::unix_ms(),
            flag: 0,
            properties: Some(&properties),
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: None,
            batch: false,
            broker_name: Some(&broker.broker_name),
        };
        let code = request::SEND_MESSAGE_V2;
        let answer = cluster.ask(address, code, &header, self.body.as_bytes()).await?;
        let command = answer.command();
        let sent = SendResponse::decode(&command.fields)
            .map_err(|error| Failure::other(error.to_string()))?;
        let row = vec![
            broker.broker_name.clone(),
            sent.queue_id.to_string(),
            "SEND_OK".to_owned(),
            sent.msg_id.to_owned(),
        ];
        let headings = ["#Broker Name", "#QID", "#Send Result", "#MsgId"];
        Ok(Report::table(&headings, vec![row]))
    }

    fn properties(&self) -> Result<String, Failure> {
        let mut properties = Builder::new();
        for (name, value) in [(keys::KEYS, &self.key), (keys::TAGS, &self.tags)] {
            if let Some(value) = value {
                let set = properties.set(name, value);
                set.map_err(|error| Failure::other(error.to_string()))?;
            }
        }
        Ok(properties.into_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_dates() {
        assert_eq!(time_text(0), "");
        assert_eq!(time_text(951_782_400_123), "2000-02-29 00:00:00,123");
        assert_eq!(time_text(1_795_265_121_990), "2026-11-21 12:45:21,990");
    }
}

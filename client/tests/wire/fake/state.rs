//! What the fake remembers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::bodies::offset::ResetOffsetBody;
use ringmq_protocol::bodies::route::{BrokerData, QueueData, TopicRouteData};
use ringmq_protocol::codes::request;
use ringmq_protocol::headers::send::SendRequest;
use ringmq_protocol::json;
use ringmq_protocol::record::{NewRecord, Placement, Record, encode, encoded_len, sys_flag};

/// Queues of every topic.
pub const QUEUES: i32 = 4;

/// Where a record holds its flags.
const SYS_FLAG_AT: usize = 36;

/// What goes wrong with the next send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Answered with this code.
    Refuse(i32),
    /// Answered so after this time.
    RefuseLate(i32, Duration),
    /// Never answered.
    Silence,
    /// The connection is closed in its place.
    Disconnect,
}

/// A request of the broker: code, fields, body.
pub type Ask = (i32, Vec<(&'static str, String)>, Vec<u8>);

/// Has the group `g` begin at `offset` of a queue of topic `T` on broker `a`.
pub fn reset_to(queue_id: i32, offset: i64) -> Ask {
    let queue = MessageQueue { broker_name: "a".into(), queue_id, topic: "T".into() };
    let body = json::to_vec(&ResetOffsetBody { offset_table: [(queue, offset)].into() });
    let fields = vec![
        ("topic", "T".to_owned()),
        ("group", "g".to_owned()),
        ("timestamp", "0".to_owned()),
        ("isForce", "true".to_owned()),
    ];
    (request::RESET_CONSUMER_CLIENT_OFFSET, fields, body)
}

/// A queue by topic and number.
pub type Place = (String, i32);

/// Everything.
#[derive(Default)]
pub struct State {
    pub name: String,
    pub address: Option<SocketAddr>,
    /// Names and addresses that routes hold.
    pub brokers: Vec<(String, String)>,
    pub topics: BTreeSet<String>,
    /// Stored records, index = queue offset.
    pub queues: BTreeMap<Place, Vec<Vec<u8>>>,
    pub offsets: BTreeMap<(String, Place), i64>,
    /// Group to client ids.
    pub members: BTreeMap<String, BTreeSet<String>>,
    /// Group and queue to the client that holds its lock.
    pub locks: BTreeMap<(String, Place), String>,
    pub trouble: VecDeque<Trouble>,
    /// Codes of requests that are never answered.
    pub silent: BTreeSet<i32>,
    /// Codes of requests that are refused.
    pub refused: BTreeSet<i32>,
    /// Code of a request of which the next one that wants an answer gets none.
    pub silence: Option<i32>,
    /// Code of a request in place of which the connection is closed, once.
    pub cut: Option<i32>,
    /// Requests to all clients, sent when the next request of a client comes.
    pub asks: VecDeque<Ask>,
    /// What clients answered.
    pub answers: Vec<(i32, Vec<u8>)>,
    /// Connections that came to their end.
    pub closed: usize,
    /// Codes of all requests, in order.
    pub seen: Vec<i32>,
}

impl State {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// How often a request came.
    pub fn count(&self, code: i32) -> usize {
        self.seen.iter().filter(|seen| **seen == code).count()
    }

    /// Messages of a topic in all queues.
    pub fn stored(&self, topic: &str) -> usize {
        let of_topic = self.queues.iter().filter(|((name, _), _)| name == topic);
        of_topic.map(|(_, records)| records.len()).sum()
    }

    /// Sum of the offsets that a group stored for a topic.
    pub fn committed(&self, group: &str, topic: &str) -> i64 {
        let of = self.offsets.iter().filter(|((g, (t, _)), _)| g == group && t == topic);
        of.map(|(_, offset)| *offset).sum()
    }

    pub fn route(&self, topic: &str) -> Option<TopicRouteData> {
        let is_known = topic == "TBW102" || self.topics.contains(topic);
        is_known.then(|| TopicRouteData {
            broker_datas: self
                .brokers
                .iter()
                .map(|(name, address)| broker(name, address))
                .collect(),
            queue_datas: self.brokers.iter().map(|(name, _)| queues(name)).collect(),
            ..TopicRouteData::default()
        })
    }

    /// Marks the body of a stored message as compressed, which it is not.
    pub fn spoil(&mut self, topic: &str, queue_id: i32, offset: usize) {
        let records = self.queues.get_mut(&(topic.to_owned(), queue_id)).expect("a queue");
        let flags = Record::parse(&records[offset]).expect("our own record").sys_flag;
        let spoilt = flags | sys_flag::COMPRESSED;
        records[offset][SYS_FLAG_AT..SYS_FLAG_AT + 4].copy_from_slice(&spoilt.to_be_bytes());
    }

    /// Stores one message and returns its offsets: in the queue, and physical.
    pub fn store(
        &mut self,
        header: &SendRequest<'_>,
        flag: i32,
        body: &[u8],
        properties: &str,
    ) -> (i64, i64) {
        self.topics.insert(header.topic.to_owned());
        let place = (header.topic.to_owned(), header.queue_id);
        let host = self.address.expect("listening");
        let records = self.queues.entry(place).or_default();
        let queue_offset = i64::try_from(records.len()).expect("few");
        let physical_offset = i64::from(header.queue_id) << 32 | queue_offset;
        let new = NewRecord {
            topic: header.topic,
            queue_id: header.queue_id,
            flag,
            sys_flag: header.sys_flag,
            born_at_ms: header.born_at_ms,
            born_host: host,
            store_host: host,
            reconsume_times: header.reconsume_times,
            prepared_transaction_offset: 0,
            body,
            properties,
            extra: &[],
            with_record_crc: false,
        };
        let mut bytes = vec![0; encoded_len(&new).expect("fits")];
        let placement = Placement { queue_offset, physical_offset, stored_at_ms: 1 };
        encode(&mut bytes, &new, placement).expect("fits");
        records.push(bytes);
        (queue_offset, physical_offset)
    }
}

fn broker(name: &str, address: &str) -> BrokerData {
    BrokerData {
        broker_name: name.to_owned(),
        cluster: "fake".into(),
        broker_addrs: [(0, address.to_owned())].into(),
        ..BrokerData::default()
    }
}

fn queues(name: &str) -> QueueData {
    QueueData {
        broker_name: name.to_owned(),
        perm: 6,
        read_queue_nums: QUEUES,
        write_queue_nums: QUEUES,
        topic_sys_flag: 0,
    }
}

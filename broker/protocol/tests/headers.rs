//! Every header that clients, brokers and name servers exchange, against its fields as the
//! protocol's description lists them: names, types, and which of them must be there.

use std::collections::BTreeMap;

use ringmq_protocol::error::HeaderError;
use ringmq_protocol::fields::Fields;
use ringmq_protocol::frame::{self, FRAME_SIZE_MAX_BYTES, Frame};
use ringmq_protocol::headers::client::*;
use ringmq_protocol::headers::namesrv::*;
use ringmq_protocol::headers::offset::*;
use ringmq_protocol::headers::pull::*;
use ringmq_protocol::headers::query::*;
use ringmq_protocol::headers::send::*;
use ringmq_protocol::{Command, Header, RequestHead, SerializeType, WriteHeader, write_request};

const FORMS: [SerializeType; 2] = [SerializeType::Json, SerializeType::RocketMq];

/// One header type.
struct Case {
    name: &'static str,
    /// Reads the fields and writes a request with what was read.
    rewrite: fn(&Fields<'_>, SerializeType) -> Result<Vec<u8>, HeaderError>,
    /// Names, with a type where it is no text; those behind `|` may be absent.
    fields: &'static str,
}

macro_rules! cases {
    ($($header:ident: $fields:literal,)*) => {[$(Case {
        name: stringify!($header),
        rewrite: |fields, form| Ok(written(&$header::decode(fields)?, form)),
        fields: $fields,
    },)*]};
}

/// Between clients and brokers, in both directions. The request of a send, which has two spellings,
/// is in `commands.rs`.
const WITH_BROKERS: [Case; 21] = cases! {
    SendResponse: "msgId queueId:i32 queueOffset:i64 | transactionId batchUniqId recallHandle \
        MSG_REGION TRACE_ON",
    SendBackRequest: "offset:i64 group delayLevel:i32 | originMsgId originTopic unitMode:bool \
        maxReconsumeTimes:i32 bname",
    PullRequest: "consumerGroup topic queueId:i32 queueOffset:i64 maxMsgNums:i32 sysFlag:i32 \
        commitOffset:i64 suspendTimeoutMillis:i64 subVersion:i64 | subscription expressionType \
        maxMsgBytes:i32 requestSource:i32 proxyFrowardClientId liteTopic bname",
    PullResponse: "suggestWhichBrokerId:i64 nextBeginOffset:i64 minOffset:i64 maxOffset:i64 | \
        offsetDelta:i64 topicSysFlag:i32 groupSysFlag:i32 forbiddenType:i32",
    QueryOffsetRequest: "consumerGroup topic queueId:i32 | setZeroIfNotFound:bool bname",
    UpdateOffsetRequest: "consumerGroup topic queueId:i32 commitOffset:i64 | bname",
    SearchOffsetRequest: "topic queueId:i32 timestamp:i64 | boundaryType liteTopic bname",
    MaxOffsetRequest: "topic queueId:i32 | committed:bool bname",
    QueueRequest: "topic queueId:i32 | bname",
    OffsetResponse: "offset:i64 |",
    TimestampResponse: "timestamp:i64 |",
    QueryMessageRequest: "topic key maxNum:i32 beginTimestamp:i64 endTimestamp:i64 | \
        _UNIQUE_KEY_QUERY:bool indexType lastKey",
    QueryMessageResponse: "indexLastUpdateTimestamp:i64 indexLastUpdatePhyoffset:i64 |",
    ViewMessageRequest: "offset:i64 | topic",
    HeartbeatResponse: "| IS_SUPPORT_HEART_BEAT_V2:bool IS_SUB_CHANGE:bool",
    UnregisterClientRequest: "clientID | producerGroup consumerGroup",
    ConsumerGroupRequest: "consumerGroup |",
    ResetOffsetRequest: "topic group timestamp:i64 isForce:bool | queueId:i32 offset:i64",
    ConsumerStatusRequest: "topic group | clientAddr",
    ConsumerRunningInfoRequest: "consumerGroup clientId | jstackEnable:bool",
    ConsumeDirectlyRequest: "consumerGroup | clientId msgId brokerName topic topicSysFlag:i32 \
        groupSysFlag:i32",
};

const WITH_NAME_SERVERS: [Case; 18] = cases! {
    RouteRequest: "topic | acceptStandardJsonOnly:bool __ZONE_MODE:bool __ZONE_NAME",
    RegisterBrokerRequest: "brokerName brokerAddr clusterName haServerAddr brokerId:i64 | \
        heartbeatTimeoutMillis:i64 enableActingMaster:bool compressed:bool bodyCrc32:i32 \
        __ZONE_NAME",
    RegisterBrokerResponse: "| haServerAddr masterAddr",
    BrokerRequest: "brokerName brokerAddr clusterName brokerId:i64 |",
    QueryDataVersionResponse: "changed:bool |",
    BrokerHeartbeatRequest: "clusterName brokerAddr brokerName | brokerId:i64 epoch:i32 \
        maxOffset:i64 confirmOffset:i64 heartbeatTimeoutMills:i64 electionPriority:i32",
    BrokerMemberGroupRequest: "clusterName brokerName |",
    MinBrokerIdChange: "| minBrokerId:i64 brokerName minBrokerAddr offlineBrokerAddr haBrokerAddr",
    WritePermRequest: "brokerName |",
    WipeWritePermResponse: "wipeTopicCount:i32 |",
    AddWritePermResponse: "addTopicCount:i32 |",
    DeleteTopicInNamesrvRequest: "topic | clusterName",
    RegisterTopicRequest: "topic |",
    TopicsByClusterRequest: "cluster |",
    PutKvRequest: "namespace key value |",
    KvRequest: "namespace key |",
    GetKvResponse: "| value",
    KvListRequest: "namespace |",
};

type FieldMap = BTreeMap<String, String>;

fn all() -> impl Iterator<Item = &'static Case> {
    WITH_BROKERS.iter().chain(&WITH_NAME_SERVERS)
}

impl Case {
    /// Fields that hold what is largest or hardest to write: first the required ones.
    fn values(&self, truth: &str) -> [FieldMap; 2] {
        let (required, optional) = self.fields.split_once('|').expect("a bar");
        let value = |field: &str| match field.split_once(':') {
            None => (field.to_owned(), format!("of {field} \"中\\\u{1}😀\"")),
            Some((name, "i32")) => (name.to_owned(), i32::MAX.to_string()),
            Some((name, "i64")) => (name.to_owned(), i64::MAX.to_string()),
            Some((name, "bool")) => (name.to_owned(), truth.to_owned()),
            Some((_, other)) => panic!("{}: type {other}", self.name),
        };
        [required, optional].map(|fields| fields.split_whitespace().map(value).collect())
    }

    /// The fields after one reading by the header's type, from and to this form.
    fn again(&self, fields: &FieldMap, form: SerializeType) -> Result<FieldMap, HeaderError> {
        let bytes = written(&Pairs(fields), form);
        let bytes = (self.rewrite)(&parse(&bytes).fields, form)?;
        let command = parse(&bytes);
        assert_eq!(command.serialize, form, "{}", self.name);
        Ok(command.fields.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

struct Pairs<'a>(&'a FieldMap);

impl WriteHeader for Pairs<'_> {
    fn write_to(&self, out: &mut ringmq_protocol::fields::FieldWriter<'_>) {
        self.0.iter().for_each(|(name, value)| out.text(name, value));
    }
}

fn written(header: &impl WriteHeader, serialize: SerializeType) -> Vec<u8> {
    let mut out = Vec::new();
    let head = RequestHead { serialize, code: 1, opaque: 7, oneway: false, remark: None };
    write_request(&mut out, head, header, b"body");
    out
}

fn cut(bytes: &[u8]) -> Frame<'_> {
    frame::cut(bytes, FRAME_SIZE_MAX_BYTES).expect("sound").expect("whole").0
}

fn parse(bytes: &[u8]) -> Command<'_> {
    Command::parse(cut(bytes)).expect("a sound header")
}

#[test]
fn headers_have_the_fields_of_the_specification_in_both_forms() {
    for (case, form) in all().flat_map(|case| FORMS.map(|form| (case, form))) {
        for truth in ["true", "false"] {
            let [required, optional] = case.values(truth);
            let whole: FieldMap = required.clone().into_iter().chain(optional.clone()).collect();
            assert_eq!(case.again(&whole, form).as_ref(), Ok(&whole), "{}", case.name);
            // What is absent stays so or is written with its default.
            let again = case.again(&required, form).expect("what must be there is there");
            let (own, defaults): (FieldMap, FieldMap) =
                again.into_iter().partition(|(name, _)| required.contains_key(name));
            assert_eq!(own, required, "{}", case.name);
            for name in defaults.keys() {
                assert!(optional.contains_key(name), "{}: {name}", case.name);
            }
        }
    }
}

#[test]
fn headers_without_a_required_field_are_refused_with_its_name() {
    for (case, form) in all().flat_map(|case| FORMS.map(|form| (case, form))) {
        let [required, _] = case.values("true");
        for name in required.keys() {
            let mut rest = required.clone();
            rest.remove(name);
            match case.again(&rest, form) {
                Err(HeaderError::Missing { field, .. }) => assert_eq!(field, name),
                other => panic!("{} without {name}: {other:?}", case.name),
            }
        }
    }
}

#[test]
fn headers_with_a_number_out_of_range_are_refused_with_its_name() {
    let mut checked = 0;
    for case in all() {
        let [required, optional] = case.values("true");
        let whole: FieldMap = required.into_iter().chain(optional).collect();
        for (name, value) in &whole {
            let Ok(number) = value.parse::<i128>() else { continue };
            for wrong in [(number + 1).to_string(), "1.0".to_owned(), String::from("x")] {
                let mut fields = whole.clone();
                fields.insert(name.clone(), wrong);
                match case.again(&fields, SerializeType::Json) {
                    Err(HeaderError::Invalid { field, .. }) => assert_eq!(field, name),
                    other => panic!("{}, {name}: {other:?}", case.name),
                }
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "numbers are told from texts");
}

#[test]
fn every_truncation_of_every_header_is_noticed() {
    for (case, form) in all().flat_map(|case| FORMS.map(|form| (case, form))) {
        let [required, optional] = case.values("true");
        let whole: FieldMap = required.into_iter().chain(optional).collect();
        let bytes = written(&Pairs(&whole), form);
        for len in 0..bytes.len() {
            let found = frame::cut(&bytes[..len], FRAME_SIZE_MAX_BYTES);
            assert_eq!(found, Ok(None), "{} at {len}", case.name);
        }
        let frame = cut(&bytes);
        for len in 0..frame.header.len() {
            let part = Frame { header: &frame.header[..len], ..frame };
            assert!(Command::parse(part).is_err(), "{} at {len}", case.name);
        }
    }
}

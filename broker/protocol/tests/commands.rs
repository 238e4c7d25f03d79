//! Frames and headers: specification vectors, dialects of other clients, damage.

use proptest::prelude::*;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::error::{CommandError, HeaderError};
use ringmq_protocol::fields::FIELDS_MAX;
use ringmq_protocol::frame::{self, FRAME_SIZE_MAX_BYTES, Frame};
use ringmq_protocol::headers::namesrv::RouteRequest;
use ringmq_protocol::headers::offset::{OffsetResponse, UpdateOffsetRequest};
use ringmq_protocol::headers::pull::PullRequest;
use ringmq_protocol::headers::send::{LongNames, SendRequest};
use ringmq_protocol::{
    Command, Header, Language, RequestHead, ResponseHead, SerializeType, WriteHeader,
    write_request, write_response, write_response_head,
};

const FORMS: [SerializeType; 2] = [SerializeType::Json, SerializeType::RocketMq];

fn parse(bytes: &[u8]) -> Command<'_> {
    let (frame, used) = frame::cut(bytes, FRAME_SIZE_MAX_BYTES).unwrap().expect("a whole frame");
    assert_eq!(used, bytes.len());
    Command::parse(frame).unwrap()
}

fn parse_json(header: &str) -> Result<Command<'_>, CommandError> {
    let header = header.as_bytes();
    Command::parse(Frame { serialize: SerializeType::Json, header, body: &[] })
}

fn request(serialize: SerializeType, code: i32) -> RequestHead<'static> {
    RequestHead { serialize, code, opaque: 7, oneway: false, remark: None }
}

fn response(serialize: SerializeType, code: i32) -> ResponseHead<'static> {
    ResponseHead { serialize, opaque: 7, code, remark: None }
}

#[test]
fn vectors_of_the_specification_are_read() {
    let mut json_frame = vec![0, 0, 0, 0x80, 0, 0, 0, 0x7C];
    json_frame.extend(br#"{"code":105,"extFields":{"topic":"T1"},"flag":0,"language":"JAVA","#);
    json_frame.extend(br#""opaque":7,"serializeTypeCurrentRPC":"JSON","version":479}"#);
    let mut binary_frame = vec![0, 0, 0, 0x26, 1, 0, 0, 0x22, 0, 0x69, 0, 1, 0xDF, 0, 0, 0, 7];
    binary_frame.extend([0; 8]);
    binary_frame.extend(b"\0\0\0\x0D\0\x05topic\0\0\0\x02T1");
    for bytes in [json_frame, binary_frame] {
        let command = parse(&bytes);
        assert_eq!((command.code, command.opaque), (request::GET_ROUTEINFO_BY_TOPIC, 7));
        assert_eq!((command.language, command.version), (Language::Java, 479));
        assert!(!command.is_response() && !command.is_oneway() && command.body.is_empty());
        assert_eq!(RouteRequest::decode(&command.fields).unwrap().topic, "T1");
    }
}

#[test]
fn a_json_answer_looks_like_javas() {
    let mut out = Vec::new();
    let head = ResponseHead { remark: Some("a \"b\"\n"), ..response(SerializeType::Json, 17) };
    write_response(&mut out, head, &OffsetResponse { offset: -1 }, b"x");
    let expected = concat!(
        r#"{"code":17,"extFields":{"offset":"-1"},"flag":1,"language":"RUST","opaque":7,"#,
        r#""remark":"a \"b\"\n","serializeTypeCurrentRPC":"JSON","version":513}x"#
    );
    assert_eq!(str::from_utf8(&out[8..]), Ok(expected));
    out.clear();
    write_response(&mut out, response(SerializeType::Json, 0), &(), b"");
    assert!(!out.windows(9).any(|window| window == b"extFields"));
}

#[test]
fn requests_of_other_clients_are_read() {
    // Node: numbers and booleans as they are; members in any order; white space.
    let node = parse_json(
        r#" { "opaque" : 1, "extFields": {"queueId":2, "topic":"T\u4e2d\ud83d\ude00", "order":true,
             "none":null, "list":[1,{"a":"]"}]}, "unknown": {"x":[{}]}, "code":14,
             "language":"JAVA" } "#,
    )
    .unwrap();
    assert_eq!(node.fields.get("queueId"), Some("2"));
    assert_eq!(node.fields.get("topic"), Some("T中😀"));
    assert_eq!(node.fields.get("order"), Some("true"));
    assert_eq!(node.fields.get("none"), None);
    assert_eq!(node.fields.get("list"), Some(r#"[1,{"a":"]"}]"#));
    assert_eq!((node.version, node.flag), (0, 0));
    // 4.x heartbeats have no fields; C++ sends numbers as text; Go an empty remark.
    let bare =
        parse_json(r#"{"code":"34","extFields":null,"opaque":"9","remark":"","language":9}"#);
    let bare = bare.unwrap();
    assert!(bare.fields.is_empty());
    assert_eq!((bare.code, bare.opaque, bare.remark()), (34, 9, Some("")));
    assert_eq!(bare.language, Language::Go);
    let foreign = parse_json(r#"{"code":34,"opaque":1,"language":"KLINGON"}"#).unwrap();
    assert_eq!(foreign.language, Language::Other);
    let foreign = parse_json(r#"{"code":34,"opaque":1,"language":14}"#).unwrap();
    assert_eq!(foreign.language, Language::Other);
}

#[test]
fn broken_json_headers_are_refused() {
    for (header, at) in [
        ("", 0),
        ("[]", 0),
        ("{", 1),
        (r#"{"code":1,"opaque":2"#, 20),
        (r#"{"code":1 "opaque":2}"#, 10),
        (r#"{"code":1,"opaque":2} x"#, 22),
        (r#"{"code":1.5,"opaque":2}"#, 8),
        (r#"{"code":99999999999,"opaque":2}"#, 8),
        (r#"{"code":1,"opaque":2,"extFields":5}"#, 33),
        (r#"{"code":1,"opaque":2,"extFields":{"a":"\x"}}"#, 40),
        (r#"{"code":1,"opaque":2,"extFields":{"a":"\u12"}}"#, 40),
        (r#"{"code":1,"opaque":2,"extFields":{"a"}}"#, 37),
    ] {
        match parse_json(header) {
            Err(CommandError::Malformed { at: found, .. }) => assert_eq!(found, at, "{header}"),
            other => panic!("{header}: {other:?}"),
        }
    }
    assert!(matches!(parse_json(r#"{"opaque":1}"#), Err(CommandError::Missing("code"))));
    assert!(matches!(parse_json(r#"{"code":1}"#), Err(CommandError::Missing("opaque"))));
    let deep = format!(r#"{{"code":1,"opaque":1,"x":{}"#, "[".repeat(100_000));
    assert!(parse_json(&deep).is_err());
}

#[test]
fn number_of_fields_is_bounded() {
    let fields = |count: usize| {
        let fields: Vec<String> = (0..count).map(|i| format!(r#""f{i}":"v""#)).collect();
        format!(r#"{{"code":1,"opaque":1,"extFields":{{{}}}}}"#, fields.join(","))
    };
    assert_eq!(parse_json(&fields(FIELDS_MAX)).unwrap().fields.len(), FIELDS_MAX);
    let too_many = fields(FIELDS_MAX + 1);
    let refused = parse_json(&too_many);
    assert!(matches!(refused, Err(CommandError::TooManyFields { max: FIELDS_MAX })));
}

#[test]
fn last_of_repeated_fields_wins() {
    let command = parse_json(r#"{"code":1,"opaque":1,"extFields":{"a":"1","a":"2"}}"#).unwrap();
    assert_eq!(command.fields.get("a"), Some("2"));
}

#[test]
fn codes_beyond_16_bits_travel_as_json_and_are_widened_when_java_cut_them() {
    let check = |code: i32, serialize: SerializeType| {
        let mut out = Vec::new();
        write_request(&mut out, request(SerializeType::RocketMq, code), &(), b"");
        let command = parse(&out);
        assert_eq!((command.serialize, command.code), (serialize, request::POP_MESSAGE));
    };
    check(request::POP_MESSAGE, SerializeType::Json);
    check(3442, SerializeType::RocketMq);

    let mut out = Vec::new();
    write_response(&mut out, response(SerializeType::RocketMq, 3442), &(), b"");
    assert_eq!(parse(&out).code, 3442);
}

#[test]
fn head_announces_the_body_that_follows() {
    for serialize in FORMS {
        let mut out = Vec::new();
        let head = response(serialize, response::SUCCESS);
        assert_eq!(write_response_head(&mut out, head, &OffsetResponse { offset: 5 }, 10), 10);
        out.extend([9; 10]);
        let command = parse(&out);
        assert_eq!(command.body, [9; 10]);
        assert_eq!(OffsetResponse::decode(&command.fields), Ok(OffsetResponse { offset: 5 }));
    }
}

#[test]
fn an_answer_whose_header_outgrows_a_frame_becomes_an_error() {
    let huge = "x".repeat(17 << 20);
    for serialize in FORMS {
        let mut out = Vec::new();
        let head = response(serialize, response::SUCCESS);
        write_response(&mut out, head, &[("msgId", huge.as_str())], b"body");
        let command = parse(&out);
        assert_eq!((command.code, command.opaque), (response::SYSTEM_ERROR, 7));
        assert!(command.remark().is_some() && command.body.is_empty());
    }
}

fn send() -> SendRequest<'static> {
    SendRequest {
        producer_group: "p",
        topic: "T1",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id: -1,
        sys_flag: 0x301,
        born_at_ms: i64::MAX,
        flag: i32::MIN,
        properties: Some("TAGS\u{1}A \"中\"\\\u{2}"),
        reconsume_times: 3,
        unit_mode: true,
        max_reconsume_times: Some(16),
        batch: true,
        broker_name: Some("b1"),
    }
}

#[test]
fn sends_round_trip_in_both_forms_and_spellings() {
    fn check(head: RequestHead<'_>, header: &impl WriteHeader, topic_field: &str) {
        let mut out = Vec::new();
        write_request(&mut out, head, header, b"1");
        let command = parse(&out);
        assert_eq!(command.fields.get(topic_field), Some("T1"));
        assert_eq!(SendRequest::decode(&command.fields), Ok(send()));
    }
    for serialize in FORMS {
        check(request(serialize, request::SEND_MESSAGE_V2), &send(), "b");
        check(request(serialize, request::SEND_MESSAGE), &LongNames(&send()), "topic");
    }
}

#[test]
fn absent_optional_fields_read_as_their_defaults() {
    // What Node sends: letters without `j`..`n`.
    let command = parse_json(
        r#"{"code":310,"opaque":1,"extFields":{"a":"p","b":"T","c":"TBW102","d":4,"e":"0","f":0,
            "g":1,"h":0,"i":"TAGS\u0001\u0002"}}"#,
    )
    .unwrap();
    let send = SendRequest::decode(&command.fields).unwrap();
    assert_eq!((send.reconsume_times, send.unit_mode, send.batch), (0, false, false));
    assert_eq!((send.max_reconsume_times, send.broker_name), (None, None));
}

#[test]
fn header_errors_say_field_expectation_and_value() {
    let command =
        parse_json(r#"{"code":15,"opaque":1,"extFields":{"consumerGroup":"g","topic":"t"}}"#);
    let command = command.unwrap();
    let error = UpdateOffsetRequest::decode(&command.fields).unwrap_err();
    assert!(matches!(error, HeaderError::Missing { field: "queueId", .. }));
    assert_eq!(
        error.to_string(),
        "header field `queueId` is missing, expected a decimal number of 32 bits"
    );
    let long = "9".repeat(100);
    let header = format!(
        r#"{{"code":15,"opaque":1,
            "extFields":{{"consumerGroup":"g","topic":"t","queueId":"{long}"}}}}"#
    );
    let command = parse_json(&header).unwrap();
    let error = UpdateOffsetRequest::decode(&command.fields).unwrap_err().to_string();
    let shown = format!("header field `queueId` is `{}`, expected", "9".repeat(40));
    assert!(error.starts_with(&shown), "{error}");
}

#[test]
fn boolean_fields_are_read_as_java_reads_them() {
    for (text, expected) in [("true", true), ("TRUE", true), ("1", false), ("yes", false)] {
        let header = format!(
            r#"{{"code":105,"opaque":1,
                "extFields":{{"topic":"t","acceptStandardJsonOnly":"{text}"}}}}"#
        );
        let command = parse_json(&header).unwrap();
        let route = RouteRequest::decode(&command.fields).unwrap();
        assert_eq!(route.accept_standard_json_only, Some(expected), "{text}");
    }
}

#[test]
fn a_tuple_of_headers_writes_all_its_fields() {
    let mut out = Vec::new();
    let header = (OffsetResponse { offset: 1 }, [("TRACE_ON", "true")]);
    write_response(&mut out, response(SerializeType::Json, 0), &header, b"");
    let command = parse(&out);
    assert_eq!(command.fields.iter().collect::<Vec<_>>(), [("offset", "1"), ("TRACE_ON", "true")]);
}

/// Fields as a peer could send them: any text.
struct Pairs(Vec<(String, String)>);

impl WriteHeader for Pairs {
    fn write_to(&self, out: &mut ringmq_protocol::fields::FieldWriter<'_>) {
        for (name, value) in &self.0 {
            out.text(name, value);
        }
    }
}

proptest! {
    #[test]
    fn any_fields_round_trip_in_both_forms(
        pairs in prop::collection::vec((any::<String>(), "\\PC+|[\u{0}-\u{20}\"\\\\]{1,9}"), 0..40),
        remark in prop::option::of("\\PC{1,20}"),
        body in prop::collection::vec(any::<u8>(), 0..50),
        opaque: i32,
        code in -1i32..400,
    ) {
        for serialize in FORMS {
            let mut out = Vec::new();
            let remark = remark.as_deref();
            let head = RequestHead { serialize, code, opaque, oneway: true, remark };
            write_request(&mut out, head, &Pairs(pairs.clone()), &body);
            let command = parse(&out);
            prop_assert_eq!((command.code, command.opaque), (code, opaque));
            prop_assert!(command.is_oneway());
            prop_assert_eq!(command.remark(), remark);
            prop_assert_eq!(command.body, &body[..]);
            let found: Vec<_> = command.fields.iter().collect();
            let expected: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = frame::cut(&bytes, 1 << 10);
        for serialize in FORMS {
            let frame = Frame { serialize, header: &bytes, body: &[] };
            if let Ok(command) = Command::parse(frame) {
                let _ = PullRequest::decode(&command.fields);
            }
        }
    }

    #[test]
    fn damaged_headers_never_panic(at in 0usize..400, value: u8) {
        for serialize in FORMS {
            let mut out = Vec::new();
            write_request(&mut out, request(serialize, request::SEND_MESSAGE_V2), &send(), b"");
            let at = at % out.len();
            out[at] = value;
            if let Ok(Some((frame, _))) = frame::cut(&out, FRAME_SIZE_MAX_BYTES)
                && let Ok(command) = Command::parse(frame)
            {
                let _ = SendRequest::decode(&command.fields);
            }
        }
    }
}

//! The warm path of a send and a pull allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::pull::{PullRequest, PullResponse};
use ringmq_protocol::headers::send::{SendRequest, SendResponse};
use ringmq_protocol::ids::OffsetMessageId;
use ringmq_protocol::properties::{Properties, keys};
use ringmq_protocol::record::{self, NewRecord, Placement};
use ringmq_protocol::{
    Command, Header, RequestHead, ResponseHead, SerializeType, WriteHeader, frame, write_request,
    write_response, write_response_head,
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system allocator unchanged; counting touches a thread-local of
// constant initialisation only, which does not allocate.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` once to warm up and then expects that it allocates nothing.
fn check_allocates_nothing(what: &str, mut work: impl FnMut()) {
    work();
    let before = ALLOCATIONS.get();
    work();
    assert_eq!(ALLOCATIONS.get() - before, 0, "{what}");
}

fn frame_of(
    serialize: SerializeType,
    code: i32,
    header: &impl WriteHeader,
    body: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    let head = RequestHead { serialize, code, opaque: 1, oneway: false, remark: None };
    write_request(&mut out, head, header, body);
    out
}

const PROPERTIES: &str = "UNIQ_KEY\u{1}7F0000010000123456781234567\u{2}WAIT\u{1}true\u{2}\
    TAGS\u{1}TagA\u{2}\
    KEYS\u{1}order-1 order-2 order-3\u{2}user\u{1}a value of some length, as users have them\u{2}";

fn send() -> SendRequest<'static> {
    SendRequest {
        producer_group: "group",
        topic: "topic",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id: 0,
        sys_flag: 0,
        born_at_ms: 1_700_000_000_000,
        flag: 0,
        properties: Some(PROPERTIES),
        reconsume_times: 0,
        unit_mode: false,
        max_reconsume_times: Some(16),
        batch: false,
        broker_name: Some("broker-a"),
    }
}

#[test]
fn a_send_allocates_nothing() {
    for serialize in [SerializeType::Json, SerializeType::RocketMq] {
        let bytes = frame_of(serialize, request::SEND_MESSAGE_V2, &send(), &[7; 1024]);
        let host = "10.0.0.1:10911".parse().expect("a host");
        let mut log = vec![0; 4096];
        let mut out = Vec::with_capacity(4096);
        check_allocates_nothing(serialize.name(), || {
            out.clear();
            let (frame, _) = frame::cut(&bytes, bytes.len()).unwrap().expect("whole");
            let command = Command::parse(frame).unwrap();
            let send = SendRequest::decode(&command.fields).unwrap();
            let properties = Properties::new(send.properties.unwrap_or_default());
            let new = NewRecord {
                topic: send.topic,
                queue_id: send.queue_id,
                flag: send.flag,
                sys_flag: send.sys_flag,
                born_at_ms: send.born_at_ms,
                born_host: host,
                store_host: host,
                reconsume_times: send.reconsume_times,
                prepared_transaction_offset: 0,
                body: command.body,
                properties: properties.as_text(),
                extra: &[(keys::MSG_REGION, "DefaultRegion"), (keys::CLUSTER, "DefaultCluster")],
                with_record_crc: true,
            };
            let placement = Placement { queue_offset: 1, physical_offset: 2, stored_at_ms: 3 };
            record::encode(&mut log, &new, placement).unwrap();
            let id = OffsetMessageId { host, physical_offset: 2 }.text();
            let header = SendResponse {
                msg_id: id.as_str(),
                queue_id: 0,
                queue_offset: 1,
                transaction_id: properties.get(keys::UNIQUE_KEY),
                batch_uniq_id: None,
                recall_handle: None,
                msg_region: Some("DefaultRegion"),
                trace_on: Some("true"),
            };
            let (serialize, opaque) = (command.serialize, command.opaque);
            let head = ResponseHead { serialize, opaque, code: response::SUCCESS, remark: None };
            write_response(&mut out, head, &header, b"");
        });
    }
}

#[test]
fn a_pull_allocates_nothing() {
    let pull = PullRequest {
        consumer_group: "group",
        topic: "topic",
        queue_id: 0,
        queue_offset: 42,
        max_msg_nums: 32,
        sys_flag: 3,
        commit_offset: 41,
        suspend_timeout_ms: 15_000,
        subscription: Some("TagA || TagB"),
        sub_version: 1_700_000_000_000,
        expression_type: Some("TAG"),
        max_msg_bytes: None,
        request_source: None,
        proxy_forward_client_id: None,
        lite_topic: None,
        broker_name: Some("broker-a"),
    };
    for serialize in [SerializeType::Json, SerializeType::RocketMq] {
        let bytes = frame_of(serialize, request::PULL_MESSAGE, &pull, b"");
        let mut out = Vec::with_capacity(4096);
        check_allocates_nothing(serialize.name(), || {
            out.clear();
            let (frame, _) = frame::cut(&bytes, bytes.len()).unwrap().expect("whole");
            let command = Command::parse(frame).unwrap();
            let pull = PullRequest::decode(&command.fields).unwrap();
            let header = PullResponse {
                suggest_which_broker_id: 0,
                next_begin_offset: pull.queue_offset + 32,
                min_offset: 0,
                max_offset: 100,
                offset_delta: None,
                topic_sys_flag: None,
                group_sys_flag: None,
                forbidden_type: None,
            };
            let (serialize, opaque) = (command.serialize, command.opaque);
            let remark = Some("FOUND");
            let head = ResponseHead { serialize, opaque, code: response::SUCCESS, remark };
            write_response_head(&mut out, head, &header, 32 << 10);
        });
    }
}

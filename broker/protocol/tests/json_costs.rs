//! What a JSON body costs whoever reads it: memory and work in proportion to its length.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ringmq_protocol::bodies::heartbeat::HeartbeatData;
use ringmq_protocol::bodies::register::{
    REGISTER_SIZE_MAX_BYTES, RegisterBrokerBody, RegisterError,
};
use ringmq_protocol::bodies::topic::{KvTable, TopicConfigList, TopicList};
use ringmq_protocol::compression::{Compression, compress};
use ringmq_protocol::json::{self, BodyTooLong, JsonError};
use serde::de::DeserializeOwned;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST_HELD: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system allocator unchanged; counting touches thread-locals of
// constant initialisation only, which do not allocate.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size());
        MOST_HELD.set(MOST_HELD.get().max(HELD.get()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // What another thread allocated is not counted here.
        HELD.set(HELD.get().saturating_sub(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` and expects that it holds at most `bytes` of memory at a time.
fn check_holds_at_most<R>(bytes: usize, work: impl FnOnce() -> R) -> R {
    let before = HELD.get();
    MOST_HELD.set(before);
    let result = work();
    let most = MOST_HELD.get() - before;
    assert!(most <= bytes, "{most} bytes held at a time, expected at most {bytes}");
    result
}

fn check_too_large<T: DeserializeOwned>(body: &str) {
    let read = check_holds_at_most(32 << 20, || json::from_slice::<T>(body.as_bytes()).map(|_| ()));
    assert!(matches!(read, Err(JsonError::TooLarge { .. })), "{} bytes: {read:?}", body.len());
}

fn repeated(text: &str, times: usize) -> String {
    vec![text; times].join(",")
}

#[test]
fn references_that_nobody_reads_are_not_followed() {
    let uses = repeated("{$ref:'$.b'}", 990);
    let body = format!(r#"{{clientID:"c",b:[{}],m:[{uses}]}}"#, repeated("{a:0}", 1000));
    assert!(body.len() < 20_000);
    let read = || json::from_slice::<HeartbeatData>(body.as_bytes());
    let beat = check_holds_at_most(256 << 10, read).expect("a heartbeat");
    assert_eq!(beat.client_id, "c");
}

#[test]
fn values_take_memory_in_proportion_to_their_text() {
    let body = format!(r#"{{clientID:"c",m:[{}]}}"#, repeated("{a:0}", 600_000));
    let read = || json::from_slice::<HeartbeatData>(body.as_bytes());
    check_holds_at_most(body.len() * 20, read).expect("a heartbeat");
    // What is read takes more than its text: two bytes of it are a topic.
    check_too_large::<TopicConfigList>(&format!(
        "{{topicConfigList:[{}]}}",
        repeated("{}", 200_000)
    ));
}

#[test]
fn what_references_unfold_to_is_counted() {
    let attributes: Vec<_> = (0..100).map(|number| format!("a{number}:1")).collect();
    check_too_large::<TopicConfigList>(&format!(
        "{{x:{{topicName:'q',attributes:{{{}}}}},topicConfigList:[{}]}}",
        attributes.join(","),
        repeated("{$ref:'$.x'}", 18_800)
    ));
    let (long, uses) = ("x".repeat(1 << 20), repeated("{$ref:'$.a'}", 100));
    check_too_large::<TopicList>(&format!("{{a:'{long}',topicList:[{uses}]}}"));
    let names: Vec<_> = (0..100).map(|number| format!("t{number}:{{$ref:'$.a'}}")).collect();
    check_too_large::<KvTable>(&format!("{{a:'{long}',table:{{{}}}}}", names.join(",")));
    // Each level doubles the one before: 2^40 values if all were read.
    let levels: Vec<_> = (1..8)
        .map(|level| {
            format!("l{level}:[{}]", repeated(&format!("{{$ref:'$.l{}'}}", level - 1), 60))
        })
        .collect();
    check_too_large::<serde_json::Value>(&format!("{{l0:[1,1],{}}}", levels.join(",")));
}

#[test]
fn the_way_to_what_is_referred_to_is_counted() {
    // By long names, over other references.
    let name = "n".repeat(4080);
    let hops: Vec<_> =
        (0..5).map(|hop| format!("{name}{hop}:{{$ref:'$.{name}{}'}}", hop + 1)).collect();
    let uses = repeated(&format!("{{$ref:'$.{name}0'}}"), 2);
    let uses =
        format!("r:{{$ref:'$.{name}0'}},topicList:[{uses},{}]", repeated("{$ref:'$.r'}", 30_000));
    check_too_large::<TopicList>(&format!("{{{},{name}5:'t',{uses}}}", hops.join(",")));
    // Past many items or members.
    let uses = repeated("{$ref:'$.b[50000]'}", 1000);
    check_too_large::<TopicList>(&format!("{{b:[{}],topicList:[{uses}]}}", repeated("0", 50_001)));
    let uses = repeated("{$ref:'$.z'}", 1000);
    check_too_large::<TopicList>(&format!(
        "{{{},z:'t',topicList:[{uses}]}}",
        repeated("m:0", 50_000)
    ));
    // In what is read, members that nobody reads.
    let uses = repeated("{$ref:'$.x'}", 1000);
    let object = format!("x:{{{}}}", repeated("m:0", 50_000));
    check_too_large::<TopicConfigList>(&format!("{{{object},topicConfigList:[{uses}]}}"));
}

#[test]
fn a_body_beyond_its_limit_is_written_no_further() {
    let name = "x".repeat(1 << 10);
    let list = |names| TopicList { broker_addr: None, topic_list: vec![name.clone(); names] };
    let (long, limit) = (list(16 << 10), 1 << 20);
    let refused = check_holds_at_most(2 * limit, || json::to_vec_within(&long, limit));
    assert_eq!(refused, Err(BodyTooLong { limit }));
    let short = list(2);
    let text = json::to_vec(&short);
    for limit in 0..text.len() {
        assert_eq!(json::to_vec_within(&short, limit), Err(BodyTooLong { limit }));
    }
    assert_eq!(json::to_vec_within(&short, text.len()), Ok(text));
}

/// A registration of these lines of topics, as brokers before 5.0 send it.
fn compressed(lines: impl ExactSizeIterator<Item = String>) -> Vec<u8> {
    let part = |text: &str| {
        [&i32::try_from(text.len()).expect("short").to_be_bytes(), text.as_bytes()].concat()
    };
    let mut plain = part("{}");
    plain.extend(i32::try_from(lines.len()).expect("few").to_be_bytes());
    lines.for_each(|line| plain.extend(part(&line)));
    plain.extend(part("[]"));
    compress(Compression::Zlib, &plain)
}

#[test]
fn a_registration_of_very_short_lines_is_refused_before_they_are_read() {
    let (lines, max_len) = (40_000, 1 << 20);
    let packed = compressed((0..lines).map(|number| format!("{number:x} 1 1 6 S")));
    let read = || RegisterBrokerBody::from_slice(&packed, true, 413 - 1, max_len);
    let refused = check_holds_at_most(4 << 20, read).map(|_| ());
    assert_eq!(refused, Err(RegisterError::TooManyTopics { found: lines, max: max_len / 64 }));
    // The same as JSON.
    let topics: Vec<_> = (0..2_000).map(|number| format!("t{number}:{{}}")).collect();
    let body =
        format!("{{topicConfigSerializeWrapper:{{topicConfigTable:{{{}}}}}}}", topics.join(","));
    let refused = RegisterBrokerBody::from_slice(body.as_bytes(), false, 513, 64_000).map(|_| ());
    assert_eq!(refused, Err(RegisterError::TooManyTopics { found: 2_000, max: 1_000 }));
}

#[test]
fn the_lines_of_a_compressed_registration_share_one_budget() {
    let uses: Vec<_> = (0..200).map(|number| format!("a{number}:{{$ref:'$.t'}}")).collect();
    let line = format!("T 4 4 6 SINGLE_TAG {{t:'{}',{}}}", "x".repeat(4096), uses.join(","));
    let packed = compressed((0..100).map(|_| line.clone()));
    let read = || RegisterBrokerBody::from_slice(&packed, true, 413 - 1, REGISTER_SIZE_MAX_BYTES);
    let refused = check_holds_at_most(32 << 20, read).map(|_| ());
    assert!(matches!(refused, Err(RegisterError::Json(JsonError::TooLarge { .. }))), "{refused:?}");
}

#[test]
fn what_real_brokers_send_is_far_below_its_budget() {
    let topic = |number: usize| {
        format!(
            r#""topic-of-a-service-{number}":{{"attributes":{{"message.type":"NORMAL"}},"order":false,"perm":6,
            "readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"topic-of-a-service-{number}",
            "topicSysFlag":0,"writeQueueNums":8}}"#
        )
    };
    let topics: Vec<_> = (0..20_000).map(topic).collect();
    let body = format!(
        r#"{{"topicConfigSerializeWrapper":{{"topicConfigTable":{{{}}}}}}}"#,
        topics.join(",")
    );
    let budget = json::Budget::of(body.len());
    let read: RegisterBrokerBody =
        json::from_part(body.as_bytes(), &budget).expect("a registration");
    assert_eq!(read.topic_config_serialize_wrapper.topic_config_table.len(), 20_000);
    assert!(budget.spent() < 5 * body.len(), "{} of {} bytes", budget.spent(), body.len());
}

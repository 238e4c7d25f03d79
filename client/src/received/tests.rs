use ringmq_protocol::record::{NewRecord, Placement, encode, encoded_len};

use super::*;

fn stored(new: &NewRecord<'_>, queue_offset: i64) -> Vec<u8> {
    let mut bytes = vec![0; encoded_len(new).expect("fits")];
    let placement = Placement { queue_offset, physical_offset: 4096, stored_at_ms: 8 };
    encode(&mut bytes, new, placement).expect("fits");
    bytes
}

fn record<'a>(body: &'a [u8], properties: &'a str) -> NewRecord<'a> {
    let host = SocketAddr::from(([127, 0, 0, 1], 10911));
    NewRecord {
        topic: "%RETRY%g",
        queue_id: 3,
        flag: 5,
        sys_flag: 0,
        born_at_ms: 7,
        born_host: host,
        store_host: host,
        reconsume_times: 2,
        prepared_transaction_offset: 0,
        body,
        properties,
        extra: &[],
        with_record_crc: false,
    }
}

fn queue() -> MessageQueue {
    MessageQueue::new("%RETRY%g", "b1", 3)
}

fn decoded(bytes: Vec<u8>) -> Vec<Result<ReceivedMessage, DecodeError>> {
    ReceivedMessage::decode_all(&bytes.into(), &queue(), 0..100).collect()
}

#[test]
fn a_message_that_comes_again_shows_its_first_topic_and_id() {
    let text = "TAGS\u{1}A\u{2}UNIQ_KEY\u{1}K1\u{2}RETRY_TOPIC\u{1}Orders\u{2}";
    let messages = decoded(stored(&record(b"hello", text), 42));
    let [Ok(message)] = messages.as_slice() else { panic!("one message: {messages:?}") };
    assert_eq!((message.topic.as_str(), message.tag()), ("Orders", Some("A")));
    assert_eq!((message.message_id().as_str(), message.queue_offset), ("K1", 42));
    assert_eq!(message.offset_message_id(), "7F00000100002A9F0000000000001000");
    assert_eq!((&*message.body, message.reconsume_times), (&b"hello"[..], 2));
}

#[test]
fn a_compressed_body_arrives_plain() {
    let packed = compression::compress(Compression::Lz4, &[9; 10_000]);
    let mut new = record(&packed, "");
    new.sys_flag = Compression::Lz4.flags();
    let messages = decoded(stored(&new, 0));
    let [Ok(message)] = messages.as_slice() else { panic!("one message: {messages:?}") };
    assert_eq!(message.body, vec![9; 10_000]);
}

#[test]
fn a_damaged_body_leaves_the_messages_around_it() {
    let mut damaged = record(b"no frame of lz4", "");
    damaged.sys_flag = Compression::Lz4.flags();
    let mut bytes = stored(&record(b"before", ""), 1);
    bytes.extend(stored(&damaged, 2));
    bytes.extend(stored(&record(b"behind", ""), 3));
    let messages = decoded(bytes);
    let [Ok(before), Err(DecodeError::Body { queue_offset: 2, .. }), Ok(behind)] =
        messages.as_slice()
    else {
        panic!("the one at 2 is damaged: {messages:?}")
    };
    assert_eq!((before.queue_offset, behind.queue_offset), (1, 3));
}

#[test]
fn a_message_that_cannot_be_read_leaves_the_messages_around_it() {
    let mut bytes = stored(&record(b"before", ""), 1);
    let mut damaged = stored(&record(b"none by its layout", ""), 2);
    damaged[4] ^= 1; // its magic
    bytes.extend(damaged);
    let mut foreign = stored(&record(b"from Latin-1", "town\u{1}Orl?ans\u{2}TAGS\u{1}A\u{2}"), 3);
    let at = foreign.iter().rposition(|byte| *byte == b'?').expect("there");
    foreign[at] = 0xE9;
    bytes.extend(foreign);
    bytes.extend(stored(&record(b"behind", ""), 4));
    let messages = decoded(bytes);
    let [Ok(before), Err(DecodeError::Layout { number: 1, .. }), Ok(foreign), Ok(behind)] =
        messages.as_slice()
    else {
        panic!("the second is none: {messages:?}")
    };
    assert_eq!((before.queue_offset, behind.queue_offset), (1, 4));
    assert_eq!((foreign.property("town"), foreign.tag()), (Some("Orl\u{FFFD}ans"), Some("A")));
}

#[test]
fn what_looks_like_a_message_inside_a_damaged_one_is_none() {
    let of_other_queue = NewRecord { queue_id: 4, ..record(b"inside", "") };
    let looks_like_one = [
        stored(&record(b"inside", ""), 1 << 40),
        stored(&record(b"inside", ""), 100),
        stored(&of_other_queue, 3),
    ];
    for inside in looks_like_one {
        let body = [&[b'x'; 16], inside.as_slice()].concat();
        let mut damaged = stored(&record(&body, ""), 2);
        let at = damaged.windows(inside.len()).position(|bytes| bytes == inside);
        // Its size ends it where the body goes on.
        let size = i32::try_from(at.expect("there")).expect("small");
        damaged[..4].copy_from_slice(&size.to_be_bytes());
        let messages = decoded([stored(&record(b"before", ""), 1), damaged].concat());
        let [Ok(before), Err(_), Err(DecodeError::NotAsked { .. }), ..] = messages.as_slice()
        else {
            panic!("the second is damaged: {messages:?}")
        };
        assert_eq!(before.queue_offset, 1);
        assert!(messages[1..].iter().all(Result::is_err), "{messages:?}");
    }
}

#[test]
fn bodies_that_unfold_to_too_much_together_are_left_for_the_next_pull() {
    let packed = compression::compress(Compression::Zlib, &[0; 10_000]);
    let mut new = record(&packed, "");
    new.sys_flag = Compression::Zlib.flags();
    let bytes = Bytes::from((7..12).flat_map(|at| stored(&new, at)).collect::<Vec<u8>>());
    let take = |max_bytes| {
        let tell = |error: &DecodeError| panic!("{error}");
        let pulled = Pulled::take_within(max_bytes, &bytes, &queue(), 7..12, tell);
        (pulled.messages.len(), pulled.left_from)
    };
    assert_eq!(take(10_000), (1, Some(8)));
    assert_eq!(take(39_999), (3, Some(10)));
    assert_eq!(take(50_000), (5, None));
}

#[test]
fn an_answer_that_is_cut_says_at_which_message_and_keeps_those_before_it() {
    let mut bytes = stored(&record(b"hello", ""), 1);
    bytes.extend(stored(&record(b"hello", ""), 2));
    bytes.truncate(bytes.len() - 1);
    let messages = decoded(bytes);
    let [Ok(whole), Err(DecodeError::Layout { number: 1, .. })] = messages.as_slice() else {
        panic!("the second is cut: {messages:?}")
    };
    assert_eq!(whole.queue_offset, 1);
}

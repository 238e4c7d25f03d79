use super::*;

/// The vector of the specification (5.1).
const VECTOR: &str = "00000075 daa320a7 3610a686 00000003 00000000 000000000000002a \
    0000000000001000 00000000 0000018bcfe56800 7f000001 00009c40 0000018bcfe56801 7f000001 \
    00002a9f 00000000 0000000000000000 00000005 68656c6c6f 02 5431 0013 5441475301 4102 \
    554e49515f4b455901 4b3102";

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn sample() -> NewRecord<'static> {
    NewRecord {
        topic: "T1",
        queue_id: 3,
        flag: 0,
        sys_flag: 0,
        born_at_ms: 1_700_000_000_000,
        born_host: "127.0.0.1:40000".parse().unwrap(),
        store_host: "127.0.0.1:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"hello",
        properties: "TAGS\u{1}A",
        extra: &[("UNIQ_KEY", "K1")],
        with_record_crc: false,
    }
}

const PLACEMENT: Placement =
    Placement { queue_offset: 42, physical_offset: 4096, stored_at_ms: 1_700_000_000_001 };

fn encoded(record: &NewRecord<'_>) -> Vec<u8> {
    let mut out = vec![0xEE; encoded_len(record).unwrap()];
    assert_eq!(encode(&mut out, record, PLACEMENT), Ok(out.len()));
    out
}

/// Encodes, reads back, compares every field, and refuses every truncation.
fn check(new: &NewRecord<'_>) {
    let bytes = encoded(new);
    let record = Record::parse(&bytes).unwrap();
    assert_eq!((record.topic, record.body), (new.topic, new.body));
    assert_eq!((record.queue_id, record.flag), (new.queue_id, new.flag));
    assert_eq!((record.born_host, record.store_host), (new.born_host, new.store_host));
    assert_eq!(record.born_at_ms, new.born_at_ms);
    assert_eq!(record.reconsume_times, new.reconsume_times);
    assert_eq!(record.prepared_transaction_offset, new.prepared_transaction_offset);
    for (name, value) in new.extra {
        assert_eq!(record.properties.get(name), Some(*value));
    }
    record.verify_body().unwrap();
    assert_eq!(record.verify_record(), Ok(new.with_record_crc));
    let Ok(Peek::Message(head)) = peek(&bytes) else { panic!("no message") };
    assert_eq!((head.len, head.queue_id, head.sys_flag), (bytes.len(), 3, record.sys_flag));
    assert_eq!((head.queue_offset, head.physical_offset), (42, 4096));
    assert_eq!(head.stored_at_ms, PLACEMENT.stored_at_ms);
    for len in 0..bytes.len() {
        let error = Record::parse(&bytes[..len]);
        assert!(matches!(error, Err(LayoutError::Truncated { .. })), "{len}: {error:?}");
        let _ = peek(&bytes[..len]);
    }
}

#[test]
fn record_is_that_of_the_specification() {
    assert_eq!(encoded(&sample()), from_hex(VECTOR));
    check(&sample());
}

#[test]
fn ipv6_hosts_long_topics_and_checksums_round_trip() {
    let topic = "t".repeat(128);
    let v6 = "[2001:db8::1]:10911".parse().unwrap();
    check(&NewRecord { born_host: v6, ..sample() });
    check(&NewRecord { store_host: v6, with_record_crc: true, ..sample() });
    check(&NewRecord { topic: &topic, with_record_crc: true, ..sample() });
    check(&NewRecord { topic: &topic[..127], body: b"", properties: "", ..sample() });
    let magic = |record: &NewRecord<'_>| encoded(record)[4..8].to_vec();
    assert_eq!(magic(&NewRecord { topic: &topic, ..sample() }), MAGIC_V2.to_be_bytes());
    assert_eq!(magic(&NewRecord { topic: &topic[..127], ..sample() }), MAGIC_V1.to_be_bytes());
}

#[test]
fn every_flipped_bit_is_found_by_the_whole_record_checksum() {
    let bytes = encoded(&NewRecord { with_record_crc: true, ..sample() });
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let sound = Record::parse(&damaged)
            .is_ok_and(|record| record.verify_body().is_ok() && record.verify_record() == Ok(true));
        assert!(!sound, "bit {bit}");
    }
}

#[test]
fn parts_must_fill_the_record_exactly() {
    let mut bytes = encoded(&sample());
    bytes.push(0);
    let len = bytes.len() as i32;
    bytes[..4].copy_from_slice(&len.to_be_bytes());
    assert!(matches!(Record::parse(&bytes), Err(LayoutError::OutOfRange { .. })));
}

#[test]
fn what_does_not_fit_the_layout_is_refused() {
    let long = "x".repeat(32_768);
    for record in [
        NewRecord { topic: "", ..sample() },
        NewRecord { topic: &long, ..sample() },
        NewRecord { properties: &long, ..sample() },
        NewRecord { properties: &long[..32_767], extra: &[], ..sample() },
    ] {
        assert!(matches!(encoded_len(&record), Err(LayoutError::OutOfRange { .. })));
    }
    let mut short = [0; 10];
    let error = encode(&mut short, &sample(), PLACEMENT);
    assert_eq!(error, Err(LayoutError::Truncated { field: "record", need: 117, have: 10 }));
}

#[test]
fn blank_is_seen_and_is_no_record() {
    let mut rest = [0xEE; 100];
    encode_blank(&mut rest, 100);
    assert_eq!(peek(&rest), Ok(Peek::Blank { len: 100 }));
    assert!(Record::parse(&rest).is_err());
    assert!(peek(&[0; 100]).is_err());
}

#[test]
fn records_of_a_pull_end_with_the_first_size_that_cannot_be() {
    let mut body = encoded(&sample());
    body.extend(encoded(&NewRecord { body: b"2", ..sample() }));
    assert_eq!(records(&body).filter(Result::is_ok).count(), 2);
    body.extend([0, 0, 0, 1, 2, 3]);
    assert_eq!(
        records(&body).map(|record| record.is_ok()).collect::<Vec<_>>(),
        [true, true, false]
    );
}

#[test]
fn a_record_that_cannot_be_read_leaves_those_behind_it() {
    let mut body = encoded(&sample());
    let len = body.len();
    body[4] ^= 1; // its magic
    body.extend(encoded(&sample()));
    let found: Vec<_> = records(&body).map(|record| record.is_ok()).collect();
    assert_eq!(found, [false, true]);
    assert_eq!(frames(&body).map(|frame| frame.unwrap().len()).collect::<Vec<_>>(), [len, len]);
}

#[test]
fn texts_that_are_not_utf8_are_read_with_replacements_by_who_asks_for_it() {
    let new = NewRecord { topic: "TXT", properties: "a\u{1}XYZ\u{2}", extra: &[], ..sample() };
    let mut bytes = encoded(&new);
    for text in ["TXT", "XYZ"] {
        let at = bytes.windows(3).position(|bytes| bytes == text.as_bytes()).unwrap();
        bytes[at + 1] = 0xE9;
    }
    assert_eq!(Record::parse(&bytes), Err(LayoutError::NotUtf8 { field: "topic" }));
    let replaced = Replaced::default();
    let read = Record::parse_lossy(&bytes, &replaced).unwrap();
    assert_eq!((read.topic, read.properties.get("a")), ("T\u{FFFD}T", Some("X\u{FFFD}Z")));
    assert_eq!(read.body, new.body);
    let whole = encoded(&sample());
    assert_eq!(Record::parse_lossy(&whole, &replaced), Record::parse(&whole), "nothing to replace");
}

#[test]
fn checksums_that_a_client_sends_are_left_out() {
    let crc = "__CRC32#\u{1}0123456789\u{2}";
    for (sent, stored) in [
        (crc.to_owned(), ""),
        (format!("TAGS\u{1}A\u{2}{crc}"), "TAGS\u{1}A\u{2}"),
        (format!("TAGS\u{1}A\u{2}{crc}{}", crc.trim_end_matches('\u{2}')), "TAGS\u{1}A\u{2}"),
        (format!("x{crc}"), "x__CRC32#\u{1}0123456789\u{2}"),
    ] {
        let record = NewRecord { properties: &sent, extra: &[], ..sample() };
        let bytes = encoded(&record);
        let found = Record::parse(&bytes).unwrap();
        assert_eq!(found.properties.as_text(), stored);
        assert_eq!(found.verify_record(), Ok(false));
        let bytes = encoded(&NewRecord { with_record_crc: true, ..record });
        assert_eq!(Record::parse(&bytes).unwrap().verify_record(), Ok(true));
    }
}

//! Records, batches and properties under random content and damage.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use ringmq_protocol::batch::{self, Item};
use ringmq_protocol::ids::OffsetMessageId;
use ringmq_protocol::properties::{Properties, entry_len, is_encodable, push_entry};
use ringmq_protocol::record::{self, NewRecord, Peek, Placement, Record};

fn host() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
    ];
    (ip, any::<u16>()).prop_map(SocketAddr::from)
}

fn property() -> impl Strategy<Value = (String, String)> {
    let text = || "[a-zA-Z_\\u{4e00}-\\u{4eff}]{1,12}";
    (text(), text())
}

proptest! {
    #[test]
    fn any_record_round_trips(
        topic in "[a-zA-Z%_|-]{1,300}",
        body in prop::collection::vec(any::<u8>(), 0..300),
        properties in prop::collection::vec(property(), 0..8),
        extra in prop::collection::vec(property(), 0..4),
        (born_host, store_host) in (host(), host()),
        (queue_id, flag, reconsume_times) in any::<(i32, i32, i32)>(),
        (born_at_ms, stored_at_ms, queue_offset, physical_offset) in any::<(i64, i64, i64, i64)>(),
        sys_flag in 0i32..0x800,
        with_record_crc: bool,
        flip in any::<prop::sample::Index>(),
    ) {
        let text: String = properties.iter().map(|(k, v)| format!("{k}\u{1}{v}\u{2}")).collect();
        let extra: Vec<_> = extra.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let new = NewRecord {
            topic: &topic, queue_id, flag, sys_flag, born_at_ms, born_host, store_host,
            reconsume_times, prepared_transaction_offset: physical_offset, body: &body,
            properties: text.trim_end_matches('\u{2}'), extra: &extra, with_record_crc,
        };
        let placement = Placement { queue_offset, physical_offset, stored_at_ms };
        let mut bytes = vec![0; record::encoded_len(&new).unwrap()];
        record::encode(&mut bytes, &new, placement).unwrap();

        let found = Record::parse(&bytes).unwrap();
        prop_assert_eq!((found.topic, found.body), (topic.as_str(), body.as_slice()));
        prop_assert_eq!((found.queue_id, found.flag), (queue_id, flag));
        prop_assert_eq!((found.born_host, found.store_host), (born_host, store_host));
        prop_assert_eq!((found.born_at_ms, found.stored_at_ms), (born_at_ms, stored_at_ms));
        prop_assert_eq!(found.queue_offset, queue_offset);
        prop_assert_eq!(found.physical_offset, physical_offset);
        prop_assert_eq!(found.sys_flag & !0x30, sys_flag & !0x30);
        let own = properties.len() + extra.len();
        prop_assert_eq!(found.properties.iter().count(), own + usize::from(with_record_crc));
        prop_assert_eq!(found.verify_body(), Ok(()));
        prop_assert_eq!(found.verify_record(), Ok(with_record_crc));
        let Ok(Peek::Message(head)) = record::peek(&bytes) else { panic!("no message") };
        prop_assert_eq!((head.len, head.stored_at_ms), (bytes.len(), stored_at_ms));

        let at = flip.index(bytes.len());
        bytes[at] ^= 0x41;
        if let Ok(damaged) = Record::parse(&bytes) {
            let _ = damaged.verify_record();
        }
        let _ = record::peek(&bytes[..at]);
    }

    #[test]
    fn any_batch_round_trips(
        entries in prop::collection::vec(
            (any::<i32>(), prop::collection::vec(any::<u8>(), 0..40), "[a-z\u{1}\u{2}]{0,30}"),
            0..10,
        ),
        cut in any::<prop::sample::Index>(),
    ) {
        let expected: Vec<Item<'_>> = entries
            .iter()
            .map(|(flag, body, text)| Item { flag: *flag, body, properties: Properties::new(text) })
            .collect();
        let mut bytes = Vec::new();
        for item in &expected {
            batch::push(&mut bytes, item).unwrap();
        }
        let found: Vec<_> = batch::items(&bytes).map(Result::unwrap).collect();
        prop_assert_eq!(found, expected);
        if !bytes.is_empty() {
            let part = &bytes[..cut.index(bytes.len())];
            let whole = batch::items(part).filter(Result::is_ok).count();
            prop_assert!(whole < entries.len());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::parse(&bytes);
        let _ = record::peek(&bytes);
        prop_assert!(record::records(&bytes).count() <= bytes.len());
        prop_assert!(batch::items(&bytes).count() <= bytes.len());
        let text = String::from_utf8_lossy(&bytes);
        let _ = Properties::new(&text).iter().count();
        let _ = text.parse::<OffsetMessageId>();
    }

    #[test]
    fn properties_written_are_properties_read(
        pairs in prop::collection::btree_map(
            "[^\u{1}\u{2}]{1,9}",
            "[^\u{1}\u{2}]{1,9}",
            0..20,
        ),
    ) {
        let mut text = String::new();
        for (name, value) in &pairs {
            prop_assert!(is_encodable(name) && is_encodable(value));
            let before = text.len();
            push_entry(&mut text, name, value);
            prop_assert_eq!(text.len(), before + entry_len(name, value));
        }
        let found: std::collections::BTreeMap<String, String> =
            Properties::new(&text).iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        prop_assert_eq!(found, pairs);
    }
}

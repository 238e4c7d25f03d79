//! What the tests of the store share: messages, reads that look like a consumer's, and a plain
//! model of a log.
#![allow(dead_code, missing_docs, reason = "each test binary uses a part")]

pub mod story;

use std::net::SocketAddr;
use std::time::Duration;

use ringmq_protocol::record::{NewRecord, Record};
use ringmq_store::{
    BatchLimit, FlushPolicy, KeyLimits, Log, LogOptions, Piece, QueueOffset, ReadLimits, ReadNow,
    ReadQuery, ReadStatus,
};

pub const HOST: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1)), 10911);

/// Limits that do not get into the way of a test.
pub const WIDE: ReadLimits = ReadLimits {
    near_bytes: 0,
    count: 1000,
    in_memory: BatchLimit { count: 1000, bytes: 8 << 20 },
    on_disk: BatchLimit { count: 1000, bytes: 8 << 20 },
};

/// The same for lookups by key.
pub const WIDE_SEARCH: KeyLimits = KeyLimits { bytes: 17 << 20, reads: 1 << 20 };

pub fn message<'a>(
    topic: &'a str,
    queue_id: i32,
    body: &'a [u8],
    properties: &'a str,
) -> NewRecord<'a> {
    NewRecord {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_at_ms: 1_700_000_000_000,
        born_host: HOST,
        store_host: HOST,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties,
        extra: &[],
        with_record_crc: false,
    }
}

pub const TINY_SEGMENT_BYTES: u64 = 64 << 10;

/// Settings under which everything happens often: rolls, blocks, runs, full windows.
pub fn tiny_options(flush: FlushPolicy) -> LogOptions {
    LogOptions {
        segment_size_bytes: TINY_SEGMENT_BYTES,
        flush,
        record_size_max_bytes: 24 << 10,
        fill_step_bytes: 16 << 10,
        tail_window_bytes: 48 << 10,
        tail_block_bytes: 16 << 10,
        unwritten_max_bytes: 128 << 10,
        unflushed_max_bytes: 48 << 10,
        checkpoint_interval: Duration::from_millis(50),
        checkpoint_bytes: 32 << 10,
        queue_block_entries: 8,
        queue_recent_entries_max: 64,
        key_run_entries: 32,
        index_segment_size_bytes: 128 << 10,
        space_kept_bytes: 160 << 10,
        index_cache_bytes: 1 << 10,
        uncached_behind_bytes: 64 << 10,
        scrub_bytes_per_s: 64 << 20,
        scrub_pause: Duration::from_millis(30),
        ..LogOptions::default()
    }
}

/// One message as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub offset: u64,
    pub position: i64,
    pub stored_at_ms: i64,
    pub body: Vec<u8>,
}

/// The bytes of pieces that are all in memory.
pub fn memory_bytes(pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Memory(shared) => bytes.extend_from_slice(shared),
            Piece::File { .. } => panic!("a file piece where none was expected"),
        }
    }
    bytes
}

pub fn parse_all(bytes: &[u8]) -> Vec<Seen> {
    ringmq_protocol::record::records(bytes)
        .map(|record| {
            let record: Record<'_> = record.expect("stored records are sound");
            record.verify_body().expect("stored bodies are sound");
            record.verify_record().expect("stored records are sound");
            Seen {
                offset: record.queue_offset as u64,
                position: record.physical_offset,
                stored_at_ms: record.stored_at_ms,
                body: record.body.to_vec(),
            }
        })
        .collect()
}

/// Reads a whole queue as a consumer does: from the oldest offset to the visible end. File pieces
/// are read again by position.
pub async fn consume(log: &Log, topic: &str, queue_id: i32) -> Vec<Seen> {
    let Some((min, max)) = log.queue_range(topic, queue_id) else { return Vec::new() };
    let mut seen: Vec<Seen> = Vec::new();
    let mut from = min;
    while from < max {
        let mut pieces = Vec::new();
        let mut all = |_: i64| true;
        let limits = ReadLimits { count: 32, ..WIDE };
        let query = ReadQuery { topic, queue_id, from, limits };
        let now = log.read_now(&query, &mut all, &mut pieces);
        let result = match now {
            ReadNow::Done(result) => result,
            ReadNow::Later => {
                log.read(&query, &mut all, &mut pieces).await.expect("a readable log")
            }
        };
        assert_eq!(result.status, ReadStatus::Found, "{topic}/{queue_id} at {from}: {result:?}");
        let before = seen.len();
        seen.extend(parse_pieces(log, &pieces, from, result.count).await);
        assert_eq!(seen.len() - before, result.count);
        assert_eq!(result.next_offset, QueueOffset(from.0 + result.count as u64));
        from = result.next_offset;
    }
    seen
}

/// Parses what a read from `from` on returned. Ranges of files are read again record by record.
async fn parse_pieces(log: &Log, pieces: &[Piece], from: QueueOffset, count: usize) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::with_capacity(count);
    let mut memory = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Memory(shared) => memory.extend_from_slice(shared),
            Piece::File { pos, len, .. } => {
                seen.extend(parse_all(&std::mem::take(&mut memory)));
                let next = seen.last().map_or(from.0, |last| last.offset + 1);
                seen.extend(file_records(log, *pos, *len, next).await);
            }
        }
    }
    seen.extend(parse_all(&memory));
    seen
}

/// The records of a file range, the first of which has offset `next`. The piece hides which segment
/// it is of, so all of them are tried: a record proves its place.
async fn file_records(log: &Log, pos: u64, len: u64, next: u64) -> Vec<Seen> {
    let stats = log.stats();
    let segment_bytes = TINY_SEGMENT_BYTES;
    let mut base = stats.min.byte();
    while base < stats.end.byte() {
        let mut seen = Vec::new();
        let mut at = base + pos;
        while at < base + pos + len {
            let record = log.record_at(log.id().at(at)).await.expect("readable");
            let Some(record) = record else { break };
            at += record.len() as u64;
            seen.extend(parse_all(&record));
        }
        let follows = seen.first().is_some_and(|first| first.offset == next);
        if follows && at == base + pos + len {
            return seen;
        }
        base += segment_bytes;
    }
    panic!("no segment holds records at {pos}..{}", pos + len)
}

//! Bad sectors: what lies on them is missing, and nothing else.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use ringmq_runtime::net::{Listener, Reuse, Stream};
use ringmq_runtime::sim::{PageCache, World};
use ringmq_runtime::{clock, task};
use ringmq_store::{
    Appended, FlushPolicy, KeyQuery, Log, LogId, LogOptions, OpenError, Piece, QueueOffset,
    ReadError, ReadLimits, ReadNow, ReadQuery, RecoveryReport,
};

use common::{WIDE, WIDE_SEARCH, memory_bytes, message, parse_all, tiny_options};

const SEGMENT: &str = "log/commitlog/00000000000000000000";
const SECTOR_BYTES: usize = 512;
/// A sector in the middle of a message lies in no other.
const BODY_BYTES: usize = 2000;
const MESSAGES: u64 = 400;
const BAD: u64 = 150;
/// Clients wait so long after an answer that is an error.
const RETRY: Duration = Duration::from_secs(3);

fn options() -> LogOptions {
    LogOptions {
        segment_size_bytes: 4 << 20,
        fill_step_bytes: 1 << 20,
        queue_block_entries: 100,
        index_cache_bytes: 1 << 20,
        scrub_bytes_per_s: 0,
        ..tiny_options(FlushPolicy::Async { interval: Duration::from_millis(20) })
    }
}

async fn open(world: &World, options: LogOptions) -> Result<(Log, RecoveryReport), OpenError> {
    Log::open(&world.disk(0), "log", LogId(0), options).await
}

/// A log of so many queues, each of which has [`MESSAGES`], in turn.
async fn filled(world: &World, options: LogOptions, queues: i32) -> (Log, Vec<Appended>) {
    let (log, _) = open(world, options).await.expect("the log opens");
    let mut sent = Vec::new();
    for number in 0..MESSAGES * queues as u64 {
        log.room().await;
        let queue_id = (number % queues as u64) as i32;
        let keys = format!("KEYS\u{1}all k{number}\u{2}");
        sent.push(log.append(&message("t", queue_id, &[7; BODY_BYTES], &keys), 5000));
    }
    let sent: Vec<_> = sent.into_iter().map(|sent| sent.expect("room")).collect();
    while log.acknowledged() < log.end_position() {
        log.acknowledged_beyond(log.acknowledged()).await.expect("a healthy disk");
    }
    task::sleep(Duration::from_millis(300)).await;
    (log, sent)
}

fn spoil(world: &World, sent: &Appended) {
    world.make_unreadable(0, SEGMENT, sent.position.byte() + BODY_BYTES as u64 / 2, 1);
}

async fn pull(log: &Log, from: u64) -> Result<(Vec<Piece>, QueueOffset), ReadError> {
    pull_some(log, from, 100).await
}

async fn pull_some(
    log: &Log,
    from: u64,
    count: usize,
) -> Result<(Vec<Piece>, QueueOffset), ReadError> {
    let limits = ReadLimits { count, ..WIDE };
    let query = ReadQuery { topic: "t", queue_id: 0, from: QueueOffset(from), limits };
    let mut pieces = Vec::new();
    let result = match log.read_now(&query, &mut |_| true, &mut pieces) {
        ReadNow::Done(result) => result,
        ReadNow::Later => log.read(&query, &mut |_| true, &mut pieces).await?,
    };
    assert!(result.next_offset.0 > from, "{result:?}");
    Ok((pieces, result.next_offset))
}

/// What a client sees that tries again: offsets, and how long it was refused.
async fn consume(log: &Log) -> (Vec<u64>, Duration) {
    let (mut offsets, mut next, mut refused) = (Vec::new(), 0, Duration::ZERO);
    while next < MESSAGES && refused < 20 * RETRY {
        match pull(log, next).await {
            Ok((pieces, then)) => {
                offsets.extend(parse_all(&memory_bytes(&pieces)).iter().map(|seen| seen.offset));
                next = then.0;
            }
            Err(_) => {
                task::sleep(RETRY).await;
                refused += RETRY;
            }
        }
    }
    (offsets, refused)
}

fn all_but_the_bad() -> Vec<u64> {
    (0..MESSAGES).filter(|offset| *offset != BAD).collect()
}

#[test]
fn a_bad_sector_costs_one_message_and_not_its_neighbours() {
    for page_cache in [PageCache::Brought, PageCache::ByChance, PageCache::Untold] {
        for uncached_behind_bytes in [0, u64::MAX] {
            let world = World::new(1);
            world.disk_faults(0, |faults| faults.page_cache = page_cache);
            world.run(async {
                let options = LogOptions { uncached_behind_bytes, ..options() };
                let (log, sent) = filled(&world, options, 2).await;
                spoil(&world, &sent[2 * BAD as usize]);
                let (offsets, refused) = consume(&log).await;
                assert_eq!(offsets, all_but_the_bad(), "{page_cache:?}, refused for {refused:?}");
                let expected = Duration::from_secs(30)..Duration::from_secs(50);
                assert!(expected.contains(&refused), "refused for {refused:?}");
            });
        }
    }
}

#[test]
fn nobody_passes_over_a_message_because_the_device_failed_for_a_moment_or_fails_altogether() {
    let world = World::new(1);
    world.disk_faults(0, |faults| faults.page_cache = PageCache::Brought);
    world.run(async {
        let (log, sent) = filled(&world, options(), 2).await;
        let end = sent.last().expect("messages").end.byte() as usize;
        world.make_unreadable(0, SEGMENT, 0, end);
        let began = clock::Instant::now();
        while began.elapsed() < Duration::from_secs(120) {
            assert!(pull(&log, 0).await.is_err(), "nothing can be read");
            task::sleep(RETRY).await;
        }
        world.make_readable(0, SEGMENT);
        task::sleep(Duration::from_secs(10)).await;
        spoil(&world, &sent[2 * BAD as usize]);
        let mut next = 0;
        while next < BAD {
            next = pull(&log, next).await.expect("these can be read").1.0;
        }
        for _ in 0..6 {
            assert!(pull(&log, BAD).await.is_err());
            task::sleep(RETRY).await;
        }
        world.make_readable(0, SEGMENT);
        task::sleep(RETRY).await;
        let (pieces, _) = pull(&log, BAD).await.expect("it can be read again");
        assert_eq!(parse_all(&memory_bytes(&pieces))[0].offset, BAD);
    });
}

#[test]
fn a_record_that_was_read_in_between_has_not_been_unreadable_for_long() {
    let world = World::new(1);
    world.disk_faults(0, |faults| faults.page_cache = PageCache::Untold);
    world.run(async {
        let (log, sent) = filled(&world, options(), 2).await;
        let bad = &sent[2 * BAD as usize];
        spoil(&world, bad);
        assert!(pull(&log, BAD).await.is_err());
        world.make_readable(0, SEGMENT);
        task::sleep(2 * RETRY).await;
        pull(&log, BAD).await.expect("it can be read again");
        task::sleep(Duration::from_secs(3600)).await;
        spoil(&world, bad);
        for _ in 0..8 {
            assert!(pull(&log, BAD).await.is_err());
            task::sleep(RETRY).await;
        }
    });
}

/// Reads that the disk was asked for by a pull from the first bad message on.
async fn reads_of_pull(world: &World, log: &Log, count: usize) -> u64 {
    let before = world.disk_reads(0).count;
    drop(pull_some(log, BAD, count).await);
    world.disk_reads(0).count - before
}

#[test]
fn a_run_of_bad_sectors_is_passed_over_in_the_time_of_one_and_seldom_tried_again() {
    const RUN: u64 = 12;
    let world = World::new(1);
    world.disk_faults(0, |faults| faults.page_cache = PageCache::Brought);
    world.run(async {
        let (log, sent) = filled(&world, options(), 2).await;
        (BAD..BAD + RUN).for_each(|bad| spoil(&world, &sent[2 * bad as usize]));
        let (offsets, refused) = consume(&log).await;
        let good = (0..MESSAGES).filter(|offset| !(BAD..BAD + RUN).contains(offset));
        assert_eq!(offsets, good.collect::<Vec<_>>(), "refused for {refused:?}");
        assert!(refused < Duration::from_secs(50), "refused for {refused:?}");
        for pause in [10, 60, 400] {
            task::sleep(Duration::from_secs(pause)).await;
            let reads = reads_of_pull(&world, &log, RUN as usize).await;
            assert!(reads <= 2, "{reads} reads after {pause} s");
        }
        world.make_readable(0, SEGMENT);
        task::sleep(Duration::from_secs(400)).await;
        let (pieces, _) = pull(&log, BAD).await.expect("all of it can be read");
        assert_eq!(parse_all(&memory_bytes(&pieces))[0].offset, BAD, "it is back");
    });
}

#[test]
fn a_device_that_failed_just_now_is_not_asked_again_for_the_same_record() {
    let world = World::new(1);
    world.disk_faults(0, |faults| faults.page_cache = PageCache::Brought);
    world.run(async {
        let (log, sent) = filled(&world, options(), 2).await;
        spoil(&world, &sent[2 * BAD as usize]);
        assert!(reads_of_pull(&world, &log, 100).await > 0);
        task::sleep(Duration::from_secs(1)).await;
        assert_eq!(reads_of_pull(&world, &log, 100).await, 0);
    });
}

/// The pieces, as a connection sends them.
async fn send(world: &World, pieces: Vec<Piece>) -> std::io::Result<()> {
    let addr = SocketAddr::new(world.ip(0), 10911);
    let listener = Listener::bind(addr, Reuse::No)?;
    let accepted = task::spawn("peer", async move { listener.accept().await });
    let stream = Stream::connect(addr, Duration::from_secs(1)).await?;
    let (mut peer, _) = accepted.await?.0.split();
    let reader = task::spawn("reader", async move {
        while peer.read_with(<[u8]>::len).await.is_ok_and(|len| len > 0) {}
    });
    let (_, mut half) = stream.split();
    for piece in &pieces {
        if let Piece::File { view, pos, len } = piece {
            half.send_file(view, *pos, *len).await?;
        }
    }
    drop(half);
    drop(reader);
    Ok(())
}

#[test]
fn a_file_that_could_not_be_sent_is_read_record_by_record_the_next_time() {
    let world = World::new(1);
    world.disk_faults(0, |faults| faults.page_cache = PageCache::Brought);
    world.run(async {
        let (log, sent) = filled(&world, options(), 1).await;
        spoil(&world, &sent[BAD as usize]);
        let (pieces, _) = pull(&log, 100).await.expect("nobody has looked at it yet");
        assert!(matches!(pieces[..], [Piece::File { .. }]));
        assert!(send(&world, pieces).await.is_err());
        let (offsets, _) = consume(&log).await;
        assert_eq!(offsets, all_but_the_bad());
    });
}

#[test]
fn a_lookup_by_key_leaves_out_what_cannot_be_read_and_says_so() {
    let world = World::new(1);
    world.run(async {
        let (log, sent) = filled(&world, options(), 1).await;
        spoil(&world, &sent[BAD as usize]);
        let find = async |key: &str| {
            let query = KeyQuery {
                topic: "t",
                key,
                from_ms: 0,
                until_ms: 9000,
                count: 1000,
                limits: WIDE_SEARCH,
            };
            let found = log.query_by_key(query).await.expect("no damage");
            (found.records.len() as u64, found.problem.is_some())
        };
        assert_eq!(find("all").await, (MESSAGES - 1, true));
        assert_eq!(find(&format!("k{BAD}")).await, (0, true), "it is not said to be missing");
        assert_eq!(find("missing").await, (0, false));
    });
}

#[test]
fn the_scrubber_checks_what_stands_behind_a_bad_sector() {
    let world = World::new(1);
    world.run(async {
        let (log, sent) = filled(&world, options(), 1).await;
        log.close().await.expect("a clean stop");
        spoil(&world, &sent[10]);
        world.flip_bit(0, SEGMENT, sent[300].position.byte() + 1000, 1);
        let scrubbed = LogOptions { scrub_bytes_per_s: 8 << 20, ..options() };
        let scrubbed = LogOptions { scrub_pause: Duration::from_secs(5), ..scrubbed };
        let (log, _) = open(&world, scrubbed).await.expect("the log opens");
        task::sleep(Duration::from_secs(8)).await;
        let counters = log.stats().counters;
        let len_of = |index: usize| sent[index].end.byte() - sent[index].position.byte();
        let lost = len_of(10) + len_of(300);
        let expected = (log.end_position().byte() - lost, 2);
        assert_eq!((counters.scrubbed_bytes, counters.damages), expected);
    });
}

/// A world with a log that was killed and has to be scanned as a whole, and how to open it.
fn killed() -> (World, LogOptions, Vec<Appended>) {
    let world = World::new(1);
    let interval = Duration::from_secs(1000);
    let rare = LogOptions { checkpoint_interval: interval, checkpoint_bytes: 1 << 30, ..options() };
    let rare = LogOptions { flush: FlushPolicy::Sync, key_run_entries: 1 << 16, ..rare };
    let rare = LogOptions { index_segment_size_bytes: 4 << 20, ..rare };
    let sent = world.run(async { filled(&world, rare.clone(), 1).await.1 });
    world.kill(0);
    (world, rare, sent)
}

#[test]
fn a_start_minds_no_bad_sector_where_no_message_stands() {
    let (world, options, sent) = killed();
    let end = sent.last().expect("messages").end.byte();
    world.make_unreadable(0, SEGMENT, end + 10_000, SECTOR_BYTES);
    world.run(async {
        let (log, report) = open(&world, options).await.expect("no message stands there");
        assert_eq!(report.scanned_records, MESSAGES);
        assert_eq!(log.end_position().byte(), end);
        let file = world.disk(0).read_all(SEGMENT, 8 << 20).await;
        assert!(file.is_ok(), "zeros were written there");
    });
}

#[test]
fn a_start_is_refused_that_cannot_read_a_message_and_says_which() {
    let (world, options, sent) = killed();
    spoil(&world, &sent[BAD as usize]);
    world.run(async {
        let refused = open(&world, options.clone()).await.err();
        let error = refused.expect("it may have been acknowledged").to_string();
        let place = format!("byte {} of {SEGMENT}", sent[BAD as usize].position.byte());
        assert!(error.contains(&place), "{error}");
        world.make_readable(0, SEGMENT);
        let (_, report) = open(&world, options).await.expect("the device reads it again");
        assert_eq!(report.scanned_records, MESSAGES, "nothing was cut");
    });
}

#[test]
fn a_start_does_not_ask_a_failing_device_for_the_same_place_over_and_over() {
    let (world, options, sent) = killed();
    spoil(&world, &sent[MESSAGES as usize - 20]);
    world.run(async {
        let before = world.disk_reads(0).count;
        assert!(open(&world, options).await.is_err(), "it may have been acknowledged");
        let reads = world.disk_reads(0).count - before;
        assert!(reads < MESSAGES / 4, "{reads} reads");
    });
}

#[test]
fn a_start_gives_up_on_a_device_that_reads_nothing_behind_the_end() {
    let (world, options, sent) = killed();
    let end = sent.last().expect("messages").end.byte();
    world.flip_bit(0, SEGMENT, sent[MESSAGES as usize - 1].position.byte() + 1000, 1);
    world.make_unreadable(0, SEGMENT, end + 10_000, 1 << 20);
    world.run(async {
        let before = world.disk_reads(0).count;
        let refused = open(&world, options).await.err().expect("nobody knows what stands there");
        assert!(matches!(refused, OpenError::Io { .. }), "{refused}");
        let reads = world.disk_reads(0).count - before;
        assert!(reads < 600, "{reads} reads");
    });
}

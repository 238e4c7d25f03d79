//! Opening a log: load the indexes, scan the log behind them, settle its end, and make all of that
//! durable.
//!
//! Failure cases, by what is found:
//!
//! | found | what happens |
//! |---|---|
//! | index snapshot or stream damaged | the older snapshot, else a rebuild from the log |
//! | index ahead of the log's files | refused: files are missing |
//! | torn tail | zeroed, so that nothing of it can be taken for a record later |
//! | a flush that had failed | what it covered is written again, so that it is durable before use |
//! | good records behind damage | refused, or cut when the options say so (`verdict.rs`) |
//! | crash while opening | the same again: nothing is written before the end of the log is known |

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringmq_protocol::record::Record;
use ringmq_runtime::buffer::DmaBuffer;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::{Access, Disk};
use ringmq_runtime::task;

use crate::checkpoint;
use crate::entry::{Entry, KeyEntry, key_hash};
use crate::error::OpenError;
use crate::flush::Watermarks;
use crate::index_files::{self, IndexFiles};
use crate::index_load::{self, LoadedIndex};
use crate::log::{ABORT_FILE, Counters, INDEX_DIR, Inner, State};
use crate::options::{LogOptions, PAGE_BYTES};
use crate::position::{LogId, LogPosition};
use crate::scan::{self, Found, Rest, Scanner};
use crate::segments::{self, FIRST_FILL_BYTES, Segment, Segments};
use crate::tail::Tail;
use crate::terms::{Terms, is_keyed, is_queued};
use crate::verdict::{Evidence, Verdict, judge};

/// The file name of Apache's CommitLog directory.
const LOG_DIR: &str = "commitlog";

/// Lines of the abort file.
const TORN_WINDOW: &str = "torn_window_bytes=";
const ZERO_UNTIL: &str = "zero_until=";

/// What opening a log found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The log was made now.
    pub is_new: bool,
    /// The last run ended cleanly.
    pub was_clean: bool,
    /// The indexes had to be built from the whole log.
    pub rebuilt_index: bool,
    /// Where the scan of the log began.
    pub scanned_from: LogPosition,
    /// Records found by the scan.
    pub scanned_records: u64,
    /// End of the log.
    pub end: LogPosition,
    /// Why the scan ended, unless it found zeros or the end of the files.
    pub damage: Option<String>,
    /// Bytes behind the end that were zeroed.
    pub cut_bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// Adds which log and what was tried to an error of the file system.
fn at<'a>(log: LogId, what: &'a str) -> impl Fn(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io { log, what: what.to_owned(), source }
}

/// See [`crate::Log::open`].
pub(crate) async fn open(
    disk: Disk,
    dir: &Path,
    log: LogId,
    options: LogOptions,
) -> Result<(Inner, RecoveryReport), OpenError> {
    let started = Instant::now();
    let crash = read_abort_file(&disk, dir, &options).await.map_err(at(log, "reading abort"))?;
    let segments = open_segments(&disk, dir, log, &options).await?;
    let is_new = segments.len() == 0;
    let mut files =
        open_index(&disk, dir, log, &options).await.map_err(at(log, "opening the index"))?;
    let loaded = index_load::load(&disk, dir, &mut files, &options)
        .await
        .map_err(at(log, "loading the index"))?;
    if let Some(at_byte) = loaded.last_checkpoint_at.filter(|_| crash.is_some()) {
        let rewritten = index_files::rewrite(&files, at_byte).await;
        rewritten.map_err(at(log, "making the index durable"))?;
    }
    let rebuilt_index = loaded.log_byte.is_none() && !is_new;
    let from = scan_start(&segments, &loaded)?;
    let inner = assemble(disk, dir.to_owned(), log, options, segments, files, loaded, from);

    let mut report = RecoveryReport {
        is_new,
        was_clean: crash.is_none(),
        rebuilt_index,
        scanned_from: log.at(from),
        scanned_records: 0,
        end: log.at(from),
        damage: None,
        cut_bytes: 0,
        took: Duration::ZERO,
    };
    let end = scan_log(&inner, from, &mut report).await.map_err(at(log, "scanning the log"))?;
    settle_end(&inner, end, crash, &mut report).await?;
    finish(&inner, from, end, crash).await.map_err(at(log, "making the recovered log durable"))?;
    report.end = log.at(end);
    report.took = started.elapsed();
    Ok((inner, report))
}

/// What is known of a run that did not end cleanly.
#[derive(Clone, Copy, Debug)]
struct Crash {
    /// How far behind the end it may have left records.
    torn_window: u64,
    /// A recovery that did not end either had begun to zero the log up to here.
    zero_until: Option<u64>,
}

/// What the last run left about itself; `None` after a clean stop.
async fn read_abort_file(
    disk: &Disk,
    dir: &Path,
    options: &LogOptions,
) -> io::Result<Option<Crash>> {
    disk.create_dir_all(dir.join(LOG_DIR)).await?;
    disk.create_dir_all(dir.join(INDEX_DIR)).await?;
    match disk.read_all(dir.join(ABORT_FILE), 4096).await {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let number = |name: &str| {
                let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
                values.find_map(|value| value.parse::<u64>().ok())
            };
            // A broker of another make leaves its process id there.
            let torn_window = number(TORN_WINDOW).unwrap_or(options.torn_window_bytes());
            Ok(Some(Crash { torn_window, zero_until: number(ZERO_UNTIL) }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn write_abort_file(
    inner: &Inner,
    torn_window: u64,
    zero_until: Option<u64>,
) -> io::Result<()> {
    let mut text = format!("{TORN_WINDOW}{torn_window}\n");
    if let Some(until) = zero_until {
        text.push_str(&format!("{ZERO_UNTIL}{until}\n"));
    }
    inner.disk.replace(inner.dir.join(ABORT_FILE), text.as_bytes()).await
}

async fn open_segments(
    disk: &Disk,
    dir: &Path,
    log: LogId,
    options: &LogOptions,
) -> Result<Segments, OpenError> {
    let dir = dir.join(LOG_DIR);
    let size = options.segment_size_bytes;
    let found = segments::find_files(disk, &dir, log, size)
        .await
        .map_err(at(log, "listing the segments"))?
        .map_err(|found| OpenError::Layout {
            log,
            found,
            advice: "set mappedFileSizeCommitLog to the size the store was made with, \
                     or restore the missing file",
        })?;
    let mut segments = Segments::new(log, dir, size);
    for file in found {
        let opened = disk.open(segments.path(file.base), Access::ReadWrite).await;
        let opened = opened.map_err(at(log, "opening a segment"))?;
        let filled = file.len - file.len % PAGE_BYTES;
        segments.push(Segment { base: file.base, file: opened, filled });
    }
    Ok(segments)
}

async fn open_index(
    disk: &Disk,
    dir: &Path,
    log: LogId,
    options: &LogOptions,
) -> io::Result<IndexFiles> {
    IndexFiles::open(disk, dir.join(INDEX_DIR), log, options.index_segment_size_bytes).await
}

/// Where the scan begins: behind what the indexes hold, but not before the first file.
fn scan_start(segments: &Segments, loaded: &LoadedIndex) -> Result<u64, OpenError> {
    let from = loaded.log_byte.unwrap_or(0).max(segments.min());
    if from > segments.end() {
        return Err(OpenError::Layout {
            log: segments.log,
            found: format!(
                "the index knows the log up to byte {from}, but its files end at {}",
                segments.end()
            ),
            advice: "restore the missing files, \
                     or remove the directory queueindex to go on without them",
        });
    }
    Ok(from)
}

#[expect(clippy::too_many_arguments, reason = "the parts of a log, each loaded elsewhere")]
fn assemble(
    disk: Disk,
    dir: PathBuf,
    log: LogId,
    options: LogOptions,
    segments: Segments,
    files: IndexFiles,
    loaded: LoadedIndex,
    from: u64,
) -> Inner {
    let state = State {
        tail: Tail::new(options.tail_block_bytes, options.tail_window_bytes, from, &[]),
        marks: Watermarks::new(options.flush, options.segment_size_bytes, from),
        segments,
        queues: loaded.queues,
        keys: loaded.keys,
        last_store_ms: loaded.last_store_ms,
        fenced: None,
        no_space: None,
        counters: Counters::default(),
    };
    let indexed = loaded.log_byte.unwrap_or(from);
    Inner::new(log, disk, dir, options, state, files, indexed, loaded.snapshots)
}

/// Enters every sound record from `from` on into the indexes and returns the end of the last.
async fn scan_log(inner: &Inner, from: u64, report: &mut RecoveryReport) -> io::Result<u64> {
    let mut scanner = Scanner::new(inner.id);
    let mut end = from;
    let mut saved = from;
    // Nobody else knows the log yet, so the segments can be looked at in peace.
    let segments = take_segments(inner);
    loop {
        match scanner.look(&segments, end).await? {
            Found::Record(bytes) => {
                if let Err(problem) = index_record(&mut inner.state.borrow_mut(), end, &bytes) {
                    report.damage = Some(problem);
                    break;
                }
                end += bytes.len() as u64;
                report.scanned_records += 1;
            }
            Found::EndMark => end = segments.base_of(end) + segments.size,
            Found::Nothing | Found::NoFile => break,
            Found::Damaged(problem) => {
                report.damage = Some(problem);
                break;
            }
        }
        // A log whose index is rebuilt may be far larger than memory.
        if end - saved >= inner.options.checkpoint_bytes {
            sync_range(&segments, saved, end).await?;
            checkpoint::save(inner, end).await?;
            saved = end;
        }
        task::yield_if_needed().await;
    }
    inner.state.borrow_mut().segments = segments;
    Ok(end)
}

/// Takes the segments out of the state, so that they can be used between awaits.
fn take_segments(inner: &Inner) -> Segments {
    let empty = Segments::new(inner.id, PathBuf::new(), inner.options.segment_size_bytes);
    std::mem::replace(&mut inner.state.borrow_mut().segments, empty)
}

/// Enters a record into the indexes, as the append step did.
fn index_record(state: &mut State, byte: u64, bytes: &[u8]) -> Result<(), String> {
    let record = Record::parse(bytes).map_err(|error| error.to_string())?;
    let stored_ms = u64::try_from(record.stored_at_ms).map_err(|_| "negative store time")?;
    let terms = Terms::of_stored(&record);
    if is_queued(record.sys_flag) {
        let offset = u64::try_from(record.queue_offset).map_err(|_| "negative queue offset")?;
        let entry = Entry::new(byte, bytes.len() as u32, stored_ms, terms.tag_hash());
        let found = state.queues.find(record.topic, record.queue_id);
        let next = found.and_then(|key| state.queues.get(key)).map(|queue| queue.next());
        let key = match (found, next) {
            (Some(key), Some(next)) if next == offset => Some(key),
            (Some(_), Some(next)) if offset != 0 => {
                return Err(format!(
                    "queue {} of {} has offset {offset} where {next} was expected",
                    record.queue_id, record.topic
                ));
            }
            // The queue was deleted and began anew.
            (Some(key), _) => {
                state.queues.delete(key);
                state.queues.open(record.topic, record.queue_id, 0)
            }
            (None, _) => state.queues.open(record.topic, record.queue_id, offset),
        };
        let key = key.ok_or("no further queue slots")?;
        state.queues.push(key, entry);
        state.queues.show_all(key);
    }
    if is_keyed(record.sys_flag) {
        for key in terms.keys() {
            state.keys.push(KeyEntry::new(key_hash(record.topic, key), byte, stored_ms));
        }
    }
    state.last_store_ms = state.last_store_ms.max(stored_ms);
    Ok(())
}

/// Looks at what stands behind the last good record and acts on the verdict.
async fn settle_end(
    inner: &Inner,
    end: u64,
    crash: Option<Crash>,
    report: &mut RecoveryReport,
) -> Result<(), OpenError> {
    let log = inner.id;
    let window = crash.map_or(0, |crash| crash.torn_window);
    let page_end = end - end % PAGE_BYTES + PAGE_BYTES;
    // Behind damage that no crash explains, the largest record may hide the next head.
    let until = match (crash, &report.damage) {
        (None, None) => page_end,
        _ => end + window + 2 * inner.options.record_size_max_bytes as u64,
    };
    let segments = take_segments(inner);
    let rest = scan::survey(&segments, end, window, until).await;
    inner.state.borrow_mut().segments = segments;
    let mut rest = rest.map_err(at(log, "looking behind the end of the log"))?;
    // Zeros that were written before may not be on the device.
    if let Some(until) = crash.and_then(|crash| crash.zero_until).filter(|until| *until > end) {
        let dirty_until = rest.dirty.map_or(0, |(_, to)| to);
        rest.dirty = Some((end, until.max(dirty_until)));
    }
    let evidence = Evidence {
        was_clean: crash.is_none(),
        has_rest: rest.dirty.is_some(),
        has_near_record: rest.near.is_some(),
        has_far_record: rest.far.is_some(),
    };
    match judge(evidence, inner.options.repair) {
        Verdict::Continue => Ok(()),
        Verdict::Cut => {
            report.cut_bytes = rest.dirty.map_or(0, |(from, to)| to - from.max(end));
            zero_rest(inner, end, rest, window).await.map_err(at(log, "zeroing a torn tail"))
        }
        Verdict::CutAll => {
            report.cut_bytes = inner.state.borrow().segments.end() - end;
            cut_all(inner, end, window).await.map_err(at(log, "cutting the log"))
        }
        Verdict::Refuse => Err(OpenError::Corrupt {
            log,
            at: log.at(end),
            damage: report.damage.clone().unwrap_or_else(|| "nothing was written".to_owned()),
            valid_at: log.at(rest.near.or(rest.far).expect("damage is proved by a record")),
        }),
    }
}

/// Zeroes what a crash left behind the end.
async fn zero_rest(inner: &Inner, end: u64, rest: Rest, window: u64) -> io::Result<()> {
    let Some((from, to)) = rest.dirty else { return Ok(()) };
    write_abort_file(inner, window, Some(to)).await?;
    zero(inner, from.max(end), to).await
}

/// Zeroes the rest of the segment of `end` and removes all later ones.
async fn cut_all(inner: &Inner, end: u64, window: u64) -> io::Result<()> {
    let (later, segment_end) = {
        let mut state = inner.state.borrow_mut();
        let base = state.segments.base_of(end);
        let size = state.segments.size;
        (state.segments.split_off(base + 1), base + size)
    };
    write_abort_file(inner, window, Some(segment_end)).await?;
    for segment in later.into_iter().rev() {
        let path = inner.state.borrow().segments.path(segment.base);
        inner.disk.remove_file(path).await?;
    }
    inner.disk.sync_dir(inner.dir.join(LOG_DIR)).await?;
    zero(inner, end, segment_end).await
}

/// Zeroes `from..to`, durably, where files have these bytes. `to` is a page border.
async fn zero(inner: &Inner, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let found = inner.state.borrow().segments.find(at).cloned();
        let Some(segment) = found else { return Ok(()) };
        let len = segment.file.len()?.next_multiple_of(PAGE_BYTES);
        let stop = (to - segment.base).min(inner.options.segment_size_bytes).min(len);
        let start = at - segment.base;
        if start < stop {
            zero_in_file(&segment, start, stop).await?;
            segment.file.sync_data().await?;
        }
        at = segment.base + inner.options.segment_size_bytes;
    }
    Ok(())
}

async fn zero_in_file(segment: &Segment, start: u64, stop: u64) -> io::Result<()> {
    let page = start - start % PAGE_BYTES;
    if page < start {
        let kept = segments::read_padded(&segment.file, page, (start - page) as usize).await?;
        let mut buffer = DmaBuffer::alloc(PAGE_BYTES as usize);
        buffer.as_mut_slice().fill(0);
        buffer.as_mut_slice()[..kept.len()].copy_from_slice(&kept);
        segment.file.write_at(page, buffer).await?;
    }
    segments::write_zeros(&segment.file, start.next_multiple_of(PAGE_BYTES), stop).await
}

/// Flushes the files of `from..to`.
async fn sync_range(segments: &Segments, from: u64, to: u64) -> io::Result<()> {
    let mut base = segments.base_of(from);
    while let Some(segment) = segments.find(base).filter(|_| base < to) {
        segment.file.sync_data().await?;
        base += segments.size;
    }
    Ok(())
}

/// Makes what was found durable, sets tail and watermarks to the end, and marks the log as open.
async fn finish(inner: &Inner, from: u64, end: u64, crash: Option<Crash>) -> io::Result<()> {
    // All of it counts as safe from here on, and a flush of its end may have failed before the
    // crash, unnoticed by this kernel: only a write makes that good.
    let doubtful = crash.map_or(end, |crash| end.saturating_sub(crash.torn_window).max(from));
    for (segment, from, to) in parts(inner, from, end) {
        let from = from.max(doubtful.saturating_sub(segment.base));
        if from < to {
            segments::rewrite(&segment.file, from, to).await?;
        }
        segment.file.sync_data().await?;
    }
    ensure_segment(inner, end).await?;
    let segment = inner.state.borrow().segments.find(end).cloned().expect("ensured above");
    let page = end - end % PAGE_BYTES;
    let lead = (end - page) as usize;
    let prefix = segments::read_padded(&segment.file, page - segment.base, lead).await?;
    {
        let options = &inner.options;
        let mut state = inner.state.borrow_mut();
        state.tail = Tail::new(options.tail_block_bytes, options.tail_window_bytes, page, &prefix);
        state.marks = Watermarks::new(options.flush, options.segment_size_bytes, end);
    }
    write_abort_file(inner, inner.options.torn_window_bytes(), None).await?;
    let min = inner.state.borrow().segments.min();
    crate::retention::expire_indexes(inner, min).await;
    if inner.indexed.get() < end || inner.state.borrow().queues.is_dirty() {
        checkpoint::save(inner, end).await?;
    }
    Ok(())
}

/// The segments of `from..=end`, each with the part of it that lies in there.
fn parts(inner: &Inner, from: u64, end: u64) -> Vec<(Segment, u64, u64)> {
    let state = inner.state.borrow();
    let first = state.segments.base_of(from);
    (first..=end)
        .step_by(state.segments.size as usize)
        .filter_map(|base| state.segments.find(base))
        .map(|segment| {
            let to = (end - segment.base).min(state.segments.size);
            (segment.clone(), from.saturating_sub(segment.base), to)
        })
        .collect()
}

/// Makes the segment of `end` if there is none: quickly, it grows later.
async fn ensure_segment(inner: &Inner, end: u64) -> io::Result<()> {
    if inner.state.borrow().segments.find(end).is_some() {
        return Ok(());
    }
    let (base, path) = {
        let segments = &inner.state.borrow().segments;
        (segments.base_of(end), segments.path(segments.base_of(end)))
    };
    let len = FIRST_FILL_BYTES.min(inner.options.segment_size_bytes);
    let segment = segments::create(&inner.disk, &path, base, len, 0).await?;
    inner.state.borrow_mut().segments.push(segment);
    Ok(())
}

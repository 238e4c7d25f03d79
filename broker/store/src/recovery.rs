//! Opening a log: load the indexes, scan the log behind them, settle its end, and make all of that
//! durable.
//!
//! Failure cases, by what is found:
//!
//! | found | what happens |
//! |---|---|
//! | index snapshot or stream damaged | the older snapshot, else a rebuild from the log |
//! | index ahead of the log's files | refused: files are missing |
//! | index of another log, or of another moment | refused (`index_proof.rs`) |
//! | index of no use, log that is refused | refused, and the index stays (`rehearsal.rs`) |
//! | torn tail | kept aside (`cut.rs`) and zeroed, so that none of it passes for a record later |
//! | a flush that had failed | what it covered is written again, so that it is durable before use |
//! | good records behind damage | refused, or cut when the options say so (`verdict.rs`) |
//! | a sound record that its queue cannot have | the same: no crash makes one |
//! | more queues than slots, in a rebuild | refused, as no message of them is damaged |
//! | bytes behind the end that cannot be read | refused; torn ones in the torn window |
//! | crash while opening, or refusal | the same again: no byte of the log has changed |
//!
//! The index may have grown by then: the scan of a long log saves what it has found so far.

use std::io;
use std::ops::Range;
use std::path::Path;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::{Access, Disk};
use ringmq_runtime::task;

use crate::abort::{self, RunNote};
use crate::checkpoint;
use crate::error::OpenError;
use crate::index_files::{self, IndexFiles};
use crate::index_load::{self, LoadedIndex};
use crate::index_proof;
use crate::log::{INDEX_DIR, Inner, Parts};
use crate::options::{LogOptions, PAGE_BYTES};
use crate::position::{LOG_MAX_BYTES, LogId};
use crate::rehearsal;
use crate::reindex::index_record;
use crate::report::RecoveryReport;
use crate::scan::{Found, Scanner};
use crate::segments::{self, Segment, Segments};
use crate::settle::settle_end;
use crate::tail::Tail;
use crate::watermarks::Watermarks;

/// The file name of Apache's CommitLog directory.
const LOG_DIR: &str = "commitlog";

/// See [`crate::Log::open`].
pub(crate) async fn open(
    disk: Disk,
    dir: &Path,
    log: LogId,
    options: LogOptions,
) -> Result<(Inner, RecoveryReport), OpenError> {
    let started = Instant::now();
    let Loaded { inner, crashed, is_new, rebuilt_index, from } =
        load(disk, dir, log, options).await?;
    // Records of earlier runs, which only a rebuild looks at, may lack what the last run wrote.
    let has_checksums = crashed.is_some_and(|run| run.has_checksums) && !rebuilt_index;
    let torn_window = crashed.map_or(0, |run| run.torn_window);
    let scanned = scan_log(&inner, Scanner::new(log, has_checksums), from, torn_window).await?;
    let end = scanned.end;
    let settled = settle_end(&inner, end, crashed, scanned.damage.as_deref()).await?;
    let finished = finish(&inner, from, end, crashed).await;
    finished.map_err(OpenError::io(log, "making the recovered log durable"))?;
    let report = RecoveryReport {
        is_new,
        was_clean: crashed.is_none(),
        rebuilt_index,
        scanned_from: log.at(from),
        scanned_records: scanned.records,
        end: log.at(end),
        damage: scanned.damage,
        cut_bytes: settled.cut_bytes,
        cut_heads: settled.cut_heads,
        kept_in: settled.kept_in,
        took: started.elapsed(),
    };
    Ok((inner, report))
}

/// A log that knows what its index tells, and what is known of it so far.
struct Loaded {
    inner: Inner,
    /// The note of the last run, unless it ended cleanly.
    crashed: Option<RunNote>,
    is_new: bool,
    rebuilt_index: bool,
    /// Log byte where the scan begins.
    from: u64,
}

/// Opens the files of the log and loads its index. What is of no use of the index goes when nothing
/// before the scan can refuse the log any more.
async fn load(
    disk: Disk,
    dir: &Path,
    log: LogId,
    options: LogOptions,
) -> Result<Loaded, OpenError> {
    let made = make_directories(&disk, dir).await;
    made.map_err(OpenError::io(log, "making the directories"))?;
    let crashed = abort::read(&disk, dir, &options).await;
    let crashed = crashed.map_err(OpenError::io(log, "reading abort"))?;
    let segments = open_segments(&disk, dir, log, &options).await?;
    let (index_files, mut index) = load_index(&disk, dir, &segments, &options, crashed).await?;
    let leftovers = std::mem::take(&mut index.leftovers);
    let is_new = segments.len() == 0;
    let rebuilt_index = index.log_byte.is_none() && !is_new;
    let from = scan_start(&segments, &index)?;
    let inner = Inner::new(Parts {
        id: log,
        disk,
        dir: dir.to_owned(),
        options,
        segments,
        index_files,
        index,
        scan_from: from,
    });
    index_proof::demand(&inner).await?;
    if !leftovers.is_empty() {
        let removed = index_load::remove_leftovers(&inner.disk, dir, &leftovers).await;
        removed.map_err(OpenError::io(log, "removing what is of no use of the index"))?;
    }
    Ok(Loaded { inner, crashed, is_new, rebuilt_index, from })
}

/// Makes the directories, durably: one that is there need not be, its maker may have been killed in
/// between.
async fn make_directories(disk: &Disk, dir: &Path) -> io::Result<()> {
    disk.create_dir_all(dir.join(LOG_DIR)).await?;
    disk.create_dir_all(dir.join(INDEX_DIR)).await?;
    let parent = dir.parent().unwrap_or(Path::new("")).to_owned();
    for directory in [parent, dir.to_owned(), dir.join(LOG_DIR), dir.join(INDEX_DIR)] {
        disk.sync_dir(directory).await?;
    }
    Ok(())
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
        .map_err(OpenError::io(log, "listing the segments"))?
        .map_err(|found| OpenError::Layout {
            log,
            found,
            advice: "set mappedFileSizeCommitLog to the size the store was made with, \
                     or restore the missing file",
        })?;
    let mut segments = Segments::new(log, dir, size);
    for file in found {
        let opened = disk.open(segments.path(file.base), Access::ReadWrite).await;
        let opened = opened.map_err(OpenError::io(log, "opening a segment"))?;
        let filled = file.len - file.len % PAGE_BYTES;
        segments.push(Segment { base: file.base, file: opened, filled, is_reopened: false });
    }
    Ok(segments)
}

/// Loads the index. A log that a rebuild of it would refuse is refused now.
async fn load_index(
    disk: &Disk,
    dir: &Path,
    segments: &Segments,
    options: &LogOptions,
    crashed: Option<RunNote>,
) -> Result<(IndexFiles, LoadedIndex), OpenError> {
    let log = segments.log;
    let file_bytes = options.index_segment_size_bytes;
    let files = IndexFiles::open(disk, dir.join(INDEX_DIR), log, file_bytes).await;
    let mut files = files.map_err(OpenError::io(log, "opening the index"))?;
    let index = index_load::load(disk, dir, &mut files, options, segments.min()).await;
    let index = index.map_err(OpenError::io(log, "loading the index"))?;
    // A stream that is whole needs no other part of the log than a snapshot does.
    if !index.leftovers.is_empty() && index.log_byte.is_none() {
        rehearsal::demand(segments, options, crashed).await?;
    }
    if let Some(at_byte) = index.last_checkpoint_at.filter(|_| crashed.is_some()) {
        let rewritten = index_files::rewrite(&files, at_byte).await;
        rewritten.map_err(OpenError::io(log, "making the index durable"))?;
    }
    Ok((files, index))
}

/// Where the scan begins: behind what the indexes hold, but not before the first file.
fn scan_start(segments: &Segments, index: &LoadedIndex) -> Result<u64, OpenError> {
    let from = index.log_byte.unwrap_or(0).max(segments.min());
    let newest = segments.newest();
    let end = newest.map_or(Ok(0), |newest| newest.file.len().map(|len| newest.base + len));
    let end = end.map_err(OpenError::io(segments.log, "looking at the newest segment"))?;
    if from > end || from >= LOG_MAX_BYTES {
        return Err(OpenError::Layout {
            log: segments.log,
            found: format!("the index knows the log up to byte {from}, but its files end at {end}"),
            advice: "restore the file that is missing or was cut short, \
                     or remove the directory queueindex to go on without it",
        });
    }
    Ok(from)
}

/// What a scan of the log found.
struct Scanned {
    /// End of the last sound record.
    end: u64,
    records: u64,
    /// What stands there, unless it is zeros or the end of the files.
    damage: Option<String>,
}

/// Enters every sound record from `from` on into the indexes.
async fn scan_log(
    inner: &Inner,
    mut scanner: Scanner,
    from: u64,
    torn_window: u64,
) -> Result<Scanned, OpenError> {
    let scanning = OpenError::io(inner.id, "scanning the log");
    // Nobody else knows the log yet, so the row stays as it is.
    let segments = inner.state.borrow().segments.clone();
    let mut saving = Saving { saved: from, candidate: None, torn_window };
    let (mut end, mut records) = (from, 0);
    let damage = loop {
        match scanner.look(&segments, end).await.map_err(&scanning)? {
            Found::Record(bytes) => {
                let indexed = index_record(&mut inner.state.borrow_mut(), end, &bytes);
                if let Err(unfit) = indexed {
                    break Some(unfit.damage(&inner.options, inner.id.at(end))?);
                }
                end += bytes.len() as u64;
                records += 1;
            }
            Found::EndMark => end = segments.base_of(end) + segments.size,
            Found::Nothing | Found::NoFile => break None,
            Found::Damaged(problem) => break Some(problem),
        }
        saving.save_if_due(inner, &segments, end).await.map_err(&scanning)?;
        task::yield_if_needed().await;
    };
    Ok(Scanned { end, records, damage })
}

/// What a scan has saved: a log whose index is rebuilt may be far larger than memory.
struct Saving {
    /// Everything below is in the index stream.
    saved: u64,
    /// Up to where it is saved next.
    candidate: Option<u64>,
    torn_window: u64,
}

impl Saving {
    /// Saves the indexes of a scan that has come to `end` when there is much of them. What a failed
    /// flush may have lost is not saved before it has been written again: the last torn window
    /// waits for the end, unless its keys alone are too many.
    async fn save_if_due(
        &mut self,
        inner: &Inner,
        segments: &Segments,
        end: u64,
    ) -> io::Result<()> {
        if inner.state.borrow().keys.is_full() {
            rewrite_range(segments, self.saved..end).await?;
            sync_range(segments, self.saved..end).await?;
            checkpoint::save(inner, end).await?;
            (self.saved, self.candidate) = (end, None);
        }
        if end - self.saved >= inner.options.checkpoint_bytes {
            let below = *self.candidate.get_or_insert(end);
            if end - below >= self.torn_window {
                sync_range(segments, self.saved..below).await?;
                checkpoint::save(inner, below).await?;
                (self.saved, self.candidate) = (below, None);
            }
        }
        Ok(())
    }
}

/// Writes the bytes of `range` once more, as they are.
async fn rewrite_range(segments: &Segments, range: Range<u64>) -> io::Result<()> {
    for (segment, part) in segments.parts_of(range) {
        segments::rewrite(&segment.file, part.start, part.end).await?;
    }
    Ok(())
}

/// Flushes the files that have bytes of `range`.
async fn sync_range(segments: &Segments, range: Range<u64>) -> io::Result<()> {
    for (segment, _) in segments.parts_of(range) {
        segment.file.sync_data().await?;
    }
    Ok(())
}

/// Makes what was found durable, sets tail and watermarks to the end, and marks the log as open.
async fn finish(inner: &Inner, from: u64, end: u64, crashed: Option<RunNote>) -> io::Result<()> {
    // All of it counts as safe from here on, and a flush of its end may have failed before the
    // crash, unnoticed by this kernel: only a write makes that good.
    let doubtful = crashed.map_or(end, |run| end.saturating_sub(run.torn_window).max(from));
    let segments = inner.state.borrow().segments.clone();
    rewrite_range(&segments, doubtful..end).await?;
    // And the file that the log goes on in, though it may have none of these bytes.
    sync_range(&segments, from..end + 1).await?;
    complete_page(inner).await?;
    ensure_segment(inner, end).await?;
    if crashed.is_some() {
        settle_growth(inner, end).await?;
    }
    let segment = inner.state.borrow().segments.find(end).cloned().expect("ensured above");
    let page = end - end % PAGE_BYTES;
    let lead = (end - page) as usize;
    let prefix = segments::read_padded(&segment.file, page - segment.base, lead).await?;
    {
        let options = &inner.options;
        let mut state = inner.state.borrow_mut();
        state.tail = Tail::new(options, page, &prefix);
        state.marks = Watermarks::new(options.flush, options.segment_size_bytes, end);
    }
    let min = inner.state.borrow().segments.min();
    crate::retention::expire_indexes(inner, min).await;
    if inner.indexed.get() < end || inner.state.borrow().queues.is_dirty() {
        checkpoint::save(inner, end).await?;
    }
    // Last, so that it speaks of records behind the last mark only.
    let note = RunNote {
        torn_window: inner.options.torn_window_bytes(),
        zero_until: None,
        has_checksums: inner.options.record_checksum,
    };
    abort::write(inner, note).await
}

/// Writes the last zeros of a segment that was growing once more: a flush of them, and of the
/// length of the file, may have failed before the crash, or not have begun.
async fn settle_growth(inner: &Inner, end: u64) -> io::Result<()> {
    let newest = inner.state.borrow().segments.newest().cloned().expect("ensured before");
    let used = end.saturating_sub(newest.base).next_multiple_of(PAGE_BYTES);
    let from = newest.filled.saturating_sub(inner.options.fill_step_bytes).max(used);
    newest.file.fill_zeros(from, newest.filled, 0).await?;
    newest.file.sync_data().await
}

/// Fills up the last page of the newest file with zeros: a file that was cut short, as a copy that
/// broke off, may end within one, and growing goes on at a page. What stands in it is kept.
async fn complete_page(inner: &Inner) -> io::Result<()> {
    let newest = inner.state.borrow().segments.newest().cloned();
    let Some(Segment { file, filled, .. }) = newest else { return Ok(()) };
    let len = file.len()?;
    if !len.is_multiple_of(PAGE_BYTES) {
        segments::rewrite(&file, filled, len).await?;
        file.sync_data().await?;
    }
    let newest = &mut inner.state.borrow_mut().segments;
    newest.newest_mut().expect("found above").filled = len.next_multiple_of(PAGE_BYTES);
    Ok(())
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
    let len = inner.options.fill_step_bytes.min(inner.options.segment_size_bytes);
    let segment = segments::create(&inner.disk, &path, base, len).await?;
    inner.state.borrow_mut().segments.push(segment);
    Ok(())
}

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
//! | good records behind damage | refused (`verdict.rs`) |
//! | a sound record that its queue cannot have | the same: no crash makes one |
//! | more queues than slots, in a rebuild | refused, as no message of them is damaged |
//! | bytes behind the end that cannot be read | refused; torn ones in the torn window |
//! | crash while opening, or refusal | the same again: no byte of the log has changed |
//!
//! The index may have grown by then: the scan of a long log saves what it has found so far.

use std::io;
use std::path::Path;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::{Access, Disk};

use crate::abort::{self, RunNote};
use crate::error::OpenError;
use crate::index_files::{self, IndexFiles};
use crate::index_load::{self, LoadedIndex};
use crate::index_proof;
use crate::log::{INDEX_DIR, Inner, Parts};
use crate::options::{LogOptions, PAGE_BYTES};
use crate::position::{LOG_MAX_BYTES, LogId};
use crate::ready::make_ready;
use crate::rehearsal;
use crate::report::RecoveryReport;
use crate::rescan::scan_log;
use crate::scan::Scanner;
use crate::segment::Segment;
use crate::segments::{self, Segments};
use crate::settle::settle_end;

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
    let made = make_ready(&inner, from, end, crashed).await;
    made.map_err(OpenError::io(log, "making the recovered log durable"))?;
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

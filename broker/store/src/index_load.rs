//! Reading the indexes at start: the newest sound snapshot, then the checkpoints behind it.

use std::io;
use std::path::{Path, PathBuf};

use ringmq_runtime::disk::Disk;

use crate::index_files::IndexFiles;
use crate::index_replay::replay;
use crate::keys::KeyIndex;
use crate::log::INDEX_DIR;
use crate::options::LogOptions;
use crate::position::{LogId, parse_segment_name};
use crate::queue_index::QueueIndex;
use crate::snapshot::{self, SnapshotHead};
use crate::snapshots::{Snapshots, snapshot_path};

/// What the index files told.
pub(crate) struct LoadedIndex {
    pub(crate) queues: QueueIndex,
    pub(crate) keys: KeyIndex,
    /// Every record below this log byte is in the indexes; `None` when there was nothing to load.
    pub(crate) log_byte: Option<u64>,
    pub(crate) last_stored_at_ms: u64,
    pub(crate) snapshots: Snapshots,
    /// Where the last whole checkpoint begins, if one was replayed.
    pub(crate) last_checkpoint_at: Option<u64>,
    /// Files that are of no use. They have to go before a checkpoint or snapshot is written, since
    /// later they would speak of files that are made anew.
    pub(crate) leftovers: Vec<PathBuf>,
}

impl LoadedIndex {
    fn empty(options: &LogOptions) -> Self {
        Self {
            queues: QueueIndex::new(options.queue_block_entries),
            keys: KeyIndex::new(options.key_run_entries),
            log_byte: None,
            last_stored_at_ms: 0,
            snapshots: Snapshots::default(),
            last_checkpoint_at: None,
            leftovers: Vec::new(),
        }
    }
}

/// Loads the indexes and moves `files` to the place behind the last whole checkpoint.
///
/// A snapshot that is damaged or too long, a contradiction between frames or a missing file falls
/// back to the snapshot before, then to an empty index, which the scan of the whole log, from
/// `log_min` on, fills again. Nothing is removed or written.
///
/// # Errors
/// As the device says.
pub(crate) async fn load(
    disk: &Disk,
    dir: &Path,
    files: &mut IndexFiles,
    options: &LogOptions,
    log_min: u64,
) -> io::Result<LoadedIndex> {
    let mut found = read_snapshots(disk, dir, files.log(), options.snapshot_max_bytes).await?;
    let newest_generation = found.first().map_or(0, |found| found.head.generation);
    found.retain(|found| {
        let is_foreign = found.head.log.is_some_and(|log| log != files.log());
        if is_foreign {
            let (log, path) = (files.log(), found.path.display());
            tracing::warn!(
                log = log.0,
                %path,
                "an index snapshot is of another log, so it is not used"
            );
        }
        !is_foreign
    });
    let mut loaded = match load_newest(files, options, &found, log_min).await? {
        Some(loaded) => loaded,
        None => {
            let mut loaded = load_without_snapshot(files, options, log_min).await?;
            let is_useless = loaded.log_byte.is_none();
            loaded.leftovers = leftovers(disk, dir, files.log(), is_useless).await?;
            loaded
        }
    };
    // The next snapshot is newer than all that were found, whichever of them was of use.
    loaded.snapshots.generation = newest_generation;
    Ok(loaded)
}

/// A snapshot whose head is sound.
struct FoundSnapshot {
    path: PathBuf,
    head: SnapshotHead,
    bytes: Vec<u8>,
}

fn stream_at(found: &FoundSnapshot) -> u64 {
    found.head.stream_at
}

/// The snapshots of at most `max_bytes`, the newest first.
async fn read_snapshots(
    disk: &Disk,
    dir: &Path,
    log: LogId,
    max_bytes: usize,
) -> io::Result<Vec<FoundSnapshot>> {
    let mut found = Vec::new();
    for slot in 0..2 {
        let path = snapshot_path(dir, slot);
        let bytes = match disk.read_all(&path, max_bytes).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                tracing::warn!(log = log.0, "{error}, so an older index snapshot is used");
                continue;
            }
            Err(error) => return Err(error),
        };
        match snapshot::read_head(&bytes) {
            Some(head) => found.push(FoundSnapshot { path, head, bytes }),
            None => {
                let path = path.display();
                tracing::warn!(
                    log = log.0,
                    %path,
                    "an index snapshot is damaged, so an older one is used"
                );
            }
        }
    }
    found.sort_by_key(|found| std::cmp::Reverse(found.head.generation));
    Ok(found)
}

/// The snapshots, and if the stream is useless its files.
async fn leftovers(
    disk: &Disk,
    dir: &Path,
    log: LogId,
    is_stream_useless: bool,
) -> io::Result<Vec<PathBuf>> {
    let snapshots = [0, 1].map(|slot| snapshot_path(dir, slot));
    let dir = dir.join(INDEX_DIR);
    let is_left = |path: &PathBuf, name: &str| {
        snapshots.contains(path) || (is_stream_useless && parse_segment_name(log, name).is_some())
    };
    let entries = disk.list(&dir).await?.into_iter();
    let paths = entries.map(|entry| (dir.join(&entry.name), entry.name));
    Ok(paths.filter(|(path, name)| is_left(path, name)).map(|(path, _)| path).collect())
}

/// Removes what is of no use, durably.
///
/// # Errors
/// As the file system says; another start goes on where this one stopped.
pub(crate) async fn remove_leftovers(
    disk: &Disk,
    dir: &Path,
    leftovers: &[PathBuf],
) -> io::Result<()> {
    for path in leftovers {
        disk.remove_file(path).await?;
    }
    disk.sync_dir(dir.join(INDEX_DIR)).await
}

/// The indexes of the first snapshot that fits the files, and what they say behind it.
async fn load_newest(
    files: &mut IndexFiles,
    options: &LogOptions,
    found: &[FoundSnapshot],
    log_min: u64,
) -> io::Result<Option<LoadedIndex>> {
    for (index, FoundSnapshot { path, head, bytes }) in found.iter().enumerate() {
        if let Some(mut loaded) = load_from(files, options, *head, bytes).await?
            && is_complete(&loaded, files, log_min)
        {
            loaded.snapshots = Snapshots {
                generation: head.generation,
                stream_at: head.stream_at,
                // Its part of the stream stays, for a start that cannot use this one.
                previous_stream_at: found.get(index + 1).map_or(head.stream_at, stream_at),
                len: bytes.len() as u64,
                ..Snapshots::default()
            };
            return Ok(Some(loaded));
        }
        tracing::warn!(
            log = files.log().0,
            path = %path.display(),
            "an index snapshot does not fit the index files, so an older one is used"
        );
    }
    Ok(None)
}

/// What the files say from their beginning on; when that is not all, empty indexes without files.
async fn load_without_snapshot(
    files: &mut IndexFiles,
    options: &LogOptions,
    log_min: u64,
) -> io::Result<LoadedIndex> {
    // Without a snapshot the stream starts at 0.
    let start = SnapshotHead::default();
    if let Some(loaded) = replay(files, LoadedIndex::empty(options), start).await?
        && loaded.log_byte.is_some()
        && is_complete(&loaded, files, log_min)
    {
        return Ok(loaded);
    }
    files.forget_all();
    Ok(LoadedIndex::empty(options))
}

/// Whether the files hold all that the indexes point at, the stream can go on in them, and nothing
/// of the log lies between what the indexes know and where it begins.
///
/// Blocks that begin before the log may be gone: retention deletes their files before the next
/// checkpoint says so.
fn is_complete(loaded: &LoadedIndex, files: &IndexFiles, log_min: u64) -> bool {
    let blocks = loaded.queues.iter().flat_map(|(_, queue)| &queue.directory);
    let blocks = blocks.filter(|block| block.byte >= log_min).map(|block| block.at);
    let runs = loaded.keys.runs().iter().filter(|run| run.max_byte >= log_min).map(|run| run.at);
    blocks.chain(runs).all(|at| files.file_of(at).is_some())
        && files.can_go_on()
        && loaded.log_byte.is_none_or(|byte| byte >= log_min)
}

async fn load_from(
    files: &mut IndexFiles,
    options: &LogOptions,
    head: SnapshotHead,
    bytes: &[u8],
) -> io::Result<Option<LoadedIndex>> {
    let mut loaded = LoadedIndex::empty(options);
    if snapshot::read(bytes, &mut loaded.queues, &mut loaded.keys).is_none() {
        return Ok(None);
    }
    loaded.log_byte = Some(head.log_byte);
    loaded.last_stored_at_ms = head.last_stored_at_ms;
    replay(files, loaded, head).await
}

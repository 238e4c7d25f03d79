//! One message log: its parts, and its life from open to close.
//!
//! A log belongs to one shard. Every operation that changes what the log holds is one synchronous
//! step on [`State`]; the tasks that talk to the device (`writer`, `flusher`, `checkpoint`, the
//! maker of segments, the scrubber) borrow it between their awaits, never across them.
//!
//! A log is *opened* by recovery, without tasks; it *serves* once they run; when it is *closed*
//! they end what they have begun, one after the other. While it serves or closes, a failed write
//! or flush *fences* it, as the end of a close does: appends are refused, whoever waits gets the
//! reason, and the first reason stays. Only another open leads out of that.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ringmq_runtime::disk::Disk;
use ringmq_runtime::sync::Turn;
use ringmq_runtime::task::Task;

use crate::cache::Cache;
use crate::cold::ColdReads;
use crate::dead_segments::DeadSegments;
use crate::deletion::Deletions;
use crate::entry::Entry;
use crate::error::{Fenced, OpenError};
use crate::extents::Extents;
use crate::followers::Followers;
use crate::group_times::GroupClock;
use crate::index_files::IndexFiles;
use crate::index_load::LoadedIndex;
use crate::keys::KeyIndex;
use crate::options::LogOptions;
use crate::position::{LogId, LogPosition};
use crate::queue_index::QueueIndex;
use crate::report::RecoveryReport;
use crate::retention::Early;
use crate::segments::Segments;
use crate::signals::Signals;
use crate::snapshots::Snapshots;
use crate::stats::Counters;
use crate::tail::Tail;
use crate::unreadable::Unreadable;
use crate::walk::Wanted;
use crate::watermarks::Watermarks;
use crate::{checkpoint, flusher, maker, recovery, scrub, writer};

/// Where a log keeps its index stream, beside `commitlog/`.
pub(crate) const INDEX_DIR: &str = "queueindex";

/// A message log. Cheap to clone; all clones are the same log.
#[derive(Clone)]
pub struct Log {
    pub(crate) inner: Rc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) id: LogId,
    pub(crate) disk: Disk,
    pub(crate) dir: PathBuf,
    pub(crate) options: LogOptions,
    pub(crate) state: RefCell<State>,
    pub(crate) index_files: RefCell<IndexFiles>,
    /// Blocks of queue entries that were read or written, by their place in the index stream.
    pub(crate) blocks: RefCell<Cache<Rc<[Entry]>>>,
    /// Extents of the log that several reads want.
    pub(crate) extents: RefCell<Extents>,
    pub(crate) followers: Followers,
    /// What a read that is under way wants, so that none has to allocate it.
    pub(crate) wanted: RefCell<Vec<Wanted>>,
    pub(crate) cold: ColdReads,
    pub(crate) unreadable: RefCell<Unreadable>,
    pub(crate) signals: Signals,
    /// Whose turn it is to read what is larger than the settings allow now.
    pub(crate) large_lookups: Turn,
    /// Log byte below which the index stream holds everything.
    pub(crate) indexed: Cell<u64>,
    pub(crate) deletions: Deletions,
    pub(crate) snapshots: RefCell<Snapshots>,
    /// Set once retention has met a segment whose times lie in the future.
    pub(crate) early: Cell<Option<Early>>,
    /// Deleted segments that are still being read.
    pub(crate) dead_segments: DeadSegments,
    pub(crate) group_clock: GroupClock,
    is_closing: Cell<bool>,
    tasks: RefCell<Vec<Task<()>>>,
}

/// Everything that an append changes.
pub(crate) struct State {
    pub(crate) tail: Tail,
    pub(crate) marks: Watermarks,
    pub(crate) segments: Segments,
    pub(crate) queues: QueueIndex,
    pub(crate) keys: KeyIndex,
    /// Store time of the newest record: later ones are never earlier.
    pub(crate) last_stored_at_ms: u64,
    pub(crate) fenced: Option<Fenced>,
    /// Start of the segment whose growth is being flushed.
    pub(crate) growth_flush: Option<u64>,
    /// Whether the newest segment may look filled further than a flush has proven.
    pub(crate) is_growth_unproven: bool,
    /// Why the next segment could not be made, while that is so.
    pub(crate) no_space: Option<String>,
    pub(crate) counters: Counters,
}

impl Log {
    /// Opens the log in directory `dir` of `disk`, or makes a new one there.
    ///
    /// Recovers what a crash left: scans the log behind the last checkpoint, cuts a torn tail and
    /// completes the indexes. `dir/commitlog` has the layout of Apache's broker for log 0.
    ///
    /// # Errors
    /// See [`OpenError`]: nothing is changed then that a second attempt would miss.
    pub async fn open(
        disk: &Disk,
        dir: impl AsRef<Path>,
        id: LogId,
        options: LogOptions,
    ) -> Result<(Self, RecoveryReport), OpenError> {
        if let Some(problem) = options.problem() {
            return Err(OpenError::Options { log: id, problem });
        }
        let (inner, report) = recovery::open(disk.clone(), dir.as_ref(), id, options).await?;
        inner.state.borrow_mut().queues.note_start();
        let log = Self { inner: Rc::new(inner) };
        log.start_tasks();
        Ok((log, report))
    }

    fn start_tasks(&self) {
        let mut tasks = self.inner.tasks.borrow_mut();
        tasks.push(writer::start(&self.inner));
        tasks.extend(flusher::start(&self.inner));
        tasks.push(checkpoint::start(&self.inner));
        tasks.push(maker::start(&self.inner));
        tasks.extend(scrub::start(&self.inner));
    }

    /// Which log this is.
    pub fn id(&self) -> LogId {
        self.inner.id
    }

    /// End of what may be acknowledged and seen by consumers under the flush policy.
    pub fn acknowledged(&self) -> LogPosition {
        self.inner.id.at(self.inner.state.borrow().marks.acknowledged())
    }

    /// Waits until [`Log::acknowledged`] is above `after` and returns it. Wakes once per group.
    ///
    /// # Errors
    /// [`Fenced`] when a write or flush failed: what lies above the last answer is not safe.
    pub async fn acknowledged_beyond(&self, after: LogPosition) -> Result<LogPosition, Fenced> {
        let outcome = || match self.acknowledged() {
            acknowledged if acknowledged > after => Some(Ok(acknowledged)),
            _ => self.inner.state.borrow().fenced.clone().map(Err),
        };
        self.inner.signals.acknowledged.until(outcome).await
    }

    /// First byte that the log still has.
    pub fn min_position(&self) -> LogPosition {
        self.inner.id.at(self.inner.state.borrow().segments.min())
    }

    /// First byte behind the newest appended record.
    pub fn end_position(&self) -> LogPosition {
        self.inner.id.at(self.inner.state.borrow().marks.appended())
    }

    /// Refuses further appends, writes and flushes what is there, saves the indexes and stops all
    /// tasks.
    ///
    /// # Errors
    /// [`Fenced`] when the log was fenced before, or fails now: the next open recovers as after a
    /// crash.
    pub async fn close(&self) -> Result<(), Fenced> {
        let inner = &self.inner;
        inner.is_closing.set(true);
        inner.signals.wake_everybody();
        let tasks = std::mem::take(&mut *inner.tasks.borrow_mut());
        for task in tasks {
            task.await;
            // Those that are left wait for what this one did last.
            inner.signals.wake_everybody();
        }
        if let Some(fenced) = inner.state.borrow().fenced.clone() {
            return Err(fenced);
        }
        if let Err(error) = checkpoint::finish(inner).await {
            inner.fence(&format!("saving the indexes at the end: {error}"));
        } else {
            inner.fence("it was closed");
            return Ok(());
        }
        Err(inner.state.borrow().fenced.clone().expect("fenced above"))
    }
}

/// What recovery puts a log together from.
pub(crate) struct Parts {
    pub(crate) id: LogId,
    pub(crate) disk: Disk,
    pub(crate) dir: PathBuf,
    pub(crate) options: LogOptions,
    pub(crate) segments: Segments,
    pub(crate) index_files: IndexFiles,
    pub(crate) index: LoadedIndex,
    /// Log byte where the scan begins.
    pub(crate) scan_from: u64,
}

impl Inner {
    /// Puts the parts together; the tasks are started by [`Log::open`].
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { id, disk, dir, options, segments, index_files, index, scan_from } = parts;
        let state = State {
            tail: Tail::new(&options, scan_from, &[]),
            marks: Watermarks::new(options.flush, options.segment_size_bytes, scan_from),
            segments,
            queues: index.queues,
            keys: index.keys,
            last_stored_at_ms: index.last_stored_at_ms,
            fenced: None,
            growth_flush: None,
            is_growth_unproven: false,
            no_space: None,
            counters: Counters::default(),
        };
        let (blocks_bytes, extents_bytes) = (options.index_cache_bytes, options.extents_bytes);
        Self {
            id,
            disk,
            dir,
            options,
            state: RefCell::new(state),
            index_files: RefCell::new(index_files),
            blocks: RefCell::new(Cache::new(blocks_bytes)),
            extents: RefCell::new(Extents::new(extents_bytes)),
            followers: Followers::default(),
            wanted: RefCell::default(),
            cold: ColdReads::default(),
            unreadable: RefCell::default(),
            signals: Signals::default(),
            large_lookups: Turn::default(),
            indexed: Cell::new(index.log_byte.unwrap_or(scan_from)),
            deletions: Deletions::default(),
            snapshots: RefCell::new(index.snapshots),
            early: Cell::new(None),
            dead_segments: DeadSegments::default(),
            group_clock: GroupClock::default(),
            is_closing: Cell::new(false),
            tasks: RefCell::new(Vec::new()),
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// Whether its tasks run: not while it is being opened or closed, when somebody waits for it.
    pub(crate) fn is_serving(&self) -> bool {
        !self.is_closing() && !self.tasks.borrow().is_empty()
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.state.borrow().fenced.is_some()
    }

    /// Ends all promises: waiters get the error, appends are refused, tasks stop. The first reason
    /// stays.
    pub(crate) fn fence(&self, reason: &str) {
        {
            let mut state = self.state.borrow_mut();
            if state.fenced.is_none() {
                state.fenced = Some(Fenced { log: self.id, reason: reason.into() });
            }
        }
        self.signals.wake_everybody();
    }

    /// A failed write or flush: says so once, and fences.
    pub(crate) fn fail(&self, what: &str, error: &std::io::Error) {
        tracing::error!(
            log = self.id.0,
            "{what} failed: {error}; the log takes no more messages until it is opened again"
        );
        self.fence(&format!("{what}: {error}"));
    }
}

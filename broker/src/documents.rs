//! Small tables on disk: one JSON document each, written behind the table and before the answer.
//!
//! A change marks the document; one task writes it, and what changed while a write was under way
//! goes into the next. So a hundred topics made at once cost two writes, and each caller still
//! waits until its own change is on disk. A failed write is reported to those who wait for it. The
//! table in memory stays ahead of the disk, nobody was told otherwise; so a request that is
//! repeated changes nothing any more, and the write is tried again for whoever waits next, as well
//! as with the next change.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::bodies::topic::DataVersion;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;

/// A failed write is not tried again sooner than this without a change: who waits meanwhile is told
/// of it. So a disk that stays full costs five attempts a second, however many ask.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Gives a table that changed a version that it never had.
pub fn advance(version: &mut DataVersion, now_ms: i64) {
    version.counter += 1;
    version.timestamp = now_ms;
}

/// A change is not on disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{document} could not be written: {reason}")]
pub struct NotWritten {
    document: &'static str,
    reason: String,
}

/// The last write, which failed.
struct Failure {
    /// Changes that it would have taken along.
    tried: u64,
    at: Instant,
    error: NotWritten,
}

/// Writes one document.
pub struct Writer {
    document: &'static str,
    /// Changes so far, and how many of them a write has seen, in success or failure.
    changes: Cell<u64>,
    written: Cell<u64>,
    failed: RefCell<Option<Failure>>,
    work: Notify,
    done: Notify,
}

impl Writer {
    /// Starts the task that writes; `write` takes the table as it is when it is called.
    pub fn start<W, F>(document: &'static str, write: W) -> Rc<Self>
    where
        W: Fn() -> F + 'static,
        F: Future<Output = io::Result<()>> + 'static,
    {
        let writer = Rc::new(Self {
            document,
            changes: Cell::new(0),
            written: Cell::new(0),
            failed: RefCell::default(),
            work: Notify::new(),
            done: Notify::new(),
        });
        task::spawn(document, Rc::clone(&writer).run(write)).detach();
        writer
    }

    /// Says that the table changed.
    pub fn changed(&self) {
        self.changes.set(self.changes.get() + 1);
        self.work.notify_one();
    }

    /// Waits until every change made so far is on disk, also those that an earlier write failed to
    /// bring there.
    ///
    /// # Errors
    /// The write that took them along failed.
    pub async fn settled(&self) -> Result<(), NotWritten> {
        self.try_again();
        let goal = self.changes.get();
        loop {
            if self.written.get() >= goal {
                return Ok(());
            }
            if let Some(failure) = &*self.failed.borrow()
                && failure.tried >= goal
            {
                return Err(failure.error.clone());
            }
            self.done.notified().await;
        }
    }

    /// Has a write repeated that failed a while ago, unless one is due anyway.
    fn try_again(&self) {
        let is_due = self.failed.borrow().as_ref().is_some_and(|failure| {
            failure.tried == self.changes.get() && failure.at.elapsed() >= RETRY_PAUSE
        });
        if is_due {
            self.changed();
        }
    }

    async fn run<W, F>(self: Rc<Self>, write: W)
    where
        W: Fn() -> F,
        F: Future<Output = io::Result<()>>,
    {
        loop {
            self.work.notified().await;
            let goal = self.changes.get();
            match write().await {
                Ok(()) => {
                    self.written.set(goal);
                    self.failed.take();
                }
                Err(error) => {
                    let reason = error.to_string();
                    let error = NotWritten { document: self.document, reason };
                    tracing::error!("{error}");
                    let failure = Failure { tried: goal, at: Instant::now(), error };
                    self.failed.replace(Some(failure));
                }
            }
            self.done.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::shards::block_on;
    use ringmq_runtime::sim::World;

    use super::*;

    /// A disk that takes one turn per write and fails while told to.
    #[derive(Default)]
    struct FakeDisk {
        writes: Cell<u32>,
        fails: Cell<bool>,
        table: Cell<u32>,
        on_disk: Cell<u32>,
    }

    fn writer(disk: &Rc<FakeDisk>) -> Rc<Writer> {
        let disk = Rc::clone(disk);
        Writer::start("table.json", move || {
            let (disk, table) = (Rc::clone(&disk), disk.table.get());
            async move {
                task::yield_now().await;
                disk.writes.set(disk.writes.get() + 1);
                if disk.fails.get() {
                    return Err(io::Error::other("disk full"));
                }
                disk.on_disk.set(table);
                Ok(())
            }
        })
    }

    fn change(disk: &FakeDisk, writer: &Writer) {
        disk.table.set(disk.table.get() + 1);
        writer.changed();
    }

    #[test]
    fn who_waits_for_a_change_finds_it_on_disk_and_changes_share_writes() {
        block_on(async {
            let disk = Rc::new(FakeDisk::default());
            let writer = writer(&disk);
            let mut waiters = Vec::new();
            for number in 1..=100 {
                change(&disk, &writer);
                let (disk, writer) = (Rc::clone(&disk), Rc::clone(&writer));
                waiters.push(task::spawn("waiter", async move {
                    assert_eq!(writer.settled().await, Ok(()));
                    assert!(disk.on_disk.get() >= number);
                }));
            }
            for waiter in waiters {
                waiter.await;
            }
            assert!(disk.writes.get() <= 3, "{} writes for 100 changes", disk.writes.get());
        });
    }

    #[test]
    fn a_failed_write_is_told_to_those_who_wait_and_the_next_change_repairs_it() {
        block_on(async {
            let disk = Rc::new(FakeDisk::default());
            let writer = writer(&disk);
            disk.fails.set(true);
            change(&disk, &writer);
            let error = writer.settled().await.expect_err("the disk is full");
            assert!(
                error.to_string().contains("table.json") && error.to_string().contains("disk full")
            );
            disk.fails.set(false);
            change(&disk, &writer);
            assert_eq!(writer.settled().await, Ok(()));
            assert_eq!(disk.on_disk.get(), 2);
        });
    }

    #[test]
    fn a_failed_write_is_tried_again_for_whoever_waits_but_not_for_each() {
        World::new(1).run(async {
            let disk = Rc::new(FakeDisk::default());
            let writer = writer(&disk);
            disk.fails.set(true);
            change(&disk, &writer);
            for _ in 0..100 {
                writer.settled().await.expect_err("the disk is full");
            }
            assert_eq!(disk.writes.get(), 1);
            disk.fails.set(false);
            task::sleep(RETRY_PAUSE).await;
            for _ in 0..100 {
                assert_eq!(writer.settled().await, Ok(()));
            }
            assert_eq!((disk.on_disk.get(), disk.writes.get()), (1, 2));
        });
    }

    #[test]
    fn nothing_changed_means_nothing_to_wait_for() {
        block_on(async {
            let disk = Rc::new(FakeDisk::default());
            assert_eq!(writer(&disk).settled().await, Ok(()));
            assert_eq!(disk.writes.get(), 0);
        });
    }
}

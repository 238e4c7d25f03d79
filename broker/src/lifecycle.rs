//! Start and stop of one shard, in the steps that `start.rs` takes on all shards.

use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::{process, task};
use ringmq_store::metadata::Document;
use ringmq_store::offsets::OffsetSnapshot;
use ringmq_store::{AgeClock, Log, LogId, RecoveryReport};

use crate::descriptors::{self, FILES_PER_CONNECTION_MIN};
use crate::layout;
use crate::log_options;
use crate::logs::{self, OwnedLog};
use crate::recovered::Recovered;
use crate::services::pull;
use crate::shard::DataPlane;
use crate::stages;

/// Shortest time that answers have to leave, also when a log took all the time there was for the
/// last of them; a client that reads nothing must not keep the broker longer.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// How often a stopping shard looks whether it has answered everybody.
const DRAIN_CHECK: Duration = Duration::from_millis(2);

impl DataPlane {
    /// Opens the logs of this shard and starts what serves them; tells what a crash had left.
    ///
    /// # Errors
    /// The first log that cannot be opened, with what a person can do.
    pub async fn open_logs(self: Rc<Self>) -> Result<Recovered, String> {
        let mut recovered = Recovered::default();
        self.local.trace_sends();
        let options =
            log_options::log_options(self.local.view().settings(), self.local.placement.logs());
        if self.shard() == 0 {
            self.warn_of_few_descriptors(options.segment_size_bytes).await;
        }
        for id in self.local.placement.logs_of(self.shard()) {
            let (owned, report) = self.open_log(id, options.clone()).await?;
            recovered = recovered.and(Recovered::of(&report));
            owned.log.time_groups(self.local.stages.is_on());
            self.start_serving(&owned);
            assert!(self.local.log_slots[id].set(owned).is_ok(), "log {id} is opened once");
        }
        self.start_tasks();
        Ok(recovered)
    }

    /// Starts the tasks of one log.
    fn start_serving(self: &Rc<Self>, owned: &Rc<OwnedLog>) {
        let run = logs::run(Rc::clone(self), Rc::clone(owned));
        let stalled = logs::stalled::run(Rc::clone(self), Rc::clone(owned));
        let mut tasks = self.running.tasks.borrow_mut();
        tasks.push(task::spawn("acknowledge", run));
        tasks.push(task::spawn("stalled sends", stalled));
    }

    /// Starts the tasks for all logs, which are open.
    fn start_tasks(self: &Rc<Self>) {
        let mut tasks = self.running.tasks.borrow_mut();
        tasks.push(task::spawn("held pulls", pull::held::run_deadlines(Rc::clone(self))));
        tasks.push(task::spawn("save progress", Rc::clone(self).run_saving()));
        tasks.push(task::spawn("send stages", stages::run(Rc::clone(self))));
        // Before any message comes, which would be stored at what the clock says now.
        let stored_at_ms = self.local.logs().filter_map(|owned| owned.log.newest_stored_at_ms());
        let ages = AgeClock::since(stored_at_ms.max(), Instant::now());
        let retention = task::spawn("retention", Rc::clone(self).run_retention(ages));
        *self.running.retention.borrow_mut() = Some(retention);
    }

    /// Says so while nothing is lost by it: later, a log without a descriptor for its next file
    /// takes no messages.
    async fn warn_of_few_descriptors(&self, segment_bytes: u64) {
        let limit = process::open_files_max();
        let left = limit - limit / FILES_PER_CONNECTION_MIN;
        // Who cannot tell the size of the disk cannot be warned.
        let Ok(space) = self.disk.free_space().await else { return };
        if let Some(shortage) = descriptors::shortage(left, segment_bytes, space.total) {
            tracing::warn!(limit, "{shortage}");
        }
    }

    async fn open_log(
        &self,
        id: usize,
        options: ringmq_store::LogOptions,
    ) -> Result<(Rc<OwnedLog>, RecoveryReport), String> {
        let log_id = LogId(u8::try_from(id).expect("a store has at most 256 logs"));
        let opened = Log::open(&self.disk, layout::log_dir(id), log_id, options).await;
        let (log, report) = opened.map_err(|error| error.to_string())?;
        tracing::info!(log = id, ?report, "log opened");
        if let Some(warning) = report.warning() {
            tracing::warn!(log = id, store = %self.disk.root().display(), "{warning}");
        }
        let file: Document<OffsetSnapshot> = Document::new(&self.disk, layout::offsets_file(id));
        let saved = file.load().await.map_err(|error| error.to_string())?.unwrap_or_default();
        let owned = OwnedLog::new(log, &saved, file);
        take_progress_back(&owned).await.map_err(|error| error.to_string())?;
        // Not in a log that is new: most are of a new store, where nobody was before, and whose
        // progress may be brought along with its messages.
        if !report.was_clean || report.rebuilt_index {
            owned.look_for_survivors();
        }
        Ok((owned, report))
    }

    /// The first step of a stop: accepts and reads nothing more. What was read lies with the shards
    /// that answer it when this ends.
    pub async fn stop_reading(self: Rc<Self>, deadline: Instant) {
        // Nothing is deleted any more while the logs close.
        self.running.retention.borrow_mut().take();
        if let Some(server) = &*self.running.server.borrow() {
            server.stop_reading();
        }
        // At the deadline the stop goes on without those whom it did not come to, here and below.
        let _ = task::timeout(until(deadline), self.link.drained(0..self.link.shards())).await;
    }

    /// The second step: answers what waits. The answers lie with the shards of their connections
    /// when this ends.
    pub async fn answer_everybody(self: Rc<Self>, deadline: Instant) {
        pull::held::release_all(&self);
        let answered = async {
            while self.owes_answers() {
                task::sleep(DRAIN_CHECK).await;
            }
            self.link.drained(0..self.link.shards()).await;
        };
        let _ = task::timeout(until(deadline), answered).await;
    }

    /// Whether sends wait to be acknowledged, for room in a log, or for their topic.
    fn owes_answers(&self) -> bool {
        let owes = |owned: &Rc<OwnedLog>| !owned.waiters.borrow().is_empty() || owned.must_stall();
        self.local.logs().any(owes) || !self.creating.is_empty()
    }

    /// The third step: lets the answers leave, saves progress, closes the logs.
    ///
    /// # Errors
    /// What could not be saved; everything else was.
    pub async fn stop(self: Rc<Self>, deadline: Instant) -> Result<(), String> {
        let server = self.running.server.borrow().clone();
        if let Some(server) = server {
            server.stop(until(deadline).max(LEAVE_TIME)).await;
        }
        let saved = self.save_progress().await;
        let mut problems: Vec<String> = saved.err().into_iter().collect();
        for owned in self.local.logs() {
            problems.extend(owned.log.close().await.err().map(|error| error.to_string()));
        }
        self.running.tasks.borrow_mut().clear();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    /// Lets the shard's executor end.
    pub fn end(&self) {
        self.running.ended.notify_one();
    }

    /// Waits for [`DataPlane::end`], and until shard 0 can know that it came.
    pub async fn wait_for_end(&self) {
        self.running.ended.notified().await;
        self.link.drained(0..1).await;
    }

    async fn run_saving(self: Rc<Self>) {
        loop {
            let interval = self.local.view().settings().flush_consumer_offset_interval_ms;
            task::sleep(Duration::from_millis(interval.into())).await;
            if let Err(problem) = self.save_progress().await {
                tracing::error!("consumers' progress is not saved, trying again: {problem}");
            }
        }
    }

    /// Writes the consumers' progress of this shard's logs to disk, where it changed.
    ///
    /// # Errors
    /// What the disk refused.
    pub async fn save_progress(&self) -> Result<(), String> {
        for owned in self.local.logs() {
            owned.save_progress().await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn until(deadline: Instant) -> Duration {
    deadline.saturating_since(Instant::now())
}

/// Before anything is served: what is on disk then holds for the next crash too. Progress lies
/// behind the end of a queue after a crash, after the loss of an index (a queue whose messages are
/// all gone is there alone, so without it begins anew), and where a stop in good order met a
/// deletion.
async fn take_progress_back(owned: &OwnedLog) -> std::io::Result<()> {
    let limited = owned.take_progress_back();
    if limited > 0 {
        let log = owned.log.id().0;
        tracing::warn!(
            log,
            limited,
            "progress lay behind the end of queues and is taken back to it"
        );
    }
    owned.save_progress().await
}

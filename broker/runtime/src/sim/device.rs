//! The device of one simulated node: what is on it, how long it takes, when it fails, and what the
//! end of the node leaves of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::content::Content;
use super::directories::{Directories, SharedContent, normal};
use super::faults::DiskFaults;
use super::{Core, Timer, current};
use crate::random::Sequence;

/// What the device writes per second when nothing else is asked of it.
const ROW_BYTES_PER_S: u64 = 1 << 30;

/// Files and directories of a node, and how its device behaves.
#[derive(Default)]
pub(crate) struct Device {
    pub(super) directories: RefCell<Directories>,
    pub(super) faults: RefCell<DiskFaults>,
    pub(super) locked: RefCell<BTreeSet<String>>,
    /// Counts the ends of the node: what was begun before the last one has no effect after it.
    pub(super) life: Cell<u64>,
    reads: Cell<DiskReads>,
    reads_now: Cell<usize>,
}

/// Reads of a simulated device, through the page cache and past it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskReads {
    /// Reads begun.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Most at the same time, since the last look.
    pub at_once_max: usize,
}

pub(super) fn core() -> Rc<Core> {
    current().expect("a simulated disk works inside sim::World::run")
}

pub(super) fn lock(content: &Mutex<Content>) -> MutexGuard<'_, Content> {
    content.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn device_error(what: &str) -> io::Error {
    io::Error::other(format!("injected fault: {what}"))
}

impl Device {
    pub(super) fn change_faults(&self, change: impl FnOnce(&mut DiskFaults)) {
        change(&mut self.faults.borrow_mut());
    }

    pub(super) fn lose_power(&self, random: &mut Sequence) {
        self.end_life();
        self.directories.borrow_mut().lose(random, Content::after_power_loss);
    }

    pub(super) fn lose_kernel(&self, random: &mut Sequence) {
        self.end_life();
        self.directories.borrow_mut().lose(random, Content::after_kernel_loss);
    }

    pub(super) fn lose_process(&self, random: &mut Sequence) {
        self.end_life();
        for content in self.directories.borrow().contents() {
            lock(content).after_process_loss(random);
        }
    }

    fn end_life(&self) {
        self.life.set(self.life.get() + 1);
        self.locked.borrow_mut().clear();
    }

    pub(super) fn flip_bit(&self, path: &str, pos: u64, bit: u8) {
        let pos = usize::try_from(pos).expect("a position in memory");
        lock(&self.file_to_spoil(path)).flip_bit(pos, bit);
    }

    pub(super) fn make_unreadable(&self, path: &str, pos: u64, len: usize) {
        let pos = usize::try_from(pos).expect("a position in memory");
        lock(&self.file_to_spoil(path)).make_unreadable(pos, len);
    }

    pub(super) fn make_readable(&self, path: &str) {
        lock(&self.file_to_spoil(path)).make_readable();
    }

    fn file_to_spoil(&self, path: &str) -> SharedContent {
        let path = normal(Path::new(path)).expect("a path inside the disk");
        self.directories.borrow().file(&path).expect("a file to spoil")
    }

    /// Takes the time of one operation.
    pub(super) async fn pause(&self) {
        let core = core();
        let duration = {
            let faults = self.faults.borrow();
            let is_slow = faults.slow_chance.draw(&mut core.random());
            let (least, most) = faults.latency;
            if is_slow { faults.slow } else { between(least, most, &core) }
        };
        Timer::after(core, duration).await;
    }

    /// Takes the time of writing `len` bytes in one row: at the device's rate, or slower if asked.
    pub(super) async fn pause_for(&self, len: u64, rate_bytes_per_s: u64) {
        let rate = match rate_bytes_per_s {
            0 => ROW_BYTES_PER_S,
            limit => limit.min(ROW_BYTES_PER_S),
        };
        let micros = u64::try_from(u128::from(len) * 1_000_000 / u128::from(rate));
        Timer::after(core(), Duration::from_micros(micros.unwrap_or(u64::MAX))).await;
        self.pause().await;
    }

    pub(super) fn write_fails(&self) -> bool {
        let mut faults = self.faults.borrow_mut();
        std::mem::take(&mut faults.fail_next_write) || faults.write_error.draw(&mut core().random())
    }

    fn sync_fails(&self) -> bool {
        let mut faults = self.faults.borrow_mut();
        std::mem::take(&mut faults.fail_next_sync) || faults.sync_error.draw(&mut core().random())
    }

    pub(super) fn read_fails(&self) -> bool {
        self.faults.borrow().read_error.draw(&mut core().random())
    }

    pub(super) fn reads(&self) -> DiskReads {
        let reads = self.reads.get();
        self.reads.set(DiskReads { at_once_max: self.reads_now.get(), ..reads });
        reads
    }

    /// One read of the device; fails as the faults say.
    pub(super) async fn read(&self, len: usize) -> io::Result<()> {
        let _reading = Reading::begin(self, len);
        self.pause().await;
        if self.read_fails() { Err(device_error("read")) } else { Ok(()) }
    }

    /// How many of `len` bytes one read gives.
    pub(super) fn given(&self, len: usize) -> usize {
        len.min(self.faults.borrow().read_bytes_max)
    }

    pub(super) fn available(&self) -> u64 {
        let capacity = self.faults.borrow().capacity_bytes;
        capacity.saturating_sub(self.directories.borrow().used_bytes())
    }

    pub(super) fn reserve(&self, len: u64) -> io::Result<()> {
        if len <= self.available() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

/// A read that is with the device.
struct Reading<'a>(&'a Device);

impl<'a> Reading<'a> {
    fn begin(device: &'a Device, len: usize) -> Self {
        let now = device.reads_now.get() + 1;
        device.reads_now.set(now);
        let DiskReads { count, bytes, at_once_max } = device.reads.get();
        device.reads.set(DiskReads {
            count: count + 1,
            bytes: bytes + u64::try_from(len).unwrap_or(u64::MAX),
            at_once_max: at_once_max.max(now),
        });
        Self(device)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.reads_now.set(self.0.reads_now.get() - 1);
    }
}

/// A time between two, drawn.
pub(super) fn between(least: Duration, most: Duration, core: &Core) -> Duration {
    let range_ns = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX);
    least + Duration::from_nanos(core.below(range_ns.saturating_add(1)))
}

/// Makes durable what was written to a file; fails as the faults say.
pub(super) async fn sync(device: &Device, content: &Mutex<Content>) -> io::Result<()> {
    let point = lock(content).sync_point();
    device.pause().await;
    if device.sync_fails() {
        lock(content).fail_sync(point, &mut core().random());
        let kind = device.faults.borrow().sync_error_kind;
        return Err(io::Error::new(kind, device_error("sync")));
    }
    lock(content).complete_sync(point);
    Ok(())
}

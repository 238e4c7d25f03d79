//! The disk of one simulated node.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::content::{Content, SECTOR_BYTES};
use super::faults::{DiskFaults, PageCache};
use super::names::{Item, Names, SharedContent, normal, parent};
use super::{Core, Timer, current};
use crate::buffer::{Block, DmaBuffer, Shared};
use crate::disk::{Access, Entry, Space, temporary_name};
use crate::random::Sequence;

/// What the device writes per second when nothing else is asked of it.
const ROW_BYTES_PER_S: u64 = 1 << 30;

#[derive(Default)]
pub(crate) struct NodeDisk {
    names: RefCell<Names>,
    faults: RefCell<DiskFaults>,
    locked: RefCell<BTreeSet<String>>,
    /// Counts the ends of the node: what was begun before the last one has no effect after it.
    life: Cell<u64>,
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

fn core() -> Rc<Core> {
    current().expect("a simulated disk works inside sim::World::run")
}

fn lock(content: &Mutex<Content>) -> MutexGuard<'_, Content> {
    content.lock().unwrap_or_else(PoisonError::into_inner)
}

fn device_error(what: &str) -> io::Error {
    io::Error::other(format!("injected fault: {what}"))
}

impl NodeDisk {
    pub(super) fn change_faults(&self, change: impl FnOnce(&mut DiskFaults)) {
        change(&mut self.faults.borrow_mut());
    }

    pub(super) fn lose_power(&self, random: &mut Sequence) {
        self.end_life();
        self.names.borrow_mut().lose(random, Content::after_power_loss);
    }

    pub(super) fn lose_kernel(&self, random: &mut Sequence) {
        self.end_life();
        self.names.borrow_mut().lose(random, Content::after_kernel_loss);
    }

    pub(super) fn lose_process(&self, random: &mut Sequence) {
        self.end_life();
        for content in self.names.borrow().contents() {
            lock(content).after_process_loss(random);
        }
    }

    fn end_life(&self) {
        self.life.set(self.life.get() + 1);
        self.locked.borrow_mut().clear();
    }

    pub(super) fn flip_bit(&self, path: &str, pos: u64, bit: u8) {
        let path = normal(Path::new(path)).expect("a path inside the disk");
        let content = self.names.borrow().file(&path).expect("a file to spoil");
        let pos = usize::try_from(pos).expect("a position in memory");
        lock(&content).flip_bit(pos, bit);
    }

    /// Takes the time of one operation.
    async fn pause(&self) {
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
    async fn pause_for(&self, len: u64, rate_bytes_per_s: u64) {
        let rate = match rate_bytes_per_s {
            0 => ROW_BYTES_PER_S,
            limit => limit.min(ROW_BYTES_PER_S),
        };
        let micros = u64::try_from(u128::from(len) * 1_000_000 / u128::from(rate));
        Timer::after(core(), Duration::from_micros(micros.unwrap_or(u64::MAX))).await;
        self.pause().await;
    }

    fn write_fails(&self) -> bool {
        let mut faults = self.faults.borrow_mut();
        std::mem::take(&mut faults.fail_next_write) || faults.write_error.draw(&mut core().random())
    }

    fn sync_fails(&self) -> bool {
        let mut faults = self.faults.borrow_mut();
        std::mem::take(&mut faults.fail_next_sync) || faults.sync_error.draw(&mut core().random())
    }

    fn read_fails(&self) -> bool {
        self.faults.borrow().read_error.draw(&mut core().random())
    }

    pub(super) fn reads(&self) -> DiskReads {
        let reads = self.reads.get();
        self.reads.set(DiskReads { at_once_max: self.reads_now.get(), ..reads });
        reads
    }

    /// One read of the device; fails as the faults say.
    async fn read(&self, len: usize) -> io::Result<()> {
        let _reading = Reading::begin(self, len);
        self.pause().await;
        if self.read_fails() { Err(device_error("read")) } else { Ok(()) }
    }

    fn available(&self) -> u64 {
        let capacity = self.faults.borrow().capacity_bytes;
        capacity.saturating_sub(self.names.borrow().used_bytes())
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        if len <= self.available() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

/// A read that is with the device.
struct Reading<'a>(&'a NodeDisk);

impl<'a> Reading<'a> {
    fn begin(node: &'a NodeDisk, len: usize) -> Self {
        let now = node.reads_now.get() + 1;
        node.reads_now.set(now);
        let DiskReads { count, bytes, at_once_max } = node.reads.get();
        node.reads.set(DiskReads {
            count: count + 1,
            bytes: bytes + u64::try_from(len).unwrap_or(u64::MAX),
            at_once_max: at_once_max.max(now),
        });
        Self(node)
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

/// The root of a node's disk.
#[derive(Clone)]
pub(crate) struct Disk {
    node: Rc<NodeDisk>,
}

impl Disk {
    pub(crate) fn new(node: Rc<NodeDisk>) -> Self {
        Self { node }
    }

    pub(crate) async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = normal(path)?;
        self.node.pause().await;
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for directory in ends.map(|end| &path[..end]) {
            let is_there = self.node.names.borrow().is_directory(directory);
            if !is_there {
                self.node.names.borrow_mut().put(directory, Item::Directory)?;
                self.node.pause().await;
                self.node.names.borrow_mut().sync_directory(parent(directory))?;
            }
        }
        Ok(())
    }

    pub(crate) async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let path = normal(path)?;
        self.node.pause().await;
        self.node.names.borrow().list(&path)
    }

    pub(crate) async fn exists(&self, path: &Path) -> io::Result<bool> {
        let path = normal(path)?;
        self.node.pause().await;
        Ok(self.node.names.borrow().exists(&path))
    }

    pub(crate) async fn remove_file(&self, path: &Path) -> io::Result<()> {
        let path = normal(path)?;
        self.node.pause().await;
        if self.node.faults.borrow().remove_error.draw(&mut core().random()) {
            if core().below(2) == 0 {
                self.node.names.borrow_mut().remove_file(&path)?;
            }
            return Err(device_error("remove"));
        }
        self.node.names.borrow_mut().remove_file(&path)
    }

    pub(crate) async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (normal(from)?, normal(to)?);
        self.node.pause().await;
        self.node.names.borrow_mut().rename(&from, &to)
    }

    pub(crate) async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = normal(path)?;
        self.node.pause().await;
        self.node.names.borrow_mut().sync_directory(&path)
    }

    pub(crate) async fn lock(&self, path: &Path) -> io::Result<Lock> {
        let path = normal(path)?;
        self.node.pause().await;
        if !self.node.names.borrow().exists(&path) {
            let empty = Arc::new(Mutex::new(Content::durable(Vec::new())));
            self.node.names.borrow_mut().put(&path, Item::File(empty))?;
        }
        if !self.node.locked.borrow_mut().insert(path.clone()) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "locked by another process"));
        }
        Ok(Lock { node: self.node.clone(), life: self.node.life.get(), path })
    }

    pub(crate) async fn read_all(&self, path: &Path, max_len: usize) -> io::Result<Vec<u8>> {
        let path = normal(path)?;
        self.node.pause().await;
        if self.node.read_fails() {
            return Err(device_error("read"));
        }
        let content = self.node.names.borrow().file(&path)?;
        let content = lock(&content);
        if content.len() > max_len {
            let message = format!("{path} is longer than {max_len} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let mut bytes = vec![0; content.len()];
        content.read(0, &mut bytes);
        Ok(bytes)
    }

    /// In the steps of the live world, each of which may be the last.
    pub(crate) async fn replace(&self, path: &Path, contents: Vec<u8>) -> io::Result<()> {
        let temporary = normal(&temporary_name(path))?;
        let path = normal(path)?;
        let file = Arc::new(Mutex::new(Content::unsynced(&contents)));
        self.node.reserve(u64::try_from(contents.len()).unwrap_or(u64::MAX))?;
        self.node.names.borrow_mut().put(&temporary, Item::File(file.clone()))?;
        self.node.pause().await;
        if self.node.write_fails() {
            return Err(device_error("write"));
        }
        sync(&self.node, &file).await?;
        self.node.names.borrow_mut().rename(&temporary, &path)?;
        self.node.pause().await;
        self.node.names.borrow_mut().sync_directory(parent(&path))
    }

    pub(crate) async fn free_space(&self) -> io::Result<Space> {
        self.node.pause().await;
        let total = self.node.faults.borrow().capacity_bytes;
        Ok(Space { total, available: self.node.available() })
    }

    pub(crate) async fn create_zeroed(&self, path: &Path, len: u64) -> io::Result<()> {
        let temporary = normal(&temporary_name(path))?;
        let path = normal(path)?;
        if self.node.names.borrow().exists(&path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.node.reserve(len)?;
        let zeros = |len: u64| {
            let len = usize::try_from(len).expect("simulated files fit in memory");
            Item::File(Arc::new(Mutex::new(Content::durable(vec![0; len]))))
        };
        self.node.names.borrow_mut().put(&temporary, zeros(len / 2))?;
        let unfinished = Unfinished { disk: self.clone(), life: self.node.life.get(), temporary };
        self.node.pause_for(len, 0).await;
        if self.node.write_fails() {
            return Err(device_error("write"));
        }
        self.node.names.borrow_mut().put(&unfinished.temporary, zeros(len))?;
        self.node.names.borrow_mut().rename(&unfinished.temporary, &path)?;
        self.node.pause().await;
        self.node.names.borrow_mut().sync_directory(parent(&path))
    }

    pub(crate) async fn open(&self, path: &Path, access: Access) -> io::Result<File> {
        let path = normal(path)?;
        self.node.pause().await;
        let content = self.node.names.borrow().file(&path)?;
        Ok(File { node: self.node.clone(), content, access, viewed: Arc::default() })
    }
}

/// Removes the temporary file of a `create_zeroed` that does not come to its end.
struct Unfinished {
    disk: Disk,
    life: u64,
    temporary: String,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let node = &self.disk.node;
        if node.life.get() == self.life {
            // Absent if it was renamed.
            let _ = node.names.borrow_mut().remove_file(&self.temporary);
        }
    }
}

pub(crate) struct Lock {
    node: Rc<NodeDisk>,
    life: u64,
    path: String,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.node.life.get() == self.life {
            self.node.locked.borrow_mut().remove(&self.path);
        }
    }
}

async fn sync(node: &NodeDisk, content: &Mutex<Content>) -> io::Result<()> {
    let point = lock(content).sync_point();
    node.pause().await;
    if node.sync_fails() {
        lock(content).fail_sync(point, &mut core().random());
        return Err(device_error("sync"));
    }
    lock(content).complete_sync(point);
    Ok(())
}

pub(crate) struct File {
    node: Rc<NodeDisk>,
    content: SharedContent,
    access: Access,
    /// Counts the views.
    viewed: Arc<()>,
}

impl File {
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(lock(&self.content).len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn modified_ms(&self) -> i64 {
        lock(&self.content).modified_ms
    }

    pub(crate) fn sector_size_bytes(&self) -> usize {
        SECTOR_BYTES
    }

    pub(crate) async fn write_at(&self, pos: u64, buffer: &DmaBuffer) -> io::Result<()> {
        let pos = usize::try_from(pos).map_err(|_| io::ErrorKind::InvalidInput)?;
        if self.access == Access::Read {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        if !pos.is_multiple_of(SECTOR_BYTES) || !buffer.len().is_multiple_of(SECTOR_BYTES) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let number = lock(&self.content).begin_write(pos, buffer.as_slice().to_vec());
        let on_the_way = OnTheWay { content: &self.content, number };
        self.node.pause().await;
        if self.node.write_fails() {
            return Err(device_error("write"));
        }
        let mut content = lock(&self.content);
        content.complete_write(on_the_way.number);
        content.modified_ms = core().unix_ms();
        drop(content);
        Ok(())
    }

    pub(crate) async fn write_and_sync(
        &self,
        pos: u64,
        buffer: DmaBuffer,
    ) -> io::Result<DmaBuffer> {
        self.write_at(pos, &buffer).await?;
        self.sync_data().await?;
        Ok(buffer)
    }

    pub(crate) async fn fill_zeros(
        &self,
        from: u64,
        to: u64,
        rate_bytes_per_s: u64,
    ) -> io::Result<()> {
        self.node.reserve(to.saturating_sub(self.len().max(from)))?;
        self.node.pause_for(to.saturating_sub(from), rate_bytes_per_s).await;
        let len = usize::try_from(to.saturating_sub(from)).expect("simulated files fit in memory");
        if len == 0 {
            return Ok(());
        }
        let mut zeros = DmaBuffer::alloc(len);
        zeros.as_mut_slice().fill(0);
        self.write_at(from, &zeros).await
    }

    pub(crate) async fn sync_data(&self) -> io::Result<()> {
        sync(&self.node, &self.content).await
    }

    pub(crate) fn is_viewed(&self) -> bool {
        Arc::strong_count(&self.viewed) > 1
    }

    /// For files that are removed: what a crash makes of their names is not simulated.
    pub(crate) async fn give_back_space(&self) -> io::Result<()> {
        self.node.pause().await;
        *lock(&self.content) = Content::durable(Vec::new());
        Ok(())
    }

    pub(crate) async fn read_at(&self, pos: u64, len: usize) -> io::Result<Shared> {
        self.node.read(len).await?;
        let content = lock(&self.content);
        let mut bytes = vec![0; len.min(content.len())];
        let read = content.read(pos, &mut bytes);
        Ok(Shared::copy_of(&bytes[..read]))
    }

    pub(crate) async fn read_into(
        &self,
        pos: u64,
        mut blocks: Vec<Block>,
    ) -> io::Result<(usize, Vec<Block>)> {
        let lens: Vec<usize> = blocks.iter_mut().map(|block| block.spare().len()).collect();
        let is_aligned = |number: &usize| number.is_multiple_of(SECTOR_BYTES);
        let first = usize::try_from(pos).map_err(|_| io::ErrorKind::InvalidInput)?;
        if !is_aligned(&first) || !lens.iter().all(is_aligned) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.node.read(lens.iter().sum()).await?;
        let (content, mut read) = (lock(&self.content), 0);
        for block in &mut blocks {
            read += content.read(pos + u64::try_from(read).unwrap_or(u64::MAX), block.spare());
        }
        drop(content);
        Ok((read, blocks))
    }

    pub(crate) fn tells_cached(&self) -> bool {
        self.node.faults.borrow().page_cache != PageCache::Untold
    }

    pub(crate) fn read_cached(&self, pos: u64, out: &mut [u8]) -> bool {
        let Ok(first) = usize::try_from(pos) else { return false };
        let is_cached = match self.node.faults.borrow().page_cache {
            PageCache::ByChance => core().below(2) == 0,
            PageCache::Brought => lock(&self.content).is_cached(first, out.len()),
            PageCache::Untold => false,
        };
        is_cached && lock(&self.content).read(pos, out) == out.len()
    }

    pub(crate) async fn bring_into_cache(&self, pos: u64, len: usize) -> io::Result<()> {
        self.node.read(len).await?;
        let pos = usize::try_from(pos).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut content = lock(&self.content);
        let len = len.min(content.len().saturating_sub(pos));
        content.bring_into_cache(pos, len);
        Ok(())
    }

    pub(crate) fn view(&self) -> View {
        View { content: self.content.clone(), _counted: self.viewed.clone() }
    }
}

/// A write that fails or is given up leaves some of its sectors.
struct OnTheWay<'a> {
    content: &'a Mutex<Content>,
    number: u64,
}

impl Drop for OnTheWay<'_> {
    fn drop(&mut self) {
        // No world any more: nobody will look.
        if let Some(core) = current() {
            lock(self.content).tear_write(self.number, &mut core.random());
        }
    }
}

#[derive(Clone)]
pub(crate) struct View {
    content: SharedContent,
    _counted: Arc<()>,
}

impl View {
    pub(crate) fn read_at(&self, pos: u64, out: &mut [u8]) -> usize {
        lock(&self.content).read(pos, out)
    }
}

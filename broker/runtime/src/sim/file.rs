//! One open file of a simulated node.

use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::content::{Content, SECTOR_BYTES};
use super::current;
use super::device::{Device, core, device_error, lock, sync};
use super::directories::SharedContent;
use super::faults::PageCache;
use crate::buffer::{Block, DmaBuffer, Shared};
use crate::disk::Access;

pub(crate) struct File {
    device: Rc<Device>,
    content: SharedContent,
    access: Access,
    /// What its views have seen. There are as many as there are views, and this one.
    viewed: Arc<Viewed>,
}

impl File {
    pub(super) fn new(device: Rc<Device>, content: SharedContent, access: Access) -> Self {
        Self { device, content, access, viewed: Arc::default() }
    }

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
        self.device.pause().await;
        if self.device.write_fails() {
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
        self.device.reserve(to.saturating_sub(self.len().max(from)))?;
        self.device.pause_for(to.saturating_sub(from), rate_bytes_per_s).await;
        let len = usize::try_from(to.saturating_sub(from)).expect("simulated files fit in memory");
        if len == 0 {
            return Ok(());
        }
        let mut zeros = DmaBuffer::alloc(len);
        zeros.as_mut_slice().fill(0);
        self.write_at(from, &zeros).await
    }

    pub(crate) async fn sync_data(&self) -> io::Result<()> {
        sync(&self.device, &self.content).await
    }

    pub(crate) fn has_views(&self) -> bool {
        Arc::strong_count(&self.viewed) > 1
    }

    pub(crate) fn failed_to_send(&self) -> bool {
        self.viewed.has_failed.load(Ordering::Relaxed)
    }

    /// For files that are removed: what a crash makes of their names is not simulated.
    pub(crate) async fn give_back_space(&self) -> io::Result<()> {
        self.device.pause().await;
        *lock(&self.content) = Content::durable(Vec::new());
        Ok(())
    }

    pub(crate) async fn read_at(&self, pos: u64, len: usize) -> io::Result<Shared> {
        let len = self.device.given(len);
        self.device.read(len).await?;
        let content = lock(&self.content);
        content.check_readable(pos, len)?;
        let mut bytes = vec![0; len.min(content.len())];
        let read = content.read(pos, &mut bytes);
        Ok(Shared::copy_of(&bytes[..read]))
    }

    pub(crate) async fn read_into(
        &self,
        pos: u64,
        mut blocks: Vec<Block>,
    ) -> (io::Result<usize>, Vec<Block>) {
        let read = self.read_into_free(pos, &mut blocks).await;
        (read, blocks)
    }

    async fn read_into_free(&self, pos: u64, blocks: &mut [Block]) -> io::Result<usize> {
        let lens: Vec<usize> = blocks.iter_mut().map(|block| block.spare().len()).collect();
        let is_aligned = |number: &usize| number.is_multiple_of(SECTOR_BYTES);
        let first = usize::try_from(pos).map_err(|_| io::ErrorKind::InvalidInput)?;
        if !is_aligned(&first) || !lens.iter().all(is_aligned) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let len = lens.iter().sum();
        self.device.read(len).await?;
        let (content, mut read) = (lock(&self.content), 0);
        content.check_readable(pos, len)?;
        for block in blocks {
            read += content.read(pos + u64::try_from(read).unwrap_or(u64::MAX), block.spare());
        }
        drop(content);
        Ok(self.device.given(read))
    }

    pub(crate) fn tells_cached(&self) -> bool {
        self.device.faults.borrow().page_cache != PageCache::Untold
    }

    pub(crate) fn read_cached(&self, pos: u64, out: &mut [u8]) -> bool {
        let Ok(first) = usize::try_from(pos) else { return false };
        let is_cached = match self.device.faults.borrow().page_cache {
            PageCache::ByChance => {
                let is_drawn = core().below(2) == 0;
                is_drawn && lock(&self.content).check_readable(pos, out.len()).is_ok()
            }
            PageCache::Brought => lock(&self.content).is_cached(first, out.len()),
            PageCache::Untold => false,
        };
        is_cached && lock(&self.content).read(pos, out) == out.len()
    }

    pub(crate) async fn bring_into_cache(&self, pos: u64, len: usize) -> io::Result<()> {
        self.device.read(len).await?;
        let mut content = lock(&self.content);
        content.check_readable(pos, len)?;
        let pos = usize::try_from(pos).map_err(|_| io::ErrorKind::InvalidInput)?;
        let len = len.min(content.len().saturating_sub(pos));
        content.bring_into_cache(pos, len);
        Ok(())
    }

    pub(crate) fn view(&self) -> FileView {
        FileView { content: self.content.clone(), viewed: self.viewed.clone() }
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

#[derive(Default)]
struct Viewed {
    has_failed: AtomicBool,
}

#[derive(Clone)]
pub(crate) struct FileView {
    content: SharedContent,
    viewed: Arc<Viewed>,
}

impl FileView {
    pub(crate) fn read_at(&self, pos: u64, out: &mut [u8]) -> io::Result<usize> {
        let content = lock(&self.content);
        let checked = content.check_readable(pos, out.len());
        checked.inspect_err(|_| self.viewed.has_failed.store(true, Ordering::Relaxed))?;
        Ok(content.read(pos, out))
    }
}

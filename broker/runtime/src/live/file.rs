//! One open file of the real file system.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use glommio::GlommioError;
use glommio::io::{DmaFile, OpenOptions};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::crossing::Crossing;
use super::driver::in_ring;
use super::helpers::{blocking, long_work};
use super::{page_cache, ring, sys, zero_fill};
use crate::buffer::{Block, DmaBuffer, Shared};
use crate::disk::Access;

/// Smallest unit of direct I/O if the kernel does not tell: right for every disk, only coarse.
const SECTOR_SIZE_FALLBACK_BYTES: usize = 4096;

#[derive(Debug)]
pub(crate) struct File {
    direct: DmaFile,
    /// The same description for helper threads, which may outlive the file's user.
    helper: Arc<fs::File>,
    view: FileView,
    /// For reads through the page cache that wait for the device in the ring. Apart from the view,
    /// since the kernel reads nothing ahead here: that would be done on the shard's core, up to
    /// megabytes at a time, in front of the log's own writes.
    buffered: Arc<fs::File>,
    tells_cached: bool,
    sector_size_bytes: usize,
}

impl File {
    pub(super) async fn open(path: &Path, access: Access) -> io::Result<Self> {
        let path = path.to_owned();
        // The buffered descriptor first: its errors are the plain ones, and its device number is
        // needed before glommio sees the file.
        let view = {
            let path = path.clone();
            blocking(move || FileView::open(&path)).await?
        };
        keep_io_poll_off(&path, view.device()?).await?;
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::ReadWrite);
        let direct = in_ring(options.dma_open(&path)).await.map_err(io_error)?;
        let sector_size_bytes = sys::files::direct_io_alignment(view.as_fd())
            .map_or(SECTOR_SIZE_FALLBACK_BYTES, |alignment| alignment.offset_bytes);
        // SAFETY: `direct` keeps its descriptor open during the call.
        let helper = unsafe { BorrowedFd::borrow_raw(direct.as_raw_fd()) }.try_clone_to_owned()?;
        let helper = Arc::new(fs::File::from(helper));
        let buffered = blocking(move || {
            let file = fs::File::open(path)?;
            page_cache::read_nothing_ahead(file.as_fd())?;
            let tells_cached = page_cache::tells_cached(file.as_fd());
            Ok::<_, io::Error>((Arc::new(file), tells_cached))
        });
        let (buffered, tells_cached) = buffered.await?;
        Ok(Self { direct, helper, view, buffered, tells_cached, sector_size_bytes })
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.view.file().metadata()?.len())
    }

    pub(crate) fn modified_ms(&self) -> io::Result<i64> {
        let metadata = self.view.file().metadata()?;
        Ok(metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000)
    }

    pub(crate) fn sector_size_bytes(&self) -> usize {
        self.sector_size_bytes
    }

    pub(crate) async fn write_at(&self, pos: u64, buffer: &DmaBuffer) -> io::Result<()> {
        let written = match ring::write(&self.helper, pos, &buffer.lend()) {
            Some(write) => write.await?,
            None => in_ring(self.direct.write_rc_at(buffer.lend(), pos)).await.map_err(io_error)?,
        };
        if written == buffer.len() {
            return Ok(());
        }
        // Direct writes end early when the space ends.
        let message = format!("{written} of {} bytes written", buffer.len());
        Err(io::Error::new(io::ErrorKind::StorageFull, message))
    }

    pub(crate) async fn write_and_sync(
        &self,
        pos: u64,
        buffer: DmaBuffer,
    ) -> io::Result<DmaBuffer> {
        let file = self.helper.clone();
        let crossing = Crossing::of(buffer);
        let (outcome, crossing) = blocking(move || {
            let outcome = file.write_all_at(crossing.as_slice(), pos);
            (outcome.and_then(|()| file.sync_data()), crossing)
        })
        .await;
        let buffer = crossing.into_inner();
        outcome.map(|()| buffer)
    }

    pub(crate) async fn sync_data(&self) -> io::Result<()> {
        in_ring(self.direct.fdatasync()).await.map_err(io_error)
    }

    pub(crate) async fn fill_zeros(
        &self,
        from: u64,
        to: u64,
        rate_bytes_per_s: u64,
    ) -> io::Result<()> {
        zero_fill::fill(self.helper.clone(), from, to, rate_bytes_per_s).await
    }

    pub(crate) fn has_views(&self) -> bool {
        Arc::strong_count(&self.view.0) > 1
    }

    pub(crate) async fn give_back_space(&self) -> io::Result<()> {
        let file = self.helper.clone();
        long_work(move || if file.metadata()?.nlink() > 0 { Ok(()) } else { file.set_len(0) }).await
    }

    pub(crate) async fn read_at(&self, pos: u64, len: usize) -> io::Result<Shared> {
        // glommio's own unaligned read miscounts at the end of the file, so the cutting is ours.
        let unit = u64::try_from(self.sector_size_bytes).unwrap_or(u64::MAX);
        let start = pos - pos % unit;
        let lead = usize::try_from(pos - start).unwrap_or(usize::MAX);
        let aligned_len = (lead + len).max(1).next_multiple_of(self.sector_size_bytes);
        let wanted = |read: usize| {
            let end = read.min(lead + len);
            lead.min(end)..end
        };
        if let Ok(read) = ring::read(&self.helper, start, vec![Block::with_capacity(aligned_len)]) {
            let (read, mut blocks) = read.await;
            let (read, mut block) = (read?, blocks.pop().expect("the block that was read into"));
            block.advance(read);
            return Ok(block.share(wanted(read)));
        }
        let read =
            in_ring(self.direct.read_at_aligned(start, aligned_len)).await.map_err(io_error)?;
        Ok(Shared::copy_of(&read[wanted(read.len())]))
    }

    pub(crate) async fn read_into(
        &self,
        pos: u64,
        blocks: Vec<Block>,
    ) -> (io::Result<usize>, Vec<Block>) {
        let mut blocks = match ring::read(&self.helper, pos, blocks) {
            Ok(read) => return read.await,
            Err(blocks) => blocks,
        };
        let len = blocks.iter_mut().map(|block| block.spare().len()).sum();
        let read = match self.read_at(pos, len).await {
            Ok(read) => read,
            Err(error) => return (Err(error), blocks),
        };
        let mut rest = &read[..];
        for block in &mut blocks {
            let free = block.spare();
            let (part, behind) = rest.split_at(free.len().min(rest.len()));
            free[..part.len()].copy_from_slice(part);
            rest = behind;
        }
        (Ok(read.len()), blocks)
    }

    pub(crate) fn tells_cached(&self) -> bool {
        self.tells_cached
    }

    pub(crate) fn read_cached(&self, pos: u64, out: &mut [u8]) -> bool {
        // Whatever keeps the page cache from giving them, the device is asked next and tells.
        page_cache::read_cached(self.buffered.as_fd(), pos, out).is_ok_and(|read| read == out.len())
    }

    pub(crate) async fn bring_into_cache(&self, pos: u64, len: usize) -> io::Result<()> {
        let end = pos.saturating_add(len as u64).min(self.len()?);
        let Some(last) = end.checked_sub(1).filter(|last| *last >= pos) else { return Ok(()) };
        // The reads are begun in one call, and the ring waits for the last page of them: a read of
        // all of it in the ring would copy it into fresh memory that nobody looks at.
        page_cache::begin_reading(self.buffered.as_fd(), pos, end - pos)?;
        if let Ok(read) = ring::read(&self.buffered, last, vec![Block::unaligned(1)]) {
            return read.await.0.map(drop);
        }
        let file = Arc::clone(&self.buffered);
        long_work(move || file.read_at(&mut [0], last)).await.map(drop)
    }

    pub(crate) fn failed_to_send(&self) -> bool {
        self.view.0.has_failed.load(Ordering::Relaxed)
    }

    pub(crate) fn view(&self) -> FileView {
        self.view.clone()
    }
}

/// A second descriptor of a file, through the page cache, with the means to ask what is cached.
#[derive(Clone, Debug)]
pub(crate) struct FileView(Arc<ViewInner>);

#[derive(Debug)]
struct ViewInner {
    file: fs::File,
    mapping: Option<sys::files::Mapping>,
    has_failed: AtomicBool,
}

impl FileView {
    fn open(path: &Path) -> io::Result<Self> {
        let file = fs::File::open(path)?;
        let mapping = sys::files::Mapping::of(file.as_fd(), file.metadata()?.len());
        Ok(Self(Arc::new(ViewInner { file, mapping, has_failed: AtomicBool::new(false) })))
    }

    fn file(&self) -> &fs::File {
        &self.0.file
    }

    fn device(&self) -> io::Result<u64> {
        Ok(self.0.file.metadata()?.dev())
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }

    /// Notes that the device cannot read what was to be sent.
    pub(crate) fn note_failure(&self) {
        self.0.has_failed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_resident(&self, pos: u64, len: usize) -> bool {
        self.0.mapping.as_ref().is_some_and(|mapping| mapping.is_resident(pos, len))
    }
}

/// Opens `path` write-only, as this thread's first direct file on the device.
///
/// glommio 0.9 probes each device with a polled read, which recent kernels let pass on devices
/// that cannot poll; it would then spin at full load during all I/O and starve the kernel's flush
/// worker (4 ms per flush instead of 0.1). On a write-only file the probe fails, which switches
/// polling off for this device and thread; glommio's line in the log about that is held back.
async fn keep_io_poll_off(path: &Path, device: u64) -> io::Result<()> {
    thread_local!(static PROBED: RefCell<HashSet<u64>> = RefCell::new(HashSet::new()));
    if PROBED.with_borrow(|probed| probed.contains(&device)) {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    let opening = options.write(true).dma_open(path).with_subscriber(NoSubscriber::default());
    let opened = in_ring(opening).await;
    match opened {
        Ok(file) => in_ring(file.close()).await.map_err(io_error)?,
        // A file that may only be read: no flushes, so polling would do no harm.
        Err(_) => return Ok(()),
    }
    PROBED.with_borrow_mut(|probed| probed.insert(device));
    Ok(())
}

/// Drops glommio's context (operation and path) to keep the error code, which callers act on.
pub(crate) fn io_error(error: GlommioError<()>) -> io::Error {
    match error {
        GlommioError::EnhancedIoError { source, .. } => source,
        other => other.into(),
    }
}

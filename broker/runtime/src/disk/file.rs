//! One open file: direct I/O, and what the page cache has.

use std::fmt;
use std::io;
use std::rc::Rc;

use crate::buffer::{Block, DmaBuffer, Shared};
use crate::live;
#[cfg(feature = "sim")]
use crate::sim;

/// An open file. Stays on its shard; cheap to clone.
#[derive(Clone)]
pub struct File {
    inner: Rc<AnyFile>,
}

pub(super) enum AnyFile {
    Live(live::file::File),
    #[cfg(feature = "sim")]
    Sim(sim::file::File),
}

impl File {
    pub(super) fn of(inner: AnyFile) -> Self {
        Self { inner: Rc::new(inner) }
    }

    /// Current length in bytes.
    ///
    /// # Errors
    /// As the file system says.
    pub fn len(&self) -> io::Result<u64> {
        match &*self.inner {
            AnyFile::Live(file) => file.len(),
            #[cfg(feature = "sim")]
            AnyFile::Sim(file) => Ok(file.len()),
        }
    }

    /// When the file was last written to: Unix time in milliseconds, by the wall clock of then.
    ///
    /// # Errors
    /// As the file system says.
    pub fn modified_ms(&self) -> io::Result<i64> {
        match &*self.inner {
            AnyFile::Live(file) => file.modified_ms(),
            #[cfg(feature = "sim")]
            AnyFile::Sim(file) => Ok(file.modified_ms()),
        }
    }

    /// True if the file has no bytes.
    ///
    /// # Errors
    /// As [`File::len`].
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// What the device writes whole: positions and lengths of writes are multiples of it.
    #[must_use]
    pub fn sector_size_bytes(&self) -> usize {
        in_world!(AnyFile, &*self.inner, file => file.sector_size_bytes())
    }

    /// Writes the whole buffer at `pos` and gives it back for the next write.
    ///
    /// When this returns, the bytes are with the device, which may still lose them with its power:
    /// see [`File::sync_data`]. If the future is dropped the write may or may not happen.
    ///
    /// # Errors
    /// `InvalidInput` for a position or length off the sector size; `StorageFull`; else as the
    /// device says. What is then on the device is unknown.
    pub async fn write_at(&self, pos: u64, buffer: DmaBuffer) -> io::Result<DmaBuffer> {
        in_world!(AnyFile, &*self.inner, file => file.write_at(pos, &buffer).await)?;
        Ok(buffer)
    }

    /// Makes all completed writes durable.
    ///
    /// # Errors
    /// As the device says. The writes since the last sync are then lost for good, whatever a
    /// second sync claims.
    pub async fn sync_data(&self) -> io::Result<()> {
        in_world!(AnyFile, &*self.inner, file => file.sync_data().await)
    }

    /// Writes the whole buffer at `pos` and makes it durable, in one go on a helper thread; other
    /// writes completed before become durable with it.
    ///
    /// Against [`File::write_at`] and [`File::sync_data`]: 10 % faster on an idle shard at the same
    /// CPU, and four times faster on a busy one (1.0 instead of 4.1 ms beside a task that uses up
    /// the core), since the kernel runs a ring's flush on the shard's own core. Only two such
    /// calls run at once per shard, or one beside long work.
    ///
    /// If the future is dropped the write may or may not happen, and the memory of its buffer is
    /// not used again.
    ///
    /// # Errors
    /// As those two.
    pub async fn write_and_sync(&self, pos: u64, buffer: DmaBuffer) -> io::Result<DmaBuffer> {
        in_world!(AnyFile, &*self.inner, file => file.write_and_sync(pos, buffer).await)
    }

    /// Writes zeros over `from..to`, which may lie behind the end and make the file longer, on a
    /// thread of its own. A sync makes them, and the new length, durable.
    ///
    /// `rate_bytes_per_s` slows the writing down so that others keep their latency; 0 is full
    /// speed. When the future is dropped, nothing of it is written after that; the drop waits for
    /// a write of 256 KiB at worst.
    ///
    /// # Errors
    /// `InvalidInput` for positions off 4096 bytes; `StorageFull`; else as the device says. What is
    /// then there is unknown.
    pub async fn fill_zeros(&self, from: u64, to: u64, rate_bytes_per_s: u64) -> io::Result<()> {
        in_world!(AnyFile, &*self.inner, file => file.fill_zeros(from, to, rate_bytes_per_s).await)
    }

    /// Whether anyone else has this open file, a copy of it or a view. Of a removed file this tells
    /// whether its space is still in use.
    #[must_use]
    pub fn has_other_users(&self) -> bool {
        Rc::strong_count(&self.inner) > 1
            || in_world!(AnyFile, &*self.inner, file => file.has_views())
    }

    /// Cuts a removed file to no bytes, whoever else has it open: they find its end. One that has a
    /// name left, such as a backup's hard link, stays as it is: its space would not come free.
    ///
    /// # Errors
    /// As the file system says.
    pub async fn give_back_space(&self) -> io::Result<()> {
        in_world!(AnyFile, &*self.inner, file => file.give_back_space().await)
    }

    /// Reads up to `len` bytes at `pos`, any alignment, past the page cache. Fewer come only at
    /// the end of the file: what the device gives in parts is put together.
    ///
    /// # Errors
    /// `UnexpectedEof` where the device gives nothing and the file goes on; else as the device
    /// says.
    pub async fn read_at(&self, pos: u64, len: usize) -> io::Result<Shared> {
        let first = in_world!(AnyFile, &*self.inner, file => file.read_at(pos, len).await)?;
        let end = pos.saturating_add(first.len() as u64);
        if first.len() >= len || end >= self.len()? {
            return Ok(first);
        }
        self.read_on(pos, len, &first).await
    }

    /// Reads on behind `first`, which is all that the device gave of `len` bytes at `pos`: who took
    /// it for all of the file would lose what follows.
    async fn read_on(&self, pos: u64, len: usize, first: &[u8]) -> io::Result<Shared> {
        let mut bytes = first.to_vec();
        while bytes.len() < len {
            let at = pos + bytes.len() as u64;
            // Each time anew: it may grow, or be cut, meanwhile.
            let file_len = self.len()?;
            if at >= file_len {
                break;
            }
            let left = len - bytes.len();
            let more = in_world!(AnyFile, &*self.inner, file => file.read_at(at, left).await)?;
            if more.is_empty() && at < self.len()? {
                let message = format!("nothing of {left} bytes read at {at} of {file_len}");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
            bytes.extend_from_slice(&more);
        }
        Ok(Shared::from(bytes))
    }

    /// Fills the free parts of `blocks`, one after the other, with what the file has from `pos` on,
    /// past the page cache and without a copy, and gives the blocks back: full, or as long as they
    /// were.
    ///
    /// If the future is dropped the read goes on, and its blocks are freed when it ends.
    ///
    /// # Errors
    /// `InvalidInput` for a position or length off the sector size; `UnexpectedEof` if the file
    /// ends early; else as the device says. What is in the free parts then means nothing.
    pub async fn read_into(
        &self,
        pos: u64,
        mut blocks: Vec<Block>,
    ) -> (io::Result<()>, Vec<Block>) {
        let wanted: usize = blocks.iter_mut().map(|block| block.spare().len()).sum();
        let (read, mut blocks) =
            in_world!(AnyFile, &*self.inner, file => file.read_into(pos, blocks).await);
        match read {
            Err(error) => return (Err(error), blocks),
            Ok(read) if read < wanted => {
                let message = format!("{read} of {wanted} bytes read at {pos}");
                return (Err(io::Error::new(io::ErrorKind::UnexpectedEof, message)), blocks);
            }
            Ok(_) => {}
        }
        for block in &mut blocks {
            let free = block.spare().len();
            block.advance(free);
        }
        (Ok(()), blocks)
    }

    /// Whether the file system can tell what is in the page cache. Where it cannot,
    /// [`File::read_cached`] never finds anything, whatever is there.
    #[must_use]
    pub fn tells_cached(&self) -> bool {
        in_world!(AnyFile, &*self.inner, file => file.tells_cached())
    }

    /// Fills `out` with the bytes at `pos` if the page cache holds them all; tells whether it did.
    /// Never waits for the device, and from Linux 6.5 on does not make it read either. Without all
    /// of them, what is in `out` means nothing.
    pub fn read_cached(&self, pos: u64, out: &mut [u8]) -> bool {
        in_world!(AnyFile, &*self.inner, file => file.read_cached(pos, out))
    }

    /// Brings the `len` bytes at `pos` into the page cache, as far as the file has them, where
    /// [`File::read_cached`] finds them until the kernel needs the memory. The device may be one
    /// page late with some of them when this returns.
    ///
    /// # Errors
    /// As the device says.
    pub async fn bring_into_cache(&self, pos: u64, len: usize) -> io::Result<()> {
        in_world!(AnyFile, &*self.inner, file => file.bring_into_cache(pos, len).await)
    }

    /// Whether the device could not read what a view of this file was to send. Who was sent to is
    /// cut off then, and would be again.
    #[must_use]
    pub fn failed_to_send(&self) -> bool {
        in_world!(AnyFile, &*self.inner, file => file.failed_to_send())
    }

    /// What [`crate::net::WriteHalf::send_file`] needs of this file.
    #[must_use]
    pub fn view(&self) -> FileView {
        let inner = match &*self.inner {
            AnyFile::Live(file) => AnyView::Live(file.view()),
            #[cfg(feature = "sim")]
            AnyFile::Sim(file) => AnyView::Sim(file.view()),
        };
        FileView { inner }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({} bytes)", self.len().unwrap_or(0))
    }
}

/// A file as its readers through the page cache see it. May cross threads, cheap to clone.
#[derive(Clone)]
pub struct FileView {
    pub(crate) inner: AnyView,
}

#[derive(Clone)]
pub(crate) enum AnyView {
    Live(live::file::FileView),
    #[cfg(feature = "sim")]
    Sim(sim::file::FileView),
}

impl fmt::Debug for FileView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileView")
    }
}

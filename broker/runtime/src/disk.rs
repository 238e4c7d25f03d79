//! Files: O_DIRECT for the data, whole-file reads and replacements for everything small.
//!
//! Paths are relative to the root directory of a [`Disk`]. All calls that touch the device wait
//! without holding up the shard.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::buffer::{DmaBuffer, Shared};
use crate::live;

/// A root directory, and all that can be done below it. Stays on its shard; cheap to clone.
#[derive(Clone, Debug)]
pub struct Disk {
    inner: Rc<live::disk::Disk>,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// File name without its directory. Names that are not UTF-8 are not ours and not listed.
    pub name: String,
    /// Length in bytes; 0 for directories.
    pub len: u64,
    /// True for directories.
    pub is_dir: bool,
}

/// Space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What this process may still use.
    pub available: u64,
}

/// What an opened file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// An exclusive lock on a directory or file, held until dropped or until the process ends.
#[must_use = "the lock ends when dropped"]
#[derive(Debug)]
pub struct Lock {
    _held: live::disk::Lock,
}

impl Disk {
    /// The directory `root` of the real file system. Need not exist yet.
    ///
    /// # Errors
    /// If `root` is relative and the current directory cannot be found out.
    pub fn live(root: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { inner: Rc::new(live::disk::Disk::new(root.as_ref())?) })
    }

    /// Absolute path of the root, for messages to people.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.inner.root().to_owned()
    }

    /// Creates a directory and what is missing above it, durably.
    ///
    /// # Errors
    /// As the file system says.
    pub async fn create_dir_all(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.inner.create_dir_all(path.as_ref()).await
    }

    /// Entries of a directory, sorted by name.
    ///
    /// # Errors
    /// As the file system says; `NotFound` if there is no such directory.
    pub async fn list(&self, path: impl AsRef<Path>) -> io::Result<Vec<Entry>> {
        self.inner.list(path.as_ref()).await
    }

    /// True if there is a file or directory of this name.
    ///
    /// # Errors
    /// If that cannot be told.
    pub async fn exists(&self, path: impl AsRef<Path>) -> io::Result<bool> {
        self.inner.exists(path.as_ref()).await
    }

    /// Removes a file; durable after [`Disk::sync_dir`] of its directory.
    ///
    /// # Errors
    /// As the file system says.
    pub async fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.inner.remove_file(path.as_ref()).await
    }

    /// Renames a file and replaces the target; durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// As the file system says.
    pub async fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        self.inner.rename(from.as_ref(), to.as_ref()).await
    }

    /// Makes the names in a directory durable: what was created, renamed and removed there.
    ///
    /// # Errors
    /// As the file system says. A failed sync must not be repeated and believed.
    pub async fn sync_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.inner.sync_dir(path.as_ref()).await
    }

    /// Takes an exclusive lock on the file `path`, which is created if missing.
    ///
    /// # Errors
    /// `WouldBlock` if another process, or another part of this one, holds it.
    pub async fn lock(&self, path: impl AsRef<Path>) -> io::Result<Lock> {
        Ok(Lock { _held: self.inner.lock(path.as_ref()).await? })
    }

    /// Reads a whole file of at most `max_len` bytes.
    ///
    /// # Errors
    /// `FileTooLarge` if it is longer; else as the file system says.
    pub async fn read_all(&self, path: impl AsRef<Path>, max_len: usize) -> io::Result<Vec<u8>> {
        self.inner.read_all(path.as_ref(), max_len).await
    }

    /// Gives the file `path` new contents: after a crash it has the old or the new ones, whole.
    /// Durable on return.
    ///
    /// # Errors
    /// As the file system says; the file then still has its old contents, or the new ones.
    pub async fn replace(&self, path: impl AsRef<Path>, contents: &[u8]) -> io::Result<()> {
        self.inner.replace(path.as_ref(), contents.to_vec()).await
    }

    /// Space of the file system that holds the root.
    ///
    /// # Errors
    /// As the file system says.
    pub async fn free_space(&self) -> io::Result<Space> {
        self.inner.free_space().await
    }

    /// Creates a file of `len` zero bytes, really written: an append into it then needs no change
    /// of the file system's tables, which halves the cost of a flush.
    ///
    /// `rate_bytes_per_s` slows the writing down so that others keep their latency; 0 is full
    /// speed. The name appears, durably, when the file is complete; dropping the future removes
    /// the unfinished file.
    ///
    /// # Errors
    /// `StorageFull` at once if the space is missing; else as the file system says.
    pub async fn create_zeroed(
        &self,
        path: impl AsRef<Path>,
        len: u64,
        rate_bytes_per_s: u64,
    ) -> io::Result<()> {
        self.inner.create_zeroed(path.as_ref(), len, rate_bytes_per_s).await
    }

    /// Opens a file for direct I/O.
    ///
    /// # Errors
    /// `InvalidInput` if the file system has no direct I/O; else as the file system says.
    pub async fn open(&self, path: impl AsRef<Path>, access: Access) -> io::Result<File> {
        Ok(File { inner: Rc::new(self.inner.open(path.as_ref(), access).await?) })
    }
}

/// An open file. Stays on its shard; cheap to clone.
#[derive(Clone, Debug)]
pub struct File {
    inner: Rc<live::disk::File>,
}

impl File {
    /// Current length in bytes.
    ///
    /// # Errors
    /// As the file system says.
    pub fn len(&self) -> io::Result<u64> {
        self.inner.len()
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
        self.inner.sector_size_bytes()
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
        self.inner.write_at(pos, &buffer).await?;
        Ok(buffer)
    }

    /// Makes all completed writes durable.
    ///
    /// # Errors
    /// As the device says. The writes since the last sync are then lost for good, whatever a
    /// second sync claims.
    pub async fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data().await
    }

    /// Reads up to `len` bytes at `pos`, any alignment, past the page cache. Fewer come only at
    /// the end of the file.
    ///
    /// # Errors
    /// As the device says.
    pub async fn read_at(&self, pos: u64, len: usize) -> io::Result<Shared> {
        self.inner.read_at(pos, len).await
    }

    /// What [`crate::net::WriteHalf::send_file`] needs of this file.
    #[must_use]
    pub fn view(&self) -> FileView {
        FileView { inner: self.inner.view() }
    }
}

/// A file as its readers through the page cache see it. May cross threads, cheap to clone.
#[derive(Clone)]
pub struct FileView {
    pub(crate) inner: live::disk::View,
}

//! Files: O_DIRECT for the data, whole-file reads and replacements for everything small.
//!
//! Paths are relative to the root directory of a [`Disk`]. All calls that touch the device wait
//! without holding up the shard.

/// Evaluates an expression with the inner value of either world.
macro_rules! in_world {
    ($kind:ident, $value:expr, $inner:ident => $call:expr) => {
        match $value {
            $kind::Live($inner) => $call,
            #[cfg(feature = "sim")]
            $kind::Sim($inner) => $call,
        }
    };
}

mod file;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use self::file::AnyFile;
pub(crate) use self::file::AnyView;
pub use self::file::{File, FileView};
use crate::live;
#[cfg(feature = "sim")]
use crate::sim;

/// A root directory, and all that can be done below it. Stays on its shard; cheap to clone.
#[derive(Clone)]
pub struct Disk {
    inner: AnyDisk,
}

#[derive(Clone)]
enum AnyDisk {
    Live(Rc<live::disk::Disk>),
    #[cfg(feature = "sim")]
    Sim(sim::disk::Disk),
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
    /// Used and available together, without what is reserved for others.
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
pub struct Lock {
    _held: AnyLock,
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

#[expect(dead_code, reason = "held, never looked at")]
enum AnyLock {
    Live(live::disk::Lock),
    #[cfg(feature = "sim")]
    Sim(sim::disk::Lock),
}

impl Disk {
    /// The directory `root` of the real file system. Need not exist yet.
    ///
    /// # Errors
    /// If `root` is relative and the current directory cannot be found out.
    pub fn live(root: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { inner: AnyDisk::Live(Rc::new(live::disk::Disk::new(root.as_ref())?)) })
    }

    #[cfg(feature = "sim")]
    pub(crate) fn simulated(node: Rc<sim::device::Device>) -> Self {
        Self { inner: AnyDisk::Sim(sim::disk::Disk::new(node)) }
    }

    /// Absolute path of the root, for messages to people.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        match &self.inner {
            AnyDisk::Live(disk) => disk.root().to_owned(),
            #[cfg(feature = "sim")]
            AnyDisk::Sim(_) => PathBuf::from("/simulated"),
        }
    }

    /// Creates a directory and what is missing above it, durably.
    ///
    /// # Errors
    /// As the file system says.
    pub async fn create_dir_all(&self, path: impl AsRef<Path>) -> io::Result<()> {
        in_world!(AnyDisk, &self.inner, disk => disk.create_dir_all(path.as_ref()).await)
    }

    /// Entries of a directory, sorted by name.
    ///
    /// # Errors
    /// As the file system says; `NotFound` if there is no such directory.
    pub async fn list(&self, path: impl AsRef<Path>) -> io::Result<Vec<Entry>> {
        in_world!(AnyDisk, &self.inner, disk => disk.list(path.as_ref()).await)
    }

    /// True if there is a file or directory of this name.
    ///
    /// # Errors
    /// If that cannot be told.
    pub async fn exists(&self, path: impl AsRef<Path>) -> io::Result<bool> {
        in_world!(AnyDisk, &self.inner, disk => disk.exists(path.as_ref()).await)
    }

    /// Removes a file; durable after [`Disk::sync_dir`] of its directory.
    ///
    /// # Errors
    /// As the file system says.
    pub async fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        in_world!(AnyDisk, &self.inner, disk => disk.remove_file(path.as_ref()).await)
    }

    /// Renames a file and replaces the target; durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// As the file system says.
    pub async fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        in_world!(AnyDisk, &self.inner, disk => disk.rename(from.as_ref(), to.as_ref()).await)
    }

    /// Makes the names in a directory durable: what was created, renamed and removed there.
    ///
    /// # Errors
    /// As the file system says. A failed sync must not be repeated and believed.
    pub async fn sync_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        in_world!(AnyDisk, &self.inner, disk => disk.sync_dir(path.as_ref()).await)
    }

    /// Takes an exclusive lock on the file `path`, which is created if missing.
    ///
    /// # Errors
    /// `WouldBlock` if another process, or another part of this one, holds it.
    pub async fn lock(&self, path: impl AsRef<Path>) -> io::Result<Lock> {
        let held = match &self.inner {
            AnyDisk::Live(disk) => AnyLock::Live(disk.lock(path.as_ref()).await?),
            #[cfg(feature = "sim")]
            AnyDisk::Sim(disk) => AnyLock::Sim(disk.lock(path.as_ref()).await?),
        };
        Ok(Lock { _held: held })
    }

    /// Reads a whole file of at most `max_len` bytes.
    ///
    /// # Errors
    /// `FileTooLarge` if it is longer; else as the file system says.
    pub async fn read_all(&self, path: impl AsRef<Path>, max_len: usize) -> io::Result<Vec<u8>> {
        in_world!(AnyDisk, &self.inner, disk => disk.read_all(path.as_ref(), max_len).await)
    }

    /// Gives the file `path` new contents: after a crash it has the old or the new ones, whole.
    /// Durable on return. A crash may leave a `.tmp` beside it, which the next call replaces.
    ///
    /// # Errors
    /// As the file system says; the file then still has its old contents, or the new ones, and what
    /// was written of them takes no space.
    pub async fn replace(
        &self,
        path: impl AsRef<Path>,
        contents: impl Into<Vec<u8>>,
    ) -> io::Result<()> {
        let (path, contents) = (path.as_ref(), contents.into());
        in_world!(AnyDisk, &self.inner, disk => disk.replace(path, contents).await)
    }

    /// Space of the file system that holds the root.
    ///
    /// # Errors
    /// As the file system says.
    pub async fn free_space(&self) -> io::Result<Space> {
        in_world!(AnyDisk, &self.inner, disk => disk.free_space().await)
    }

    /// Creates a file of `len` zero bytes, really written: an append into it then needs no change
    /// of the file system's tables, which halves the cost of a flush.
    ///
    /// The name appears, durably, when the file is complete; dropping the future removes the
    /// unfinished file. A crash leaves the unfinished file under the name with `.tmp` added.
    ///
    /// # Errors
    /// `AlreadyExists`; `StorageFull` at once if the space is missing; else as the file system
    /// says.
    pub async fn create_zeroed(&self, path: impl AsRef<Path>, len: u64) -> io::Result<()> {
        in_world!(AnyDisk, &self.inner, disk => disk.create_zeroed(path.as_ref(), len).await)
    }

    /// Opens a file for direct I/O.
    ///
    /// # Errors
    /// `InvalidInput` if the file system has no direct I/O; else as the file system says.
    pub async fn open(&self, path: impl AsRef<Path>, access: Access) -> io::Result<File> {
        let inner = match &self.inner {
            AnyDisk::Live(disk) => AnyFile::Live(disk.open(path.as_ref(), access).await?),
            #[cfg(feature = "sim")]
            AnyDisk::Sim(disk) => AnyFile::Sim(disk.open(path.as_ref(), access).await?),
        };
        Ok(File::of(inner))
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({})", self.root().display())
    }
}

/// Name of the unfinished version of a file, in the same directory.
pub(crate) fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

//! Small files that this client keeps on its own machine.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

use ringmq_runtime::disk::Disk;

use crate::consumer::offsets::LOCAL_FILE_SIZE_MAX_BYTES;

/// A directory that is made when the first file is written.
pub(crate) struct LocalFiles {
    root: PathBuf,
    disk: RefCell<Option<Disk>>,
}

impl LocalFiles {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, disk: RefCell::default() }
    }

    /// The file's bytes; `None` when there is no such file.
    pub(crate) async fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let disk = self.disk()?;
        if !disk.exists(path).await? {
            return Ok(None);
        }
        disk.read_all(path, LOCAL_FILE_SIZE_MAX_BYTES).await.map(Some)
    }

    /// Replaces the file as a whole: after a crash it is the old or the new one.
    pub(crate) async fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let disk = self.disk()?;
        if let Some(directory) = path.parent() {
            disk.create_dir_all(directory).await?;
        }
        disk.replace(path, bytes).await
    }

    fn disk(&self) -> io::Result<Disk> {
        if let Some(disk) = &*self.disk.borrow() {
            return Ok(disk.clone());
        }
        let disk = Disk::live(&self.root)?;
        *self.disk.borrow_mut() = Some(disk.clone());
        Ok(disk)
    }
}

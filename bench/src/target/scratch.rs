//! Directories of a run whose place nobody named.

use std::path::Path;

use ringmq_runtime::disk::Disk;
use tempfile::TempDir;

use crate::error::BenchError;
use crate::{leftovers, stop};

/// A directory that no other run has. Dropping it leaves it there, as evidence, unless its removal
/// was asked for, or a signal has dropped the command.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
    leftover: Option<leftovers::Entry>,
}

impl Scratch {
    /// Makes one in `parent`.
    ///
    /// # Errors
    /// `parent` cannot be written.
    pub async fn new_in(parent: &Path) -> Result<Self, BenchError> {
        make_directory(parent).await?;
        let mut directory = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(parent)
            .map_err(|error| BenchError::file(parent, error))?;
        directory.disable_cleanup(true);
        Ok(Self { directory, leftover: None })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Removes it when it is dropped, or bench panics.
    pub fn remove_at_end(&mut self) {
        self.directory.disable_cleanup(false);
        self.leftover = Some(leftovers::directory(self.path()));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if stop::is_dropping() {
            self.remove_at_end();
        }
    }
}

/// Makes `path` and what is above it.
///
/// # Errors
/// It cannot be made.
pub async fn make_directory(path: &Path) -> Result<(), BenchError> {
    let made = async { Disk::live(".")?.create_dir_all(path).await }.await;
    made.map_err(|error| BenchError::file(path, error))
}

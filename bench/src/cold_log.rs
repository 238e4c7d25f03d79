//! The log of a broker that has ended, in no cache: what is read of it next comes from the device.

use std::path::{Path, PathBuf};

use crate::error::BenchError;
use crate::files::with_extension;
use crate::limits::device;
use crate::page_cache;

/// Files that were dropped from the page cache.
#[derive(Debug)]
pub struct ColdLog {
    files: Vec<PathBuf>,
    /// What the device gives when they are read past the page cache.
    pub bytes_per_s: f64,
    prefix: PathBuf,
}

impl ColdLog {
    /// Drops the whole log of the ended broker in `home`, and reads its first files, up to
    /// `files_max`: those that matter. What the tools say goes to files that begin with `prefix`.
    ///
    /// # Errors
    /// There is no log, it cannot be read, or a tool is missing.
    pub async fn drop_of(home: &Path, files_max: usize, prefix: &Path) -> Result<Self, BenchError> {
        Self::drop_files(page_cache::log_files(home).await?, files_max, prefix).await
    }

    /// The same with `files`, which nobody has open.
    ///
    /// # Errors
    /// They cannot be read, or a tool is missing.
    pub async fn drop_files(
        mut files: Vec<PathBuf>,
        files_max: usize,
        prefix: &Path,
    ) -> Result<Self, BenchError> {
        page_cache::drop_files(&files, &with_extension(prefix, "drop.log")).await?;
        files.truncate(files_max);
        let read = device::files_bytes_per_s(&files).await;
        let first = files.first().map_or(prefix, PathBuf::as_path);
        let bytes_per_s = read.map_err(|error| BenchError::file(first, error))?;
        Ok(Self { files, bytes_per_s, prefix: prefix.to_owned() })
    }

    /// Makes sure that they still are in no cache: a broker may look at its log when it starts.
    ///
    /// # Errors
    /// They are not, or a tool is missing.
    pub async fn check(&self) -> Result<(), BenchError> {
        page_cache::refuse_cached(&self.files, &with_extension(&self.prefix, "cached.log")).await
    }
}

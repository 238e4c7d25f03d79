//! Whole files by their paths: read, replaced, and the space that they have.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ringmq_runtime::disk::{Disk, Space};

use crate::error::BenchError;

/// A file beside others with the same beginning.
pub fn with_extension(prefix: &Path, extension: &str) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(".");
    path.push(extension);
    path.into()
}

/// Directory and name of a file.
pub fn split(path: &Path) -> (&Path, &OsStr) {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    (directory.unwrap_or(Path::new(".")), path.file_name().unwrap_or(path.as_os_str()))
}

/// Makes sure that the results can be written, before anything is measured.
///
/// # Errors
/// A directory is not there or cannot be written, or a file has the name of a directory.
pub fn check(paths: &[PathBuf]) -> Result<(), BenchError> {
    for path in paths {
        let (directory, _) = split(path);
        let probe = tempfile::Builder::new().prefix(".bench-").tempfile_in(directory);
        probe.map_err(|error| BenchError::file(path, error))?;
        if path.is_dir() {
            return Err(BenchError::file(path, ErrorKind::IsADirectory.into()));
        }
    }
    Ok(())
}

/// Reads a file of at most `max_bytes`.
///
/// # Errors
/// It is longer, or cannot be read.
pub async fn read(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    let (directory, name) = split(path);
    Disk::live(directory)?.read_all(name, max_bytes).await
}

/// Writes a file, or replaces it as a whole.
///
/// # Errors
/// Its directory is not there or cannot be written.
pub async fn replace(path: &Path, contents: &[u8]) -> Result<(), BenchError> {
    let (directory, name) = split(path);
    let written = async { Disk::live(directory)?.replace(name, contents).await }.await;
    written.map_err(|error| BenchError::file(path, error))
}

/// Space of the file system of a directory.
///
/// # Errors
/// It cannot be told.
pub async fn free_space(directory: &Path) -> Result<Space, BenchError> {
    let space = async { Disk::live(directory)?.free_space().await }.await;
    space.map_err(|error| BenchError::file(directory, error))
}

/// The share of that file system which is used.
///
/// # Errors
/// As for [`free_space`].
pub async fn used_share(directory: &Path) -> Result<f64, BenchError> {
    let space = free_space(directory).await?;
    Ok(1.0 - space.available as f64 / space.total.max(1) as f64)
}

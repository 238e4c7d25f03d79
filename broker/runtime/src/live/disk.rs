//! Directories and whole files of the real file system.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::file::File;
use super::helpers::{blocking, long_work};
use super::{replace, sys, zero_fill};
use crate::disk::{Access, Entry, Space};

#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held for its lock")] fs::File);

impl Disk {
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        Ok(Self { root: std::path::absolute(root)? })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = self.root.join(path);
        long_work(move || create_dir_all(&path)).await
    }

    pub(crate) async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let path = self.root.join(path);
        long_work(move || list(&path)).await
    }

    pub(crate) async fn exists(&self, path: &Path) -> io::Result<bool> {
        let path = self.root.join(path);
        blocking(move || path.try_exists()).await
    }

    pub(crate) async fn remove_file(&self, path: &Path) -> io::Result<()> {
        let path = self.root.join(path);
        long_work(move || fs::remove_file(path)).await
    }

    pub(crate) async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.root.join(from), self.root.join(to));
        blocking(move || fs::rename(from, to)).await
    }

    pub(crate) async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = self.root.join(path);
        blocking(move || sync_dir(&path)).await
    }

    pub(crate) async fn lock(&self, path: &Path) -> io::Result<Lock> {
        let path = self.root.join(path);
        blocking(move || {
            let mut options = fs::OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
            if sys::files::try_lock(file.as_fd())? {
                Ok(Lock(file))
            } else {
                Err(io::Error::new(io::ErrorKind::WouldBlock, "locked by another process"))
            }
        })
        .await
    }

    pub(crate) async fn read_all(&self, path: &Path, max_len: usize) -> io::Result<Vec<u8>> {
        let path = self.root.join(path);
        long_work(move || read_all(&path, max_len)).await
    }

    pub(crate) async fn replace(&self, path: &Path, contents: Vec<u8>) -> io::Result<()> {
        replace::replace(self.root.join(path), contents).await
    }

    pub(crate) async fn free_space(&self) -> io::Result<Space> {
        let path = self.root.clone();
        let (total, available) = blocking(move || sys::files::space(&path)).await?;
        Ok(Space { total, available })
    }

    pub(crate) async fn create_zeroed(&self, path: &Path, len: u64) -> io::Result<()> {
        zero_fill::create(self.root.join(path), len).await
    }

    pub(crate) async fn open(&self, path: &Path, access: Access) -> io::Result<File> {
        File::open(&self.root.join(path), access).await
    }
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Makes the name of `path` durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    sync_dir(path.parent().unwrap_or(Path::new("/")))
}

fn create_dir_all(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_dir_all(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => sync_parent(path),
        // Another shard was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

fn list(path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let is_dir = metadata.is_dir();
        entries.push(Entry { name, len: if is_dir { 0 } else { metadata.len() }, is_dir });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn read_all(path: &Path, max_len: usize) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    let mut contents = Vec::new();
    // One byte more than allowed tells "just fits" from "too long", whatever the file's length
    // claims to be.
    let limit = u64::try_from(max_len).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut contents)?;
    if contents.len() > max_len {
        let message = format!("{} is longer than {max_len} bytes", path.display());
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(contents)
}

//! The disk of one simulated node: names and whole files.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::content::Content;
use super::device::{Device, core, device_error, lock, sync};
use super::directories::{Item, normal, parent};
use super::file::File;
use crate::disk::{Access, Entry, Space, temporary_name};

/// The root of a node's disk.
#[derive(Clone)]
pub(crate) struct Disk {
    device: Rc<Device>,
}

impl Disk {
    pub(crate) fn new(device: Rc<Device>) -> Self {
        Self { device }
    }

    pub(crate) async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = normal(path)?;
        self.device.pause().await;
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for directory in ends.map(|end| &path[..end]) {
            let is_there = self.device.directories.borrow().is_directory(directory);
            if !is_there {
                self.device.directories.borrow_mut().put(directory, Item::Directory)?;
                self.device.pause().await;
                self.device.directories.borrow_mut().sync_directory(parent(directory))?;
            }
        }
        Ok(())
    }

    pub(crate) async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let path = normal(path)?;
        self.device.pause().await;
        self.device.directories.borrow().list(&path)
    }

    pub(crate) async fn exists(&self, path: &Path) -> io::Result<bool> {
        let path = normal(path)?;
        self.device.pause().await;
        Ok(self.device.directories.borrow().exists(&path))
    }

    pub(crate) async fn remove_file(&self, path: &Path) -> io::Result<()> {
        let path = normal(path)?;
        self.device.pause().await;
        if self.device.faults.borrow().remove_error.draw(&mut core().random()) {
            if core().below(2) == 0 {
                self.device.directories.borrow_mut().remove_file(&path)?;
            }
            return Err(device_error("remove"));
        }
        self.device.directories.borrow_mut().remove_file(&path)
    }

    pub(crate) async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (normal(from)?, normal(to)?);
        self.device.pause().await;
        self.device.directories.borrow_mut().rename(&from, &to)
    }

    pub(crate) async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = normal(path)?;
        self.device.pause().await;
        self.device.directories.borrow_mut().sync_directory(&path)
    }

    pub(crate) async fn lock(&self, path: &Path) -> io::Result<Lock> {
        let path = normal(path)?;
        self.device.pause().await;
        if !self.device.directories.borrow().exists(&path) {
            let empty = Arc::new(Mutex::new(Content::durable(Vec::new())));
            self.device.directories.borrow_mut().put(&path, Item::File(empty))?;
        }
        if !self.device.locked.borrow_mut().insert(path.clone()) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "locked by another process"));
        }
        Ok(Lock { device: self.device.clone(), life: self.device.life.get(), path })
    }

    pub(crate) async fn read_all(&self, path: &Path, max_len: usize) -> io::Result<Vec<u8>> {
        let path = normal(path)?;
        self.device.pause().await;
        if self.device.read_fails() {
            return Err(device_error("read"));
        }
        let content = self.device.directories.borrow().file(&path)?;
        let content = lock(&content);
        if content.len() > max_len {
            let message = format!("{path} is longer than {max_len} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        content.check_readable(0, content.len())?;
        let mut bytes = vec![0; content.len()];
        content.read(0, &mut bytes);
        Ok(bytes)
    }

    /// In the steps of the live world, each of which may be the last.
    pub(crate) async fn replace(&self, path: &Path, contents: Vec<u8>) -> io::Result<()> {
        let temporary = normal(&temporary_name(path))?;
        let path = normal(path)?;
        let written = self.write_new(&temporary, contents).await;
        let named =
            written.and_then(|()| self.device.directories.borrow_mut().rename(&temporary, &path));
        if named.is_err() {
            let mut directories = self.device.directories.borrow_mut();
            if let Ok(unfinished) = directories.file(&temporary) {
                // What a crash may make of the name keeps the file, but not its space.
                *lock(&unfinished) = Content::durable(Vec::new());
                directories.remove_file(&temporary)?;
            }
        }
        named?;
        self.device.pause().await;
        self.device.directories.borrow_mut().sync_directory(parent(&path))
    }

    /// Without the space for all of it a file has what there is.
    async fn write_new(&self, path: &str, mut contents: Vec<u8>) -> io::Result<()> {
        let reserved = self.device.reserve(u64::try_from(contents.len()).unwrap_or(u64::MAX));
        let room = usize::try_from(self.device.available()).unwrap_or(usize::MAX);
        contents.truncate(room);
        let file = Arc::new(Mutex::new(Content::unsynced(&contents)));
        self.device.directories.borrow_mut().put(path, Item::File(file.clone()))?;
        self.device.pause().await;
        reserved?;
        if self.device.write_fails() {
            return Err(device_error("write"));
        }
        sync(&self.device, &file).await
    }

    pub(crate) async fn free_space(&self) -> io::Result<Space> {
        self.device.pause().await;
        let total = self.device.faults.borrow().capacity_bytes;
        Ok(Space { total, available: self.device.available() })
    }

    pub(crate) async fn create_zeroed(&self, path: &Path, len: u64) -> io::Result<()> {
        let temporary = normal(&temporary_name(path))?;
        let path = normal(path)?;
        if self.device.directories.borrow().exists(&path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.device.reserve(len)?;
        let zeros = |len: u64| {
            let len = usize::try_from(len).expect("simulated files fit in memory");
            Item::File(Arc::new(Mutex::new(Content::durable(vec![0; len]))))
        };
        self.device.directories.borrow_mut().put(&temporary, zeros(len / 2))?;
        let unfinished = Unfinished { disk: self.clone(), life: self.device.life.get(), temporary };
        self.device.pause_for(len, 0).await;
        if self.device.write_fails() {
            return Err(device_error("write"));
        }
        self.device.directories.borrow_mut().put(&unfinished.temporary, zeros(len))?;
        self.device.directories.borrow_mut().rename(&unfinished.temporary, &path)?;
        self.device.pause().await;
        self.device.directories.borrow_mut().sync_directory(parent(&path))
    }

    pub(crate) async fn open(&self, path: &Path, access: Access) -> io::Result<File> {
        let path = normal(path)?;
        self.device.pause().await;
        let content = self.device.directories.borrow().file(&path)?;
        Ok(File::new(self.device.clone(), content, access))
    }
}

/// Removes the temporary file of a `create_zeroed` that does not come to its end.
struct Unfinished {
    disk: Disk,
    life: u64,
    temporary: String,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let device = &self.disk.device;
        if device.life.get() == self.life {
            // Absent if it was renamed.
            let _ = device.directories.borrow_mut().remove_file(&self.temporary);
        }
    }
}

pub(crate) struct Lock {
    device: Rc<Device>,
    life: u64,
    path: String,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.device.life.get() == self.life {
            self.device.locked.borrow_mut().remove(&self.path);
        }
    }
}

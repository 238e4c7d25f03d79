//! The directories of one simulated disk: as the process sees them, and as they are on the device.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::content::Content;
use crate::disk::Entry;
use crate::random::Sequence;

pub(crate) type SharedContent = Arc<Mutex<Content>>;

#[derive(Clone)]
pub(super) enum Item {
    Directory,
    File(SharedContent),
}

/// A change of names that no `sync_dir` has made durable yet.
enum Change {
    Put { path: String, item: Item },
    Remove { path: String },
    Rename { from: String, to: String, item: Item },
}

#[derive(Default)]
pub(super) struct Directories {
    /// By path, `a/b`; the root is implied.
    seen: BTreeMap<String, Item>,
    durable: BTreeMap<String, Item>,
    /// In order of their happening.
    unsynced: Vec<Change>,
    /// Files whose name was removed: who has one open keeps its space.
    unnamed: Vec<Weak<Mutex<Content>>>,
}

/// The form in which paths are kept.
pub(super) fn normal(path: &Path) -> io::Result<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => {
                parts.push(part.to_str().ok_or(io::ErrorKind::InvalidInput)?)
            }
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a path out of the root"));
            }
        }
    }
    Ok(parts.join("/"))
}

pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn not_found(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{path:?} does not exist"))
}

impl Directories {
    pub(super) fn exists(&self, path: &str) -> bool {
        path.is_empty() || self.seen.contains_key(path)
    }

    pub(super) fn is_directory(&self, path: &str) -> bool {
        path.is_empty() || matches!(self.seen.get(path), Some(Item::Directory))
    }

    pub(super) fn file(&self, path: &str) -> io::Result<SharedContent> {
        match self.seen.get(path) {
            Some(Item::File(content)) => Ok(content.clone()),
            Some(Item::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(not_found(path)),
        }
    }

    pub(super) fn list(&self, path: &str) -> io::Result<Vec<Entry>> {
        if !self.is_directory(path) {
            return Err(not_found(path));
        }
        let inside = self.seen.iter().filter(|(name, _)| parent(name) == path && !name.is_empty());
        let entry = |(name, item): (&String, &Item)| {
            let name = name.rsplit('/').next().unwrap_or(name).to_owned();
            match item {
                Item::Directory => Entry { name, len: 0, is_dir: true },
                Item::File(content) => Entry { name, len: len(content), is_dir: false },
            }
        };
        Ok(inside.map(entry).collect())
    }

    /// Bytes of all files, those among them that only have users left.
    pub(super) fn used_bytes(&self) -> u64 {
        let unnamed = self.unnamed.iter().filter_map(Weak::upgrade);
        self.contents().map(len).sum::<u64>() + unnamed.map(|content| len(&content)).sum::<u64>()
    }

    pub(super) fn contents(&self) -> impl Iterator<Item = &SharedContent> {
        self.seen.values().filter_map(|item| match item {
            Item::File(content) => Some(content),
            Item::Directory => None,
        })
    }

    /// Creates or replaces a name.
    pub(super) fn put(&mut self, path: &str, item: Item) -> io::Result<()> {
        if !self.is_directory(parent(path)) {
            return Err(not_found(parent(path)));
        }
        let is_other_kind = self
            .seen
            .get(path)
            .is_some_and(|old| matches!(old, Item::Directory) != matches!(item, Item::Directory));
        if is_other_kind || path.is_empty() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.change(Change::Put { path: path.to_owned(), item });
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &str) -> io::Result<()> {
        let content = self.file(path)?;
        self.unnamed.retain(|unnamed| unnamed.strong_count() > 0);
        self.unnamed.push(Arc::downgrade(&content));
        self.change(Change::Remove { path: path.to_owned() });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let item = Item::File(self.file(from)?);
        if !self.is_directory(parent(to)) {
            return Err(not_found(parent(to)));
        }
        if self.is_directory(to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), item });
        Ok(())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    /// Makes the names in one directory durable.
    pub(super) fn sync_directory(&mut self, path: &str) -> io::Result<()> {
        if !self.is_directory(path) {
            return Err(not_found(path));
        }
        for change in std::mem::take(&mut self.unsynced) {
            if change.directories().any(|directory| directory == path) {
                change.apply(&mut self.durable);
            } else {
                self.unsynced.push(change);
            }
        }
        Ok(())
    }

    /// Leaves what is on the device: of each directory's unsynced changes the first few, and of
    /// each file what `left` makes of it.
    pub(super) fn lose(
        &mut self,
        random: &mut Sequence,
        left: fn(&mut Content, &mut Sequence) -> Content,
    ) {
        let mut counts = BTreeMap::<String, u64>::new();
        for directory in self.unsynced.iter().flat_map(Change::directories) {
            *counts.entry(directory.to_owned()).or_default() += 1;
        }
        // Half of the times a directory keeps all or nothing.
        let mut kept: BTreeMap<_, _> = counts
            .into_iter()
            .map(|(directory, count)| match random.below(4) {
                0 => (directory, 0),
                1 => (directory, count),
                _ => (directory, random.below(count + 1)),
            })
            .collect();
        for change in std::mem::take(&mut self.unsynced) {
            let mut survives = true;
            for directory in change.directories() {
                let left = kept.get_mut(directory).expect("counted above");
                survives &= *left > 0;
                *left = left.saturating_sub(1);
            }
            if survives {
                change.apply(&mut self.durable);
            }
        }
        self.drop_orphans();
        for item in self.durable.values_mut() {
            if let Item::File(content) = item {
                let mut before = content.lock().unwrap_or_else(PoisonError::into_inner);
                let after = left(&mut before, random);
                drop(before);
                // New memory: handles from before the crash lead nowhere.
                *content = Arc::new(Mutex::new(after));
            }
        }
        self.seen.clone_from(&self.durable);
    }

    /// Removes what lies in directories whose own name was lost.
    fn drop_orphans(&mut self) {
        let mut reachable = BTreeSet::from([String::new()]);
        // In order of their paths, so parents come first.
        self.durable.retain(|path, item| {
            let keep = reachable.contains(parent(path));
            if keep && matches!(item, Item::Directory) {
                reachable.insert(path.clone());
            }
            keep
        });
    }
}

fn len(content: &SharedContent) -> u64 {
    let content = content.lock().unwrap_or_else(PoisonError::into_inner);
    u64::try_from(content.len()).unwrap_or(u64::MAX)
}

impl Change {
    /// Directories whose sync makes the change durable: both of a rename that crosses.
    fn directories(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Self::Put { path, .. } | Self::Remove { path } => (parent(path), None),
            Self::Rename { from, to, .. } => {
                (parent(to), Some(parent(from)).filter(|from| *from != parent(to)))
            }
        };
        std::iter::once(first).chain(second)
    }

    fn apply(&self, names: &mut BTreeMap<String, Item>) {
        match self {
            Self::Put { path, item } => {
                names.insert(path.clone(), item.clone());
            }
            Self::Remove { path } => {
                names.remove(path);
            }
            Self::Rename { from, to, item } => {
                names.remove(from);
                names.insert(to.clone(), item.clone());
            }
        }
    }
}

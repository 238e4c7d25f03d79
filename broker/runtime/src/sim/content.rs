//! The bytes of one simulated file: as the process sees them, and as the device holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::random::Sequence;

/// What a device writes whole or not at all.
pub(crate) const SECTOR_BYTES: usize = 512;

/// Unit of the page cache.
const PAGE_BYTES: usize = 4096;

/// Bytes of a file.
#[derive(Default)]
pub(crate) struct Content {
    /// What reads return.
    seen: Vec<u8>,
    /// What was there at the last sync.
    durable: Vec<u8>,
    /// Every version of a sector since the last sync, oldest first, by position in sectors.
    unsynced: BTreeMap<usize, Vec<Version>>,
    /// Writes that the process has handed over and not seen completed, by number.
    on_the_way: BTreeMap<u64, (usize, Vec<u8>)>,
    last_write: u64,
    /// Pages that were brought into the page cache, by number.
    cached: BTreeSet<usize>,
    /// Sectors that the device cannot read, by number, until they are written again.
    unreadable: BTreeSet<usize>,
    /// Unix time of the last write, in milliseconds.
    pub(super) modified_ms: i64,
}

struct Version {
    write: u64,
    bytes: Vec<u8>,
}

/// What the power failure does to unsynced sectors.
#[derive(Clone, Copy)]
enum Loss {
    /// All are lost.
    All,
    /// None is lost.
    Nothing,
    /// Writes up to a number are there, that one in part, later ones are lost.
    After(u64),
    /// Each sector on its own has any of its versions: the device reorders as it likes.
    Any,
}

impl Content {
    /// A file that has always been like this.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { seen: bytes.clone(), durable: bytes, ..Self::default() }
    }

    /// A new file whose bytes are not synced.
    pub(super) fn unsynced(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        content.apply(0, bytes);
        content
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Copies from `pos` on what there is, into `out`.
    pub(crate) fn read(&self, pos: u64, out: &mut [u8]) -> usize {
        let pos = usize::try_from(pos).unwrap_or(usize::MAX).min(self.seen.len());
        let len = out.len().min(self.seen.len() - pos);
        out[..len].copy_from_slice(&self.seen[pos..pos + len]);
        len
    }

    /// The `len` bytes from `pos` on are in the page cache from now on.
    pub(super) fn bring_into_cache(&mut self, pos: usize, len: usize) {
        self.cached.extend(pages(pos, len));
    }

    pub(super) fn is_cached(&self, pos: usize, len: usize) -> bool {
        pages(pos, len).all(|page| self.cached.contains(&page))
    }

    /// The device cannot read the sectors of these bytes any more.
    pub(super) fn make_unreadable(&mut self, pos: usize, len: usize) {
        self.unreadable.extend(sectors(pos, len));
    }

    /// The device can read everything again.
    pub(super) fn make_readable(&mut self) {
        self.unreadable.clear();
    }

    /// Whether the device can read these bytes, as far as there are any.
    ///
    /// # Errors
    /// `EIO`, as the kernel says.
    pub(super) fn check_readable(&self, pos: u64, len: usize) -> io::Result<()> {
        let pos = usize::try_from(pos).unwrap_or(usize::MAX).min(self.seen.len());
        let len = len.min(self.seen.len() - pos);
        match self.unreadable.range(sectors(pos, len)).next() {
            None => Ok(()),
            Some(_) => Err(io::Error::from_raw_os_error(libc::EIO)),
        }
    }

    /// Hands a write over; returns its number.
    pub(super) fn begin_write(&mut self, pos: usize, bytes: Vec<u8>) -> u64 {
        self.last_write += 1;
        self.on_the_way.insert(self.last_write, (pos, bytes));
        self.last_write
    }

    /// The write happens.
    pub(super) fn complete_write(&mut self, number: u64) {
        if let Some((pos, bytes)) = self.on_the_way.remove(&number) {
            self.apply(pos, &bytes);
        }
    }

    /// The write fails, or nobody waits for it: some of its sectors are written.
    pub(super) fn tear_write(&mut self, number: u64, random: &mut Sequence) {
        let Some((pos, bytes)) = self.on_the_way.remove(&number) else { return };
        for (index, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            if random.chance(1, 2) {
                self.apply(pos + index * SECTOR_BYTES, sector);
            }
        }
    }

    fn apply(&mut self, pos: usize, bytes: &[u8]) {
        self.last_write += 1;
        put(&mut self.seen, pos, bytes);
        for (index, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            // Devices put what is written to a bad sector elsewhere.
            self.unreadable.remove(&(pos / SECTOR_BYTES + index));
            let version = Version { write: self.last_write, bytes: sector.to_vec() };
            self.unsynced.entry(pos / SECTOR_BYTES + index).or_default().push(version);
        }
    }

    /// Number of the last write that a sync starting now covers.
    pub(super) fn sync_point(&self) -> u64 {
        self.last_write
    }

    /// The sync that started at `point` has succeeded.
    pub(super) fn complete_sync(&mut self, point: u64) {
        self.settle(point, |_| true);
    }

    /// The sync has failed. As kernels do, pages that could not be written count as clean from
    /// now on: reads still show them, but they will never reach the device.
    pub(super) fn fail_sync(&mut self, point: u64, random: &mut Sequence) {
        self.settle(point, |_| random.chance(1, 2));
    }

    /// Ends the wait of versions up to `point`; `reaches` tells which sectors get to the device.
    fn settle(&mut self, point: u64, mut reaches: impl FnMut(usize) -> bool) {
        let mut rest = BTreeMap::new();
        for (sector, mut versions) in std::mem::take(&mut self.unsynced) {
            let later = versions.split_off(versions.partition_point(|v| v.write <= point));
            if let Some(version) = versions.pop()
                && reaches(sector)
            {
                put(&mut self.durable, sector * SECTOR_BYTES, &version.bytes);
            }
            if !later.is_empty() {
                rest.insert(sector, later);
            }
        }
        self.unsynced = rest;
    }

    /// What is on the device after the power came back.
    pub(super) fn after_power_loss(&mut self, random: &mut Sequence) -> Self {
        // Writes on their way had reached the device in part, or not.
        for number in self.on_the_way.keys().copied().collect::<Vec<_>>() {
            self.complete_write(number);
        }
        let loss = match random.below(8) {
            0 => Loss::All,
            1 => Loss::Nothing,
            2 | 3 => Loss::After(random.below(self.last_write + 1)),
            _ => Loss::Any,
        };
        let mut left = std::mem::take(&mut self.durable);
        for (sector, versions) in std::mem::take(&mut self.unsynced) {
            if let Some(version) = surviving(&versions, loss, random) {
                put(&mut left, sector * SECTOR_BYTES, &version.bytes);
            }
        }
        let unreadable = std::mem::take(&mut self.unreadable);
        Self { modified_ms: self.modified_ms, unreadable, ..Self::durable(left) }
    }

    /// What is there after the kernel crashed and came back: the device has every write that it
    /// completed and holds those that were not synced as before, but a length that no sync made
    /// durable is lost, with all that was written behind it.
    pub(super) fn after_kernel_loss(&mut self, random: &mut Sequence) -> Self {
        self.after_process_loss(random);
        let mut left = std::mem::take(self);
        let len = left.durable.len();
        left.seen.truncate(len);
        left.unsynced.retain(|sector, _| (sector + 1) * SECTOR_BYTES <= len);
        left
    }

    /// The kernel ends what a dead process had begun.
    pub(super) fn after_process_loss(&mut self, random: &mut Sequence) {
        for number in self.on_the_way.keys().copied().collect::<Vec<_>>() {
            match random.below(3) {
                0 => self.complete_write(number),
                1 => self.tear_write(number, random),
                _ => drop(self.on_the_way.remove(&number)),
            }
        }
    }

    /// Flips a bit everywhere it is stored.
    pub(super) fn flip_bit(&mut self, pos: usize, bit: u8) {
        let mask = 1 << (bit % 8);
        self.seen[pos] ^= mask;
        if let Some(byte) = self.durable.get_mut(pos) {
            *byte ^= mask;
        }
        for version in self.unsynced.get_mut(&(pos / SECTOR_BYTES)).into_iter().flatten() {
            if let Some(byte) = version.bytes.get_mut(pos % SECTOR_BYTES) {
                *byte ^= mask;
            }
        }
    }
}

fn surviving<'a>(
    versions: &'a [Version],
    loss: Loss,
    random: &mut Sequence,
) -> Option<&'a Version> {
    match loss {
        Loss::All => None,
        Loss::Nothing => versions.last(),
        Loss::After(cut) => {
            let torn = |version: &&Version| version.write < cut || random.chance(1, 2);
            versions.iter().filter(|version| version.write <= cut).filter(torn).last()
        }
        Loss::Any => {
            let count = u64::try_from(versions.len()).unwrap_or(u64::MAX);
            // One more than there are versions: the sector may be as it was.
            let drawn = usize::try_from(random.below(count + 1)).unwrap_or(0);
            versions.get(drawn)
        }
    }
}

/// Sectors that bytes lie in.
fn sectors(pos: usize, len: usize) -> std::ops::Range<usize> {
    pos / SECTOR_BYTES..(pos + len).div_ceil(SECTOR_BYTES)
}

/// Pages that bytes lie in.
fn pages(pos: usize, len: usize) -> std::ops::Range<usize> {
    pos / PAGE_BYTES..(pos + len).div_ceil(PAGE_BYTES)
}

/// Writes at a position, with zeros in between if that is beyond the end.
fn put(target: &mut Vec<u8>, pos: usize, bytes: &[u8]) {
    let end = pos + bytes.len();
    if target.len() < end {
        target.resize(end, 0);
    }
    target[pos..end].copy_from_slice(bytes);
}

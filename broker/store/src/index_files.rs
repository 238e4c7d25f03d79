//! The files of the index stream: written by checkpoints, read by lookups and at start.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use ringmq_runtime::buffer::{DmaBuffer, Shared};
use ringmq_runtime::disk::{Access, Disk, File};

use crate::frame::{FRAME_HEADER_BYTES, FrameHead, FrameKind, is_intact};
use crate::options::PAGE_BYTES;
use crate::position::{LogId, parse_segment_name, segment_name};

/// Largest single write: checkpoints stay out of the way of the log's own writes.
const WRITE_MAX_BYTES: usize = 256 << 10;

/// How much is read at once when the stream is replayed.
const REPLAY_READ_BYTES: usize = 1 << 20;

/// The files of the index stream of one log.
#[derive(Debug)]
pub(crate) struct IndexFiles {
    disk: Disk,
    log: LogId,
    dir: PathBuf,
    file_bytes: u64,
    /// Oldest first, without holes.
    files: VecDeque<(u64, File)>,
    /// Where the next checkpoint goes: a page border.
    pub(crate) end: u64,
    /// CRC of the last frame of the last checkpoint.
    pub(crate) chain: u32,
}

impl IndexFiles {
    /// Opens the files that are there. A file of another size, or behind a hole, ends the row.
    ///
    /// # Errors
    /// As the file system says.
    pub(crate) async fn open(
        disk: &Disk,
        dir: PathBuf,
        log: LogId,
        file_bytes: u64,
    ) -> io::Result<Self> {
        let mut files = VecDeque::new();
        for entry in disk.list(&dir).await? {
            let Some(base) = parse_segment_name(log, &entry.name) else { continue };
            let follows = files.back().is_none_or(|(last, _)| *last + file_bytes == base);
            if !follows || entry.len != file_bytes || base % file_bytes != 0 {
                break;
            }
            files.push_back((base, disk.open(dir.join(&entry.name), Access::ReadWrite).await?));
        }
        Ok(Self { disk: disk.clone(), log, dir, file_bytes, files, end: 0, chain: 0 })
    }

    pub(crate) fn log(&self) -> LogId {
        self.log
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Goes on without the files that were found, for an index that is built anew; they are on the
    /// disk until somebody removes them.
    pub(crate) fn forget_all(&mut self) {
        self.files.clear();
        (self.end, self.chain) = (0, 0);
    }

    /// The file that holds a place of the stream.
    pub(crate) fn file_of(&self, at: u64) -> Option<(u64, File)> {
        let first = self.files.front()?.0;
        let index = at.checked_sub(first)? / self.file_bytes;
        self.files.get(usize::try_from(index).ok()?).cloned()
    }

    /// Whether the end of the stream lies in a file of the row, or where the next one will be.
    pub(crate) fn can_go_on(&self) -> bool {
        let (Some((first, _)), Some((last, _))) = (self.files.front(), self.files.back()) else {
            return true;
        };
        (*first..=*last + self.file_bytes).contains(&self.end)
    }

    /// The oldest file, if it holds nothing from `at` on. The newest stays.
    pub(crate) fn oldest_below(&self, at: u64) -> Option<PathBuf> {
        let (base, _) = self.files.front().filter(|_| self.files.len() > 1)?;
        (base + self.file_bytes <= at).then(|| self.path(*base))
    }

    /// Takes out the oldest file, which was deleted.
    pub(crate) fn forget_oldest(&mut self) {
        self.files.pop_front();
    }

    fn path(&self, base: u64) -> PathBuf {
        self.dir.join(segment_name(self.log.at(base)))
    }

    /// What writing `len` bytes from the end needs: the bases of files that do not exist yet.
    fn missing(&self, len: u64) -> Vec<u64> {
        let first = self.end - self.end % self.file_bytes;
        (first..self.end + len)
            .step_by(self.file_bytes as usize)
            .filter(|base| self.file_of(*base).is_none())
            .collect()
    }
}

/// Makes the files that `len` more bytes need.
///
/// # Errors
/// As the file system says.
pub(crate) async fn make_missing(files: &RefCell<IndexFiles>, len: u64) -> io::Result<()> {
    let (missing, disk, file_bytes) = {
        let files = files.borrow();
        (files.missing(len), files.disk.clone(), files.file_bytes)
    };
    for base in missing {
        let path = files.borrow().path(base);
        // One that is there anyway stands behind a hole of the row, or could not be opened.
        if disk.exists(&path).await? {
            disk.remove_file(&path).await?;
        }
        disk.create_zeroed(&path, file_bytes).await?;
        let file = disk.open(&path, Access::ReadWrite).await?;
        files.borrow_mut().files.push_back((base, file));
    }
    Ok(())
}

/// Writes a checkpoint behind the end of the stream and makes it durable; moving the end is the
/// caller's next step.
///
/// # Errors
/// As the device says: nothing of the checkpoint counts then.
pub(crate) async fn write(files: &RefCell<IndexFiles>, bytes: &[u8]) -> io::Result<()> {
    let (start, file_bytes) = {
        let files = files.borrow();
        (files.end, files.file_bytes)
    };
    let mut done = 0;
    while done < bytes.len() {
        let at = start + done as u64;
        let (base, file) = files.borrow().file_of(at).expect("make_missing came before");
        let end = bytes.len().min(done + (base + file_bytes - at) as usize);
        write_part(&file, at - base, &bytes[done..end]).await?;
        file.sync_data().await?;
        done = end;
    }
    Ok(())
}

/// Writes what stands between `from` and the end once more, and flushes it: a flush of these bytes
/// may have failed before.
///
/// # Errors
/// As the device says.
pub(crate) async fn rewrite(files: &IndexFiles, from: u64) -> io::Result<()> {
    let mut at = from;
    while at < files.end {
        // A checkpoint may end in a file that was never made, when the last frames moved on to it.
        let Some((base, file)) = files.file_of(at) else { return Ok(()) };
        let stop = files.end.min(base + files.file_bytes);
        let bytes = file.read_at(at - base, (stop - at) as usize).await?;
        write_part(&file, at - base, &bytes).await?;
        file.sync_data().await?;
        at = stop;
    }
    Ok(())
}

async fn write_part(file: &File, pos: u64, bytes: &[u8]) -> io::Result<()> {
    let mut buffer: Option<DmaBuffer> = None;
    for (index, part) in bytes.chunks(WRITE_MAX_BYTES).enumerate() {
        let fits = buffer.take().filter(|buffer| buffer.len() == part.len());
        let mut filled = fits.unwrap_or_else(|| DmaBuffer::alloc(part.len()));
        filled.as_mut_slice().copy_from_slice(part);
        buffer = Some(file.write_at(pos + (index * WRITE_MAX_BYTES) as u64, filled).await?);
    }
    Ok(())
}

/// Reads whole frames from a place of the stream on, as long as the chain holds.
pub(crate) struct Replay<'a> {
    files: &'a IndexFiles,
    at: u64,
    chain: u32,
    window: Shared,
    window_at: u64,
}

/// A frame and its payload.
pub(crate) struct ReplayedFrame {
    pub(crate) head: FrameHead,
    bytes: Shared,
}

impl ReplayedFrame {
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[FRAME_HEADER_BYTES..]
    }
}

impl<'a> Replay<'a> {
    /// A replay from `at`, where the frame before has the CRC `chain`.
    pub(crate) fn new(files: &'a IndexFiles, at: u64, chain: u32) -> Self {
        Self { files, at, chain, window: Shared::empty(), window_at: 0 }
    }

    /// Where a checkpoint behind the last frame starts, and that frame's CRC.
    pub(crate) fn resume(&self) -> (u64, u32) {
        (self.at.next_multiple_of(PAGE_BYTES), self.chain)
    }

    /// The next frame; `None` at the end of what was written whole.
    ///
    /// # Errors
    /// As the device says.
    pub(crate) async fn next(&mut self) -> io::Result<Option<ReplayedFrame>> {
        let size = self.files.file_bytes;
        // Behind a mark the stream goes on at the next page; behind the last frame that fits, in
        // the next file.
        let page = self.at.next_multiple_of(PAGE_BYTES);
        let file =
            if self.at.is_multiple_of(size) { self.at } else { self.at - self.at % size + size };
        for at in [self.at, page, file] {
            if let Some(frame) = self.frame_at(at).await? {
                self.at = at + frame.head.len() as u64;
                self.chain = frame.head.crc;
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    async fn frame_at(&mut self, at: u64) -> io::Result<Option<ReplayedFrame>> {
        let Some(bytes) = self.bytes(at, FRAME_HEADER_BYTES).await? else { return Ok(None) };
        let Some(head) = FrameHead::parse(&bytes) else { return Ok(None) };
        if head.at != at || head.previous_crc != self.chain {
            return Ok(None);
        }
        let Some(bytes) = self.bytes(at, head.len()).await? else { return Ok(None) };
        Ok(is_intact(&head, &bytes).then_some(ReplayedFrame { head, bytes }))
    }

    /// `len` bytes of one file; `None` when the file ends before or is not there.
    async fn bytes(&mut self, at: u64, len: usize) -> io::Result<Option<Shared>> {
        let Some((base, file)) = self.files.file_of(at) else { return Ok(None) };
        let left = base + self.files.file_bytes - at;
        if len as u64 > left {
            return Ok(None);
        }
        let window_end = self.window_at + self.window.len() as u64;
        if at < self.window_at || at + len as u64 > window_end {
            let want = len.max(REPLAY_READ_BYTES).min(left as usize);
            (self.window, self.window_at) = (file.read_at(at - base, want).await?, at);
        }
        let from = (at - self.window_at) as usize;
        Ok((from + len <= self.window.len()).then(|| self.window.slice(from..from + len)))
    }
}

/// Whether a replay may stop behind this frame.
pub(crate) fn is_mark(frame: &ReplayedFrame) -> bool {
    frame.head.kind == FrameKind::Mark
}

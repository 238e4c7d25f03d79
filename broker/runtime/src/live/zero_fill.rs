//! Zeros, really written, by a thread of their own: whole files, and the growth of open ones.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::disk::sync_parent;
use super::{executor, sys};
use crate::buffer::Block;
use crate::disk::temporary_name;
use crate::remote;

/// Size of one write. Larger ones delay the appends of others: with 1 MiB at 200 MB/s their p99
/// was 464 to 701 us instead of 135 with 128 KiB. Smaller ones cost CPU: 0.48 ms per MiB with
/// 128 KiB, 0.18 with 256, 0.13 with 1024; with 128 KiB zeros took a fifth of the broker's CPU.
const CHUNK_BYTES: usize = 256 << 10;

/// Unit of direct writes.
const PAGE_BYTES: usize = 4096;

/// Creates `path` with `len` zero bytes; the name appears when all of it is durable.
pub(super) async fn create(path: PathBuf, len: u64) -> io::Result<()> {
    on_own_thread(move |cancelled| fill_and_name(&path, len, cancelled)).await
}

/// Writes zeros over `from..to`, which may lie behind the end.
pub(super) async fn fill(
    file: Arc<fs::File>,
    from: u64,
    to: u64,
    rate_bytes_per_s: u64,
) -> io::Result<()> {
    let is_aligned = |pos: u64| pos.is_multiple_of(u64::try_from(PAGE_BYTES).unwrap_or(u64::MAX));
    if !is_aligned(from) || !is_aligned(to) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if from >= to {
        return Ok(());
    }
    let fill = move |cancelled: &_| write_zeros(&file, from, to, rate_bytes_per_s, cancelled);
    on_own_thread(fill).await
}

/// A thread and not the helper pool: this takes long, and writes that wait for their flush need
/// that one.
async fn on_own_thread(
    work: impl FnOnce(&AtomicBool) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = remote::oneshot();
    let is_cancelled = cancelled.clone();
    let thread = std::thread::Builder::new().name("zero-fill".to_owned()).spawn(move || {
        // It would inherit the shard's single core.
        executor::cores_of_the_process().apply_to_this_thread();
        sender.send(work(&is_cancelled));
    })?;
    let mut guard = EndOnDrop { cancelled, thread: Some(thread) };
    let outcome = receiver.await;
    // It has nothing left to write.
    guard.thread = None;
    outcome.unwrap_or_else(|_| Err(io::Error::other("the zero-fill thread ended early")))
}

/// Ends the thread and waits for that: zeros must not arrive when the file has another user.
struct EndOnDrop {
    cancelled: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        // At worst one chunk is on its way. Nobody wants the result.
        let _ = thread.join();
    }
}

fn fill_and_name(path: &Path, len: u64, cancelled: &AtomicBool) -> io::Result<()> {
    if path.try_exists()? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let temporary = temporary_name(path);
    let filled = fill_new(&temporary, len, cancelled)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_parent(path));
    if filled.is_err() {
        // Best effort: the space should come back, the error is the news.
        let _ = fs::remove_file(&temporary);
    }
    filled
}

fn fill_new(path: &Path, len: u64, cancelled: &AtomicBool) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT);
    let file = options.open(path)?;
    match sys::fallocate(file.as_fd(), len) {
        // Without it the writes below reserve the space, and fail later if it is missing.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
        reserved => reserved?,
    }
    write_zeros(&file, 0, len, 0, cancelled)?;
    file.set_len(len)?;
    file.sync_all()
}

/// Writes zeros over `from..to`, and up to the end of its page behind `to`.
fn write_zeros(
    file: &fs::File,
    from: u64,
    to: u64,
    rate_bytes_per_s: u64,
    cancelled: &AtomicBool,
) -> io::Result<()> {
    let mut zeros = Block::with_capacity(CHUNK_BYTES);
    let zeros = &*zeros.spare();
    let pace = Pace { start: Instant::now(), rate_bytes_per_s };
    let mut pos = from;
    while pos < to {
        if cancelled.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "no longer wanted"));
        }
        let chunk = usize::try_from(to - pos).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        file.write_all_at(&zeros[..chunk.next_multiple_of(PAGE_BYTES)], pos)?;
        pos += u64::try_from(chunk).unwrap_or(u64::MAX);
        pace.wait_after(pos - from);
    }
    Ok(())
}

/// Sleeps so that the bytes written do not run ahead of the rate.
struct Pace {
    start: Instant,
    /// 0: no sleep.
    rate_bytes_per_s: u64,
}

impl Pace {
    fn wait_after(&self, written: u64) {
        let due_us =
            (u128::from(written) * 1_000_000).checked_div(u128::from(self.rate_bytes_per_s));
        let due = Duration::from_micros(due_us.map_or(0, |us| u64::try_from(us).unwrap_or(0)));
        if let Some(early) = due.checked_sub(self.start.elapsed()).filter(|early| !early.is_zero())
        {
            // Not a plain sleep, so that a cancellation need not wait.
            std::thread::park_timeout(early);
        }
    }
}

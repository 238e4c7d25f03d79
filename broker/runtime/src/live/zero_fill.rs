//! Files of real zeros, made ahead by a thread of their own.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::disk::{sync_parent, temporary_name};
use super::{executor, sys};
use crate::buffer::Block;
use crate::remote;

/// Size of one write. Larger ones delay the appends of others: with 1 MiB at 200 MB/s their p99
/// was 464 to 701 us instead of 135.
const CHUNK_BYTES: usize = 128 << 10;

/// Creates `path` with `len` zero bytes; the name appears when all of it is durable.
pub(super) async fn create(path: PathBuf, len: u64, rate_bytes_per_s: u64) -> io::Result<()> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let _guard = CancelOnDrop(cancelled.clone());
    let (sender, receiver) = remote::oneshot();
    // A thread and not the helper pool: at a modest rate this takes seconds, nearly all of them
    // asleep.
    std::thread::Builder::new().name("zero-fill".to_owned()).spawn(move || {
        // It would inherit the shard's single core.
        executor::cores_of_the_process().apply_to_this_thread();
        sender.send(fill_and_name(&path, len, rate_bytes_per_s, &cancelled));
    })?;
    receiver.await.unwrap_or_else(|_| Err(io::Error::other("the zero-fill thread ended early")))
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn fill_and_name(
    path: &Path,
    len: u64,
    rate_bytes_per_s: u64,
    cancelled: &AtomicBool,
) -> io::Result<()> {
    if path.try_exists()? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let temporary = temporary_name(path);
    let filled = fill(&temporary, len, rate_bytes_per_s, cancelled)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_parent(path));
    if filled.is_err() {
        // Best effort: the space should come back, the error is the news.
        let _ = fs::remove_file(&temporary);
    }
    filled
}

fn fill(path: &Path, len: u64, rate_bytes_per_s: u64, cancelled: &AtomicBool) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT);
    let file = options.open(path)?;
    match sys::fallocate(file.as_fd(), len) {
        // Without it the writes below reserve the space, and fail later if it is missing.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
        reserved => reserved?,
    }
    let mut zeros = Block::with_capacity(CHUNK_BYTES);
    let zeros = &*zeros.spare();
    let mut pace = Pace::new(rate_bytes_per_s);
    let mut pos = 0;
    while pos < len {
        if cancelled.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "no longer wanted"));
        }
        let chunk = usize::try_from(len - pos).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        // Whole sectors, since the write is direct; the surplus is cut off below.
        file.write_all_at(&zeros[..chunk.next_multiple_of(4096)], pos)?;
        pos += u64::try_from(chunk).unwrap_or(u64::MAX);
        pace.wait_after(pos);
    }
    file.set_len(len)?;
    file.sync_all()
}

/// Sleeps so that the bytes written do not run ahead of the rate.
struct Pace {
    start: Instant,
    rate_bytes_per_s: u64,
}

impl Pace {
    fn new(rate_bytes_per_s: u64) -> Self {
        Self { start: Instant::now(), rate_bytes_per_s }
    }

    fn wait_after(&mut self, written: u64) {
        if self.rate_bytes_per_s == 0 {
            return;
        }
        let due_us = u128::from(written) * 1_000_000 / u128::from(self.rate_bytes_per_s);
        let due = Duration::from_micros(u64::try_from(due_us).unwrap_or(u64::MAX));
        if let Some(early) = due.checked_sub(self.start.elapsed()) {
            std::thread::sleep(early);
        }
    }
}

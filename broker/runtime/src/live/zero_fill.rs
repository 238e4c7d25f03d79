//! Zeros, really written, by a thread of their own: whole files, and the growth of open ones.
//!
//! A file that grows gets its new length before its zeros. A write behind the end of a file keeps
//! all others from it until it has ended (the inode's lock), also those of what others append at
//! the same time; and each one makes the next flush write the length. Within the file neither is
//! so.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::disk::sync_parent;
use super::{executor, helpers, sys};
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
    on_own_thread(move |cancellation| fill_and_name(&path, len, cancellation)).await
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
    let fill = move |cancellation: &_| {
        reserve(&file, to)?;
        write_zeros(&file, from, to, rate_bytes_per_s, cancellation)
    };
    on_own_thread(fill).await
}

/// A thread and not the helper pool: this takes long, and writes that wait for their flush need
/// that one.
async fn on_own_thread(
    work: impl FnOnce(&Cancellation) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    run_on(new_thread, work).await
}

fn new_thread(start: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("zero-fill".to_owned());
    let run = move || {
        // It would inherit the shard's single core.
        executor::cores_of_the_process().apply_to_this_thread();
        start();
    };
    thread.spawn(run).map(drop)
}

/// Runs `work` on the thread that `spawn` makes. Where there is none to be had, a helper thread
/// does it, in turn with other long work: flushes then have one less of them for a while, but the
/// log gets its zeros.
async fn run_on(
    spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
    work: impl FnOnce(&Cancellation) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let cancellation = Arc::new(Cancellation::default());
    let (sender, receiver) = remote::oneshot();
    let (running, ended) = mpsc::channel();
    let is_cancelled = cancellation.clone();
    let work = Box::new(move || {
        // Closed when the work is over, by a panic too.
        let _running: mpsc::Sender<Infallible> = running;
        sender.send(work(&is_cancelled));
    });
    let work = Arc::new(Slot(Mutex::new(Some(work))));
    let mut guard = EndOnDrop { cancellation, work: work.clone(), ended, is_over: false };
    let start = {
        let work = work.clone();
        move || work.run()
    };
    if let Err(error) = spawn(Box::new(start)) {
        tracing::debug!("no thread to write zeros, a helper thread does it: {error}");
        helpers::long_work(move || work.run()).await;
    }
    let outcome = receiver.await;
    guard.is_over = true;
    outcome.unwrap_or_else(|_| Err(io::Error::other("the zero-fill thread ended early")))
}

/// Work that is done once, or not at all.
struct Slot(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Slot {
    fn take(&self) -> Option<Box<dyn FnOnce() + Send>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn run(&self) {
        if let Some(work) = self.take() {
            work();
        }
    }
}

/// Ends the work and waits for that: zeros must not arrive when the file has another user.
struct EndOnDrop {
    cancellation: Arc<Cancellation>,
    work: Arc<Slot>,
    ended: mpsc::Receiver<Infallible>,
    is_over: bool,
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.cancellation.tell();
        if self.work.take().is_none() {
            // It has begun, so at worst one chunk is on its way. Nothing is ever sent.
            let _ = self.ended.recv();
        }
    }
}

/// Tells the thread that nobody wants its work any more.
#[derive(Default)]
struct Cancellation {
    is_told: Mutex<bool>,
    told: Condvar,
}

impl Cancellation {
    fn tell(&self) {
        *self.is_told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    /// Waits for it, at most `time`; whether it has come.
    fn comes_within(&self, time: Duration) -> bool {
        let is_told = self.is_told.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_timeout_while(is_told, time, |is_told| !*is_told);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn fill_and_name(path: &Path, len: u64, cancellation: &Cancellation) -> io::Result<()> {
    if path.try_exists()? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let temporary = temporary_name(path);
    let filled = fill_new(&temporary, len, cancellation)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_parent(path));
    if filled.is_err() {
        // Best effort: the space should come back, the error is the news.
        let _ = fs::remove_file(&temporary);
    }
    filled
}

fn fill_new(path: &Path, len: u64, cancellation: &Cancellation) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT);
    let file = options.open(path)?;
    reserve(&file, len)?;
    write_zeros(&file, 0, len, 0, cancellation)?;
    file.set_len(len)?;
    file.sync_all()
}

/// Makes the file at least `len` bytes long, with all its space.
fn reserve(file: &fs::File, len: u64) -> io::Result<()> {
    match sys::files::fallocate(file.as_fd(), len) {
        // Then the writes reserve the space, and fail later if it is missing.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
        reserved => reserved,
    }
}

/// Writes zeros over `from..to`, and up to the end of its page behind `to`.
fn write_zeros(
    file: &fs::File,
    from: u64,
    to: u64,
    rate_bytes_per_s: u64,
    cancellation: &Cancellation,
) -> io::Result<()> {
    let mut zeros = Block::with_capacity(CHUNK_BYTES);
    let zeros = &*zeros.spare();
    let pace = Pace { start: Instant::now(), rate_bytes_per_s };
    let mut pos = from;
    while pos < to {
        // Looked at before each chunk, the first one included.
        if cancellation.comes_within(pace.time_until_due(pos - from)) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "no longer wanted"));
        }
        let chunk = usize::try_from(to - pos).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        file.write_all_at(&zeros[..chunk.next_multiple_of(PAGE_BYTES)], pos)?;
        pos += u64::try_from(chunk).unwrap_or(u64::MAX);
    }
    // The time of the last chunk counts too, or short fills would be faster than the rate.
    cancellation.comes_within(pace.time_until_due(pos - from));
    Ok(())
}

/// Keeps the bytes written from running ahead of the rate.
struct Pace {
    start: Instant,
    /// 0: no limit.
    rate_bytes_per_s: u64,
}

impl Pace {
    /// Time to let pass after `written` bytes.
    fn time_until_due(&self, written: u64) -> Duration {
        let due_us =
            (u128::from(written) * 1_000_000).checked_div(u128::from(self.rate_bytes_per_s));
        let due = Duration::from_micros(due_us.map_or(0, |us| u64::try_from(us).unwrap_or(0)));
        due.saturating_sub(self.start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::shards::block_on;

    #[test]
    fn a_helper_thread_does_it_when_no_thread_is_to_be_had() {
        let done = block_on(async {
            let no_thread = |_| Err(io::ErrorKind::WouldBlock.into());
            let done = Arc::new(AtomicBool::new(false));
            let is_done = done.clone();
            let work = move |_: &Cancellation| {
                is_done.store(true, Ordering::SeqCst);
                Ok(())
            };
            run_on(no_thread, work).await.map(|()| done.load(Ordering::SeqCst))
        });
        assert!(done.expect("its outcome is told"));
    }

    #[test]
    fn who_gives_up_finds_nothing_written_afterwards() {
        block_on(async {
            let is_over = Arc::new(AtomicBool::new(false));
            let (over, (begin, begun)) = (is_over.clone(), remote::oneshot());
            let work = move |cancellation: &Cancellation| {
                begin.send(());
                assert!(cancellation.comes_within(Duration::from_secs(60)), "nobody gave up");
                over.store(true, Ordering::SeqCst);
                Ok(())
            };
            let filling = crate::task::spawn("fill", on_own_thread(work));
            begun.await.expect("the thread begins");
            drop(filling);
            assert!(is_over.load(Ordering::SeqCst));
        });
    }
}

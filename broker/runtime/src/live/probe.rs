//! What the machine allows: asked once at start, for better messages than the errors themselves.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::{executor, sys};
use crate::buffer::Block;
use crate::start::{Facts, MEMLOCK_MIN_BYTES, StartError, diagnose, memlock_need_bytes};

/// Checks that `shards` executors can be made, and removes what needlessly stands in the way.
pub(crate) fn executors(shards: usize) -> Result<(), StartError> {
    sys::limits::raise_limits();
    sys::limits::try_io_uring().map_err(|errno| diagnose(errno, &facts()))?;
    open_files(shards * EXECUTOR_FILES).map_err(|errno| diagnose(errno, &facts()))?;
    // glommio looks at the limit itself, even where the process need not obey it.
    match sys::limits::memlock_limit() {
        Some(limit_bytes) if limit_bytes < MEMLOCK_MIN_BYTES => {
            Err(StartError::Memlock { limit_bytes, need_bytes: memlock_need_bytes(shards), shards })
        }
        _ => Ok(()),
    }
}

/// Files that an executor may open at its start, glommio's and ours: six stay open by a count of
/// `/proc/self/fd`; the rest is for those that glommio closes again.
const EXECUTOR_FILES: usize = 16;

/// Tries whether the process may open `count` more files; glommio panics where it may not.
fn open_files(count: usize) -> Result<(), i32> {
    let open = || {
        let null = fs::File::open("/dev/null")?;
        (1..count).map(|_| null.try_clone()).collect::<io::Result<Vec<_>>>().map(drop)
    };
    open().map_err(|error: io::Error| error.raw_os_error().unwrap_or(libc::EMFILE))
}

/// Turns glommio's refusal into advice.
pub(crate) fn explain(options: &executor::Options, shards: usize, error: io::Error) -> StartError {
    let limit_bytes = memlock_limit_in_force();
    match (error.raw_os_error(), limit_bytes) {
        (Some(libc::ENOMEM), Some(limit_bytes)) => {
            let need_bytes = memlock_need_bytes(shards).max(2 * limit_bytes);
            StartError::Memlock { limit_bytes, need_bytes, shards }
        }
        (Some(errno @ (libc::EMFILE | libc::ENFILE)), _) => diagnose(errno, &facts()),
        _ => StartError::Executor { name: options.name.clone(), cause: error.to_string() },
    }
}

/// The limit of locked memory, `None` if there is none or this process is above it.
pub(crate) fn memlock_limit_in_force() -> Option<u64> {
    const CAP_IPC_LOCK: u32 = 14;
    sys::limits::memlock_limit().filter(|_| effective_capabilities() & (1 << CAP_IPC_LOCK) == 0)
}

fn effective_capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

fn facts() -> Facts {
    let read = |path| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let markers = ["/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io"];
    Facts {
        io_uring_disabled: read("/proc/sys/kernel/io_uring_disabled").and_then(|n| n.parse().ok()),
        kernel_release: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
        in_container: markers.iter().any(|marker| Path::new(marker).exists()),
    }
}

/// Creates `directory` and writes one block directly to a file there.
pub(crate) fn direct_io(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let path = directory.join(format!(".direct-io-probe-{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT);
    let outcome = options.open(&path).and_then(|file| {
        let mut block = Block::with_capacity(4096);
        file.write_all_at(block.spare(), 0)
    });
    // Some file systems create the file and then refuse the flag.
    let _ = fs::remove_file(&path);
    outcome
}

/// Type of the file system that holds `path`, from the mount table.
pub(crate) fn file_system_kind(path: &Path) -> String {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let deepest = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(mount_point, _)| path.starts_with(mount_point))
        .max_by_key(|(mount_point, _)| mount_point.len());
    deepest.map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

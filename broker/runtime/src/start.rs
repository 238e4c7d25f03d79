//! Why a program does not start, and what to change: one answer per cause, named for people.

mod places;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use self::places::{ListenerKeys, check_directory, explain_bind, explain_settings_file};

/// The process cannot start here. Each message says what is wrong and what fixes it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel or a sandbox refuses io_uring.
    #[error("io_uring is not available: {cause}\n  fix: {fix}")]
    IoUring {
        /// What was found.
        cause: String,
        /// What to change.
        fix: String,
    },
    /// The limit of locked memory is too small.
    #[error(
        "the limit of locked memory is too small: {limit_bytes} bytes, {shards} shards need \
         {need_bytes}\n  \
         fix: `ulimit -l unlimited` in the shell, `LimitMEMLOCK=infinity` in the systemd unit, \
         `--ulimit memlock=-1` for docker; or run fewer shards"
    )]
    Memlock {
        /// RLIMIT_MEMLOCK of the process.
        limit_bytes: u64,
        /// What it takes.
        need_bytes: u64,
        /// For so many shards.
        shards: usize,
    },
    /// More shards than cores.
    #[error(
        "{asked} cores asked for, {allowed} usable by this process\n  \
         fix: ask for at most {allowed}, or widen the CPU set (taskset, cgroup cpuset, docker \
         --cpuset-cpus)"
    )]
    TooFewCores {
        /// Shards that should have a core of their own.
        asked: usize,
        /// Cores that the process may use.
        allowed: usize,
    },
    /// A core that does not exist or is not ours.
    #[error("core {core} is not usable by this process\n  fix: choose among {allowed:?}")]
    NoSuchCore {
        /// What was asked for.
        core: usize,
        /// The usable ones.
        allowed: Vec<usize>,
    },
    /// The file system has no direct I/O.
    #[error(
        "{path} is on a file system without direct I/O ({kind})\n  \
         fix: put the data on ext4 or xfs; in a container mount a volume there"
    )]
    NoDirectIo {
        /// The data directory.
        path: PathBuf,
        /// Name of the file system's type, if known.
        kind: String,
    },
    /// The data directory cannot be written.
    #[error("cannot write in {path}: {source}\n  fix: {fix}")]
    Directory {
        /// The data directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
        /// What to change.
        fix: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}\n  fix: {fix}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// What the kernel said.
        source: io::Error,
        /// What to change.
        fix: String,
    },
    /// The settings file cannot be read.
    #[error("{path}: {source}\n  fix: {fix}")]
    SettingsFile {
        /// As it was given.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
        /// What to change.
        fix: String,
    },
    /// Anything else that the kernel refuses.
    #[error("cannot start the executor of {name}: {cause}")]
    Executor {
        /// The thread that was to run it.
        name: String,
        /// What was refused.
        cause: String,
    },
}

/// What is known about the surroundings when a diagnosis is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `/proc/sys/kernel/io_uring_disabled`, if there is one: 0 free, 1 privileged only, 2 nobody.
    pub io_uring_disabled: Option<u8>,
    /// Kernel release, such as `5.4.0-150-generic`.
    pub kernel_release: String,
    /// In a container, as far as that can be seen.
    pub in_container: bool,
}

/// Oldest release that is supported. glommio works from 5.8 on; of the long-term releases since,
/// this is the first that does not count the rings as locked memory (5.12), of which most machines
/// of that time allow 64 KiB.
const KERNEL_MIN: &str = "5.15";

/// Explains why `io_uring_setup` failed with `errno`.
#[must_use]
pub fn diagnose(errno: i32, facts: &Facts) -> StartError {
    let switched_off = facts.io_uring_disabled.filter(|level| *level > 0);
    let (cause, fix) = match (errno, switched_off) {
        (libc::EPERM, Some(level)) => (
            format!("kernel.io_uring_disabled is {level}"),
            "`sysctl kernel.io_uring_disabled=0` on the host".to_owned(),
        ),
        (libc::EPERM | libc::EACCES, None) if facts.in_container => (
            "the container's seccomp profile forbids it".to_owned(),
            "allow io_uring_setup, io_uring_enter and io_uring_register in the profile, or \
             `docker run --security-opt seccomp=unconfined`; in Kubernetes \
             securityContext.seccompProfile"
                .to_owned(),
        ),
        (libc::EPERM | libc::EACCES, None) => (
            "a security policy (seccomp, SELinux, AppArmor) forbids it".to_owned(),
            "allow io_uring_setup, io_uring_enter and io_uring_register to this process".to_owned(),
        ),
        (libc::ENOSYS, _) => (
            format!("kernel {} does not have it", facts.kernel_release),
            format!(
                "Linux {KERNEL_MIN} or newer with CONFIG_IO_URING; sandboxes such as gVisor have none"
            ),
        ),
        (libc::EMFILE | libc::ENFILE, _) => (
            "too many open files".to_owned(),
            "`ulimit -n 65536` in the shell, `LimitNOFILE=65536` in the systemd unit".to_owned(),
        ),
        _ => (
            io::Error::from_raw_os_error(errno).to_string(),
            "see io_uring_setup(2) for this error".to_owned(),
        ),
    };
    StartError::IoUring { cause, fix }
}

/// Memory to register per executor: `asked`, or less where the limit of locked memory is tight.
///
/// glommio registers it three times per executor. A quarter of the limit is left to others.
/// `None` for the limit means that there is none.
#[must_use]
pub fn registered_memory(limit_bytes: Option<u64>, shards: usize, asked_bytes: usize) -> usize {
    let Some(limit_bytes) = limit_bytes else { return asked_bytes.max(REGISTERED_MIN_BYTES) };
    let copies = u64::try_from(shards.max(1)).unwrap_or(u64::MAX).saturating_mul(3);
    let share = usize::try_from(limit_bytes / 4 * 3 / copies).unwrap_or(usize::MAX);
    asked_bytes.min(share & !(PAGE_SIZE_BYTES - 1)).max(REGISTERED_MIN_BYTES)
}

const PAGE_SIZE_BYTES: usize = 4096;

/// Least that glommio takes.
const REGISTERED_MIN_BYTES: usize = 64 << 10;

/// glommio refuses a limit below this.
pub(crate) const MEMLOCK_MIN_BYTES: u64 = 512 << 10;

/// Locked memory that `shards` executors take at least.
pub(crate) fn memlock_need_bytes(shards: usize) -> u64 {
    let registered = 3 * REGISTERED_MIN_BYTES as u64 * shards as u64;
    // As much again for the rings, which kernels before 5.12 count too.
    (2 * registered).max(MEMLOCK_MIN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn check(error: &StartError, wanted: &[&str]) {
        let text = error.to_string();
        for part in wanted.iter().chain(&["fix:"]) {
            assert!(text.contains(part), "{part:?} is missing in: {text}");
        }
    }

    fn facts() -> Facts {
        Facts { kernel_release: "5.4.0".to_owned(), ..Facts::default() }
    }

    #[test]
    fn a_refused_io_uring_names_what_refuses_it() {
        let disabled = Facts { io_uring_disabled: Some(2), ..facts() };
        check(&diagnose(libc::EPERM, &disabled), &["sysctl kernel.io_uring_disabled=0"]);
        let container = Facts { in_container: true, io_uring_disabled: Some(0), ..facts() };
        check(&diagnose(libc::EPERM, &container), &["seccomp=unconfined"]);
        check(&diagnose(libc::EPERM, &facts()), &["security policy"]);
        check(&diagnose(libc::ENOSYS, &facts()), &["5.4.0", KERNEL_MIN]);
        check(&diagnose(libc::EMFILE, &facts()), &["ulimit -n"]);
        check(&diagnose(libc::EIO, &facts()), &["os error 5"]);
    }

    #[test]
    fn limits_of_memory_and_cores_name_numbers_and_fix() {
        let memlock = StartError::Memlock { limit_bytes: 65536, need_bytes: 524_288, shards: 1 };
        check(&memlock, &["65536", "524288", "ulimit -l", "LimitMEMLOCK"]);
        check(&StartError::TooFewCores { asked: 8, allowed: 2 }, &["8 cores", "at most 2"]);
        check(&StartError::NoSuchCore { core: 7, allowed: vec![0, 1] }, &["core 7", "[0, 1]"]);
    }

    #[test]
    fn registered_memory_fits_under_the_limit() {
        assert_eq!(registered_memory(None, 8, 4 << 20), 4 << 20);
        // 8 MiB, the default of many systems: two shards with 1 MiB each, three times.
        assert_eq!(registered_memory(Some(8 << 20), 2, 4 << 20), 1 << 20);
        assert_eq!(registered_memory(Some(8 << 20), 2, 128 << 10), 128 << 10);
        assert_eq!(registered_memory(Some(512 << 10), 16, 4 << 20), REGISTERED_MIN_BYTES);
    }
}

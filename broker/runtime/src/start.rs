//! Why it does not start, and what to change: one answer per cause, named for people.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::live;

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

/// glommio takes at least so much.
const REGISTERED_MIN_BYTES: usize = 64 << 10;

/// glommio refuses a limit below this.
pub(crate) const MEMLOCK_MIN_BYTES: u64 = 512 << 10;

/// Locked memory that `shards` executors take at least.
pub(crate) fn memlock_need_bytes(shards: usize) -> u64 {
    let registered = 3 * REGISTERED_MIN_BYTES as u64 * shards as u64;
    // As much again for the rings, which kernels before 5.12 count too.
    (2 * registered).max(MEMLOCK_MIN_BYTES)
}

/// Creates the data directory if needed and proves that direct I/O works there.
///
/// # Errors
/// [`StartError::NoDirectIo`], [`StartError::Directory`].
pub fn check_directory(path: impl AsRef<Path>) -> Result<(), StartError> {
    let path = path.as_ref();
    let kind = || live::probe::file_system_kind(path);
    live::probe::direct_io(path).map_err(|source| explain_directory(path, source, kind))?;
    // Since Linux 6.6 it accepts direct I/O and ignores it.
    if kind() == "tmpfs" {
        tracing::warn!(path = %path.display(), "the data is in memory: a restart loses it");
    }
    Ok(())
}

fn explain_directory(path: &Path, source: io::Error, kind: impl FnOnce() -> String) -> StartError {
    let path = path.to_owned();
    let fix = match source.raw_os_error() {
        Some(libc::EINVAL | libc::EOPNOTSUPP) => {
            return StartError::NoDirectIo { path, kind: kind() };
        }
        Some(libc::EACCES | libc::EPERM) => "give this user the directory, or choose another",
        Some(libc::ENOSPC | libc::EDQUOT) => "free some space",
        Some(libc::EROFS) => "mount the file system for writing",
        Some(libc::EEXIST | libc::ENOTDIR) => return not_a_directory(path, source),
        _ => "choose another directory",
    };
    StartError::Directory { path, source, fix: fix.to_owned() }
}

/// The file may be the path itself, or stand in the way to it.
fn not_a_directory(path: PathBuf, source: io::Error) -> StartError {
    let file = path.ancestors().find(|place| place.exists() && !place.is_dir()).unwrap_or(&path);
    let fix = format!(
        "{} is a file and has to be a directory: move it away, or name another directory",
        file.display()
    );
    StartError::Directory { path, source, fix }
}

/// The settings that move a listener, for messages to people.
#[derive(Clone, Copy, Debug)]
pub struct ListenerKeys<'a> {
    /// The key, or keys in words, that the port comes from.
    pub port: &'a str,
    /// The key of the address.
    pub address: &'a str,
}

/// Explains why [`crate::net::Listener::bind`] failed, and which setting gets around it.
#[must_use]
pub fn explain_bind(addr: SocketAddr, keys: ListenerKeys<'_>, source: io::Error) -> StartError {
    let (ip, port) = (addr.ip(), addr.port());
    let ListenerKeys { port: port_key, address: address_key } = keys;
    let fix = match (source.kind(), source.raw_os_error()) {
        (io::ErrorKind::AddrInUse, _) => format!(
            "stop what listens on port {port} (`ss -ltnp 'sport = :{port}'` shows it), or set \
             {port_key}"
        ),
        (io::ErrorKind::AddrNotAvailable, _) => {
            format!("{ip} is no address of this machine: set {address_key} to one of `ip addr`")
        }
        (_, Some(libc::EAFNOSUPPORT)) => {
            format!("this machine has no IPv6: set {address_key} to an IPv4 address")
        }
        (io::ErrorKind::PermissionDenied, _) => format!(
            "low ports (`sysctl net.ipv4.ip_unprivileged_port_start`) need CAP_NET_BIND_SERVICE: \
             set {port_key} to a higher one"
        ),
        _ => format!("set {port_key} or {address_key}"),
    };
    StartError::Listen { addr, source, fix }
}

/// Explains why the settings file of `-c` cannot be read.
#[must_use]
pub fn explain_settings_file(path: &Path, source: io::Error) -> StartError {
    let fix = match source.kind() {
        io::ErrorKind::NotFound => {
            let here = std::env::current_dir().unwrap_or_default();
            format!("give -c the path of a file; a relative one counts from {}", here.display())
        }
        io::ErrorKind::PermissionDenied => "let this user read it".to_owned(),
        _ => "give -c the path of a text file in the format of Java properties".to_owned(),
    };
    StartError::SettingsFile { path: path.to_owned(), source, fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: &StartError, wanted: &[&str]) {
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
    fn a_data_directory_names_what_is_wrong_with_it() {
        let explain = |errno| {
            let source = io::Error::from_raw_os_error(errno);
            explain_directory(Path::new("/data"), source, || "tmpfs".to_owned())
        };
        check(&explain(libc::EINVAL), &["/data", "tmpfs", "ext4"]);
        check(&explain(libc::EACCES), &["/data", "give this user"]);
        check(&explain(libc::ENOSPC), &["free some space"]);
        check(&explain(libc::EIO), &["os error 5"]);
        check(&explain(libc::EEXIST), &["/data is a file and has to be a directory"]);
    }

    #[test]
    fn an_address_that_cannot_be_listened_on_names_the_setting_that_moves_it() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 9876));
        let keys = ListenerKeys { port: "listenPort", address: "bindAddress" };
        let explain = |errno| explain_bind(addr, keys, io::Error::from_raw_os_error(errno));
        let taken = explain(libc::EADDRINUSE);
        check(&taken, &["127.0.0.1:9876", "ss -ltnp 'sport = :9876'", "set listenPort"]);
        check(&explain(libc::EADDRNOTAVAIL), &["127.0.0.1 is no address", "set bindAddress"]);
        check(&explain(libc::EAFNOSUPPORT), &["IPv6", "set bindAddress"]);
        check(&explain(libc::EACCES), &["CAP_NET_BIND_SERVICE", "set listenPort"]);
        check(&explain(libc::ENOBUFS), &["listenPort or bindAddress"]);
    }

    #[test]
    fn a_settings_file_that_cannot_be_read_names_what_c_takes() {
        let path = Path::new("nope.conf");
        let explain = |errno| explain_settings_file(path, io::Error::from_raw_os_error(errno));
        let here = std::env::current_dir().unwrap().display().to_string();
        check(&explain(libc::ENOENT), &["nope.conf: No such file", "give -c", &here]);
        check(&explain(libc::EACCES), &["let this user read it"]);
        check(&explain(libc::EISDIR), &["Java properties"]);
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

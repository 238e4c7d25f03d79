//! Places that settings name: directories, addresses and files.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::StartError;
use crate::live;

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
    use crate::start::tests::check;

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
}

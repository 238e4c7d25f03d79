//! Starts and stops a name server: in its own process, or embedded in a broker's first shard.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::bodies::register::REGISTER_SIZE_MAX_BYTES;
use ringmq_remoting::{Server, ServerLimits, serve};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::Disk;
use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::process;
use ringmq_runtime::start::{ListenerKeys, explain_bind};
use ringmq_runtime::task::{self, Task};
use ringmq_settings::properties::{PROPERTIES_SIZE_MAX_BYTES, Properties};
use ringmq_settings::{Notes, Rules as _};

use crate::config::Config;
use crate::kv::{self, KvConfig};
use crate::saver::Saver;
use crate::service::NameServer;

/// Of the descriptors that the process may open, connections may have one in this many: a broker
/// that runs its name server needs the others.
const FILES_PER_CONNECTION_MIN: usize = 4;

/// Why a name server does not start.
#[derive(Debug, thiserror::Error)]
pub enum NameServerError {
    /// The port cannot be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Address and port.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A file of its own cannot be read.
    #[error("cannot use {}: {detail}; repair it or move it away", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

impl NameServerError {
    /// The error with what to do about it; the port came from `port_key`.
    pub fn explained(self, port_key: &str) -> String {
        match self {
            Self::Listen { address, source } => {
                let keys = ListenerKeys { port: port_key, address: "bindAddress" };
                explain_bind(address, keys, source).to_string()
            }
            other => other.to_string(),
        }
    }
}

/// A running name server. It works until [`Running::stop`].
pub struct Running {
    server: Rc<Server<NameServer>>,
    address: SocketAddr,
    tasks: Vec<Task<()>>,
}

/// Starts a name server on this shard, whose paths count from the working directory. Port 0 takes
/// a free one.
///
/// # Errors
/// See [`NameServerError`].
pub async fn start(config: Config) -> Result<Running, NameServerError> {
    let failed =
        |error: io::Error| NameServerError::File { path: ".".into(), detail: error.to_string() };
    start_on(Disk::live(".").map_err(failed)?, config, REGISTER_SIZE_MAX_BYTES).await
}

/// As [`start`], with the files on `disk`. Registrations may have `registration_max_bytes`, which
/// are read in one step: who has other work on this shard wants fewer.
///
/// # Errors
/// See [`NameServerError`].
pub async fn start_on(
    disk: Disk,
    mut config: Config,
    registration_max_bytes: usize,
) -> Result<Running, NameServerError> {
    let (overrides, overrides_saver) = open_overrides(&disk, &mut config).await?;
    let (kv, kv_saver) = open_kv(disk, Path::new(&config.kv_config_path)).await?;
    let (listener, address) = listen(&config)?;
    let mut limits = ServerLimits {
        idle_timeout: Duration::from_secs(config.idle_seconds),
        ..ServerLimits::default()
    };
    let of_connections = process::open_files_max() / FILES_PER_CONNECTION_MIN;
    limits.connections_max = limits.connections_max.min(of_connections);
    let (overrides, kv) = ((overrides, overrides_saver), (kv, kv_saver));
    let service = NameServer::new(config, overrides, kv, registration_max_bytes);
    let server = serve(listener, Rc::clone(&service), limits);
    let tasks = vec![
        task::spawn("save settings", save_overrides(Rc::clone(&service))),
        task::spawn("save key-values", save_kv(Rc::clone(&service))),
        task::spawn("expire brokers", expire(service)),
    ];
    Ok(Running { server, address, tasks })
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, answers what was asked, within `drain_time`, and closes.
    pub async fn stop(self, drain_time: Duration) {
        self.server.stop(drain_time).await;
        drop(self.tasks);
    }
}

fn listen(config: &Config) -> Result<(Listener, SocketAddr), NameServerError> {
    let address = SocketAddr::new(config.bind_address, config.listen_port);
    let failed = |source| NameServerError::Listen { address, source };
    let listener = Listener::bind(address, Reuse::No).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

async fn open_overrides(
    disk: &Disk,
    config: &mut Config,
) -> Result<(BTreeMap<String, String>, Saver), NameServerError> {
    let path = config.overrides_path();
    let failed = |detail: String| NameServerError::File { path: path.clone(), detail };
    let saver = Saver::new(disk.clone(), &path);
    let contents = saver.read(PROPERTIES_SIZE_MAX_BYTES).await;
    let Some(contents) = contents.map_err(|error| failed(error.to_string()))? else {
        return Ok((BTreeMap::new(), saver));
    };
    let file = Properties::parse(&contents).map_err(|error| failed(error.to_string()))?;
    let entries = file.entries().iter();
    let mut overrides = entries.map(|entry| (entry.key.clone(), entry.value.clone())).collect();
    let mut notes = Notes::default();
    config.apply_overrides(&mut overrides, &mut notes);
    for warning in notes.warnings {
        tracing::warn!("{}: {warning}", path.display());
    }
    Ok((overrides, saver))
}

async fn open_kv(disk: Disk, path: &Path) -> Result<(KvConfig, Saver), NameServerError> {
    let failed = |detail: String| NameServerError::File { path: path.to_owned(), detail };
    let saver = Saver::new(disk, path);
    let contents = saver.read(kv::FILE_SIZE_MAX_BYTES).await;
    let kv = match contents.map_err(|error| failed(error.to_string()))? {
        Some(contents) => {
            KvConfig::from_slice(&contents).map_err(|error| failed(error.to_string()))?
        }
        None => KvConfig::default(),
    };
    Ok((kv, saver))
}

async fn save_overrides(service: Rc<NameServer>) {
    service.overrides_saver.run(|| service.overrides_text()).await;
}

async fn save_kv(service: Rc<NameServer>) {
    service.kv_saver.run(|| service.kv.borrow().to_vec()).await;
}

async fn expire(service: Rc<NameServer>) {
    loop {
        let interval_ms = service.config.borrow().scan_interval_ms;
        task::sleep(Duration::from_millis(interval_ms)).await;
        service.expire(Instant::now());
    }
}

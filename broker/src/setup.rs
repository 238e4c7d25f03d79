//! The whole process: a broker, and where wanted a name server next to it.
//!
//! [`run`] takes finished settings, works out who this broker is, starts the shards with the
//! control plane on shard 0, tells the user when it serves, and returns when it was asked to stop
//! and everything is on disk.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use ringmq_namesrv::NameServerError;
use ringmq_protocol::names::name_servers;
use ringmq_runtime::disk::Disk;
use ringmq_runtime::shards::{Cores, ShardsConfig};
use ringmq_runtime::signal::{self, Signal};
use ringmq_runtime::task::LocalFuture;
use ringmq_runtime::{host, net, shards};

use crate::broker_control::{Booted, BrokerControl};
use crate::clients::Clients;
use crate::config::{EmbeddedNamesrv, Settings, ShardCores};
use crate::control::ControlPlane;
use crate::directory::{Directory, Identity, Tables};
use crate::next_start;
use crate::register::Registrar;
use crate::services::admin::{Admin, RuntimeInfo};
use crate::services::control::BODY_MAX_BYTES;
use crate::shard::DataPlane;
use crate::start::{self, BrokerError, Plan};

/// Cores that `shardCores=auto` takes at most: beyond them memory and rings cost more than they
/// bring on the machines that nobody configured.
const SHARDS_AUTO_MAX: usize = 8;

/// Longest registration at the name server in this process, which reads it on shard 0 in one step,
/// as the control plane does its requests: 20,000 topics as JSON, 60,000 in the compressed form.
/// Our own broker sends them in portions of 2,000.
const REGISTRATION_MAX_BYTES: usize = BODY_MAX_BYTES;

/// Everything that is decided before the first shard starts.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The settings with every default filled in.
    pub settings: Arc<Settings>,
    /// Who this broker is.
    pub identity: Identity,
    /// [`Identity::address`] resolved: part of message ids.
    pub store_host: SocketAddr,
    /// Name servers to register with.
    pub namesrv_addresses: Vec<String>,
    /// Port of the name server in this process.
    pub embedded_namesrv: Option<SocketAddr>,
    /// The changes made at run time in earlier runs.
    pub overrides: BTreeMap<String, String>,
}

impl Setup {
    /// Fills in what the machine knows: host name, address, name server.
    ///
    /// # Errors
    /// An address that is none, or one port for two.
    pub fn new(
        mut settings: Settings,
        overrides: BTreeMap<String, String>,
    ) -> Result<Self, String> {
        if settings.broker_name.is_empty() {
            settings.broker_name = host::name();
        }
        if settings.broker_ip1.is_empty() {
            settings.broker_ip1 = host::ipv4().unwrap_or(Ipv4Addr::LOCALHOST).to_string();
        }
        if settings.broker_ip2.is_empty() {
            settings.broker_ip2 = settings.broker_ip1.clone();
        }
        let mut namesrv_addresses = name_servers(&settings.namesrv_addr);
        let is_embedded = match settings.embedded_namesrv {
            EmbeddedNamesrv::Yes => true,
            EmbeddedNamesrv::No => false,
            EmbeddedNamesrv::Auto => namesrv_addresses.is_empty(),
        };
        let port = settings.embedded_namesrv_port;
        if is_embedded && namesrv_addresses.is_empty() {
            settings.namesrv_addr = format!("127.0.0.1:{port}");
            namesrv_addresses = name_servers(&settings.namesrv_addr);
        }
        let of_address = |address: &String| next_start::problem_of_name_server(address);
        let of_ports = || is_embedded.then(|| next_start::problem_of_equal_ports(&settings));
        if let Some(problem) =
            namesrv_addresses.iter().find_map(of_address).or_else(|| of_ports().flatten())
        {
            return Err(problem);
        }
        let identity = Identity {
            cluster: settings.broker_cluster_name.clone(),
            name: settings.broker_name.clone(),
            id: settings.broker_id,
            address: host_and_port(&settings.broker_ip1, settings.listen_port),
            ha_address: host_and_port(&settings.broker_ip2, settings.listen_port.saturating_add(1)),
        };
        let store_host = resolve(&identity.address)
            .map_err(|error| format!("brokerIP1 = \"{}\": {error}", settings.broker_ip1))?;
        let embedded_namesrv = is_embedded.then(|| SocketAddr::new(settings.bind_address, port));
        let settings = Arc::new(settings);
        Ok(Self { settings, identity, store_host, namesrv_addresses, embedded_namesrv, overrides })
    }

    /// What the shards need to know.
    pub fn plan(&self) -> Plan {
        let settings = Arc::clone(&self.settings);
        let cores = match &settings.shard_cores {
            ShardCores::List(cores) => Cores::Exactly(cores.clone()),
            ShardCores::Auto => {
                Cores::Pinned(shards::usable_cores().len().clamp(1, SHARDS_AUTO_MAX))
            }
        };
        let mut shards = ShardsConfig::new(cores);
        shards.poll_us = settings.poll_micros.into();
        let root = PathBuf::from(&settings.store_path_root_dir);
        Plan { settings, shards, root, store_host: self.store_host }
    }
}

/// `10.0.0.5:10911`, `name:10911`, `[::1]:10911`.
fn host_and_port(host: &str, port: u16) -> String {
    match host.parse::<Ipv6Addr>() {
        Ok(address) => SocketAddr::new(address.into(), port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

/// An IP address needs no executor; a host name does.
fn resolve(address: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = address.parse() {
        return Ok(address);
    }
    let resolved = shards::try_block_on("resolver", net::resolve(address));
    resolved.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// Runs the broker until SIGTERM, SIGHUP or Ctrl-C; `booted` is called when it serves, with a name
/// server where clients find it, if there is one; `stopping` with the signal when it begins to
/// stop.
///
/// # Errors
/// Why it could not start, or what was lost when it stopped.
pub fn run(
    setup: &Setup,
    booted: impl FnOnce(Option<&str>) + Send + 'static,
    stopping: impl FnOnce(Signal) + Send + 'static,
) -> Result<(), BrokerError> {
    let for_control = setup.clone();
    let make_control = Box::new(move |data| control_plane(for_control, data, Box::new(booted)));
    let until = Box::new(|_| -> LocalFuture<()> {
        Box::pin(async {
            match signal::terminate().await {
                Ok(signal) => stopping(signal),
                Err(error) => tracing::error!("signals cannot be caught: {error}"),
            }
        })
    });
    start::run(&setup.plan(), make_control, until)
}

/// The control plane of a broker, made on shard 0 when its logs are open; `booted` is called when
/// the broker serves.
pub fn control_plane(
    setup: Setup,
    data: Rc<DataPlane>,
    booted: Booted,
) -> LocalFuture<Result<Rc<dyn ControlPlane>, BrokerError>> {
    Box::pin(async move {
        let namesrv = match setup.embedded_namesrv {
            Some(address) => Some(embedded_namesrv(address, data.disk()).await?),
            None => None,
        };
        let Setup { settings, identity, overrides, .. } = setup;
        let tables = Tables::load(data.disk(), &settings, &identity.name, overrides).await;
        let tables = tables.map_err(BrokerError::Store)?;
        let clients = Rc::new(Clients::default());
        let (for_directory, for_admin) = (Rc::clone(&data), Rc::clone(&data));
        let directory =
            Directory::start(identity, settings, tables, Rc::clone(&clients), for_directory);
        let registrar = Registrar::new(&directory, &setup.namesrv_addresses);
        let runtime = RuntimeInfo::start(&data);
        let (d, c, r) = (Rc::clone(&directory), Rc::clone(&clients), Rc::clone(&registrar));
        let admin = Admin::new(d, c, r, for_admin, runtime);
        let control: Rc<dyn ControlPlane> =
            BrokerControl::start(directory, clients, registrar, admin, booted, namesrv);
        Ok(control)
    })
}

/// Starts the name server of this process; what it keeps lies in the broker's store.
async fn embedded_namesrv(
    address: SocketAddr,
    disk: &Disk,
) -> Result<ringmq_namesrv::Running, BrokerError> {
    let config = ringmq_namesrv::Config {
        listen_port: address.port(),
        bind_address: address.ip(),
        kv_config_path: "namesrv/kvConfig.json".to_owned(),
        ..ringmq_namesrv::Config::default()
    };
    let started = ringmq_namesrv::start_on(disk.clone(), config, REGISTRATION_MAX_BYTES).await;
    started.map_err(|error| {
        let in_store = matches!(error, NameServerError::File { .. });
        let text = error.explained("embeddedNamesrvPort");
        let text = format!("the name server in this process: {text}");
        if in_store {
            return BrokerError::Store(text);
        }
        let port = address.port();
        let or = "or, if a name server runs there already, use it";
        BrokerError::Start(format!("{text}\n  {or}: -n 127.0.0.1:{port}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(change: impl FnOnce(&mut Settings)) -> Setup {
        let mut settings = Settings { broker_name: "b".into(), ..Settings::default() };
        change(&mut settings);
        Setup::new(settings, BTreeMap::new()).expect("good settings")
    }

    #[test]
    fn clients_are_told_an_address_that_they_can_dial() {
        for (ip, address) in [("10.0.0.5", "10.0.0.5:10911"), ("::1", "[::1]:10911")] {
            let setup = setup(|settings| settings.broker_ip1 = ip.into());
            assert_eq!(setup.identity.address, address);
            assert_eq!(setup.store_host.to_string(), address);
        }
        assert_eq!(setup(|_| ()).identity.name, "b");
    }

    #[test]
    fn a_name_server_runs_here_only_when_no_other_is_named() {
        let alone = setup(|_| ());
        assert_eq!(alone.namesrv_addresses, ["127.0.0.1:9876"]);
        assert_eq!(alone.embedded_namesrv.map(|address| address.port()), Some(9876));

        let named = setup(|settings| settings.namesrv_addr = "a:9876; b:9876".into());
        assert_eq!(named.namesrv_addresses, ["a:9876", "b:9876"]);
        assert_eq!(named.embedded_namesrv, None);

        let never = setup(|settings| settings.embedded_namesrv = EmbeddedNamesrv::No);
        assert_eq!((never.namesrv_addresses.len(), never.embedded_namesrv), (0, None));
    }

    #[test]
    fn a_name_server_without_a_port_of_its_own_is_refused() {
        for address in ["localhost", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:70000"] {
            let namesrv_addr = format!("a:9876;{address}");
            let settings = Settings { namesrv_addr, ..Settings::default() };
            let refusal = Setup::new(settings, BTreeMap::new()).expect_err(address);
            assert!(refusal.contains(address) && refusal.contains("host:port"), "{refusal}");
        }
        for embedded_namesrv_port in [10911, 10909] {
            let settings = Settings { embedded_namesrv_port, ..Settings::default() };
            let refusal = Setup::new(settings.clone(), BTreeMap::new()).expect_err("one port");
            assert!(refusal.contains("embeddedNamesrvPort"), "{refusal}");
            let elsewhere = Settings { namesrv_addr: "a:9876".into(), ..settings };
            assert!(Setup::new(elsewhere, BTreeMap::new()).is_ok(), "no name server here");
        }
        let v6 = setup(|settings| settings.namesrv_addr = "[::1]:9876".into());
        assert_eq!(v6.namesrv_addresses, ["[::1]:9876"]);
    }
}

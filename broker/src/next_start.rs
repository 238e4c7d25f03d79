//! Whether a broker could start here with settings that a request asks for.
//!
//! What only a start checks is checked before such a change is kept: a broker that does not start
//! any more takes no request that would change it back.

use std::net::{IpAddr, SocketAddr};

use ringmq_protocol::names::name_servers;
use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::shards;

use crate::config::{EmbeddedNamesrv, Settings, ShardCores};
use crate::ports::VIP_PORT_BELOW;

/// Why a start would fail with `next`, as far as that differs from `before`, which was checked;
/// `running` are the settings with which the ports of this process are open.
pub(crate) fn problem(running: &Settings, before: &Settings, next: &Settings) -> Option<String> {
    let problems = [
        (next.shard_cores != before.shard_cores).then(|| problem_of_cores(next)),
        (next.broker_ip1 != before.broker_ip1).then(|| problem_of_name(next)),
        (next.bind_address != before.bind_address).then(|| problem_of_address(next)),
        (next.namesrv_addr != before.namesrv_addr).then(|| problem_of_name_servers(next)),
        (ports(next) != ports(before)).then(|| problem_of_ports(running, next)),
    ];
    problems.into_iter().flatten().flatten().next()
}

fn problem_of_cores(next: &Settings) -> Option<String> {
    let ShardCores::List(cores) = &next.shard_cores else { return None };
    let usable = shards::usable_cores();
    let core = cores.iter().find(|core| !usable.contains(core))?;
    Some(format!("shardCores: core {core} is not usable; choose among {usable:?}"))
}

/// Host names take a while to be looked up: those are for the file.
fn problem_of_name(next: &Settings) -> Option<String> {
    let address = next.broker_ip1.as_str();
    (!address.is_empty() && address.parse::<IpAddr>().is_err())
        .then(|| format!("brokerIP1 = \"{address}\": a request changes it to an IP address only"))
}

fn problem_of_address(next: &Settings) -> Option<String> {
    let address = next.bind_address;
    let error = Listener::bind(SocketAddr::new(address, 0), Reuse::No).err()?;
    Some(format!("bindAddress={address}: nothing can be opened on it: {error}"))
}

fn problem_of_name_servers(next: &Settings) -> Option<String> {
    name_servers(&next.namesrv_addr).iter().find_map(|address| problem_of_name_server(address))
}

/// Name servers have no port of their own that could be assumed.
pub(crate) fn problem_of_name_server(address: &str) -> Option<String> {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let problem =
        || format!("namesrvAddr = \"{address}\": expected host:port, such as 10.0.0.1:9876");
    port.is_none_or(|port| port == 0).then(problem)
}

/// The ports that a broker opens, with their keys. Its name server's is one of them unless there is
/// certainly none: whether one is named elsewhere the next start decides.
fn ports(settings: &Settings) -> Vec<(&'static str, u16)> {
    let clients = settings.listen_port;
    let mut ports = vec![("listenPort", clients), ("listenPort", clients - VIP_PORT_BELOW)];
    if settings.embedded_namesrv != EmbeddedNamesrv::No {
        ports.push(("embeddedNamesrvPort", settings.embedded_namesrv_port));
    }
    ports
}

fn problem_of_ports(running: &Settings, next: &Settings) -> Option<String> {
    if let Some(problem) = problem_of_equal_ports(next) {
        return Some(problem);
    }
    let open: Vec<u16> = ports(running).into_iter().map(|(_, port)| port).collect();
    let new = ports(next).into_iter().filter(|(_, port)| !open.contains(port));
    new.into_iter().find_map(|(key, port)| {
        let error = Listener::bind(SocketAddr::new(next.bind_address, port), Reuse::No).err()?;
        Some(format!("{key}: port {port} cannot be opened: {error}"))
    })
}

/// Why the name server of this process and the broker cannot both open their ports.
pub(crate) fn problem_of_equal_ports(settings: &Settings) -> Option<String> {
    let (clients, namesrv) = (settings.listen_port, settings.embedded_namesrv_port);
    let vip = clients - VIP_PORT_BELOW;
    let is_off = settings.embedded_namesrv == EmbeddedNamesrv::No;
    (!is_off && (namesrv == clients || namesrv == vip)).then(|| {
        format!(
            "embeddedNamesrvPort={namesrv} is a port of listenPort={clients}, which opens {clients} \
             and {vip}: set another, or embeddedNamesrv=false"
        )
    })
}

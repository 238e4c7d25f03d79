//! Who a client is, to brokers and in unique keys.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};

use ringmq_protocol::ids::{UniqueKeys, since_month_start_ms};
use ringmq_runtime::{clock, host, process, random};

use crate::config::ClientConfig;

/// Settled when the first server is reached: the address is the one through which it was. It must
/// differ from host to host, or members of a group take each other for themselves.
pub(crate) struct Identity {
    /// `<ip>@<pid>#<start>[@<unit>]`, or with the instance name if one was configured.
    pub(crate) client_id: String,
    /// The same at the next start: for local offset files.
    pub(crate) lasting: String,
    keys: RefCell<UniqueKeys>,
}

impl Identity {
    /// `reached_from`: our end of the first connection. A loopback address, which every host has,
    /// or none gives way to one that others know this host by, if there is one.
    pub(super) fn new(config: &ClientConfig, reached_from: Option<IpAddr>) -> Self {
        let own = || host::ipv4().map(IpAddr::from);
        let ip = reached_from.filter(|ip| !ip.is_loopback()).or_else(own).or(reached_from);
        let ip = ip.unwrap_or(Ipv4Addr::LOCALHOST.into());
        let (pid, now_ms) = (process::pid(), clock::unix_ms());
        let salt = random::seed_u64();
        let name = match config.instance_name.as_str() {
            // Two clients of one process may start within a millisecond: the salt tells them apart.
            "DEFAULT" => format!("{pid}#{now_ms}{:04}", salt % 10_000),
            name => name.to_owned(),
        };
        let unit = config.unit_name.as_ref().map(|unit| format!("@{unit}")).unwrap_or_default();
        let [.., a, b, c, d] = salt.to_be_bytes();
        Self {
            client_id: format!("{ip}@{name}{unit}"),
            lasting: format!("{ip}@{}{unit}", config.instance_name),
            keys: RefCell::new(UniqueKeys::new(ip, pid, u32::from_be_bytes([a, b, c, d]))),
        }
    }

    /// A unique key for a message made now.
    pub(crate) fn next_key(&self, now_ms: i64) -> String {
        let mut key = String::new();
        self.keys.borrow_mut().next_into(since_month_start_ms(now_ms), &mut key);
        key
    }

    #[cfg(test)]
    pub(crate) fn sample() -> Self {
        Self::new(&ClientConfig::new("127.0.0.1:9876"), None)
    }
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::shards;

    use super::*;
    use crate::instance::Instance;

    #[test]
    fn a_client_that_reached_nobody_is_nobody_yet() {
        shards::block_on(async {
            let config =
                ClientConfig { instance_name: "name".into(), ..ClientConfig::new("127.0.0.1:1") };
            let instance = Instance::new(config);
            instance.heartbeat().await;
            assert!(instance.identity.get().is_none(), "settled before there was a connection");
        });
    }

    #[test]
    fn a_client_goes_by_the_address_from_which_it_reached_others() {
        let config =
            ClientConfig { instance_name: "name".into(), ..ClientConfig::new("127.0.0.1:1") };
        let id = |from: [u8; 4]| Identity::new(&config, Some(from.into())).client_id;
        assert_eq!(id([10, 1, 2, 3]), "10.1.2.3@name");
        let own = host::ipv4().unwrap_or(Ipv4Addr::LOCALHOST);
        assert_eq!(id([127, 0, 0, 1]), format!("{own}@name"), "loopback is any host");
    }
}

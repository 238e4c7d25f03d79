//! What this machine calls itself.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// Name of the host; `localhost` if the kernel does not tell.
#[must_use]
pub fn name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// The IPv4 address that others reach this machine at: that of the default route, else the first
/// that is not loopback; `None` on a machine without a network.
#[must_use]
pub fn ipv4() -> Option<Ipv4Addr> {
    default_route().or_else(|| {
        let table = std::fs::read_to_string("/proc/net/fib_trie").ok()?;
        local_addresses(&table).into_iter().find(|address| is_usable(*address))
    })
}

/// The lowest port that the kernel gives to outgoing connections; its usual value if `/proc` is not
/// mounted.
pub(crate) fn first_ephemeral_port() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let first = range.ok().and_then(|text| text.split_ascii_whitespace().next()?.parse().ok());
    first.unwrap_or(32_768)
}

/// The source address towards the internet. Connecting a datagram socket sends nothing.
fn default_route() -> Option<Ipv4Addr> {
    /// Any address outside works; this one is reserved for documentation and never routed locally.
    const OUTSIDE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(OUTSIDE).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if is_usable(address) => Some(address),
        _ => None,
    }
}

fn is_usable(address: Ipv4Addr) -> bool {
    !address.is_loopback() && !address.is_unspecified() && !address.is_link_local()
}

/// Addresses that the kernel's routing table lists as its own, in its order.
fn local_addresses(fib_trie: &str) -> Vec<Ipv4Addr> {
    let mut addresses = Vec::new();
    let mut last = None;
    for line in fib_trie.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last.take()
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_found_in_the_routing_table() {
        let table = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.1.2.0
        /24 link UNICAST
     |-- 10.1.2.3
        /32 host LOCAL
     |-- 10.1.2.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 10.1.2.3
        /32 host LOCAL
";
        let found = local_addresses(table);
        assert_eq!(found, [Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::LOCALHOST]);
    }

    #[test]
    fn this_machine_has_a_name_and_never_announces_loopback() {
        assert!(!name().is_empty());
        assert!(ipv4().is_none_or(is_usable));
    }
}

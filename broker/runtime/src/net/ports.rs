//! Ports that are free, for tests and tools that start servers.

use std::io;
use std::net::SocketAddr;

use super::{Listener, Reuse};
use crate::random::Sequence;
use crate::{host, random};

/// So many ports of the loopback address that are free now, each with the port two below it, where
/// brokers open their VIP channel. For processes that are about to be started, and started again:
/// the ports lie below those that the kernel gives to outgoing connections, so that none sits on
/// one while its process is down. Another process may still be faster to take one.
///
/// # Errors
/// `AddrInUse`: not enough were found in the tries allowed.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let is_free =
        |port| Listener::bind(SocketAddr::from(([127, 0, 0, 1], port)), Reuse::No).is_ok();
    let mut drawn = Sequence::new(random::seed_u64());
    let range = FREE_PORT_MIN..host::first_ephemeral_port().max(FREE_PORT_MIN + 1_000);
    let mut found: Vec<u16> = Vec::with_capacity(count);
    for _ in 0..FREE_PORT_TRIES {
        let offset = drawn.below(u64::from(range.end - range.start));
        let port = range.start + u16::try_from(offset).expect("below the length of the range");
        let apart = found.iter().all(|&other| other.abs_diff(port) > 2);
        if apart && is_free(port) && is_free(port - 2) {
            found.push(port);
        }
        if found.len() >= count {
            return Ok(found);
        }
    }
    Err(io::Error::from(io::ErrorKind::AddrInUse))
}

/// Lowest port that [`free_ports`] gives: above those of the well-known services, RocketMQ's too.
const FREE_PORT_MIN: u16 = 12_000;

/// Pairs of ports that [`free_ports`] looks at.
const FREE_PORT_TRIES: usize = 1_000;

//! The ports of the broker, which all shards share.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringmq_remoting::{Server, ServerLimits};
use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::process;
use ringmq_runtime::start::{ListenerKeys, explain_bind};

use crate::descriptors::FILES_PER_CONNECTION_MIN;
use crate::dispatch::Front;
use crate::shard::DataPlane;

/// How far below the first port the second one is, for clients that send through the "VIP channel".
pub(crate) const VIP_PORT_BELOW: u16 = 2;

impl DataPlane {
    /// Says whether the ports are free. Shards share them, so the kernel would not.
    ///
    /// # Errors
    /// The port that is taken.
    pub fn check_ports(&self) -> Result<(), String> {
        for (addr, key) in self.addresses() {
            bind(addr, key, Reuse::No)?;
        }
        Ok(())
    }

    /// Accepts connections.
    ///
    /// # Errors
    /// The port that is taken.
    pub fn listen(self: Rc<Self>) -> Result<(), String> {
        let (idle, frame_max) = {
            let view = self.local.view();
            let settings = view.settings();
            let seconds = settings.server_channel_max_idle_seconds;
            (Duration::from_secs(seconds.into()), settings.max_message_size as usize)
        };
        let mut limits = ServerLimits { idle_timeout: idle, ..ServerLimits::default() };
        let of_connections = process::open_files_max() / FILES_PER_CONNECTION_MIN;
        let of_shard = of_connections / self.link.shards();
        limits.connections_max = limits.connections_max.min(of_shard.max(1));
        let frame_size_max_bytes = &mut limits.connection.frame_size_max_bytes;
        *frame_size_max_bytes = (*frame_size_max_bytes).max(frame_max + (1 << 20));
        let server = Server::new(Rc::new(Front(Rc::clone(&self))), limits);
        for (addr, key) in self.addresses() {
            server.listen(bind(addr, key, Reuse::Port)?);
        }
        let before = self.running.server.replace(Some(server));
        assert!(before.is_none(), "a shard listens once");
        Ok(())
    }

    /// Where a shard listens, each with the setting that its port comes from.
    fn addresses(&self) -> [(SocketAddr, &'static str); 2] {
        let view = self.local.view();
        let settings = view.settings();
        let ip = settings.bind_address;
        let port = settings.listen_port;
        [
            (SocketAddr::new(ip, port), "listenPort"),
            (
                SocketAddr::new(ip, port - VIP_PORT_BELOW),
                "listenPort (this port, of the VIP channel, is 2 below it)",
            ),
        ]
    }
}

fn bind(addr: SocketAddr, port_key: &str, reuse: Reuse) -> Result<Listener, String> {
    let keys = ListenerKeys { port: port_key, address: "bindAddress" };
    Listener::bind(addr, reuse).map_err(|error| explain_bind(addr, keys, error).to_string())
}

//! TCP: listeners, streams whose halves read and write independently, and files sent unread.

mod ports;
mod stream;

use std::fmt;
use std::io;
use std::net::SocketAddr;
#[cfg(feature = "sim")]
use std::rc::Rc;

pub use self::ports::free_ports;
use self::stream::AnyStream;
pub use self::stream::{GATHER_PIECES_MAX, READ_SIZE_BYTES, ReadHalf, Stream, WriteHalf};
#[cfg(feature = "sim")]
use crate::sim;
use crate::{live, task};

/// Whether several listeners may share an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// One listener per address; a second one fails with `AddrInUse`.
    No,
    /// Every shard binds its own; the kernel spreads new connections over them (SO_REUSEPORT).
    Port,
}

/// The address that `host:port` stands for, looked up on the executor's thread for that unless it
/// is numeric; the IPv4 one where a name has several, as Java clients choose. The real name service
/// is asked in simulated worlds too.
///
/// # Errors
/// `InvalidInput` without a port, `NotFound` and the like when the name is unknown; `TimedOut`
/// after 20 s without an answer; `ResourceBusy` while 64 others wait for one.
pub async fn resolve(address: &str) -> io::Result<SocketAddr> {
    if let Ok(numeric) = address.parse() {
        return Ok(numeric);
    }
    let mut addresses = look_up(address).await?;
    addresses.sort_by_key(|address| !address.is_ipv4());
    let unknown = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    addresses.first().copied().ok_or_else(unknown)
}

async fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
    // Time is not the name service's there: a limit of it would have passed at once.
    #[cfg(feature = "sim")]
    if sim::current().is_some() {
        task::yield_now().await;
        return Ok(std::net::ToSocketAddrs::to_socket_addrs(name)?.collect());
    }
    live::resolve::look_up(name.to_owned()).await
}

/// A listening socket. Stays on its shard.
pub struct Listener {
    inner: AnyListener,
}

enum AnyListener {
    Live(live::net::Listener),
    #[cfg(feature = "sim")]
    Sim(sim::net::Listener),
}

impl Listener {
    /// Binds and listens. Port 0 takes a free one: see [`Listener::local_addr`].
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`: as the kernel says.
    pub fn bind(addr: SocketAddr, reuse: Reuse) -> io::Result<Self> {
        #[cfg(feature = "sim")]
        if sim::current().is_some() {
            return Ok(Self { inner: AnyListener::Sim(sim::net::Listener::bind(addr, reuse)?) });
        }
        Ok(Self { inner: AnyListener::Live(live::net::Listener::bind(addr, reuse)?) })
    }

    /// Waits for the next connection. May be dropped at any time without losing one.
    ///
    /// # Errors
    /// `EMFILE` and the like, after which accepting may go on; a peer that gave up meanwhile is
    /// not an error.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let accepted = match &self.inner {
            AnyListener::Live(listener) => AnyStream::Live(listener.accept().await?),
            #[cfg(feature = "sim")]
            AnyListener::Sim(listener) => AnyStream::Sim(Rc::new(listener.accept().await)),
        };
        let stream = Stream::from(accepted);
        let peer = stream.peer_addr();
        Ok((stream, peer))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.inner {
            AnyListener::Live(listener) => listener.local_addr(),
            #[cfg(feature = "sim")]
            AnyListener::Sim(listener) => Ok(listener.local_addr()),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({:?})", self.local_addr())
    }
}

/// Lets everybody have a turn first who is ready now, and then those whose bytes have come: the
/// executor looks at its sockets in between. For who is about to take what has gathered, and would
/// rather take more of it. In the simulated world others have their turns, too.
pub async fn after_arrivals() {
    live::poller::want_look();
    task::yield_now().await;
    task::yield_now().await;
}

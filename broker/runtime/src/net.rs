//! TCP: listeners, streams whose halves read and write independently, and files sent unread.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::disk::{AnyView, FileView};
use crate::random::Sequence;
#[cfg(feature = "sim")]
use crate::sim;
use crate::{host, live, random, task};

/// Evaluates an expression with the inner value of either world.
macro_rules! in_world {
    ($value:expr, $inner:ident => $call:expr) => {
        match $value {
            AnyStream::Live($inner) => $call,
            #[cfg(feature = "sim")]
            AnyStream::Sim($inner) => $call,
        }
    };
}

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

/// Both worlds' ends of a connection; shared by its halves.
enum AnyStream {
    Live(live::net::Stream),
    #[cfg(feature = "sim")]
    Sim(Rc<sim::net::Stream>),
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
        let stream = Stream { inner: Rc::new(accepted) };
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

/// A connection. Its socket closes when the stream and both halves are gone.
#[derive(Clone)]
pub struct Stream {
    inner: Rc<AnyStream>,
}

impl Stream {
    /// Connects, within `limit`.
    ///
    /// # Errors
    /// `TimedOut`, `ConnectionRefused`: as the kernel says.
    pub async fn connect(addr: SocketAddr, limit: Duration) -> io::Result<Self> {
        #[cfg(feature = "sim")]
        if sim::current().is_some() {
            let stream = sim::net::Stream::connect(addr, limit).await?;
            return Ok(Self { inner: Rc::new(AnyStream::Sim(stream)) });
        }
        let stream = live::net::Stream::connect(addr, limit).await?;
        Ok(Self { inner: Rc::new(AnyStream::Live(stream)) })
    }

    /// The other end.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        in_world!(&*self.inner, stream => stream.peer_addr())
    }

    /// This end.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        in_world!(&*self.inner, stream => stream.local_addr())
    }

    /// The two directions, for two tasks.
    #[must_use]
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        (ReadHalf { inner: self.inner.clone() }, WriteHalf { inner: self.inner })
    }

    /// Ends both directions now: waiting readers see the end of the stream, waiting writers an
    /// error, and the peer a close. Bytes already written are still delivered.
    pub fn shutdown(&self) {
        in_world!(&*self.inner, stream => stream.shutdown());
    }
}

/// Pieces of one gathered write; more go in the next. The kernel's limit (UIO_MAXIOV): an answer of
/// 1024 messages is as many pieces, and in writes of 64 a fifth of the CPU of such pulls went into
/// waking the reader for each.
pub const GATHER_PIECES_MAX: usize = 1024;

/// Most bytes that one [`ReadHalf::read_with`] lends.
pub const READ_SIZE_BYTES: usize = 256 << 10;

/// The reading direction of a [`Stream`].
pub struct ReadHalf {
    inner: Rc<AnyStream>,
}

impl ReadHalf {
    /// Waits for bytes, reads once into the shard's scratch buffer and lends it to `take`.
    ///
    /// The bytes are gone from the socket: `take` keeps what it cannot use yet. An empty slice is
    /// the end of the stream. Dropping the future loses nothing. Connections that wait hold no
    /// buffer, so 10,000 idle ones cost none.
    ///
    /// # Errors
    /// `ConnectionReset` and the like; the connection is then dead.
    pub async fn read_with<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        in_world!(&*self.inner, stream => stream.read_with(take).await)
    }

    /// Tells that nothing can be done before `bytes` more have come, for all reads until the next
    /// call: where they are many, a read may wait until a good part of them is there, or the stream
    /// ends, instead of being woken for each packet. 0 when that is not known.
    pub fn expect(&self, bytes: usize) {
        match &*self.inner {
            AnyStream::Live(stream) => stream.expect(bytes),
            #[cfg(feature = "sim")]
            AnyStream::Sim(_) => {}
        }
    }

    /// Ends both directions, as [`Stream::shutdown`].
    pub fn shutdown(&self) {
        in_world!(&*self.inner, stream => stream.shutdown());
    }
}

/// The writing direction of a [`Stream`].
pub struct WriteHalf {
    inner: Rc<AnyStream>,
}

impl WriteHalf {
    /// Writes what fits now, in one system call, and tells how much that was.
    ///
    /// # Errors
    /// `WouldBlock` if nothing fits; `BrokenPipe`, `ConnectionReset`: the connection is dead.
    pub fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        in_world!(&*self.inner, stream => stream.try_write(pieces))
    }

    /// As [`WriteHalf::try_write`], but waits until something fits. Dropping the future may or
    /// may not have written. `pieces` must not be all empty.
    ///
    /// # Errors
    /// The connection is dead.
    pub async fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        in_world!(&*self.inner, stream => stream.write(pieces).await)
    }

    /// Writes all pieces, waiting as often as needed.
    ///
    /// # Errors
    /// The connection is dead.
    pub async fn write_all(&mut self, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut pieces, 0);
        while !pieces.is_empty() {
            let written = self.write(pieces).await?;
            IoSlice::advance_slices(&mut pieces, written);
        }
        Ok(())
    }

    /// Sends `len` bytes of a file from `pos` on, without copying them through this process if
    /// they are cached, and without holding up the shard if they are not.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends first; `EIO` if the device cannot read it, which
    /// [`crate::disk::File::failed_to_send`] tells from then on; else the connection is dead. What
    /// was sent by then is unknown: close the connection.
    pub async fn send_file(&mut self, file: &FileView, pos: u64, len: u64) -> io::Result<()> {
        match (&*self.inner, &file.inner) {
            (AnyStream::Live(stream), AnyView::Live(view)) => {
                stream.send_file(view, pos, len).await
            }
            #[cfg(feature = "sim")]
            (AnyStream::Sim(_), AnyView::Sim(view)) => self.send_pieces(view, pos, len).await,
            #[cfg(feature = "sim")]
            _ => panic!("a file of one world cannot go through a stream of the other"),
        }
    }

    #[cfg(feature = "sim")]
    async fn send_pieces(
        &mut self,
        view: &sim::file::FileView,
        pos: u64,
        len: u64,
    ) -> io::Result<()> {
        let mut piece = [0; 4096];
        let (mut pos, end) = (pos, pos + len);
        while pos < end {
            let want = usize::try_from(end - pos).unwrap_or(usize::MAX).min(piece.len());
            let read = view.read_at(pos, &mut piece[..want])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.write_all(&mut [IoSlice::new(&piece[..read])]).await?;
            pos += u64::try_from(read).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    /// Ends both directions, as [`Stream::shutdown`].
    pub fn shutdown(&self) {
        in_world!(&*self.inner, stream => stream.shutdown());
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({} to {})", self.local_addr(), self.peer_addr())
    }
}

impl fmt::Debug for ReadHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadHalf({:?})", Stream { inner: self.inner.clone() })
    }
}

impl fmt::Debug for WriteHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriteHalf({:?})", Stream { inner: self.inner.clone() })
    }
}

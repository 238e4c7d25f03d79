//! TCP: listeners, streams whose halves read and write independently, and files sent unread.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use crate::disk::{AnyView, FileView};
use crate::{live, task};

/// Whether several listeners may share an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// One listener per address; a second one fails with `AddrInUse`.
    No,
    /// Every shard binds its own; the kernel spreads new connections over them (SO_REUSEPORT).
    Port,
}

/// The address that `host:port` stands for, looked up on a helper thread unless it is numeric; the
/// IPv4 one where a name has several, as Java clients choose.
///
/// # Errors
/// `InvalidInput` without a port, `NotFound` and the like when the name is unknown.
pub async fn resolve(address: &str) -> io::Result<SocketAddr> {
    if let Ok(numeric) = address.parse() {
        return Ok(numeric);
    }
    let name = address.to_owned();
    let found = task::blocking(move || {
        let mut addresses: Vec<_> = name.to_socket_addrs()?.collect();
        addresses.sort_by_key(|address| !address.is_ipv4());
        Ok::<_, io::Error>(addresses.first().copied())
    });
    found.await?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

/// A listening socket. Stays on its shard.
#[derive(Debug)]
pub struct Listener {
    inner: live::net::Listener,
}

impl Listener {
    /// Binds and listens. Port 0 takes a free one: see [`Listener::local_addr`].
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`: as the kernel says.
    pub fn bind(addr: SocketAddr, reuse: Reuse) -> io::Result<Self> {
        Ok(Self { inner: live::net::Listener::bind(addr, reuse)? })
    }

    /// Waits for the next connection. May be dropped at any time without losing one.
    ///
    /// # Errors
    /// `EMFILE` and the like, after which accepting may go on; a peer that gave up meanwhile is
    /// not an error.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let inner = self.inner.accept().await?;
        let stream = Stream { inner: Rc::new(inner) };
        let peer = stream.peer_addr();
        Ok((stream, peer))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection. Its socket closes when the stream and both halves are gone.
#[derive(Clone, Debug)]
pub struct Stream {
    inner: Rc<live::net::Stream>,
}

impl Stream {
    /// Connects, within `limit`.
    ///
    /// # Errors
    /// `TimedOut`, `ConnectionRefused`: as the kernel says.
    pub async fn connect(addr: SocketAddr, limit: Duration) -> io::Result<Self> {
        Ok(Self { inner: Rc::new(live::net::Stream::connect(addr, limit).await?) })
    }

    /// The other end.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.inner.peer_addr()
    }

    /// This end.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    /// The two directions, for two tasks.
    #[must_use]
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        (ReadHalf { inner: self.inner.clone() }, WriteHalf { inner: self.inner })
    }

    /// Ends both directions now: waiting readers see the end of the stream, waiting writers an
    /// error, and the peer a close. Bytes already written are still delivered.
    pub fn shutdown(&self) {
        self.inner.shutdown();
    }
}

/// Most bytes that one [`ReadHalf::read_with`] lends.
pub const READ_SIZE_BYTES: usize = 256 << 10;

/// The reading direction of a [`Stream`].
#[derive(Debug)]
pub struct ReadHalf {
    inner: Rc<live::net::Stream>,
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
        self.inner.read_with(take).await
    }

    /// Ends both directions, as [`Stream::shutdown`].
    pub fn shutdown(&self) {
        self.inner.shutdown();
    }
}

/// The writing direction of a [`Stream`].
#[derive(Debug)]
pub struct WriteHalf {
    inner: Rc<live::net::Stream>,
}

impl WriteHalf {
    /// Writes what fits now, in one system call, and tells how much that was.
    ///
    /// # Errors
    /// `WouldBlock` if nothing fits; `BrokenPipe`, `ConnectionReset`: the connection is dead.
    pub fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner.try_write(pieces)
    }

    /// As [`WriteHalf::try_write`], but waits until something fits. Dropping the future may or
    /// may not have written. `pieces` must not be all empty.
    ///
    /// # Errors
    /// The connection is dead.
    pub async fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner.write(pieces).await
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
    /// `UnexpectedEof` if the file ends first; else the connection is dead. What was sent by then
    /// is unknown: close the connection.
    pub async fn send_file(&mut self, file: &FileView, pos: u64, len: u64) -> io::Result<()> {
        match &file.inner {
            AnyView::Live(view) => self.inner.send_file(view, pos, len).await,
            #[cfg(feature = "sim")]
            AnyView::Sim(view) => {
                let mut piece = [0; 4096];
                let (mut pos, end) = (pos, pos + len);
                while pos < end {
                    let want = usize::try_from(end - pos).unwrap_or(usize::MAX).min(piece.len());
                    let read = view.read_at(pos, &mut piece[..want]);
                    if read == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.write_all(&mut [IoSlice::new(&piece[..read])]).await?;
                    pos += u64::try_from(read).unwrap_or(u64::MAX);
                }
                Ok(())
            }
        }
    }

    /// Ends both directions, as [`Stream::shutdown`].
    pub fn shutdown(&self) {
        self.inner.shutdown();
    }
}

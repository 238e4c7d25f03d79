//! Connections, and their halves for two tasks.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::disk::{AnyView, FileView};
use crate::live;
#[cfg(feature = "sim")]
use crate::sim;

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

/// Both worlds' ends of a connection; shared by its halves.
pub(super) enum AnyStream {
    Live(live::net::Stream),
    #[cfg(feature = "sim")]
    Sim(Rc<sim::net::Stream>),
}

/// A connection. Its socket closes when the stream and both halves are gone.
#[derive(Clone)]
pub struct Stream {
    inner: Rc<AnyStream>,
}

impl From<AnyStream> for Stream {
    fn from(inner: AnyStream) -> Self {
        Self { inner: Rc::new(inner) }
    }
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
            return Ok(Self::from(AnyStream::Sim(stream)));
        }
        let stream = live::net::Stream::connect(addr, limit).await?;
        Ok(Self::from(AnyStream::Live(stream)))
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

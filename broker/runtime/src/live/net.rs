//! Sockets on glommio, which waits for readiness and then calls plain `recv` and `send`.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_lite::io::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::disk::{View, io_error};
use super::{send_file, sys};
use crate::net::{READ_SIZE_BYTES, Reuse};

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

thread_local! {
    /// Where all connections of this shard read: lent out synchronously, so one is enough.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
}

impl Listener {
    pub(crate) fn bind(addr: SocketAddr, reuse: Reuse) -> io::Result<Self> {
        // socket2 sets CLOEXEC.
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if reuse == Reuse::Port {
            socket.set_reuse_port(true)?;
        }
        if let SocketAddr::V6(v6) = addr {
            // Both families on the unspecified address, whatever the system's default is.
            socket.set_only_v6(!v6.ip().is_unspecified())?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        address(self.socket.local_addr()?)
    }

    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        loop {
            match sys::accept(self.socket.as_fd()) {
                Ok(socket) => return Stream::of_accepted(socket),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => readable(self.socket.as_fd()).await?,
                    // That peer is gone; the next one may not be.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }
}

fn address(addr: socket2::SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
}

/// Waits until `fd` is readable, or has hung up. Dropping the future loses nothing.
///
/// glommio 0.9 has no such call, and its own `accept` loses connections when dropped. But its
/// `TcpStream` arms a poll for any descriptor when made, and asks again when that fires; the
/// `recv` it then tries fails on everything but a connected socket (ENOTSOCK, ENOTCONN), which is
/// the answer wanted here. So: for listeners, eventfds and the like, never for connections.
pub(crate) async fn readable(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a new descriptor, which the stream closes.
    let mut stream = unsafe { TcpStream::from_raw_fd(fd.try_clone_to_owned()?.into_raw_fd()) };
    poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut [0])).await.ok();
    Ok(())
}

#[derive(Debug)]
pub(crate) struct Stream {
    /// Borrowed while one direction is polled, never across a wait.
    stream: RefCell<TcpStream>,
    /// The stream's descriptor, for system calls of our own.
    fd: std::os::fd::RawFd,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Stream {
    fn of_accepted(socket: OwnedFd) -> io::Result<Self> {
        // SAFETY: ownership moves from `OwnedFd` to the stream.
        Self::of(unsafe { TcpStream::from_raw_fd(socket.into_raw_fd()) })
    }

    pub(crate) async fn connect(addr: SocketAddr, limit: Duration) -> io::Result<Self> {
        // glommio refuses a limit of zero.
        let limit = limit.max(Duration::from_millis(1));
        Self::of(TcpStream::connect_timeout(addr, limit).await.map_err(io_error)?)
    }

    fn of(stream: TcpStream) -> io::Result<Self> {
        let fd = stream.as_raw_fd();
        // SAFETY: `stream` keeps the descriptor open for longer than this borrow.
        let socket_fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let socket = SockRef::from(&socket_fd);
        // Without NODELAY a short sendfile waits 40 ms for the peer's delayed acknowledgement;
        // without NONBLOCK sendfile waits for room and holds up the shard.
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let (peer, local) = (address(socket.peer_addr()?)?, address(socket.local_addr()?)?);
        Ok(Self { stream: RefCell::new(stream), fd, peer, local })
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `self.stream` keeps it open, and outlives the borrow.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }

    pub(crate) fn shutdown(&self) {
        // Fails only if the connection is down already.
        let _ = SockRef::from(&self.as_fd()).shutdown(Shutdown::Both);
    }

    pub(crate) async fn read_with<R>(&self, take: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let mut take = Some(take);
        poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| {
                // Allocated by the first read: threads without connections need none.
                scratch.resize(READ_SIZE_BYTES, 0);
                let mut stream = self.stream.borrow_mut();
                let read = pin!(&mut *stream).poll_read(context, scratch);
                drop(stream);
                read.map_ok(|len| {
                    let take = take.take().expect("not polled again after it is ready");
                    take(&scratch[..len])
                })
            })
        })
        .await
    }

    pub(crate) fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match sys::send(self.as_fd(), pieces) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent,
            }
        }
    }

    pub(crate) async fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.try_write(pieces) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        // glommio waits for room only with bytes at hand, of one piece. (Sending no bytes returns
        // at once, room or not.)
        let Some(first) = pieces.iter().find(|piece| !piece.is_empty()) else { return Ok(0) };
        self.write_one(first).await
    }

    /// Waits until some of `bytes` could be written.
    pub(super) async fn write_one(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| {
            let mut stream = self.stream.borrow_mut();
            Pin::new(&mut *stream).poll_write(context, bytes)
        })
        .await
    }

    pub(crate) async fn send_file(&self, file: &View, pos: u64, len: u64) -> io::Result<()> {
        send_file::send(self, file, pos, len).await
    }
}

impl Drop for Stream {
    /// Tells the peer at once: the socket itself stays open until the kernel has cancelled the
    /// poll that glommio left on it.
    fn drop(&mut self) {
        self.shutdown();
    }
}

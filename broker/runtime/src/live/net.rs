//! Sockets: waited for together by the executor's poller, and then called plainly.

#![allow(unsafe_code)]

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::time::Duration;

use futures_lite::io::AsyncRead;
use glommio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::file::FileView;
use super::poller::{Direction, Watch};
use super::{send_file, sys};
use crate::net::{READ_SIZE_BYTES, Reuse};
use crate::task;

/// So many bytes that a reader lacks are waited for together, as far as they go: on loopback a
/// packet has 64 KiB at most, and to wake a reader's core for each took 11 % of the CPU of a shard
/// that answers pulls of 1,024 messages of 1 KiB.
const EXPECTED_MAX_BYTES: usize = 128 << 10;

/// Fewer come in few packets.
const EXPECTED_MIN_BYTES: usize = 32 << 10;

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

thread_local! {
    /// Where all connections of this shard read: lent out synchronously, so one is enough.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
pub(crate) struct Listener {
    /// Made by the first wait: where ports are looked for, there is no executor. Before the socket,
    /// so that it is dropped before.
    watch: OnceCell<Watch>,
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
        Ok(Self { watch: OnceCell::new(), socket })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        address(self.socket.local_addr()?)
    }

    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        loop {
            match sys::sockets::accept(self.socket.as_fd()) {
                Ok(socket) => match Stream::of_accepted(socket) {
                    // That peer is gone again: it has no address any more.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                        task::yield_if_needed().await;
                    }
                    accepted => return accepted,
                },
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.connected().await?,
                    // That peer is gone; the next one may not be.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Waits for a connection, after there was none.
    async fn connected(&self) -> io::Result<()> {
        let watch = match self.watch.get() {
            Some(watch) => watch,
            // One that comes in between is reported, since it is there when the watch begins.
            None => self.watch.get_or_init({
                let watch = Watch::of(self.socket.as_fd())?;
                || watch
            }),
        };
        watch.blocked(Direction::Read);
        watch.ready(Direction::Read).await;
        Ok(())
    }
}

fn address(addr: socket2::SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
}

/// Waits until `fd` is readable, or has hung up. Dropping the future loses nothing.
///
/// glommio 0.9 has no such call. But its `TcpStream` arms a poll for any descriptor when made, and
/// asks again when that fires; the `recv` it then tries fails on everything but a connected socket
/// (ENOTSOCK), which is the answer wanted here. So: for eventfds, epoll sets and the like, never
/// for connections.
pub(crate) async fn readable(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a new descriptor, which the stream closes.
    let mut stream = unsafe { TcpStream::from_raw_fd(fd.try_clone_to_owned()?.into_raw_fd()) };
    poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut [0])).await.ok();
    Ok(())
}

/// Congestion control of connections that do not leave the machine. BBR, the default on many, looks
/// for the rate of a line and sets timers to keep to it; memory has no line (`bench/NOTES.md`).
/// Every kernel has this one.
const WITHIN_THE_MACHINE: &[u8] = b"reno";

#[derive(Debug)]
pub(crate) struct Stream {
    /// Before the socket, so that it is dropped before.
    watch: Watch,
    socket: OwnedFd,
    /// Bytes from which on the kernel calls the socket readable (SO_RCVLOWAT).
    low_water: Cell<usize>,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Stream {
    fn of_accepted(socket: OwnedFd) -> io::Result<Self> {
        let watch = Watch::of(socket.as_fd())?;
        Self::of(socket, watch)
    }

    pub(crate) async fn connect(addr: SocketAddr, limit: Duration) -> io::Result<Self> {
        // socket2 sets CLOEXEC.
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        match socket.connect(&addr.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        // A socket counts as down until it begins to connect, so it is watched from here on.
        let watch = Watch::of(socket.as_fd())?;
        let connected = async {
            loop {
                watch.blocked(Direction::Write);
                if is_connected(&socket)? {
                    return Ok::<_, io::Error>(());
                }
                watch.ready(Direction::Write).await;
            }
        };
        let outcome = task::timeout(limit, connected).await;
        outcome.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "connection timed out"))??;
        Self::of(socket.into(), watch)
    }

    fn of(socket: OwnedFd, watch: Watch) -> io::Result<Self> {
        let options = SockRef::from(&socket);
        // Without NODELAY a short sendfile waits 40 ms for the peer's delayed acknowledgement.
        options.set_tcp_nodelay(true)?;
        let (peer, local) = (address(options.peer_addr()?)?, address(options.local_addr()?)?);
        if peer.ip() == local.ip() {
            // Where it is refused the connection works all the same.
            options.set_tcp_congestion(WITHIN_THE_MACHINE).ok();
        }
        Ok(Self { watch, socket, low_water: Cell::new(1), peer, local })
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(crate) fn shutdown(&self) {
        // Fails only if the connection is down already.
        let _ = SockRef::from(&self.as_fd()).shutdown(Shutdown::Both);
    }

    pub(crate) async fn read_with<R>(&self, take: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        loop {
            self.watch.ready(Direction::Read).await;
            // Taken out, so that `take` may run anything.
            let mut scratch = SCRATCH.take();
            // Allocated by the first read: threads without connections need none.
            scratch.resize(READ_SIZE_BYTES, 0);
            let read = self.read(&mut scratch);
            if let Ok(Some(len)) = read {
                let taken = take(&scratch[..len]);
                SCRATCH.set(scratch);
                return Ok(taken);
            }
            SCRATCH.set(scratch);
            read?;
        }
    }

    pub(crate) fn expect(&self, bytes: usize) {
        let low_water = match bytes {
            0..EXPECTED_MIN_BYTES => 1,
            many => many.min(EXPECTED_MAX_BYTES),
        };
        if low_water == self.low_water.get() {
            return;
        }
        // The kernel reports at once if as much is there already. Should it refuse, reads only come
        // too early.
        if sys::sockets::set_receive_low_water(self.as_fd(), low_water).is_ok() {
            self.low_water.set(low_water);
        }
    }

    /// Reads once; `None` when there is nothing yet.
    fn read(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match sys::sockets::recv(self.as_fd(), into) {
            Ok(len) => {
                if len < into.len() {
                    self.watch.drained();
                }
                Ok(Some(len))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.watch.blocked(Direction::Read);
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match sys::sockets::send(self.as_fd(), pieces) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent,
            }
        }
    }

    pub(crate) async fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            self.expect_room();
            match self.try_write(pieces) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.room().await,
                done => return done,
            }
        }
    }

    /// An attempt to write begins, here or on another thread: room that is reported from now on
    /// counts.
    pub(super) fn expect_room(&self) {
        self.watch.blocked(Direction::Write);
    }

    /// Waits until the socket takes bytes again, after an attempt found that it took none.
    pub(super) async fn room(&self) {
        self.watch.ready(Direction::Write).await;
    }

    pub(crate) async fn send_file(&self, file: &FileView, pos: u64, len: u64) -> io::Result<()> {
        send_file::send(self, file, pos, len).await
    }
}

impl Drop for Stream {
    /// Tells the peer at once: a helper that sends a file may keep the socket open for a while.
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Whether a socket that connects is connected; why it failed, if it did.
fn is_connected(socket: &Socket) -> io::Result<bool> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

//! The network between simulated nodes: node `n` has the address `10.0.0.0 + n`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::device::between;
use super::faults::NetFaults;
use super::pipe::Pipe;
use super::{Core, NodeId, current};
use crate::net::Reuse;
use crate::task;

/// First of the ports that connections and listeners on port 0 get.
const FIRST_FREE_PORT: u16 = 32_768;

/// Connections that may wait to be accepted.
const BACKLOG: usize = 1024;

/// After a power failure the other side notices within this: no packet tells it.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// A node and a port on it.
type Endpoint = (NodeId, u16);

#[derive(Default)]
pub(crate) struct Network {
    faults: RefCell<NetFaults>,
    listeners: RefCell<BTreeMap<Endpoint, Vec<Rc<Queue>>>>,
    connections: RefCell<Vec<Weak<Stream>>>,
    last_port: Cell<u16>,
}

/// Connections that wait at one listener.
#[derive(Default)]
struct Queue {
    waiting: RefCell<VecDeque<Stream>>,
    waker: Cell<Option<Waker>>,
}

fn core() -> Rc<Core> {
    current().expect("the simulated network works inside sim::World::run")
}

/// Address of a node.
pub(super) fn ip(node: NodeId) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + node))
}

/// The node that an address means to `here`.
fn node_at(addr: IpAddr, here: NodeId) -> Option<NodeId> {
    match addr {
        addr if addr.is_loopback() || addr.is_unspecified() => Some(here),
        IpAddr::V4(v4) => v4.to_bits().checked_sub(Ipv4Addr::new(10, 0, 0, 0).to_bits()),
        IpAddr::V6(_) => None,
    }
}

impl Network {
    pub(super) fn change_faults(&self, change: impl FnOnce(&mut NetFaults)) {
        change(&mut self.faults.borrow_mut());
    }

    pub(super) fn draws_reset(&self, core: &Core) -> bool {
        self.faults.borrow().reset.draw(&mut core.random())
    }

    pub(super) fn draws_latency_ns(&self, core: &Core) -> u64 {
        let (least, most) = self.faults.borrow().latency;
        u64::try_from(between(least, most, core).as_nanos()).unwrap_or(u64::MAX)
    }

    /// True if packets from one node do not reach the other.
    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.faults.borrow().partitions.contains(&(from, to))
    }

    fn free_port(&self) -> u16 {
        let last = self.last_port.get();
        let port = if last < FIRST_FREE_PORT { FIRST_FREE_PORT } else { last.wrapping_add(1) };
        self.last_port.set(port.max(FIRST_FREE_PORT));
        self.last_port.get()
    }

    /// The power of a node is cut: no packet says so to the others.
    pub(super) fn lose_power(&self, core: &Core, node: NodeId) {
        self.connections.borrow_mut().retain(|connection| connection.strong_count() > 0);
        for connection in self.connections.borrow().iter().filter_map(Weak::upgrade) {
            if connection.here == node || connection.there == node {
                let notice = between(Duration::ZERO, SILENCE_MAX, core);
                let notice_ns = u64::try_from(notice.as_nanos()).unwrap_or(u64::MAX);
                connection.break_at(core.now_ns() + notice_ns);
            }
        }
        self.lose_process(node);
    }

    /// The process of a node is gone: its sockets close with its tasks.
    pub(super) fn lose_process(&self, node: NodeId) {
        self.listeners.borrow_mut().retain(|(at, _), _| *at != node);
    }
}

pub(crate) struct Listener {
    key: Endpoint,
    addr: SocketAddr,
    queue: Rc<Queue>,
}

impl Listener {
    pub(crate) fn bind(addr: SocketAddr, reuse: Reuse) -> io::Result<Self> {
        let core = core();
        let node = core.node();
        if node_at(addr.ip(), node) != Some(node) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = if addr.port() == 0 { core.net().free_port() } else { addr.port() };
        let key = (node, port);
        let mut listeners = core.net().listeners.borrow_mut();
        let sharing = listeners.entry(key).or_default();
        if !sharing.is_empty() && reuse == Reuse::No {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let queue = Rc::new(Queue::default());
        sharing.push(queue.clone());
        Ok(Self { key, addr: SocketAddr::new(addr.ip(), port), queue })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) async fn accept(&self) -> Stream {
        poll_fn(|context| match self.queue.waiting.borrow_mut().pop_front() {
            Some(stream) => Poll::Ready(stream),
            None => {
                self.queue.waker.set(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(core) = current() else { return };
        let mut listeners = core.net().listeners.borrow_mut();
        if let Some(sharing) = listeners.get_mut(&self.key) {
            sharing.retain(|queue| !Rc::ptr_eq(queue, &self.queue));
            if sharing.is_empty() {
                listeners.remove(&self.key);
            }
        }
    }
}

/// One end of a connection.
pub(crate) struct Stream {
    here: NodeId,
    there: NodeId,
    local: SocketAddr,
    peer: SocketAddr,
    incoming: Rc<Pipe>,
    outgoing: Rc<Pipe>,
}

impl Stream {
    pub(crate) async fn connect(addr: SocketAddr, limit: Duration) -> io::Result<Rc<Self>> {
        let core = core();
        let here = core.node();
        let there = node_at(addr.ip(), here).ok_or(io::ErrorKind::HostUnreachable)?;
        let handshake = async {
            let round_trip = 2 * core.net().draws_latency_ns(&core);
            task::sleep(Duration::from_nanos(round_trip)).await;
            while core.net().is_cut(here, there) || core.net().is_cut(there, here) {
                // The kernel sends its request again.
                task::sleep(Duration::from_millis(200)).await;
            }
        };
        let in_time = task::timeout(limit, handshake).await;
        in_time.map_err(|task::Elapsed| io::ErrorKind::TimedOut)?;
        let queue = core.net().pick_queue(&core, (there, addr.port()))?;

        let port = core.net().free_port();
        let is_loopback = addr.ip().is_loopback();
        let local = SocketAddr::new(if is_loopback { addr.ip() } else { ip(here) }, port);
        let (to, back) = (Rc::new(Pipe::new(here, there)), Rc::new(Pipe::new(there, here)));
        let ends = |here, there, local, peer, incoming: &Rc<Pipe>, outgoing: &Rc<Pipe>| Self {
            here,
            there,
            local,
            peer,
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
        };
        queue.waiting.borrow_mut().push_back(ends(there, here, addr, local, &to, &back));
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
        let stream = Rc::new(ends(here, there, local, addr, &back, &to));
        // One end is enough: both share their pipes.
        core.net().connections.borrow_mut().push(Rc::downgrade(&stream));
        Ok(stream)
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(crate) async fn read_with<R>(&self, take: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let bytes = self.incoming.read(&core()).await?;
        Ok(take(&bytes))
    }

    pub(crate) fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.checked(self.outgoing.try_write(&core(), pieces))
    }

    pub(crate) async fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let core = core();
        let written = self.outgoing.write(&core, pieces).await;
        self.checked(written)
    }

    /// A reset of one direction is one of both.
    fn checked(&self, written: io::Result<usize>) -> io::Result<usize> {
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset) {
            self.break_at(core().now_ns());
        }
        written
    }

    fn break_at(&self, ns: u64) {
        self.incoming.reset_at(ns);
        self.outgoing.reset_at(ns);
    }

    pub(crate) fn shutdown(&self) {
        self.outgoing.close_write(current().as_deref());
        self.incoming.close_read();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Network {
    /// The queue of one of the listeners at an address.
    fn pick_queue(&self, core: &Core, key: Endpoint) -> io::Result<Rc<Queue>> {
        let listeners = self.listeners.borrow();
        let sharing = listeners.get(&key).ok_or(io::ErrorKind::ConnectionRefused)?;
        let count = u64::try_from(sharing.len()).unwrap_or(u64::MAX);
        let drawn = usize::try_from(core.below(count)).unwrap_or(0);
        let queue = sharing.get(drawn).ok_or(io::ErrorKind::ConnectionRefused)?;
        if queue.waiting.borrow().len() >= BACKLOG {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(queue.clone())
    }
}

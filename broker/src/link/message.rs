//! What one shard says to another.

use std::any::Any;
use std::net::SocketAddr;
use std::rc::Rc;

use ringmq_runtime::task::LocalFuture;
use ringmq_store::Piece;
use smallvec::SmallVec;

use crate::shard::DataPlane;
use crate::stages::{Answered, Arrival};
use crate::view::Change;

/// Names a connection in the whole broker, for as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionKey {
    /// The shard that accepted it.
    pub shard: usize,
    /// Its id there; never used twice.
    pub id: u64,
}

/// A connection as another shard knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteConnection {
    /// Its name.
    pub key: ConnectionKey,
    /// The client's address.
    pub peer: SocketAddr,
    /// Our address that it connected to.
    pub local: SocketAddr,
}

/// Pieces of answers, each with the number of encoded bytes that go before it; ascending.
pub type Pieces = Vec<(usize, Piece)>;

/// Answers for one connection: encoded frames, with message bytes to be put in between.
#[derive(Default)]
pub struct Reply {
    /// Encoded bytes.
    pub bytes: Vec<u8>,
    /// What goes in between.
    pub pieces: Pieces,
    /// Bytes of all pieces.
    pub piece_bytes: u64,
    /// Bytes of requests of this connection that were handled: its shard may send more.
    pub handled_bytes: usize,
    /// The answers to sends among them whose leaving is timed: most often those of one or two turns
    /// of reading.
    pub answered: SmallVec<[Answered; 2]>,
    /// More was answered in one turn than a connection may have copied for it: nothing of it is
    /// kept, and its shard closes the connection.
    pub is_overfull: bool,
}

/// What runs on another shard, and gives the value that is sent back.
pub(super) type Job = Box<dyn FnOnce(Rc<DataPlane>) -> LocalFuture<Box<dyn Any + Send>> + Send>;

/// A message between two shards.
pub enum ShardMessage {
    /// Whole frames of one connection, back to back, for queues of the receiver.
    Requests {
        /// Where they came from and the answers go.
        connection: RemoteConnection,
        /// The frames.
        frames: Vec<u8>,
        /// How often they were passed on already.
        hops: u8,
        /// When they came, while stages of sends are timed.
        arrival: Option<Arrival>,
        /// An empty list for the answers, of which the sender gets filled ones: without it each
        /// answer with pieces would take memory here that is given back there.
        spare: Pieces,
    },
    /// Answers for a connection of the receiver.
    Reply {
        /// Id of the connection.
        connection: u64,
        /// What to write.
        reply: Reply,
    },
    /// To shard 0: a connection with a registered client was closed.
    Closed(ConnectionKey),
    /// From shard 0: the view changed.
    Change(Change),
    /// Run this and send what it returns.
    Run {
        /// Names the waiting caller on the sender's shard.
        call: usize,
        /// What to run.
        job: Job,
    },
    /// What a job returned.
    Returned {
        /// The waiting caller.
        call: usize,
        /// The value, of the type the caller knows.
        value: Box<dyn Any + Send>,
    },
}

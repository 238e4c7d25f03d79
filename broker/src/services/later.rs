//! Answers of the control plane that wait: for the disk, for another client, for another shard.
//!
//! Each waits by itself, since what they wait for differs, and a read of a connection can begin
//! thousands. What they keep meanwhile is shared out ([`Shares`]): a connection with so many on
//! their way that no more places are free is answered SYSTEM_BUSY, and what it asked to wait for is
//! not begun. What would find no place on an idle broker either is answered SYSTEM_ERROR: nobody
//! should try it again.

use std::cell::RefCell;
use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_remoting::ReplyTo;
use ringmq_runtime::task::{self, LocalFuture};

use super::control::{Answer, reply};
use crate::outcome::Refusal;
use crate::peer::Peer;
use crate::shares::Shares;

/// Bytes of the requests that wait for the disk or for another shard, heartbeats among them.
pub(super) const OWN_MAX_BYTES: usize = 48 << 20;

/// Bytes of those that wait for another client, which may stay silent for ten seconds. However many
/// connections ask such clients, they take no places of the others.
pub(super) const RELAYED_MAX_BYTES: usize = 16 << 20;

/// Bytes of lists of topics and groups that wait for the disk, counted as what they unfolded to. A
/// connection alone may have 28 MiB on their way; the largest body of real entries unfolds to 20.
pub(super) const LISTS_MAX_BYTES: usize = 256 << 20;

/// What each counts for at least: a task and what it prepares.
const WAITING_MIN_BYTES: usize = 4 << 10;

/// One connection may have an eighth of what is free: at most 1,365 requests of our own, and 455
/// that other clients are asked.
const PART: usize = 8;

/// Answers of the control plane that are on their way.
pub struct LaterAnswers {
    shares: RefCell<Shares>,
}

impl LaterAnswers {
    /// None; the requests of those to come may have `max_bytes`.
    pub(super) fn new(max_bytes: usize) -> Rc<Self> {
        Rc::new(Self { shares: RefCell::new(Shares::new(max_bytes, PART)) })
    }

    /// Answers a request of `bytes` with what `answer` resolves to; one that finds no place is
    /// refused, and `answer` never begun.
    pub(super) fn spawn(
        self: &Rc<Self>,
        peer: &Peer,
        to: ReplyTo,
        bytes: usize,
        answer: LocalFuture<Result<Answer, Refusal>>,
    ) {
        let (key, bytes) = (peer.key(), bytes.max(WAITING_MIN_BYTES));
        let most = self.shares.borrow().most_of_one();
        if bytes > most {
            let remark = format!(
                "the request takes {bytes} bytes while it waits for its answer, with all that its \
                 list refers to, at most {most} are allowed: send the list in parts"
            );
            return peer.refuse(&to, &Refusal::new(response::SYSTEM_ERROR, remark));
        }
        if !self.shares.borrow_mut().take(key, bytes) {
            let taken = self.shares.borrow().of(key);
            let remark = format!(
                "requests of this connection wait for their answers with {taken} bytes, and no \
                 more are free"
            );
            return peer.refuse(&to, &Refusal::busy(remark));
        }
        let (waiting, peer) = (Rc::clone(self), peer.clone());
        let later = async move {
            reply(&peer, &to, answer.await);
            waiting.shares.borrow_mut().give_back(key, bytes);
        };
        task::spawn("answer of the control plane", later).detach();
    }
}

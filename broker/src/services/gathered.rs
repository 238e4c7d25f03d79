//! Answers that are gathered over all queues or groups: one at a time, the others in line.
//!
//! Such an answer may have 65,535 entries, take tens of milliseconds of shard 0 in one step and
//! megabytes until it is sent. A read of a connection can hold thousands of requests for it, so
//! connections have their [`Turns`], and between two of them everything else has its own. Whoever
//! does not read what it got waits for the next until it does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ringmq_remoting::ReplyTo;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::task::{self, LocalFuture};

use super::control::{Answer, reply};
use super::turns::{FullInARow, Turns};
use crate::link::ConnectionKey;
use crate::outcome::Refusal;
use crate::peer::Peer;

/// Requests in line, half of them of one connection: a tool asks for one after the other, a
/// dashboard for a few.
const WAITING_MAX: usize = 1024;

/// The line of the control plane.
pub struct GatherLine {
    waiting: RefCell<Turns<Waiting>>,
    is_served: Cell<bool>,
}

impl Default for GatherLine {
    fn default() -> Self {
        Self { waiting: RefCell::new(Turns::new(WAITING_MAX)), is_served: Cell::new(false) }
    }
}

struct Waiting {
    peer: Peer,
    to: ReplyTo,
    answer: LocalFuture<Result<Answer, Refusal>>,
}

impl GatherLine {
    /// Answers a request with what `answer` resolves to, when it is its turn.
    pub(super) fn join(
        self: &Rc<Self>,
        peer: &Peer,
        to: ReplyTo,
        answer: LocalFuture<Result<Answer, Refusal>>,
    ) {
        let waiting = Waiting { peer: peer.clone(), to, answer };
        let without_place = self.waiting.borrow_mut().join(peer.key(), 1, waiting, Instant::now());
        for Waiting { peer, to, .. } in without_place {
            let remark = "no place is free in the line for answers over all queues, where each \
                          connection has its share";
            peer.refuse(&to, &Refusal::busy(remark));
        }
        if !self.is_served.replace(true) {
            task::spawn("answers over all queues", Rc::clone(self).serve()).detach();
        }
    }

    async fn serve(self: Rc<Self>) {
        let mut full = FullInARow::default();
        while let Some((key, peer)) = self.next_turn() {
            // Such an answer costs more than to ask another shard first.
            if peer.is_gone().await {
                self.waiting.borrow_mut().forget(key);
            } else if peer.is_out_full().await {
                self.waiting.borrow_mut().put_back(key);
                let limit = self.waiting.borrow().len();
                full.add(limit).await;
            } else {
                full.end();
                let (Waiting { peer, to, answer }, _) = self.waiting.borrow_mut().take(key);
                reply(&peer, &to, answer.await);
                task::yield_now().await;
            }
        }
        self.is_served.set(false);
    }

    /// Begins the next connection's turn.
    fn next_turn(&self) -> Option<(ConnectionKey, Peer)> {
        self.waiting.borrow_mut().begin().map(|(key, waiting)| (key, waiting.peer.clone()))
    }
}

//! Answers that are gathered over all queues or groups: one at a time, the others in line.
//!
//! Such an answer may have 65,535 entries, take tens of milliseconds of shard 0 in one step and
//! megabytes until it is sent. A read of a connection can hold thousands of requests for it, so
//! they wait for their turn, and between two of them everything else has its own.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_remoting::ReplyTo;
use ringmq_runtime::task::{self, LocalFuture};

use super::control::{Answer, reply};
use crate::outcome::Refusal;
use crate::peer::Peer;

/// Requests in line.
const WAITING_MAX: usize = 1024;

/// Requests of one connection in line: a tool asks for one after the other, a dashboard for a few.
const OF_CONNECTION_MAX: usize = 64;

/// The line of the control plane.
#[derive(Default)]
pub struct GatherLine {
    waiting: RefCell<VecDeque<Waiting>>,
    is_served: Cell<bool>,
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
        {
            let mut waiting = self.waiting.borrow_mut();
            let of_connection = waiting.iter().filter(|other| other.peer.key() == peer.key());
            if of_connection.count() >= OF_CONNECTION_MAX || waiting.len() >= WAITING_MAX {
                let remark = format!(
                    "{} requests wait for answers over all queues, at most {OF_CONNECTION_MAX} of \
                     one connection",
                    waiting.len()
                );
                return peer.refuse(&to, &Refusal::new(response::SYSTEM_BUSY, remark));
            }
            waiting.push_back(Waiting { peer: peer.clone(), to, answer });
        }
        if !self.is_served.replace(true) {
            task::spawn("answers over all queues", Rc::clone(self).serve()).detach();
        }
    }

    async fn serve(self: Rc<Self>) {
        while let Some(Waiting { peer, to, answer }) = self.next() {
            if !peer.is_gone().await {
                reply(&peer, &to, answer.await);
                task::yield_now().await;
            }
        }
        self.is_served.set(false);
    }

    fn next(&self) -> Option<Waiting> {
        self.waiting.borrow_mut().pop_front()
    }
}

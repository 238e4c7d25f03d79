//! Requests that we sent and whose answers are awaited: opaque to waiter, with deadlines.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringmq_protocol::Command;
use ringmq_runtime::clock::Instant;
use slab::Slab;

use crate::{Connection, OwnedCommand};

/// Calls that one connection can have open at once: a slot number fills 16 bits of the opaque.
pub const CALLS_MAX: usize = 65_535;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing came back in time; whether the request was carried out is unknown.
    #[error("no answer within {} ms", .timeout.as_millis())]
    Timeout {
        /// The time that was given.
        timeout: Duration,
    },
    /// The connection closed first; whether the request was carried out is unknown.
    #[error("connection closed: {reason}")]
    Closed {
        /// Why it was closed.
        reason: &'static str,
    },
    /// The limit of open calls is reached; nothing was sent.
    #[error("{limit} calls are open on this connection")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// Gets the answer, or the lack of one.
type Callback = Box<dyn FnOnce(Result<&Command<'_>, CallError>)>;

/// The open calls of one connection.
pub(crate) struct Calls {
    slots: Slab<OpenCall>,
    sequence: i32,
    limit: usize,
}

struct OpenCall {
    opaque: i32,
    deadline: Instant,
    timeout: Duration,
    state: State,
}

enum State {
    /// A future waits; the waker is set once it was polled.
    Waiting(Option<Waker>),
    /// A future waits and its answer is here.
    Done(Result<OwnedCommand, CallError>),
    /// Nobody polls: the callback takes the answer.
    Callback(Callback),
}

/// What to run, outside of any borrow, when a call has come to its end.
pub(crate) enum Finished {
    Wake(Waker),
    Call(Callback),
    /// The future has not been polled yet and will find the result.
    Stored,
    /// No such call: it timed out before, or was never ours.
    Unknown,
}

impl Finished {
    pub(crate) fn run(self, result: Result<&Command<'_>, CallError>) {
        match self {
            Self::Wake(waker) => waker.wake(),
            Self::Call(callback) => callback(result),
            Self::Stored | Self::Unknown => {}
        }
    }
}

impl Calls {
    pub(crate) fn new(limit: usize) -> Self {
        Self { slots: Slab::new(), sequence: 0, limit: limit.min(CALLS_MAX) }
    }

    /// Whether one more call may be opened.
    pub(crate) fn check_room(&self) -> Result<(), CallError> {
        match self.slots.len() < self.limit {
            true => Ok(()),
            false => Err(CallError::TooMany { limit: self.limit }),
        }
    }

    /// Opens a call whose answer [`Calls::poll`] gives out; returns its opaque.
    pub(crate) fn open(&mut self, now: Instant, timeout: Duration) -> Result<i32, CallError> {
        self.check_room()?;
        Ok(self.insert(now, timeout, State::Waiting(None)))
    }

    /// Opens a call whose answer goes to `callback`, after [`Calls::check_room`].
    pub(crate) fn open_with(&mut self, now: Instant, timeout: Duration, callback: Callback) -> i32 {
        self.insert(now, timeout, State::Callback(callback))
    }

    /// An opaque for a request without an answer: its slot number is one that no call has.
    pub(crate) fn next_oneway_opaque(&mut self) -> i32 {
        self.next_sequence() | 0xffff
    }

    /// The upper half of an opaque: tells a late answer to a former call from the one that has its
    /// slot now.
    fn next_sequence(&mut self) -> i32 {
        self.sequence = (self.sequence + 1) & 0x7fff;
        self.sequence << 16
    }

    fn insert(&mut self, now: Instant, timeout: Duration, state: State) -> i32 {
        assert!(self.slots.len() < self.limit, "room for a call was checked");
        let sequence = self.next_sequence();
        let entry = self.slots.vacant_entry();
        let slot = i32::try_from(entry.key()).expect("the limit keeps slots below 16 bits");
        let opaque = sequence | slot;
        entry.insert(OpenCall { opaque, deadline: now + timeout, timeout, state });
        opaque
    }

    fn find(&mut self, opaque: i32) -> Option<(usize, &mut OpenCall)> {
        let slot = usize::try_from(opaque & 0xffff).ok()?;
        let call = self.slots.get_mut(slot).filter(|call| call.opaque == opaque)?;
        Some((slot, call))
    }

    /// Ends a call; `result` is only asked for when a future keeps it.
    pub(crate) fn finish(
        &mut self,
        opaque: i32,
        result: impl FnOnce() -> Result<OwnedCommand, CallError>,
    ) -> Finished {
        let Some((slot, call)) = self.find(opaque) else { return Finished::Unknown };
        match &mut call.state {
            State::Waiting(waker) => {
                let waker = waker.take();
                call.state = State::Done(result());
                waker.map_or(Finished::Stored, Finished::Wake)
            }
            State::Done(_) => Finished::Unknown,
            State::Callback(_) => match self.slots.remove(slot).state {
                State::Callback(callback) => Finished::Call(callback),
                State::Waiting(_) | State::Done(_) => unreachable!("the state was just looked at"),
            },
        }
    }

    /// The result of a call, once: its slot is free afterwards. Keeps the waker otherwise.
    fn poll(&mut self, opaque: i32, waker: &Waker) -> Option<Result<OwnedCommand, CallError>> {
        let (slot, call) = self.find(opaque).expect("a call keeps its slot until it is polled");
        if let State::Waiting(kept) = &mut call.state {
            match kept {
                Some(kept) => kept.clone_from(waker),
                None => *kept = Some(waker.clone()),
            }
            return None;
        }
        match self.slots.remove(slot).state {
            State::Done(result) => Some(result),
            State::Waiting(_) | State::Callback(_) => unreachable!("futures have no callback"),
        }
    }

    /// Forgets a call whose future was dropped; a late answer finds nothing.
    fn forget(&mut self, opaque: i32) {
        if let Some((slot, _)) = self.find(opaque) {
            self.slots.remove(slot);
        }
    }

    fn unanswered(&self) -> impl Iterator<Item = &OpenCall> {
        let calls = self.slots.iter().map(|(_, call)| call);
        calls.filter(|call| !matches!(call.state, State::Done(_)))
    }

    /// Whether every call has its answer, or the lack of one.
    pub(crate) fn are_answered(&self) -> bool {
        self.unanswered().next().is_none()
    }

    /// Calls that must not wait any longer, each with its error.
    pub(crate) fn expired(&self, now: Instant) -> Vec<(i32, CallError)> {
        let overdue = self.unanswered().filter(|call| call.deadline <= now);
        overdue.map(|call| (call.opaque, CallError::Timeout { timeout: call.timeout })).collect()
    }

    /// The earliest deadline among the calls that have no answer.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.unanswered().map(|call| call.deadline).min()
    }

    /// The opaques of all open calls.
    pub(crate) fn opaques(&self) -> Vec<i32> {
        self.slots.iter().map(|(_, call)| call.opaque).collect()
    }
}

/// The answer to a call that is on its way. Dropping it forgets the call.
#[must_use = "the answer is lost when nobody awaits it"]
pub struct Call {
    state: CallState,
}

enum CallState {
    Open { connection: Rc<Connection>, opaque: i32 },
    Failed(CallError),
    Over,
}

impl Call {
    pub(crate) fn open(connection: Rc<Connection>, opaque: i32) -> Self {
        Self { state: CallState::Open { connection, opaque } }
    }

    pub(crate) fn failed(error: CallError) -> Self {
        Self { state: CallState::Failed(error) }
    }
}

impl Future for Call {
    type Output = Result<OwnedCommand, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &self.state {
            CallState::Open { connection, opaque } => {
                match connection.calls.borrow_mut().poll(*opaque, context.waker()) {
                    Some(result) => result,
                    None => return Poll::Pending,
                }
            }
            CallState::Failed(error) => Err(error.clone()),
            CallState::Over => panic!("a call was polled after it had given its answer"),
        };
        self.state = CallState::Over;
        Poll::Ready(result)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let CallState::Open { connection, opaque } = &self.state {
            connection.calls.borrow_mut().forget(*opaque);
            connection.call_ended();
        }
    }
}

//! One direction of a simulated connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Core, NodeId, Timer};

/// Bytes that fit between a writer and a reader: small, so that writers have to wait.
const CAPACITY_BYTES: usize = 64 << 10;

/// How often a reader looks whether a partition is over.
const PARTITION_LOOK: Duration = Duration::from_millis(10);

pub(super) struct Pipe {
    from: NodeId,
    to: NodeId,
    state: RefCell<State>,
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
}

#[derive(Default)]
struct State {
    /// Pieces and the time they arrive, in order.
    travelling: VecDeque<(u64, Piece)>,
    arrived: VecDeque<u8>,
    /// Bytes of both.
    held_bytes: usize,
    /// The writer has ended the stream, or the reader's side is shut down.
    is_write_closed: bool,
    is_read_closed: bool,
    has_end_arrived: bool,
    /// From this time on both sides see a reset.
    reset_at_ns: Option<u64>,
}

enum Piece {
    Bytes(Vec<u8>),
    End,
}

impl Pipe {
    pub(super) fn new(from: NodeId, to: NodeId) -> Self {
        let (reader, writer) = (Cell::default(), Cell::default());
        Self { from, to, state: RefCell::default(), reader, writer }
    }

    /// Takes some of the bytes; how many, and when they arrive, is drawn.
    pub(super) fn try_write(&self, core: &Core, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.check_reset(core)?;
        if core.net().draws_reset(core) {
            self.reset_at(core.now_ns());
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let mut state = self.state.borrow_mut();
        if state.is_write_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = CAPACITY_BYTES - state.held_bytes;
        let offered: usize = pieces.iter().map(|piece| piece.len()).sum();
        if room == 0 && offered > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes: Vec<u8> =
            pieces.iter().flat_map(|piece| piece.iter().copied()).take(room).collect();
        let bytes = some_of(bytes, core);
        let written = bytes.len();
        state.held_bytes += written;
        state.send(core, Piece::Bytes(bytes));
        drop(state);
        wake(&self.reader);
        Ok(written)
    }

    pub(super) async fn write(&self, core: &Rc<Core>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut timer = None;
        poll_fn(|context| {
            loop {
                match self.try_write(core, pieces) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
                self.writer.set(Some(context.waker().clone()));
                let Some(reset_at_ns) = self.state.borrow().reset_at_ns else {
                    return Poll::Pending;
                };
                let wait = Duration::from_nanos(reset_at_ns.saturating_sub(core.now_ns()));
                let timer = timer.insert(Timer::after(core.clone(), wait));
                if Pin::new(timer).poll(context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Waits for bytes, or the end: then there are none.
    pub(super) async fn read(&self, core: &Rc<Core>) -> io::Result<Vec<u8>> {
        let mut timer = None;
        poll_fn(|context| self.poll_read(core, &mut timer, context)).await
    }

    fn poll_read(
        &self,
        core: &Rc<Core>,
        timer: &mut Option<Timer>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Vec<u8>>> {
        loop {
            self.check_reset(core)?;
            let is_cut = core.net().is_cut(self.from, self.to);
            let mut state = self.state.borrow_mut();
            if !is_cut {
                state.receive(core.now_ns());
            }
            if state.is_read_closed {
                return Poll::Ready(Ok(Vec::new()));
            }
            if !state.arrived.is_empty() {
                let bytes = state.take_some(core);
                drop(state);
                wake(&self.writer);
                return Poll::Ready(Ok(bytes));
            }
            if state.has_end_arrived {
                return Poll::Ready(Ok(Vec::new()));
            }
            self.reader.set(Some(context.waker().clone()));
            let Some(wait) = state.next_event(core.now_ns(), is_cut) else {
                return Poll::Pending;
            };
            drop(state);
            let timer = timer.insert(Timer::after(core.clone(), wait));
            if Pin::new(timer).poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// The writer ends the stream: its bytes arrive first. A broken connection carries no news.
    pub(super) fn close_write(&self, core: Option<&Core>) {
        let mut state = self.state.borrow_mut();
        let was_closed = std::mem::replace(&mut state.is_write_closed, true);
        if !was_closed && state.reset_at_ns.is_none() {
            match core {
                Some(core) => state.send(core, Piece::End),
                None => state.has_end_arrived = true,
            }
        }
        drop(state);
        wake(&self.reader);
        wake(&self.writer);
    }

    /// The reader wants no more.
    pub(super) fn close_read(&self) {
        let mut state = self.state.borrow_mut();
        state.is_read_closed = true;
        // What is written from now on meets nobody.
        state.is_write_closed = true;
        drop(state);
        wake(&self.reader);
        wake(&self.writer);
    }

    /// Breaks the connection at a time to come.
    pub(super) fn reset_at(&self, ns: u64) {
        self.state.borrow_mut().reset_at_ns.get_or_insert(ns);
        wake(&self.reader);
        wake(&self.writer);
    }

    fn check_reset(&self, core: &Core) -> io::Result<()> {
        match self.state.borrow().reset_at_ns {
            Some(ns) if ns <= core.now_ns() => Err(io::ErrorKind::ConnectionReset.into()),
            _ => Ok(()),
        }
    }
}

fn wake(waker: &Cell<Option<Waker>>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl State {
    fn send(&mut self, core: &Core, piece: Piece) {
        let arrival_ns = core.now_ns() + core.net().draws_latency_ns(core);
        // In order: nothing overtakes.
        let after_ns = self.travelling.back().map_or(0, |(last_ns, _)| *last_ns);
        self.travelling.push_back((arrival_ns.max(after_ns), piece));
    }

    fn receive(&mut self, now_ns: u64) {
        while self.travelling.front().is_some_and(|(arrival_ns, _)| *arrival_ns <= now_ns) {
            match self.travelling.pop_front() {
                Some((_, Piece::Bytes(bytes))) => self.arrived.extend(bytes),
                _ => self.has_end_arrived = true,
            }
        }
    }

    /// What one read gives: whatever has arrived, or only a part of it.
    fn take_some(&mut self, core: &Core) -> Vec<u8> {
        let all = self.arrived.len();
        let most = all.min(crate::net::READ_SIZE_BYTES);
        let len = some_len(most, core);
        self.held_bytes -= len;
        self.arrived.drain(..len).collect()
    }

    fn next_event(&self, now_ns: u64, is_cut: bool) -> Option<Duration> {
        let arrival_ns = self.travelling.front().map(|(arrival_ns, _)| *arrival_ns);
        let next_ns = arrival_ns.into_iter().chain(self.reset_at_ns).min()?;
        let wait = Duration::from_nanos(next_ns.saturating_sub(now_ns));
        Some(if is_cut { wait.max(PARTITION_LOOK) } else { wait })
    }
}

fn some_of(mut bytes: Vec<u8>, core: &Core) -> Vec<u8> {
    bytes.truncate(some_len(bytes.len(), core));
    bytes
}

/// Mostly all, sometimes less, never none of some.
fn some_len(len: usize, core: &Core) -> usize {
    if len < 2 || core.below(3) > 0 {
        return len;
    }
    let drawn = core.below(u64::try_from(len).unwrap_or(u64::MAX));
    usize::try_from(drawn).unwrap_or(len).max(1)
}

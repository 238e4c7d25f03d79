//! One connection of a run, with its slots for requests in flight.
//!
//! A slot is free or waits for one answer; the slot's number is the request's opaque, so an answer
//! finds its slot without a table. Slots take turns. Requests collect in one buffer and leave in
//! one write per batch.
//!
//! States: open, then closed for ever once the peer closed, broke the protocol or the write failed.
//! A closed lane says how many answers never came. A lane is finished when it is closed or its last
//! slot has retired.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::WriteHalf;
use ringmq_runtime::task;

use crate::driver::work::{Asked, Then, Work};
use crate::record::window::Window;

/// One connection.
pub struct Lane {
    work: Rc<dyn Work>,
    /// Absent while the drain task has it.
    write: RefCell<Option<WriteHalf>>,
    out: RefCell<Vec<u8>>,
    slots: RefCell<Vec<Option<Asked>>>,
    free: RefCell<VecDeque<u32>>,
    /// Slots that have retired.
    retired: Cell<usize>,
    closed: Cell<bool>,
}

impl Lane {
    /// A lane that asks what `work` says, in `depth` slots.
    pub fn new(work: Rc<dyn Work>, write: WriteHalf, depth: u32) -> Rc<Self> {
        Rc::new(Self {
            work,
            write: RefCell::new(Some(write)),
            out: RefCell::default(),
            slots: RefCell::new(vec![None; depth as usize]),
            free: RefCell::new((0..depth).collect()),
            retired: Cell::new(0),
            closed: Cell::new(false),
        })
    }

    /// True when the connection is of no use any more.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// True when it will never ask again.
    pub fn is_finished(&self) -> bool {
        self.closed.get() || self.retired.get() == self.slots.borrow().len()
    }

    /// True when something can be asked now.
    pub fn has_room(&self) -> bool {
        !self.closed.get() && !self.free.borrow().is_empty()
    }

    /// Requests that wait for an answer.
    pub fn in_flight(&self) -> usize {
        self.slots.borrow().len() - self.free.borrow().len() - self.retired.get()
    }

    /// Puts the next request into a free slot and into the buffer; [`Lane::flush`] sends it.
    pub fn ask(&self, intended: Instant, now: Instant) {
        let slot = self.free.borrow_mut().pop_front().expect("the caller asked has_room");
        let asked = Asked { intended, sent: now };
        self.work.ask(slot, asked, &mut self.out.borrow_mut());
        self.slots.borrow_mut()[slot as usize] = Some(asked);
    }

    /// Takes an answer; none when nobody waits for it.
    pub fn take(&self, answer: &Command<'_>, now: Instant, window: &mut Window) -> Option<Then> {
        let slot = u32::try_from(answer.opaque).ok()?;
        let asked = self.slots.borrow_mut().get_mut(slot as usize)?.take()?;
        let then = self.work.answered(slot, asked, now, answer, window);
        match then {
            Then::Retire => self.retired.set(self.retired.get() + 1),
            Then::Again | Then::Stop => self.free.borrow_mut().push_back(slot),
        }
        Some(then)
    }

    /// Sends what has collected: at once if the socket takes it, else through a task that waits.
    pub fn flush(self: &Rc<Self>) {
        let mut out = self.out.borrow_mut();
        let mut write = self.write.borrow_mut();
        let (Some(half), false) = (write.as_ref(), out.is_empty()) else { return };
        match half.try_write(&[IoSlice::new(&out)]) {
            Ok(written) if written == out.len() => out.clear(),
            Ok(written) => {
                out.drain(..written);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => {
                self.closed.set(true);
                out.clear();
            }
        }
        if !out.is_empty() {
            let half = write.take().expect("checked above");
            task::spawn("bench drain", self.clone().drain(half)).detach();
        }
    }

    /// Marks the lane as dead; returns the number of answers that will never come.
    pub fn close(&self) -> usize {
        self.closed.set(true);
        let mut lost = 0;
        for (slot, entry) in self.slots.borrow_mut().iter_mut().enumerate() {
            if entry.take().is_some() {
                self.free.borrow_mut().push_back(slot as u32);
                lost += 1;
            }
        }
        lost
    }

    /// Ends the connection, and with it whatever reads from it.
    pub fn hang_up(&self) {
        self.closed.set(true);
        // Absent while it is drained, which then ends it.
        if let Some(half) = self.write.borrow().as_ref() {
            half.shutdown();
        }
    }

    async fn drain(self: Rc<Self>, mut half: WriteHalf) {
        loop {
            let bytes = std::mem::take(&mut *self.out.borrow_mut());
            if bytes.is_empty() && !self.closed.get() {
                *self.write.borrow_mut() = Some(half);
                return;
            }
            if bytes.is_empty() || half.write_all(&mut [IoSlice::new(&bytes)]).await.is_err() {
                self.closed.set(true);
                half.shutdown();
                return;
            }
        }
    }
}

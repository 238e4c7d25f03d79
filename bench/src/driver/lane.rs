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
use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::WriteHalf;

use crate::driver::work::{AskedAt, Then, Work};
use crate::outbox::Outbox;
use crate::record::window::Window;

/// One connection.
pub struct Lane {
    work: Rc<dyn Work>,
    out: Rc<Outbox>,
    slots: RefCell<Vec<Option<AskedAt>>>,
    free: RefCell<VecDeque<u32>>,
    /// Slots that have retired.
    retired: Cell<usize>,
}

impl Lane {
    /// A lane that asks what `work` says, in `depth` slots.
    pub fn new(work: Rc<dyn Work>, write: WriteHalf, depth: u32) -> Rc<Self> {
        Rc::new(Self {
            work,
            out: Outbox::new(write),
            slots: RefCell::new(vec![None; depth as usize]),
            free: RefCell::new((0..depth).collect()),
            retired: Cell::new(0),
        })
    }

    /// True when the connection is of no use any more.
    pub fn is_closed(&self) -> bool {
        self.out.is_closed()
    }

    /// True when it will never ask again.
    pub fn is_finished(&self) -> bool {
        self.out.is_closed() || self.retired.get() == self.slots.borrow().len()
    }

    /// True when something can be asked now.
    pub fn has_room(&self) -> bool {
        !self.out.is_closed() && !self.free.borrow().is_empty()
    }

    /// Messages of a request, where they are known.
    pub fn messages_of_request(&self) -> Option<u64> {
        self.work.messages_of_request()
    }

    /// Requests that wait for an answer.
    pub fn in_flight(&self) -> usize {
        self.slots.borrow().len() - self.free.borrow().len() - self.retired.get()
    }

    /// Puts the next request into a free slot and into the buffer; [`Lane::flush`] sends it.
    pub fn ask(&self, intended: Instant, now: Instant) {
        let slot = self.free.borrow_mut().pop_front().expect("the caller asked has_room");
        let asked = AskedAt { intended, sent: now };
        self.work.ask(slot, asked, &mut self.out.bytes());
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

    /// Sends what has collected.
    pub fn flush(&self) {
        self.out.flush();
    }

    /// Marks the lane as dead; returns the number of answers that will never come.
    pub fn close(&self) -> usize {
        self.out.close();
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
        self.out.hang_up();
    }
}

//! One connection of a produce run, with its slots for messages in flight.
//!
//! A slot is free or waits for one answer; the slot's number is the request's opaque, so an answer
//! finds its slot without a table. Requests collect in one buffer and leave in one write per batch.
//!
//! States: open, then closed for ever once the peer closed, broke the protocol or the write failed.
//! A closed lane frees all its slots and says how many answers never came.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::WriteHalf;
use ringmq_runtime::task;

use crate::proof::journal::QueueNumber;
use crate::wire::SendTemplate;
use crate::workload::payload::{self, Identity};

/// A message in flight.
#[derive(Clone, Copy, Debug)]
pub struct InFlight {
    /// When the schedule wanted it sent.
    pub intended: Instant,
    /// When it was handed to the connection.
    pub sent: Instant,
    /// Its count within the lane.
    pub sequence: u64,
}

/// One connection.
pub struct Lane {
    id: u32,
    broker: u32,
    run: u64,
    template: SendTemplate,
    /// Absent while the drain task has it.
    write: RefCell<Option<WriteHalf>>,
    out: RefCell<Vec<u8>>,
    body: RefCell<Vec<u8>>,
    slots: RefCell<Vec<Option<InFlight>>>,
    free: RefCell<Vec<u32>>,
    sequence: Cell<u64>,
    closed: Cell<bool>,
}

impl Lane {
    /// A lane of `run` to the target's broker number `broker` that sends what `template` says,
    /// `depth` messages at a time.
    pub fn new(
        id: u32,
        broker: u32,
        run: u64,
        template: SendTemplate,
        write: WriteHalf,
        depth: u32,
    ) -> Rc<Self> {
        let body_size = template.body_size;
        Rc::new(Self {
            id,
            broker,
            run,
            template,
            write: RefCell::new(Some(write)),
            out: RefCell::default(),
            body: RefCell::new(vec![0; body_size]),
            slots: RefCell::new(vec![None; depth as usize]),
            free: RefCell::new((0..depth).rev().collect()),
            sequence: Cell::new(0),
            closed: Cell::new(false),
        })
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The number of a queue among those of all brokers of the target.
    pub fn queue(&self, queue_id: u32) -> QueueNumber {
        QueueNumber { broker: self.broker, queue_id }
    }

    /// Bytes of one body.
    pub fn body_size(&self) -> u64 {
        self.template.body_size as u64
    }

    /// True when the connection is of no use any more.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// True when a message can be sent now.
    pub fn has_room(&self) -> bool {
        !self.closed.get() && !self.free.borrow().is_empty()
    }

    /// Messages that wait for an answer.
    pub fn in_flight(&self) -> usize {
        self.slots.borrow().len() - self.free.borrow().len()
    }

    /// Puts the next message into a free slot and its request into the buffer; [`Lane::flush`]
    /// sends it.
    pub fn send(&self, intended: Instant, now: Instant) {
        let slot = self.free.borrow_mut().pop().expect("the caller asked has_room");
        let sequence = self.sequence.replace(self.sequence.get() + 1);
        let mut body = self.body.borrow_mut();
        payload::fill(Identity { run: self.run, lane: self.id, sequence }, &mut body);
        self.template.write(&mut self.out.borrow_mut(), self.id, sequence, slot, &body);
        self.slots.borrow_mut()[slot as usize] = Some(InFlight { intended, sent: now, sequence });
    }

    /// Takes the message that `opaque` answers; none when nothing waits there.
    pub fn complete(&self, opaque: i32) -> Option<InFlight> {
        let slot = usize::try_from(opaque).ok()?;
        let in_flight = self.slots.borrow_mut().get_mut(slot)?.take()?;
        self.free.borrow_mut().push(slot as u32);
        Some(in_flight)
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
                self.close();
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
                self.free.borrow_mut().push(slot as u32);
                lost += 1;
            }
        }
        lost
    }

    async fn drain(self: Rc<Self>, mut half: WriteHalf) {
        loop {
            let bytes = std::mem::take(&mut *self.out.borrow_mut());
            if bytes.is_empty() {
                *self.write.borrow_mut() = Some(half);
                return;
            }
            if half.write_all(&mut [IoSlice::new(&bytes)]).await.is_err() {
                self.close();
                return;
            }
        }
    }
}

//! The sending half of a connection: bytes collect in one buffer and leave in one write per batch.

use std::cell::{Cell, RefCell, RefMut};
use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;

use ringmq_runtime::net::WriteHalf;
use ringmq_runtime::task;

/// Bytes on their way out. Open, then closed for ever once a write failed or somebody closed it.
pub struct Outbox {
    /// Absent while the drain task has it.
    half: RefCell<Option<WriteHalf>>,
    bytes: RefCell<Vec<u8>>,
    closed: Cell<bool>,
}

impl Outbox {
    /// An empty one that sends through `half`.
    pub fn new(half: WriteHalf) -> Rc<Self> {
        Rc::new(Self {
            half: RefCell::new(Some(half)),
            bytes: RefCell::default(),
            closed: Cell::new(false),
        })
    }

    /// What has collected; [`Outbox::flush`] sends it. Not to be held across an await.
    pub fn bytes(&self) -> RefMut<'_, Vec<u8>> {
        self.bytes.borrow_mut()
    }

    /// True when nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Sends nothing more.
    pub fn close(&self) {
        self.closed.set(true);
    }

    /// Sends nothing more and ends the connection, and with it whatever reads from it.
    pub fn hang_up(&self) {
        self.close();
        // Absent while it is drained, which then ends it.
        if let Some(half) = self.half.borrow().as_ref() {
            half.shutdown();
        }
    }

    /// Sends what has collected: at once if the socket takes it, else through a task that waits.
    pub fn flush(self: &Rc<Self>) {
        let mut bytes = self.bytes.borrow_mut();
        let mut half = self.half.borrow_mut();
        let (Some(open), false) = (half.as_ref(), bytes.is_empty()) else { return };
        match open.try_write(&[IoSlice::new(&bytes)]) {
            Ok(written) if written == bytes.len() => bytes.clear(),
            Ok(written) => {
                bytes.drain(..written);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => {
                self.close();
                bytes.clear();
            }
        }
        if !bytes.is_empty() {
            let half = half.take().expect("checked above");
            task::spawn("bench drain", self.clone().drain(half)).detach();
        }
    }

    async fn drain(self: Rc<Self>, mut half: WriteHalf) {
        loop {
            let bytes = std::mem::take(&mut *self.bytes.borrow_mut());
            if bytes.is_empty() && !self.closed.get() {
                *self.half.borrow_mut() = Some(half);
                return;
            }
            if bytes.is_empty() || half.write_all(&mut [IoSlice::new(&bytes)]).await.is_err() {
                self.close();
                half.shutdown();
                return;
            }
        }
    }
}

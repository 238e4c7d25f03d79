//! From one thread to another: a value handed over once, and executors that others send work to.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

pub use crate::sync::Closed;

struct Slot<T> {
    value: Mutex<Option<T>>,
    waker: AtomicWaker,
    sender_alive: AtomicBool,
}

impl<T> Slot<T> {
    fn take(&self) -> Option<T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A channel for one value between any two threads; the receiver may be awaited on any executor.
#[must_use]
pub fn oneshot<T: Send>() -> (Sender<T>, Receiver<T>) {
    let slot = Arc::new(Slot {
        value: Mutex::new(None),
        waker: AtomicWaker::new(),
        sender_alive: AtomicBool::new(true),
    });
    (Sender(slot.clone()), Receiver(slot))
}

/// The sending half of a [`oneshot`].
pub struct Sender<T: Send>(Arc<Slot<T>>);

impl<T: Send> Sender<T> {
    /// Hands the value over; it is dropped if the receiver is gone.
    pub fn send(self, value: T) {
        *self.0.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    /// True if nobody waits for the value any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl<T: Send> Drop for Sender<T> {
    /// Wakes the receiver, for the value or for its absence.
    fn drop(&mut self) {
        self.0.sender_alive.store(false, Ordering::Release);
        self.0.waker.wake();
    }
}

/// The receiving half of a [`oneshot`]: await it.
pub struct Receiver<T: Send>(Arc<Slot<T>>);

impl<T: Send> Future for Receiver<T> {
    type Output = Result<T, Closed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.waker.register(context.waker());
        // Looked at after registering, so a value sent in between is either seen or wakes us; and
        // the sender's end before the value, since a sender stores the value first.
        let sender_alive = self.0.sender_alive.load(Ordering::Acquire);
        match self.0.take() {
            Some(value) => Poll::Ready(Ok(value)),
            None if sender_alive => Poll::Pending,
            None => Poll::Ready(Err(Closed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;

    #[test]
    fn a_value_crosses_threads() {
        for round in 0..200 {
            let (sender, receiver) = oneshot();
            let thread = std::thread::spawn(move || sender.send(round));
            assert_eq!(block_on(receiver), Ok(round));
            thread.join().expect("sender");
        }
    }

    #[test]
    fn a_lost_sender_is_reported() {
        let (sender, receiver) = oneshot::<u8>();
        let thread = std::thread::spawn(move || drop(sender));
        assert_eq!(block_on(receiver), Err(Closed));
        thread.join().expect("sender");
    }

    #[test]
    fn a_sender_notices_that_nobody_waits() {
        let (sender, receiver) = oneshot::<u8>();
        assert!(!sender.is_closed());
        drop(receiver);
        assert!(sender.is_closed());
    }
}

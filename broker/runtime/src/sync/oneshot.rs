//! A channel for one value.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The other half of a [`oneshot`] is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sender went away without an answer")]
pub struct Closed;

struct Slot<T> {
    value: Cell<Option<T>>,
    waker: Cell<Option<Waker>>,
    is_sender_alive: Cell<bool>,
}

/// A channel for one value between two tasks of a shard.
#[must_use]
pub fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Rc::new(Slot {
        value: Cell::new(None),
        waker: Cell::new(None),
        is_sender_alive: Cell::new(true),
    });
    (Sender(slot.clone()), Receiver(slot))
}

/// The sending half of a [`oneshot`].
pub struct Sender<T>(Rc<Slot<T>>);

impl<T> Sender<T> {
    /// Hands the value over.
    ///
    /// # Errors
    /// Gives the value back if the receiver is gone.
    pub fn send(self, value: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(value);
        }
        self.0.value.set(Some(value));
        Ok(())
    }

    /// True if nobody waits for the value any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}

impl<T> Drop for Sender<T> {
    /// Wakes the receiver, for the value or for its absence.
    fn drop(&mut self) {
        self.0.is_sender_alive.set(false);
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}

/// The receiving half of a [`oneshot`]: await it.
pub struct Receiver<T>(Rc<Slot<T>>);

impl<T> Future for Receiver<T> {
    type Output = Result<T, Closed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(value) = self.0.value.take() {
            return Poll::Ready(Ok(value));
        }
        if !self.0.is_sender_alive.get() {
            return Poll::Ready(Err(Closed));
        }
        self.0.waker.set(Some(context.waker().clone()));
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;

    #[test]
    fn a_oneshot_delivers_or_reports_the_loss_of_its_sender() {
        let (sender, receiver) = oneshot();
        assert_eq!(sender.send(5), Ok(()));
        assert_eq!(block_on(receiver), Ok(5));

        let (sender, receiver) = oneshot::<u8>();
        drop(sender);
        assert_eq!(block_on(receiver), Err(Closed));

        let (sender, receiver) = oneshot();
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.send(5), Err(5));
    }
}

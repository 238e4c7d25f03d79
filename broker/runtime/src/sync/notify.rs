//! Wake-ups that are never lost.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// Wakes tasks of this shard that wait for something to happen.
///
/// A wake-up is never lost: [`Notify::notify_one`] without a waiter is kept for the next one, and
/// a waiter that exists counts from its creation, polled or not.
#[derive(Default)]
pub struct Notify {
    inner: RefCell<Waiters>,
}

#[derive(Default)]
struct Waiters {
    slots: Slab<Waiter>,
    /// Keys of waiters that have not been notified, oldest first.
    order: VecDeque<usize>,
    has_permit: bool,
}

#[derive(Default)]
struct Waiter {
    waker: Option<Waker>,
    grant: Grant,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Grant {
    #[default]
    Waiting,
    /// By `notify_one`: if this waiter goes away unpolled, the wake-up passes to the next.
    One,
    All,
}

impl Notify {
    /// A `Notify` without waiters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the oldest waiter, or lets the next one through if there is none.
    pub fn notify_one(&self) {
        let waker = self.inner.borrow_mut().grant_one();
        // Woken with the borrow released: a waker may run foreign code.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes all waiters that exist now. Later ones wait for the next call.
    pub fn notify_all(&self) {
        loop {
            let waker = {
                let mut inner = self.inner.borrow_mut();
                let Some(key) = inner.order.pop_front() else { return };
                let waiter = &mut inner.slots[key];
                waiter.grant = Grant::All;
                waiter.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Waits for a notification. Counts as a waiter from this call on.
    pub fn notified(&self) -> Notified<'_> {
        let mut inner = self.inner.borrow_mut();
        let key = inner.slots.insert(Waiter::default());
        if inner.has_permit {
            inner.has_permit = false;
            inner.slots[key].grant = Grant::One;
        } else {
            inner.order.push_back(key);
        }
        Notified { notify: self, key: Some(key) }
    }

    /// Waits until `look` finds something: it looks at once, and again after each notification.
    /// None is missed that comes between a look and the wait.
    pub async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            let notified = self.notified();
            if let Some(found) = look() {
                return found;
            }
            notified.await;
        }
    }
}

impl Waiters {
    fn grant_one(&mut self) -> Option<Waker> {
        let Some(key) = self.order.pop_front() else {
            self.has_permit = true;
            return None;
        };
        let waiter = &mut self.slots[key];
        waiter.grant = Grant::One;
        waiter.waker.take()
    }
}

/// The future of [`Notify::notified`].
pub struct Notified<'a> {
    notify: &'a Notify,
    /// `None` once the notification was handed out.
    key: Option<usize>,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(key) = self.key else { return Poll::Ready(()) };
        let mut inner = self.notify.inner.borrow_mut();
        if inner.slots[key].grant == Grant::Waiting {
            inner.slots[key].waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        inner.slots.remove(key);
        drop(inner);
        self.key = None;
        Poll::Ready(())
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut inner = self.notify.inner.borrow_mut();
        let waiter = inner.slots.remove(key);
        let heir = match waiter.grant {
            Grant::Waiting => {
                inner.order.retain(|waiting| *waiting != key);
                None
            }
            Grant::One => inner.grant_one(),
            Grant::All => None,
        };
        drop(inner);
        if let Some(waker) = heir {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_lite::future::{block_on, poll_once};

    use super::*;

    fn is_ready(future: &mut Pin<Box<Notified<'_>>>) -> bool {
        block_on(poll_once(future.as_mut())).is_some()
    }

    #[test]
    fn a_notification_without_waiter_is_kept_once() {
        let notify = Notify::new();
        notify.notify_one();
        notify.notify_one();
        let (mut first, mut second) = (Box::pin(notify.notified()), Box::pin(notify.notified()));
        assert!(is_ready(&mut first));
        assert!(!is_ready(&mut second));
    }

    #[test]
    fn notify_one_wakes_in_order_of_creation() {
        let notify = Notify::new();
        let (mut first, mut second) = (Box::pin(notify.notified()), Box::pin(notify.notified()));
        notify.notify_one();
        assert!(!is_ready(&mut second));
        assert!(is_ready(&mut first));
        notify.notify_one();
        assert!(is_ready(&mut second));
    }

    #[test]
    fn notify_all_reaches_waiters_not_polled_yet_and_no_later_ones() {
        let notify = Notify::new();
        let (mut first, mut second) = (Box::pin(notify.notified()), Box::pin(notify.notified()));
        assert!(!is_ready(&mut first));
        notify.notify_all();
        assert!(is_ready(&mut first) && is_ready(&mut second));
        assert!(!is_ready(&mut Box::pin(notify.notified())));
    }

    #[test]
    fn until_looks_at_once_and_after_each_notification_and_keeps_none_that_it_did_not_need() {
        let (notify, value) = (Notify::new(), Cell::new(None));
        let mut waiting = Box::pin(notify.until(|| value.get()));
        let mut is_ready = || block_on(poll_once(waiting.as_mut()));
        assert_eq!(is_ready(), None);
        notify.notify_one();
        assert_eq!(is_ready(), None);
        value.set(Some(5));
        assert_eq!(is_ready(), None, "nobody said so");
        notify.notify_one();
        assert_eq!(is_ready(), Some(5));

        notify.notify_one();
        assert_eq!(block_on(poll_once(Box::pin(notify.until(|| value.get())))), Some(5));
        assert!(self::is_ready(&mut Box::pin(notify.notified())), "passed on");
    }

    #[test]
    fn a_notification_of_a_dropped_waiter_passes_on() {
        let notify = Notify::new();
        let first = Box::pin(notify.notified());
        let mut second = Box::pin(notify.notified());
        notify.notify_one();
        drop(first);
        assert!(is_ready(&mut second));
        drop(notify.notified());
        notify.notify_one();
        assert!(is_ready(&mut Box::pin(notify.notified())));
    }
}

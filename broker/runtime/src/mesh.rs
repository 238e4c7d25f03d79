//! Messages between shards: every shard has one bounded inbox that all shards may put into.
//!
//! A full inbox refuses ([`Port::try_send`]) or makes wait ([`Port::send`]); nothing is dropped.
//! A receiver that sleeps is woken by a system call, one that is awake looks for itself; in a task
//! of `task::spawn_urgent` it then goes ahead of the others.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use atomic_waker::AtomicWaker;
use crossbeam_queue::ArrayQueue;

/// Connects `shards` shards; each inbox holds `capacity` messages. Element `i` is for shard `i`.
///
/// # Panics
/// If `shards` or `capacity` is 0.
#[must_use]
pub fn build<M: Send>(shards: usize, capacity: usize) -> Vec<Port<M>> {
    assert!(shards > 0 && capacity > 0, "{shards} shards with inboxes of {capacity}");
    let inboxes: Arc<[Inbox<M>]> = (0..shards).map(|_| Inbox::new(capacity)).collect();
    (0..shards).map(|shard| Port { shard, inboxes: inboxes.clone() }).collect()
}

/// One shard's end of the mesh: sends to all shards (its own too), receives what is sent to it.
pub struct Port<M> {
    shard: usize,
    inboxes: Arc<[Inbox<M>]>,
}

impl<M: Send> Port<M> {
    /// The shard that this port belongs to.
    #[must_use]
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// Number of shards in the mesh.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.inboxes.len()
    }

    /// Puts a message into the inbox of shard `to`.
    ///
    /// # Errors
    /// Gives the message back if the inbox is full.
    ///
    /// # Panics
    /// If there is no shard `to`.
    pub fn try_send(&self, to: usize, message: M) -> Result<(), M> {
        let inbox = &self.inboxes[to];
        inbox.queue.push((self.shard, message)).map_err(|(_, message)| message)?;
        inbox.receiver.wake();
        Ok(())
    }

    /// Puts a message into the inbox of shard `to` when there is room. Messages of one task
    /// arrive in the order of its sends. If the future is dropped the message was not sent.
    ///
    /// # Panics
    /// If there is no shard `to`.
    pub async fn send(&self, to: usize, message: M) {
        let room = &self.inboxes[to].room;
        let mut message = Some(message);
        poll_fn(|context| {
            let unsent = message.take().expect("not polled again after it is ready");
            let Err(unsent) = self.try_send(to, unsent) else { return Poll::Ready(()) };
            room.wait(context.waker());
            // Again: the receiver may have made room before it could see us waiting.
            message = self.try_send(to, unsent).err();
            if message.is_none() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// The next message and the shard it is from, if one is there.
    pub fn try_recv(&self) -> Option<(usize, M)> {
        let inbox = &self.inboxes[self.shard];
        let received = inbox.queue.pop()?;
        inbox.room.announce();
        Some(received)
    }

    /// Waits for the next message. One task per shard receives; a second one would take its
    /// wake-ups. Dropping the future loses nothing.
    pub async fn recv(&self) -> (usize, M) {
        let inbox = &self.inboxes[self.shard];
        poll_fn(|context| {
            if let Some(received) = self.try_recv() {
                return Poll::Ready(received);
            }
            inbox.receiver.register(context.waker());
            // Again: a sender may have looked for the waker before it was there.
            self.try_recv().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

struct Inbox<M> {
    queue: ArrayQueue<(usize, M)>,
    receiver: AtomicWaker,
    room: Room,
}

impl<M> Inbox<M> {
    fn new(capacity: usize) -> Self {
        let (receiver, room) = (AtomicWaker::new(), Room::default());
        Self { queue: ArrayQueue::new(capacity), receiver, room }
    }
}

/// Senders that wait for room in one inbox.
///
/// No wake-up is lost: a sender notes itself down and then tries again; the receiver takes a
/// message out and then looks for senders. The fences order both, so one of them sees the other.
#[derive(Default)]
struct Room {
    waiting: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
}

impl Room {
    fn wait(&self, waker: &Waker) {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        self.waiting.store(wakers.len(), Ordering::Relaxed);
        drop(wakers);
        fence(Ordering::SeqCst);
    }

    /// Costs one fence and one load while nobody waits.
    fn announce(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let woken = {
            let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            self.waiting.store(0, Ordering::Relaxed);
            std::mem::take(&mut *wakers)
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn a_full_inbox_gives_the_message_back() {
        let ports = build(2, 2);
        assert_eq!(ports[0].try_send(1, 'a'), Ok(()));
        assert_eq!(ports[1].try_send(1, 'b'), Ok(()));
        assert_eq!(ports[0].try_send(1, 'c'), Err('c'));
        assert_eq!(ports[1].try_recv(), Some((0, 'a')));
        assert_eq!(ports[1].try_recv(), Some((1, 'b')));
        assert_eq!(ports[1].try_recv(), None);
    }

    #[test]
    fn a_dropped_send_sends_nothing() {
        let ports = build(2, 1);
        block_on(ports[0].send(1, 1));
        block_on(async {
            let mut waiting = Box::pin(ports[0].send(1, 2));
            assert!(poll_once(waiting.as_mut()).await.is_none());
        });
        assert_eq!(ports[1].try_recv(), Some((0, 1)));
        assert_eq!(ports[1].try_recv(), None);
    }

    #[test]
    fn senders_and_receiver_on_other_threads_lose_nothing() {
        const EACH: u32 = 20_000;
        let mut ports = build(3, 4);
        let receiver = ports.pop().expect("three ports");
        let threads: Vec<_> = ports
            .into_iter()
            .map(|port| {
                std::thread::spawn(move || {
                    (0..EACH).for_each(|number| block_on(port.send(2, number)));
                })
            })
            .collect();
        let mut next = [0; 2];
        for _ in 0..2 * EACH {
            let (from, number) = block_on(receiver.recv());
            assert_eq!(number, next[from], "in order from shard {from}");
            next[from] += 1;
        }
        threads.into_iter().for_each(|thread| thread.join().expect("sender"));
        assert_eq!(receiver.try_recv(), None);
    }
}

//! A bound on how many of something are under way in one executor.

use std::cell::Cell;

use ringmq_runtime::sync::Notify;

/// So many at once; whoever comes later waits, first come first served.
pub(crate) struct Permits {
    free: Cell<usize>,
    waiting: Cell<usize>,
    freed: Notify,
}

/// One of the permits, until dropped.
pub(crate) struct Permit<'a>(&'a Permits);

impl Permits {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Cell::new(count.max(1)), waiting: Cell::new(0), freed: Notify::new() }
    }

    pub(crate) async fn acquire(&self) -> Permit<'_> {
        // A newcomer does not pass those who wait.
        if self.free.get() == 0 || self.waiting.get() > 0 {
            let _waiting = Waiting::begin(self);
            loop {
                self.freed.notified().await;
                if self.free.get() > 0 {
                    break;
                }
            }
        }
        self.free.set(self.free.get() - 1);
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.free.set(self.0.free.get() + 1);
        if self.0.waiting.get() > 0 {
            self.0.freed.notify_one();
        }
    }
}

struct Waiting<'a>(&'a Permits);

impl<'a> Waiting<'a> {
    fn begin(permits: &'a Permits) -> Self {
        permits.waiting.set(permits.waiting.get() + 1);
        Self(permits)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use ringmq_runtime::{shards, task};

    use super::*;

    #[test]
    fn never_more_than_allowed_and_everybody_in_turn() {
        shards::block_on(async {
            let permits = Rc::new(Permits::new(2));
            let (at_work, order) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let worker = |number| {
                let (permits, at_work, order) = (permits.clone(), at_work.clone(), order.clone());
                task::spawn("worker", async move {
                    let _permit = permits.acquire().await;
                    assert_eq!(order.replace(number + 1), number, "first come, first served");
                    at_work.set(at_work.get() + 1);
                    assert!(at_work.get() <= 2);
                    task::yield_now().await;
                    at_work.set(at_work.get() - 1);
                })
            };
            let workers: Vec<_> = (0..20).map(worker).collect();
            for worker in workers {
                worker.await;
            }
            assert_eq!(permits.free.get(), 2);
        });
    }
}

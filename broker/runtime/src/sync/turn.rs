//! One task at a time.

use std::cell::Cell;

use super::Notify;

/// Lets one task at a time through.
#[derive(Default)]
pub struct Turn {
    is_taken: Cell<bool>,
    left: Notify,
}

/// Ends a [`Turn`] when dropped.
#[must_use = "the turn ends when this is dropped"]
pub struct Entered<'a>(&'a Turn);

impl Turn {
    /// Waits until nobody else is in.
    pub async fn enter(&self) -> Entered<'_> {
        while self.is_taken.replace(true) {
            self.left.notified().await;
        }
        Entered(self)
    }

    /// Whether somebody is in.
    pub fn is_taken(&self) -> bool {
        self.is_taken.get()
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.is_taken.set(false);
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn a_turn_is_for_one_task_and_passes_on_when_its_task_or_a_waiter_is_dropped() {
        let turn = Turn::default();
        let enter = || Box::pin(turn.enter());
        let (mut given_up, mut waiting) = (enter(), enter());
        let entered = block_on(turn.enter());
        assert!(block_on(poll_once(given_up.as_mut())).is_none());
        assert!(block_on(poll_once(waiting.as_mut())).is_none());
        drop(entered);
        drop(given_up);
        assert!(block_on(poll_once(waiting.as_mut())).is_some());
    }
}

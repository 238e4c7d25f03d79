//! What follows when a listener is done with a batch: commit, or have the messages come again.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_runtime::{clock, task};

use super::assigned::Assigned;
use super::consumption::{Consumption, Outcome};
use super::listener::ConsumeStatus;
use super::member::Member;
use crate::received::ReceivedMessage;

/// Pause before a message that could not be sent back is consumed here again (Java: 5 s).
const CONSUME_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Member {
    /// Handles outcomes until the member stops.
    pub(crate) async fn outcome_loop(self: Rc<Self>) {
        let Consumption::Concurrent(concurrent) = &self.consumption else { return };
        while let Ok(outcome) = concurrent.outcomes.recv().await {
            self.settle(outcome);
            concurrent.ended();
        }
    }

    fn settle(self: &Rc<Self>, outcome: Outcome) {
        let Some(assigned) = self.find(&outcome.queue) else { return };
        if assigned.id != outcome.assignment {
            return;
        }
        assigned.consumed_at_ms.set(clock::unix_ms());
        match outcome.status {
            None => {}
            Some(ConsumeStatus::Success) => self.done_with(&assigned, &outcome.messages),
            Some(ConsumeStatus::RetryLater(_)) if self.is_broadcasting() => {
                let messages = outcome.messages.len();
                tracing::warn!(queue = %outcome.queue, messages, "not consumed, skipped");
                self.done_with(&assigned, &outcome.messages);
            }
            Some(ConsumeStatus::RetryLater(level)) => {
                let again = self.clone().send_all_back(assigned, outcome.messages, level);
                task::spawn("send back", again).detach();
            }
        }
    }

    /// These messages are consumed: the offset may move, and there is room for others.
    fn done_with(&self, assigned: &Assigned, messages: &[Arc<ReceivedMessage>]) {
        if let Some(offset) = assigned.held.borrow_mut().remove(messages) {
            self.offsets.borrow_mut().advance(&assigned.queue, offset);
        }
        assigned.room.notify_one();
    }

    async fn send_all_back(
        self: Rc<Self>,
        assigned: Rc<Assigned>,
        messages: Vec<Arc<ReceivedMessage>>,
        level: i32,
    ) {
        let mut kept = Vec::new();
        for message in messages {
            match self.send_back(&message, level).await {
                Ok(()) if !assigned.is_given_up.get() => self.done_with(&assigned, &[message]),
                Ok(()) => {}
                Err(error) => {
                    let id = message.message_id();
                    tracing::warn!(id, %error, "not sent back, consumed here again");
                    // The listener must see that it came before, however it comes again.
                    let mut again = ReceivedMessage::clone(&message);
                    again.reconsume_times = again.reconsume_times.saturating_add(1);
                    kept.push(Arc::new(again));
                }
            }
        }
        if !kept.is_empty() {
            task::sleep(CONSUME_AGAIN_AFTER).await;
            if !assigned.is_given_up.get() {
                self.consumption.start(&assigned, &kept);
            }
        }
    }
}

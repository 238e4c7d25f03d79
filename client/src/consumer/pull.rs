//! The pull loop of one queue: one long poll after the other, for as long as there is room.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future;
use ringmq_protocol::codes::response;
use ringmq_protocol::names::MASTER_ID;
use ringmq_runtime::{clock, task};

use super::assigned::Assigned;
use super::member::Member;
use super::progress::Due;
use super::subscription::{Filter, Subscription};
use crate::error::Fault;
use crate::instance::{Commit, Pull, PullAnswer};
use crate::received::{DecodeError, Pulled, ReceivedMessage};

/// Pause when a limit is reached and nothing wakes us earlier (Java: 50 ms).
const FULL_PAUSE: Duration = Duration::from_millis(50);
/// Pause after an error (Java: 1 s).
const ERROR_PAUSE: Duration = Duration::from_secs(1);
/// Pause when the broker asks for one with code 215 (Java: 20 ms).
const FLOW_CONTROL_PAUSE: Duration = Duration::from_millis(20);

/// What the pull loop does next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Pull again from this offset.
    Pull(i64),
    /// Wait, then pull again from where we are.
    Pause(Duration),
    /// The broker says that our offset does not exist: begin anew at this one.
    Restart(i64),
}

impl Member {
    /// Pulls `assigned` until it is given up.
    pub(crate) async fn pull_loop(self: Rc<Self>, assigned: Rc<Assigned>) {
        while !assigned.is_given_up.get() && !self.is_stopping.get() {
            let wanted = self.wanted(&assigned.queue.topic).filter(|_| self.may_pull(&assigned));
            let Some(wanted) = wanted else {
                let _ = task::timeout(FULL_PAUSE, assigned.room.notified()).await;
                continue;
            };
            let pulled = async { Some(self.pull_once(&assigned, &wanted).await) };
            let given_up = async {
                assigned.given_up.notified().await;
                None
            };
            // A queue that is given up does not wait for the end of a long poll: nobody wants its
            // answer.
            let Some(outcome) = future::or(pulled, given_up).await else { return };
            if assigned.is_given_up.get() || self.is_stopping.get() {
                return;
            }
            match self.take_in(&assigned, outcome) {
                Next::Pull(offset) => assigned.next_offset.set(offset),
                Next::Pause(pause) => task::sleep(pause).await,
                Next::Restart(offset) => return self.offset_moved(&assigned, offset).await,
            }
        }
    }

    fn may_pull(&self, assigned: &Assigned) -> bool {
        self.holds_lock(assigned)
            && !assigned.poll.is_paused.get()
            && assigned.held.borrow().full(&self.flow_limits()).is_none()
            && !self.is_buffer_full()
    }

    async fn pull_once(
        &self,
        assigned: &Assigned,
        wanted: &Subscription,
    ) -> Result<PullAnswer, Fault> {
        let queue = &assigned.queue;
        let (broker, is_slave) = match self.instance.reader(queue, assigned.source.get()) {
            Ok(found) => found,
            Err(fault) => {
                // The broker may have moved: ask, and report the fault if it is still unknown.
                let _ = self.instance.refresh_route(&queue.topic).await;
                self.instance.reader(queue, MASTER_ID).map_err(|_| fault)?
            }
        };
        // A slave does not take commits.
        let can_commit = !self.is_broadcasting() && !is_slave && self.commits_by_itself();
        let commit = self.offsets.borrow().get(queue).filter(|offset| can_commit && *offset > 0);
        let request = Pull {
            group: &self.config.group,
            queue,
            offset: assigned.next_offset.get(),
            messages_max: self.config.pull_batch,
            commit,
            hold: self.config.pull_hold,
            filter: &wanted.filter,
            version: wanted.version,
            is_lite: self.consumption.is_polled(),
        };
        assigned.pulled_at_ms.set(clock::unix_ms());
        self.instance.pull(&broker, &request).await
    }

    /// Takes an answer in and decides what comes next. Nothing is awaited here, so the state of
    /// the queue changes in one step.
    fn take_in(&self, assigned: &Rc<Assigned>, outcome: Result<PullAnswer, Fault>) -> Next {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(fault) => {
                let (queue, group) = (&assigned.queue, &self.config.group);
                if fault.code() == Some(response::FLOW_CONTROL) {
                    return Next::Pause(FLOW_CONTROL_PAUSE);
                }
                assigned.source.set(MASTER_ID);
                tracing::warn!(%queue, group, %fault, "pull failed, tried again");
                return Next::Pause(ERROR_PAUSE);
            }
        };
        assigned.source.set(answer.suggested_broker);
        let Some(wanted) = self.wanted(&assigned.queue.topic) else {
            // Unsubscribed meanwhile: nobody asked for what it brings.
            return Next::Pause(FULL_PAUSE);
        };
        match answer.code {
            response::PULL_OFFSET_MOVED => Next::Restart(answer.next_offset),
            response::SUCCESS => Next::Pull(self.deliver(assigned, &answer, &wanted.filter)),
            _ => {
                self.skip_to(assigned, answer.next_offset);
                Next::Pull(answer.next_offset)
            }
        }
    }

    /// Hands out what an answer brought; returns where the queue goes on.
    fn deliver(&self, assigned: &Rc<Assigned>, answer: &PullAnswer, filter: &Filter) -> i64 {
        let Pulled { messages, left_from } = self.readable(assigned, answer);
        let next = left_from.unwrap_or(answer.next_offset);
        let wanted = |message: &Arc<ReceivedMessage>| filter.wants(message.tag());
        let messages: Vec<_> = messages.into_iter().map(Arc::new).filter(wanted).collect();
        let new = assigned.held.borrow_mut().put(messages);
        if new.is_empty() {
            self.skip_to(assigned, next);
        } else {
            self.consumption.start(assigned, &new);
        }
        next
    }

    /// The messages of an answer. One that cannot be read is skipped, the only way past it: its
    /// neighbours are delivered, the log keeps it.
    fn readable(&self, assigned: &Assigned, answer: &PullAnswer) -> Pulled {
        let (queue, group) = (&assigned.queue, &self.config.group);
        let (from, next) = (assigned.next_offset.get(), answer.next_offset);
        let report = |error: &DecodeError| match error {
            DecodeError::Body { queue_offset: offset, .. } => {
                tracing::warn!(%queue, offset, group, %error, "unreadable message skipped");
            }
            DecodeError::Layout { .. } | DecodeError::NotAsked { .. } => {
                tracing::error!(%queue, from, next, group, %error, "part of an answer skipped");
            }
        };
        Pulled::take(&answer.body, queue, from..next, report)
    }

    /// Nothing up to `next` is for us: that counts as consumed, once nothing older is held.
    fn skip_to(&self, assigned: &Assigned, next: i64) {
        if !assigned.held.borrow().is_empty() {
            return;
        }
        match self.consumption.is_polled() {
            true => assigned.poll.pass_to(next),
            false => self.offsets.borrow_mut().advance(&assigned.queue, next),
        }
    }

    /// The broker says that our offset does not exist (expired, or reset by an administrator).
    async fn offset_moved(self: &Rc<Self>, assigned: &Rc<Assigned>, offset: i64) {
        let queue = &assigned.queue;
        let from = assigned.next_offset.get();
        tracing::warn!(%queue, group = self.config.group, from, to = offset, "offset moved");
        if !self.commits_by_itself() {
            return self.begin_anew(queue, offset);
        }
        self.restart(queue, offset);
        if !self.is_broadcasting() {
            self.commit(vec![Due::Ours(queue.clone())], Commit::Tell).await;
        }
    }
}

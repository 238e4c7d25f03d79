//! An answer as large as those that the pulls of a run got in the mean, for a null broker to give.

use ringmq_protocol::Command;
use ringmq_protocol::codes::request;
use ringmq_protocol::record::records;

use crate::error::BenchError;
use crate::measure::Measured;
use crate::proof::journal::QueueNumber;
use crate::target::Target;
use crate::target::caller::Caller;
use crate::wire;

/// Most queues that are looked at for one with enough messages.
const QUEUES_LOOKED_AT_MAX: usize = 64;

/// Stored messages, one behind the other.
#[derive(Clone, Debug)]
pub struct Sample {
    /// How many there are.
    pub messages: u64,
    /// They themselves, as a broker stores and sends them.
    pub bytes: Vec<u8>,
}

impl Sample {
    /// As many messages as the answers of `runs` had in the mean; none where the runs brought
    /// nothing.
    ///
    /// # Errors
    /// As for [`Sample::of`].
    pub async fn like(target: &Target, runs: &[Measured]) -> Result<Option<Self>, BenchError> {
        match mean_messages(runs) {
            Some(wanted) => Self::of(target, wanted).await,
            None => Ok(None),
        }
    }

    /// Pulls `wanted` messages from the first queue that has them, or all of the longest; none
    /// where there are none.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn of(target: &Target, wanted: u32) -> Result<Option<Self>, BenchError> {
        let mut longest: Option<(u64, QueueNumber, u64)> = None;
        for queue in target.queues().into_iter().take(QUEUES_LOOKED_AT_MAX) {
            let mut caller = Caller::connect(target.broker_addr(queue.broker)).await?;
            let (first, next) = target.range_of(&mut caller, queue).await?;
            let len = (next - first.min(next)).min(u64::from(wanted));
            if longest.is_none_or(|(longest, ..)| len > longest) {
                longest = Some((len, queue, first));
            }
            if len == u64::from(wanted) {
                break;
            }
        }
        let Some((len @ 1.., queue, first)) = longest else { return Ok(None) };
        let mut caller = Caller::connect(target.broker_addr(queue.broker)).await?;
        let queue_id = i32::try_from(queue.queue_id).expect("queue ids are small");
        let mut sample = Self { messages: 0, bytes: Vec::new() };
        // A broker may end its answers earlier.
        while sample.messages < len {
            let missing = u32::try_from(len - sample.messages).expect("not more than was wanted");
            let at = first + sample.messages;
            let pull = wire::pull(target.topic(queue.topic), queue_id, at, missing);
            let taken = |answer: &Command<'_>| Self {
                messages: records(answer.body).filter(Result::is_ok).count() as u64,
                bytes: answer.body.to_vec(),
            };
            let more = caller.expect("messages", request::PULL_MESSAGE, &pull, taken).await?;
            if more.messages == 0 {
                break;
            }
            sample.messages += more.messages;
            sample.bytes.extend(more.bytes);
        }
        Ok((sample.messages > 0).then_some(sample))
    }
}

/// Messages of a mean answer that brought any, at least one; none when none did.
fn mean_messages(runs: &[Measured]) -> Option<u32> {
    let answers: u64 = runs.iter().map(|run| run.tally.total.service.count()).sum();
    let messages: u64 = runs.iter().map(|run| run.tally.total.messages).sum();
    let mean = messages as f64 / answers.max(1) as f64;
    (messages > 0).then_some((mean.round() as u32).max(1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A run with answers of these numbers of messages.
    fn run(answers: &[u64]) -> Measured {
        let mut measured = Measured::default();
        for messages in answers {
            measured.tally.total.success(Duration::ZERO, Duration::ZERO, *messages, 10);
        }
        measured
    }

    #[test]
    fn the_mean_answer_is_that_of_all_runs_and_has_a_message() {
        assert_eq!(mean_messages(&[run(&[32, 31]), run(&[30])]), Some(31));
        assert_eq!(mean_messages(&[run(&[1, 0, 0])]), Some(1));
        assert_eq!(mean_messages(&[run(&[]), run(&[0])]), None);
    }
}

//! Reads everything that the queues of a run hold, for the proof.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::pull::PullResponse;
use ringmq_protocol::record::records;
use ringmq_protocol::{Command, Header};
use ringmq_runtime::task;

use crate::error::BenchError;
use crate::proof::journal::{QueueContents, QueueNumber};
use crate::target::Target;
use crate::target::caller::Caller;
use crate::wire::{self, describe};

/// Most messages asked for in one pull.
const BATCH: u32 = 1024;

/// Queues that are read at the same time, each over a connection of its own.
const READERS: usize = 16;

/// Reads all queues of the target from their first message to their end.
///
/// # Errors
/// A broker cannot be reached, refuses, or sends what is not a message.
pub async fn read_all(target: &Rc<Target>) -> Result<Vec<QueueContents>, BenchError> {
    let left = Rc::new(RefCell::new(VecDeque::from(target.queues())));
    let readers: Vec<_> = (0..READERS.min(left.borrow().len()))
        .map(|_| task::spawn("bench proof", read_queues(target.clone(), left.clone())))
        .collect();
    let mut all = Vec::new();
    for reader in readers {
        all.extend(reader.await?);
    }
    Ok(all)
}

/// Reads one queue after the other until none is left.
async fn read_queues(
    target: Rc<Target>,
    left: Rc<RefCell<VecDeque<QueueNumber>>>,
) -> Result<Vec<QueueContents>, BenchError> {
    let mut all = Vec::new();
    let mut open: Option<(u32, Caller)> = None;
    loop {
        let Some(queue) = left.borrow_mut().pop_front() else { return Ok(all) };
        let mut caller = match open.take() {
            Some((broker, caller)) if broker == queue.broker => caller,
            _ => Caller::connect(target.broker_addr(queue.broker)).await?,
        };
        all.push(read_queue(&mut caller, target.topic(queue.topic), queue).await?);
        open = Some((queue.broker, caller));
    }
}

async fn read_queue(
    caller: &mut Caller,
    topic: &str,
    queue: QueueNumber,
) -> Result<QueueContents, BenchError> {
    let mut contents = QueueContents::new(queue);
    let queue_id = i32::try_from(queue.queue_id).expect("queue ids are small");
    let mut next = 0;
    loop {
        let header = wire::pull(topic, queue_id, next, BATCH);
        let take = |command: &Command<'_>| read_answer(command, &mut contents);
        let outcome = caller.ask(request::PULL_MESSAGE, &header, take).await?;
        match outcome {
            Ok(Some(behind)) => next = behind,
            Ok(None) => return Ok(contents),
            Err(answer) => {
                let who = caller.who().to_owned();
                return Err(BenchError::Refused { asked: "pull", who, answer });
            }
        }
        task::yield_if_needed().await;
    }
}

/// Takes the messages of an answer; the offset behind them, none at the end of the queue.
fn read_answer(command: &Command<'_>, contents: &mut QueueContents) -> Result<Option<u64>, String> {
    match command.code {
        // Moved: the first messages have expired, and the answer names the first that is left.
        response::SUCCESS | response::PULL_OFFSET_MOVED | response::PULL_RETRY_IMMEDIATELY => {}
        response::PULL_NOT_FOUND => return Ok(None),
        _ => return Err(describe(command)),
    }
    for record in records(command.body) {
        let record = record.map_err(|error| error.to_string())?;
        contents.push(u64::try_from(record.queue_offset).unwrap_or(u64::MAX), record.body);
    }
    let header = PullResponse::decode(&command.fields).map_err(|error| error.to_string())?;
    let next = u64::try_from(header.next_begin_offset).map_err(|_| "negative offset")?;
    Ok(Some(next))
}

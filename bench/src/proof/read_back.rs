//! Pulls queues from a given offset to their end.

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::pull::PullResponse;
use ringmq_protocol::record::records;
use ringmq_protocol::{Command, Header};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

use crate::error::BenchError;
use crate::proof::journal::{QueueContents, QueueNumber};
use crate::target::Target;
use crate::target::caller::Caller;
use crate::wire::{describe, pull_header};

/// Most messages asked for when a topic is read for a proof.
const PROOF_BATCH: u32 = 1024;

/// What one pull brought.
struct Pulled {
    next_offset: u64,
    /// The queue has more.
    more: bool,
    /// Time from the request to the answer.
    took: Duration,
}

/// Reads all queues of the target from their first message, all at the same time.
///
/// # Errors
/// A broker cannot be reached, refuses, or sends what is not a message.
pub async fn read_all(target: &Rc<Target>) -> Result<Vec<QueueContents>, BenchError> {
    let mut tasks = Vec::new();
    for queue in target.queues() {
        let target = target.clone();
        tasks.push(task::spawn("bench proof", async move {
            let mut contents = QueueContents::new(queue);
            let mut caller = Caller::connect(target.broker_addr(queue.broker)).await?;
            let take = |offset, body: &[u8]| contents.push(offset, body);
            read_queue(&mut caller, &target.topic, queue, PROOF_BATCH, take, |_| {}).await?;
            Ok::<_, BenchError>(contents)
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await?);
    }
    Ok(all)
}

/// Reads one queue from its first message to its end; `take` gets offset and body of each message,
/// `pulled` the duration of each pull that brought some.
///
/// # Errors
/// As for [`read_all`].
pub async fn read_queue(
    caller: &mut Caller,
    topic: &str,
    queue: QueueNumber,
    batch: u32,
    mut take: impl FnMut(u64, &[u8]),
    mut pulled: impl FnMut(Duration),
) -> Result<(), BenchError> {
    let mut offset = 0;
    loop {
        let outcome = pull(caller, topic, queue, offset, batch, &mut take).await?;
        if !outcome.more {
            return Ok(());
        }
        pulled(outcome.took);
        offset = outcome.next_offset;
        task::yield_if_needed().await;
    }
}

async fn pull(
    caller: &mut Caller,
    topic: &str,
    queue: QueueNumber,
    offset: u64,
    batch: u32,
    take: &mut impl FnMut(u64, &[u8]),
) -> Result<Pulled, BenchError> {
    let queue_id = i32::try_from(queue.queue_id).expect("queue ids are small");
    let header = pull_header(topic, queue_id, offset, batch);
    let started = Instant::now();
    let answer = |command: &Command<'_>| read_answer(command, started, take);
    let outcome = caller.ask(request::PULL_MESSAGE, &header, answer).await?;
    outcome.map_err(|what| BenchError::Refused {
        asked: "pull",
        who: caller.who().to_owned(),
        answer: what,
    })
}

fn read_answer(
    command: &Command<'_>,
    started: Instant,
    take: &mut impl FnMut(u64, &[u8]),
) -> Result<Pulled, String> {
    let took = started.elapsed();
    let more = match command.code {
        // Moved: the first messages have expired, and the answer names the first that is left.
        response::SUCCESS | response::PULL_OFFSET_MOVED | response::PULL_RETRY_IMMEDIATELY => true,
        response::PULL_NOT_FOUND => false,
        _ => return Err(describe(command)),
    };
    for record in records(command.body) {
        let record = record.map_err(|error| error.to_string())?;
        take(u64::try_from(record.queue_offset).unwrap_or(u64::MAX), record.body);
    }
    let header = PullResponse::decode(&command.fields).map_err(|error| error.to_string())?;
    let next_offset = u64::try_from(header.next_begin_offset).map_err(|_| "negative offset")?;
    Ok(Pulled { next_offset, more, took })
}

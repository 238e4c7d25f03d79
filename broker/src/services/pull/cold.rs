//! Pulls of messages that are not in memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_protocol::{Command, frame};
use ringmq_remoting::ReplyTo;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

use super::check::check;
use super::{Waiting, answer, deny, from};
use crate::outcome::Refusal;
use crate::shard::DataPlane;

/// Cold reads that run at the same time on a shard: enough to keep a device busy at 64 KiB each.
pub(super) const RUNNING_MAX: usize = 16;

/// The cold pulls of one shard.
#[derive(Default)]
pub(super) struct ColdReads {
    running: Cell<usize>,
    queue: RefCell<VecDeque<Waiting>>,
}

/// Reads from the device in a task, or queues for one.
pub(super) fn read(data: &Rc<DataPlane>, waiting: Waiting) {
    let cold = &data.services().pull.cold;
    if cold.running.get() >= RUNNING_MAX {
        return cold.queue.borrow_mut().push_back(waiting);
    }
    cold.running.set(cold.running.get() + 1);
    let data = Rc::clone(data);
    let run = async move {
        let cold = &data.services().pull.cold;
        let mut next = Some(waiting);
        while let Some(waiting) = next {
            if !waiting.peer.is_closed() {
                read_one(&data, waiting).await;
            }
            next = cold.queue.borrow_mut().pop_front();
        }
        cold.running.set(cold.running.get() - 1);
    };
    task::spawn("cold pull", run).detach();
}

async fn read_one(data: &Rc<DataPlane>, waiting: Waiting) {
    let Waiting { peer, frame } = waiting;
    let cut = frame::cut(&frame, frame.len()).expect("cut before");
    let command = Command::parse(cut.expect("whole").0).expect("parsed before");
    let (started, to) = (Instant::now(), ReplyTo::of(&command));
    let checked = check(&data.view(), data.services().pull.memory_bytes, &command);
    let pulling = match checked {
        Ok(pulling) => pulling,
        Err(denied) => return deny(&peer, &to, &denied),
    };
    let header = &pulling.header;
    let Some(owned) = data.log_of(header.topic, header.queue_id) else { return };
    // Only a pull with an offset was found cold.
    let Ok(from) = from(header) else { return };
    let mut pieces = Vec::new();
    let mut accepts = |tag_hash| pulling.filter.accepts(tag_hash);
    let read = owned.log.read(
        header.topic,
        header.queue_id,
        from,
        pulling.limits,
        &mut accepts,
        &mut pieces,
    );
    match read.await {
        Ok(result) => answer(data, &peer, &to, &pulling, &result, &mut pieces, started),
        Err(error) => {
            tracing::error!(%error, topic = header.topic, queue = header.queue_id, "pull failed");
            peer.refuse(&to, &Refusal::new(response::SYSTEM_ERROR, error.to_string()));
        }
    }
}

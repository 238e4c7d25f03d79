//! Pulls of messages that are not in memory.

use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_protocol::{Command, frame};
use ringmq_remoting::ReplyTo;
use ringmq_runtime::clock::Instant;

use super::check::check;
use super::{Waiting, answer, deny, from};
use crate::outcome::Refusal;
use crate::services::slow;
use crate::shard::DataPlane;

/// Reads from the device when it is this pull's turn.
pub(super) fn read(data: &Rc<DataPlane>, to: &ReplyTo, waiting: Waiting) {
    let (peer, bytes) = (waiting.peer.clone(), waiting.frame.len());
    slow::run(data, &peer, to, bytes, |data| async move { read_one(&data, waiting).await });
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

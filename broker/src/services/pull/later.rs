//! Pulls of messages that are on the device alone, that let others go first, or whose connection
//! has enough to send.

use std::rc::Rc;

use ringmq_protocol::codes::response;

use super::{Attempt, from, moved};
use crate::outcome::Refusal;
use crate::services::kept::Kept;
use crate::services::{Request, slow};
use crate::shard::DataPlane;

/// Reads when it is this pull's turn.
pub(super) fn read(data: &Rc<DataPlane>, request: Request<'_, '_>) {
    let kept = Kept::aside(request);
    let bytes = kept.frame_bytes();
    slow::run(data, request, bytes, |data| async move { read_one(&data, kept).await });
}

async fn read_one(data: &Rc<DataPlane>, kept: Kept) {
    let command = &kept.command();
    let request = kept.request(command);
    let attempt = Attempt::start(data, request);
    let Some(pulling) = attempt.checked() else { return };
    let header = &pulling.header;
    let Some(owned) = data.local.log_of(header.topic, header.queue_id) else { return };
    let mut pieces = Vec::new();
    let Ok(from) = from(header) else {
        return attempt.answer(owned, &pulling, &moved(owned, &pulling, None), &mut pieces);
    };
    let mut accepts = |tag_hash| pulling.filter.accepts(tag_hash);
    match owned.log.read(&pulling.query(from), &mut accepts, &mut pieces).await {
        Ok(result) => attempt.answer(owned, &pulling, &result, &mut pieces),
        Err(error) => {
            tracing::error!(%error, topic = header.topic, queue = header.queue_id, "pull failed");
            request.refuse(&Refusal::new(response::SYSTEM_ERROR, error.to_string()));
        }
    }
}

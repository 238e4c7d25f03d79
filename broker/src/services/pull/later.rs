//! Pulls of messages that are on the device alone, that let others go first, or whose connection
//! has enough to send.
//!
//! Their topic may be deleted while they wait, and made again. Then what was read, or the offset
//! that they begin at, is of the former one: such a pull is executed anew, and so is one whose
//! topic changed in any other way.

use std::rc::Rc;
use std::sync::Arc;

use super::{Attempt, Pass, from, moved};
use crate::outcome::Refusal;
use crate::services::kept::Kept;
use crate::services::{Request, slow};
use crate::shard::DataPlane;
use crate::view::Topic;

/// Reads from a topic when it is this pull's turn.
pub(super) fn read(data: &Rc<DataPlane>, request: Request<'_, '_>, topic: &str) {
    let kept = Kept::aside(request);
    let bytes = kept.frame_bytes();
    let topic = data.local.view().topic(topic).cloned();
    slow::run(data, request, bytes, |data| async move { read_one(&data, kept, topic).await });
}

/// Whether a topic is as it was when the pull came.
fn is_as_before(data: &DataPlane, before: Option<&Arc<Topic>>) -> bool {
    let view = data.local.view();
    before.is_some_and(|before| {
        view.topic(&before.name).is_some_and(|topic| Arc::ptr_eq(topic, before))
    })
}

async fn read_one(data: &Rc<DataPlane>, kept: Kept, topic: Option<Arc<Topic>>) {
    let command = &kept.command();
    let request = kept.request(command);
    let attempt = Attempt::start(data, request);
    let Some(pulling) = attempt.checked() else { return };
    let header = &pulling.header;
    let Some(owned) = data.local.log_of(header.topic, header.queue_id) else { return };
    if !is_as_before(data, topic.as_ref()) {
        return attempt.run(owned, Pass::Again);
    }
    let mut pieces = Vec::new();
    let Ok(from) = from(header) else {
        return attempt.answer(owned, &pulling, &moved(owned, &pulling, None), &mut pieces);
    };
    let mut accepts = |tag_hash| pulling.filter.accepts(tag_hash);
    let read = owned.log.read(&pulling.query(from), &mut accepts, &mut pieces).await;
    if !is_as_before(data, topic.as_ref()) {
        return attempt.run(owned, Pass::Again);
    }
    match read {
        Ok(result) => attempt.answer(owned, &pulling, &result, &mut pieces),
        Err(error) => {
            tracing::error!(%error, topic = header.topic, queue = header.queue_id, "pull failed");
            request.refuse(&Refusal::failed(error));
        }
    }
}

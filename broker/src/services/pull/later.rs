//! Pulls of messages that are on the device alone, that let others go first, or whose connection
//! has enough to send.
//!
//! Their topic may be deleted while they wait, and made again. Then what was read, or the offset
//! that they begin at, is of the former one: such a pull is executed anew, and so is one whose
//! topic changed in any other way, or whose group was sent elsewhere meanwhile.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;

use super::{Attempt, Pass, from, moved};
use crate::outcome::Refusal;
use crate::services::kept::Kept;
use crate::services::{Request, slow};
use crate::shard::DataPlane;
use crate::view::Topic;

/// The pulls of a shard that are read later, for the deletion of their topic.
#[derive(Clone, Default)]
pub(super) struct LatePulls(Rc<RefCell<Slab<LatePull>>>);

/// One of them, and its topic as it was when it came.
#[derive(Clone)]
struct LatePull {
    kept: Rc<Kept>,
    topic: Option<Arc<Topic>>,
}

/// It is one of them until this is dropped, with or without an answer.
struct Listed {
    pulls: LatePulls,
    number: usize,
}

impl LatePulls {
    fn list(&self, pull: LatePull) -> Listed {
        Listed { pulls: self.clone(), number: self.0.borrow_mut().insert(pull) }
    }

    /// Those of a topic.
    pub(super) fn of_topic(&self, topic: &str) -> Vec<Rc<Kept>> {
        let pulls = self.0.borrow();
        let of_topic =
            pulls.iter().filter(|(_, pull)| pull.topic.as_ref().is_some_and(|of| of.name == topic));
        of_topic.map(|(_, pull)| Rc::clone(&pull.kept)).collect()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        // The pull ends after the list is free again.
        let _pull = self.pulls.0.borrow_mut().remove(self.number);
    }
}

/// Reads from a topic when it is this pull's turn.
pub(super) fn read(data: &Rc<DataPlane>, request: Request<'_, '_>, topic: &str) {
    let kept = Rc::new(Kept::aside(request));
    let bytes = kept.frame_bytes();
    let topic = data.local.view().topic(topic).cloned();
    let pull = LatePull { kept, topic };
    let listed = data.services().pull.late.list(pull.clone());
    slow::run(data, request, bytes, move |data| async move {
        read_one(&data, pull).await;
        drop(listed);
    });
}

/// Whether a topic is as it was when the pull came.
fn is_as_before(data: &DataPlane, before: Option<&Arc<Topic>>) -> bool {
    let view = data.local.view();
    before.is_some_and(|before| {
        view.topic(&before.name).is_some_and(|topic| Arc::ptr_eq(topic, before))
    })
}

async fn read_one(data: &Rc<DataPlane>, LatePull { kept, topic }: LatePull) {
    let command = &kept.command();
    let request = kept.request(command);
    let attempt = Attempt::start(data, request);
    let Some(pulling) = attempt.checked() else { return };
    let header = &pulling.header;
    let Some(owned) = data.local.log_of(header.topic, header.queue_id) else { return };
    let is_void = || {
        !is_as_before(data, topic.as_ref())
            || owned.has_reset(header.consumer_group, header.topic, header.queue_id)
    };
    if is_void() {
        return attempt.run(owned, Pass::Again);
    }
    let mut pieces = Vec::new();
    let Ok(from) = from(header) else {
        return attempt.answer(owned, &pulling, &moved(owned, &pulling, None), &mut pieces);
    };
    let mut accepts = |tag_hash| pulling.filter.accepts(tag_hash);
    let read = owned.log.read(&pulling.query(from), &mut accepts, &mut pieces).await;
    if is_void() {
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

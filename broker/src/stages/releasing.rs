//! What is recorded when a log has acknowledged sends.

use std::cell::RefMut;

use ringmq_runtime::clock::Instant;
use ringmq_store::LogPosition;

use super::part::Part;
use super::{Recorder, Stages};
use crate::logs::OwnedLog;
use crate::peer::Peer;

/// The sends of one log that are acknowledged in one go.
pub(crate) struct Releasing<'a> {
    stages: &'a Stages,
    owned: &'a OwnedLog,
    recorder: RefMut<'a, Recorder>,
    part: Option<(Part, Scope)>,
}

/// Whose sends a part has.
struct Scope {
    peer: Peer,
    /// A send that ends behind it is of another part.
    until: LogPosition,
}

impl<'a> Releasing<'a> {
    pub(super) fn new(stages: &'a Stages, owned: &'a OwnedLog) -> Self {
        let recorder = RefMut::map(stages.recorder.borrow_mut(), |recorder| {
            recorder.as_deref_mut().expect("there is one while stages are timed")
        });
        Self { stages, owned, recorder, part: None }
    }

    /// A send that ends at `end` is acknowledged; it was decoded at `received_at`. To be called in
    /// log order.
    pub(crate) fn acknowledged(&mut self, end: LogPosition, received_at: Instant, peer: &Peer) {
        if self.part.as_ref().is_none_or(|(_, scope)| end > scope.until) {
            self.end_part();
            self.begin_part(end, peer);
        }
        if let Some((part, _)) = &mut self.part {
            part.add(received_at, &mut self.recorder);
        }
    }

    fn begin_part(&mut self, end: LogPosition, peer: &Peer) {
        let Some((batch, appended_at)) = self.owned.batches.borrow_mut().find(end) else { return };
        let group = self.owned.log.group_of(end);
        let times = group.map(|group| (group.submitted_at, group.completed_at));
        let until = group.map_or(batch.end, |group| group.end.min(batch.end));
        let scope = Scope { peer: peer.clone(), until };
        self.part = Some((Part::new(batch.arrival, appended_at, times), scope));
    }

    fn end_part(&mut self) {
        let Some((part, scope)) = self.part.take() else { return };
        let answered = part.end(&mut self.recorder);
        scope.peer.time_leaving(&self.stages.leaving, answered);
    }

    /// All of them are answered.
    pub(crate) fn finish(mut self) {
        self.end_part();
        self.stages.leaving.wake();
    }
}

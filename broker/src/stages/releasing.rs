//! What is recorded when a log has acknowledged sends.

use std::cell::RefMut;

use ringmq_runtime::clock::Instant;
use ringmq_store::LogPosition;

use super::leaving::Answered;
use super::{Arrival, Recorder, Stage, Stages};
use crate::logs::OwnedLog;
use crate::peer::Peer;

/// The sends of one log that are acknowledged in one go.
pub(crate) struct Releasing<'a> {
    stages: &'a Stages,
    owned: &'a OwnedLog,
    recorder: RefMut<'a, Recorder>,
    part: Option<Part>,
}

/// Sends of one turn and one group: those that share all stamps but their own.
struct Part {
    arrival: Arrival,
    appended_at: Instant,
    /// Submission and completion; none when they were acknowledged without the device.
    group: Option<(Instant, Instant)>,
    peer: Peer,
    /// A send that ends behind it is of another part.
    until: LogPosition,
    sends: u32,
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
        if self.part.as_ref().is_none_or(|part| end > part.until) {
            self.end_part();
            self.begin_part(end, peer);
        }
        let Some(part) = &mut self.part else { return };
        part.sends += 1;
        match part.arrival.passed_at {
            None => self.recorder.record(Stage::Decode, part.arrival.turn_at, received_at, 1),
            Some(passed_at) => self.recorder.record(Stage::Hop, passed_at, received_at, 1),
        }
        self.recorder.record(Stage::Append, received_at, part.appended_at, 1);
    }

    fn begin_part(&mut self, end: LogPosition, peer: &Peer) {
        let Some((batch, appended_at)) = self.owned.batches.borrow_mut().find(end) else { return };
        let group = self.owned.log.group_of(end);
        self.part = Some(Part {
            arrival: batch.arrival,
            appended_at,
            group: group.map(|group| (group.submitted_at, group.completed_at)),
            peer: peer.clone(),
            until: group.map_or(batch.end, |group| group.end.min(batch.end)),
            sends: 0,
        });
    }

    fn end_part(&mut self) {
        let Some(part) = self.part.take() else { return };
        let (recorder, sends) = (&mut *self.recorder, u64::from(part.sends));
        let Arrival { read_at, turn_at, passed_at } = part.arrival;
        recorder.record(Stage::Read, read_at, turn_at, sends);
        if let Some(passed_at) = passed_at {
            recorder.record(Stage::Decode, turn_at, passed_at, sends);
        }
        let mut acknowledged_at = part.appended_at;
        if let Some((submitted_at, completed_at)) = part.group {
            recorder.record(Stage::Submit, part.appended_at, submitted_at, sends);
            recorder.record(Stage::Flushed, submitted_at, completed_at, sends);
            acknowledged_at = completed_at;
        }
        let answered = Answered { read_at, acknowledged_at, sends: part.sends };
        part.peer.time_leaving(&self.stages.leaving, answered);
    }

    /// All of them are answered.
    pub(crate) fn finish(mut self) {
        self.end_part();
        self.stages.leaving.wake();
    }
}

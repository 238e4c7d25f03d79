//! Sends that are acknowledged together and recorded together.

use ringmq_runtime::clock::Instant;

use super::leaving::Answered;
use super::{Arrival, Recorder, Stage};

/// Sends of one turn and one group: those that share all stamps but the end of their decoding,
/// which a few of them share.
pub(super) struct Part {
    arrival: Arrival,
    appended_at: Instant,
    /// Submission and completion; none when they were acknowledged without the device.
    group: Option<(Instant, Instant)>,
    /// Sends whose decoding is recorded.
    sends: u32,
    /// When the last one was decoded.
    received_at: Instant,
    /// Sends that were decoded then, and are not recorded yet.
    alike: u32,
}

impl Part {
    /// No sends yet.
    pub(super) fn new(
        arrival: Arrival,
        appended_at: Instant,
        group: Option<(Instant, Instant)>,
    ) -> Self {
        let received_at = arrival.turn_at;
        Self { arrival, appended_at, group, sends: 0, received_at, alike: 0 }
    }

    /// Adds a send that was decoded at `received_at`.
    pub(super) fn add(&mut self, received_at: Instant, recorder: &mut Recorder) {
        if self.received_at != received_at {
            self.record_alike(recorder);
            self.received_at = received_at;
        }
        self.alike += 1;
    }

    fn record_alike(&mut self, recorder: &mut Recorder) {
        let sends = std::mem::take(&mut self.alike);
        if sends == 0 {
            return;
        }
        self.sends += sends;
        let (received_at, sends) = (self.received_at, u64::from(sends));
        match self.arrival.passed_at {
            None => recorder.record(Stage::Decode, self.arrival.turn_at, received_at, sends),
            Some(passed_at) => recorder.record(Stage::Hop, passed_at, received_at, sends),
        }
        recorder.record(Stage::Append, received_at, self.appended_at, sends);
    }

    /// Records all that is not recorded; what is left to time is the way of the answers.
    pub(super) fn end(mut self, recorder: &mut Recorder) -> Answered {
        self.record_alike(recorder);
        let sends = u64::from(self.sends);
        let Arrival { read_at, turn_at, passed_at } = self.arrival;
        recorder.record(Stage::Read, read_at, turn_at, sends);
        if let Some(passed_at) = passed_at {
            recorder.record(Stage::Decode, turn_at, passed_at, sends);
        }
        let mut acknowledged_at = self.appended_at;
        if let Some((submitted_at, completed_at)) = self.group {
            recorder.record(Stage::Submit, self.appended_at, submitted_at, sends);
            recorder.record(Stage::Flushed, submitted_at, completed_at, sends);
            acknowledged_at = completed_at;
        }
        Answered { read_at, acknowledged_at, sends: self.sends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Instant {
        Instant::from_nanos(us * 1_000)
    }

    /// Of each stage: how many sends, and their times together, in us, to 1 %.
    fn check(passed_at: Option<u64>, received: &[u64], expected: &[(Stage, u64, f64)]) {
        let arrival = Arrival { read_at: at(5), turn_at: at(10), passed_at: passed_at.map(at) };
        let mut recorder = Recorder::new();
        let mut part = Part::new(arrival, at(200), Some((at(300), at(1_000))));
        received.iter().for_each(|us| part.add(at(*us), &mut recorder));
        let answered = part.end(&mut recorder);
        let sends = received.len() as u64;
        assert_eq!(u64::from(answered.sends), sends);
        assert_eq!((answered.read_at, answered.acknowledged_at), (at(5), at(1_000)));
        let shared = [(Stage::Read, 5), (Stage::Submit, 100), (Stage::Flushed, 700)];
        let shared = shared.map(|(stage, us)| (stage, sends, (us * sends) as f64));
        for (stage, count, sum) in shared.iter().chain(expected).copied() {
            let times = &recorder.0[stage as usize];
            assert_eq!(times.len(), count, "{stage:?} of {received:?}");
            let found = times.mean() * times.len() as f64 / 1e3;
            assert!(
                (found - sum).abs() <= sum / 100.0,
                "{stage:?} of {received:?}: {found}, {sum}"
            );
        }
    }

    #[test]
    fn sends_with_one_time_are_recorded_together_and_each_is_counted() {
        use Stage::{Append, Decode, Hop};
        check(None, &[20], &[(Decode, 1, 10.0), (Append, 1, 180.0)]);
        check(None, &[10, 10], &[(Decode, 2, 0.0), (Append, 2, 380.0)]);
        let received = [20, 20, 20, 50, 90, 90];
        check(None, &received, &[(Decode, 6, 230.0), (Append, 6, 910.0), (Hop, 0, 0.0)]);
        check(Some(15), &received, &[(Decode, 6, 30.0), (Hop, 6, 200.0), (Append, 6, 910.0)]);
    }

    #[test]
    fn sends_acknowledged_without_the_device_have_no_stages_of_it() {
        let arrival = Arrival { read_at: at(5), turn_at: at(10), passed_at: None };
        let mut recorder = Recorder::new();
        let mut part = Part::new(arrival, at(200), None);
        part.add(at(20), &mut recorder);
        assert_eq!(part.end(&mut recorder).acknowledged_at, at(200));
        let counts = recorder.0.each_ref().map(|times| times.len());
        assert_eq!(counts, [1, 1, 0, 1, 0, 0, 0, 0]);
    }
}

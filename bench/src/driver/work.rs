//! The border between the loop that drives connections and what is asked over them.

use ringmq_protocol::Command;
use ringmq_runtime::clock::Instant;

use crate::record::window::Window;

/// The two times from which the latency of a request counts.
#[derive(Clone, Copy, Debug)]
pub struct AskedAt {
    /// When the schedule wanted it sent: response time counts from here.
    pub intended: Instant,
    /// When it was handed to the connection: service time counts from here.
    pub sent: Instant,
}

/// What becomes of a slot, or of the run, after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The slot may ask again.
    Again,
    /// The slot has asked all that it wants.
    Retire,
    /// The whole run must end.
    Stop,
}

/// What one connection asks, and what its answers mean.
///
/// A lane has a fixed number of slots, each with at most one request in flight. Per slot, `ask` and
/// `answered` alternate; a lost connection ends both.
pub trait Work {
    /// Messages of a request, where they are known before its answer: a load that ends after a
    /// number of messages then asks for no more than that.
    fn messages_of_request(&self) -> Option<u64> {
        None
    }

    /// Appends the next request of `slot` to `out`, with the slot's number as its opaque.
    fn ask(&self, slot: u32, asked: AskedAt, out: &mut Vec<u8>);

    /// Takes the answer to what `slot` asked, and counts it in `window`.
    fn answered(
        &self,
        slot: u32,
        asked: AskedAt,
        now: Instant,
        answer: &Command<'_>,
        window: &mut Window,
    ) -> Then;
}

//! The answers that a share gets: counted, and followed by the next requests.

use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::ReadHalf;

use crate::driver::lane::Lane;
use crate::driver::share::Share;
use crate::driver::work::Then;
use crate::record::window::Window;
use crate::wire::Assembler;

impl Share {
    /// Reads what comes over a connection until that ends.
    pub(super) async fn read_answers(self: Rc<Self>, lane: Rc<Lane>, mut read: ReadHalf) {
        let mut assembler = Assembler::default();
        loop {
            read.expect(assembler.missing_bytes());
            let outcome = read.read_with(|bytes| self.on_bytes(&lane, &mut assembler, bytes)).await;
            if !matches!(outcome, Ok(true)) || lane.is_closed() {
                break;
            }
        }
        let lost = lane.close();
        for _ in 0..lost {
            self.window.borrow_mut().failure("connection closed");
            self.settle(&lane, 0);
        }
        self.ask_for_what_is_left();
        self.tell_whether_finished();
        self.settled.notify_all();
    }

    /// Takes the answers in `bytes`; false at the end of the stream or when they make no sense.
    fn on_bytes(&self, lane: &Lane, assembler: &mut Assembler, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return false;
        }
        let now = Instant::now();
        let mut window = self.window.borrow_mut();
        let take = |answer: &Command<'_>| self.on_answer(lane, answer, now, &mut window);
        let outcome = assembler.feed(bytes, take);
        if let Err(error) = &outcome {
            window.failure(&error.to_string());
        }
        drop(window);
        match &self.pacer {
            Some(pacer) if !self.stopping.get() => self.send_due(pacer),
            _ => lane.flush(),
        }
        if self.stopping.get() {
            self.settled.notify_all();
        }
        outcome.is_ok()
    }

    /// Counts an answer; in a closed loop its slot asks again.
    fn on_answer(&self, lane: &Lane, answer: &Command<'_>, now: Instant, window: &mut Window) {
        let before = window.messages;
        let then = lane.take(answer, now, window);
        let came = window.messages - before;
        self.progress.add(came);
        if then.is_some() {
            self.settle(lane, came);
        }
        match then {
            Some(Then::Stop) => self.progress.stop(),
            Some(Then::Retire) => self.tell_whether_finished(),
            Some(Then::Again) | None => {}
        }
        let is_free = self.pacer.is_none() && !self.stopping.get() && lane.has_room();
        if is_free && self.may_ask(lane) {
            lane.ask(now, now);
        }
    }
}

//! Messages that consumers send back: CONSUMER_SEND_MSG_BACK (36). This broker takes none; a client
//! that hears so keeps the message and consumes it again by itself.
//!
//! The Go client, as of 2.1.2, takes any answer for success, and drops the message. Only without an
//! answer does it keep it, so it gets none: after 3 s it gives up waiting, after 5 s more the
//! message comes again. Versions that look at the code lose those 3 s and nothing else.

use std::cell::Cell;

use ringmq_protocol::{Command, Language};
use ringmq_remoting::Seldom;

use super::control::Reaction;
use crate::names;
use crate::outcome::Refusal;
use crate::peer::Peer;

/// Refuses what consumers send back.
#[derive(Default)]
pub struct SendBacks {
    unanswered: Cell<u64>,
    reports: Seldom,
}

impl SendBacks {
    /// Refuses a message in the way its client understands.
    pub fn refuse(&self, peer: &Peer, command: &Command<'_>) -> Reaction {
        if command.language != Language::Go {
            return Reaction::Now(Err(Refusal::unsupported(command.code)));
        }
        self.unanswered.set(self.unanswered.get() + 1);
        if self.reports.is_due() {
            let group = command.fields.get("group").filter(|name| names::check_group(name).is_ok());
            tracing::warn!(
                client = %peer.peer_addr(),
                group = group.unwrap_or_default(),
                unanswered = self.unanswered.get(),
                "a Go client sends a message back: it gets no answer, since it would take any for \
                 success and drop the message; so it consumes it again by itself, 8 s later"
            );
        }
        Reaction::Silence
    }
}

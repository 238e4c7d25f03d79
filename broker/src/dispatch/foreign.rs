//! Requests that another shard has read, in turns.
//!
//! A message has those of one turn of reading. Each of the control plane may take long, so others
//! have a turn behind it: the rest of its message is for *later*, and whatever comes of the same
//! connection meanwhile.

use std::collections::VecDeque;
use std::rc::Rc;

use ringmq_protocol::{Command, frame};
use ringmq_runtime::random::HashMap;
use ringmq_runtime::task;

use super::HOPS_FROM_HOME;
use crate::link::{ConnectionKey, RemoteConnection, ShardMessage};
use crate::peer::Peer;
use crate::services::Request;
use crate::shard::DataPlane;
use crate::stages::Arrival;

/// Messages that are handled for each turn of a connection that waits for one: those of many
/// connections, which ask for what is short.
const BESIDE_MAX: usize = 64;

/// Requests of a connection of another shard, of which those in front are handled.
pub(super) struct ForeignFrames {
    pub(super) connection: RemoteConnection,
    pub(super) frames: Vec<u8>,
    /// Bytes of those that are handled.
    pub(super) handled: usize,
    /// How often they were passed on already.
    pub(super) hops: u8,
    pub(super) arrival: Option<Arrival>,
}

/// Requests for later. How many there can be of a connection its shard sees to.
#[derive(Default)]
pub(super) struct Later {
    /// Of each connection, in the order in which they came.
    requests: HashMap<ConnectionKey, VecDeque<ForeignFrames>>,
    /// Whose turn it is, one after the other.
    turns: VecDeque<ConnectionKey>,
    /// Messages that were handled since the last turn.
    beside: usize,
}

impl Later {
    /// Whether a message may be handled before the next turn.
    fn lets_pass(&mut self) -> bool {
        self.beside += 1;
        self.beside <= BESIDE_MAX
    }

    /// Keeps requests behind those of their connection, or gives them back if it has none here.
    fn keep_behind(&mut self, foreign: ForeignFrames) -> Option<ForeignFrames> {
        match self.requests.get_mut(&foreign.connection.key) {
            Some(before) => {
                before.push_back(foreign);
                None
            }
            None => Some(foreign),
        }
    }
}

impl DataPlane {
    /// The next message of another shard, between turns of the connections that wait for one.
    pub(super) async fn next_message(self: &Rc<Self>, later: &mut Later) -> (usize, ShardMessage) {
        let mut next = None;
        while !later.turns.is_empty() {
            if next.is_none() && later.lets_pass() {
                next = self.link.try_receive();
                match next.take() {
                    Some(message) if is_behind_requests(&message.1) => next = Some(message),
                    Some(message) => return message,
                    None => {}
                }
            }
            // A turn of all others: this task is an urgent one, before which one of them would run.
            task::spawn("turn", async {}).await;
            self.take_turn(later);
        }
        match next {
            Some(message) => message,
            None => self.link.receive().await,
        }
    }

    /// The turn of a connection that waits for one.
    fn take_turn(self: &Rc<Self>, later: &mut Later) {
        later.beside = 0;
        let Some(key) = later.turns.pop_front() else { return };
        let mut requests = later.requests.remove(&key).expect("its turn was to come");
        if let Some(foreign) = requests.pop_front()
            && let Some(rest) = self.handle_turn(foreign)
        {
            requests.push_front(rest);
        }
        if !requests.is_empty() {
            later.requests.insert(key, requests);
            later.turns.push_back(key);
        }
    }

    /// Handles requests from another shard, up to one behind which others have a turn.
    pub(super) fn on_foreign_frames(self: &Rc<Self>, foreign: ForeignFrames, later: &mut Later) {
        let Some(foreign) = later.keep_behind(foreign) else { return };
        if let Some(rest) = self.handle_turn(foreign) {
            let key = rest.connection.key;
            later.requests.insert(key, [rest].into());
            later.turns.push_back(key);
        }
    }

    /// Handles requests up to one behind which others have a turn; gives back the rest then.
    fn handle_turn(self: &Rc<Self>, mut foreign: ForeignFrames) -> Option<ForeignFrames> {
        self.local.stages.begin_kept(foreign.arrival);
        let has_more = self.handle_some(&mut foreign);
        self.local.end_turn();
        if has_more {
            return Some(foreign);
        }
        let ForeignFrames { connection, frames, hops, .. } = foreign;
        let bytes = frames.len();
        self.link.handled(frames);
        if hops == HOPS_FROM_HOME {
            self.link.credit(connection.key, bytes);
        }
        None
    }

    /// The part of a turn that handles requests; whether there are more.
    fn handle_some(self: &Rc<Self>, foreign: &mut ForeignFrames) -> bool {
        let ForeignFrames { connection, frames, handled, hops, .. } = foreign;
        let peer = Peer::remote(*connection, &self.link);
        // The rest of what a connection asked for that will be closed is not worth the work.
        while *handled < frames.len() && !self.link.is_overfull(connection.key) {
            let rest = &frames[*handled..];
            let cut = frame::cut(rest, rest.len()).expect("the first shard cut these frames");
            let (frame, len) = cut.expect("frames cross the mesh whole");
            let command = &Command::parse(frame).expect("the first shard parsed this header");
            *handled += len;
            let gives_way =
                self.handle(Request { peer: &peer, command, frame: &rest[..len] }, *hops);
            if gives_way && *handled < frames.len() {
                return true;
            }
        }
        false
    }
}

/// Whether a message tells that all requests were handled which its shard sent before: a stop goes
/// on by that, and a connection that closed asks for nothing more.
fn is_behind_requests(message: &ShardMessage) -> bool {
    match message {
        ShardMessage::Run { .. } | ShardMessage::Returned { .. } | ShardMessage::Closed(_) => true,
        ShardMessage::Requests { .. } | ShardMessage::Reply { .. } | ShardMessage::Change(_) => {
            false
        }
    }
}

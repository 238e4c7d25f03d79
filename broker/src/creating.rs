//! Sends to topics that do not exist yet.
//!
//! The first of them has shard 0 create the topic. It, and every later send to that topic which
//! reaches this shard meanwhile, waits in the topic's *line* and is served from it in the order of
//! arrival. Without a line a send that comes when the topic has just been published would overtake
//! the one that asked for it, and the messages of one producer would change places.
//!
//! Order holds across shards too: the requests of a connection for one queue take one way, through
//! the shard that reads the connection to the owner of the queue, and every shard on it has a line.
//! An owner that learns of the topic later than the other shard makes a line of its own; creating
//! the topic once more then changes nothing.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use ringmq_runtime::random::HashMap;
use ringmq_runtime::task;

use crate::control::TopicWanted;
use crate::outcome::Refusal;
use crate::services::Request;
use crate::services::kept::Kept;
use crate::shard::DataPlane;
use crate::shares::Shares;
use crate::stages::Arrival;

/// Bytes of the sends that wait for topics on one shard. Connections have [`Shares`] of them: one
/// alone may have half, and what finds no place is answered SYSTEM_BUSY.
pub(crate) const WAITING_MAX_BYTES: usize = 64 << 20;

/// What each counts for at least: a new name costs a line, a task and a question to shard 0 beside
/// its frame. So 16,384 sends wait at most, 8,192 of a connection that is alone.
const WAITING_MIN_BYTES: usize = 4 << 10;

/// The lines of one shard.
pub(crate) struct Creating {
    lines: RefCell<HashMap<String, VecDeque<Waiting>>>,
    shares: RefCell<Shares>,
}

impl Default for Creating {
    fn default() -> Self {
        let shares = RefCell::new(Shares::new(WAITING_MAX_BYTES, 1));
        Self { lines: RefCell::default(), shares }
    }
}

/// A send that waits for its topic.
struct Waiting {
    kept: Kept,
    hops: u8,
    arrival: Option<Arrival>,
}

impl Creating {
    /// Whether sends to this topic have to wait. Asked for every send: costs nothing while no topic
    /// is being created.
    pub(crate) fn has_line(&self, topic: &str) -> bool {
        let lines = self.lines.borrow();
        !lines.is_empty() && lines.contains_key(topic)
    }

    /// Whether no send waits for its topic.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.borrow().is_empty()
    }

    /// Takes the place of a send that is to wait; false when its connection has its share.
    fn admit(&self, request: &Request<'_, '_>) -> bool {
        let bytes = counted_bytes(request.frame.len());
        self.shares.borrow_mut().take(request.peer.key(), bytes)
    }

    /// Puts a send that has a place into the line of its topic; `true` when it is the first there.
    fn join(&self, topic: &str, waiting: Waiting) -> bool {
        let mut lines = self.lines.borrow_mut();
        match lines.get_mut(topic) {
            Some(line) => {
                line.push_back(waiting);
                false
            }
            None => {
                lines.insert(topic.to_owned(), VecDeque::from([waiting]));
                true
            }
        }
    }

    /// The next send of a line; `None` when there is none, and then the line is gone too.
    fn next(&self, topic: &str) -> Option<Waiting> {
        let mut lines = self.lines.borrow_mut();
        let Some(waiting) = lines.get_mut(topic).and_then(VecDeque::pop_front) else {
            lines.remove(topic);
            return None;
        };
        Some(waiting)
    }

    /// Gives back the place of a send that was served: the first of a line needs it, too.
    fn leave(&self, waiting: &Waiting) {
        let bytes = counted_bytes(waiting.kept.frame_bytes());
        self.shares.borrow_mut().give_back(waiting.kept.peer().key(), bytes);
    }
}

/// What a send counts for while it waits.
fn counted_bytes(frame_bytes: usize) -> usize {
    frame_bytes.max(WAITING_MIN_BYTES)
}

impl DataPlane {
    /// Has a send wait until its topic exists.
    pub(crate) fn wait_for_topic(
        self: &Rc<Self>,
        topic: String,
        request: Request<'_, '_>,
        hops: u8,
    ) {
        if !self.creating.admit(&request) {
            let taken = self.creating.shares.borrow().of(request.peer.key());
            let remark = format!(
                "topic {topic} is being created; sends of this connection wait for topics with \
                 {taken} bytes, and no more are free"
            );
            return request.refuse(&Refusal::busy(remark));
        }
        let arrival = self.local.stages.arrival_of(request.peer);
        let waiting = Waiting { kept: Kept::in_flight(request), hops, arrival };
        if self.creating.join(&topic, waiting) {
            task::spawn("create a topic for a send", Rc::clone(self).run_line(topic)).detach();
        }
    }

    /// Serves the line of a topic until nobody is left in it.
    async fn run_line(self: Rc<Self>, topic: String) {
        while let Some(waiting) = self.creating.next(&topic) {
            self.serve_from_line(&waiting).await;
            self.creating.leave(&waiting);
            task::yield_if_needed().await;
        }
    }

    async fn serve_from_line(self: &Rc<Self>, waiting: &Waiting) {
        let Waiting { kept, hops, arrival } = waiting;
        // Only for the first of a line, unless that one was refused.
        let wanted = kept.lend(|asked| self.topic_wanted_by(asked.command));
        if let Some(mut wanted) = wanted {
            wanted.wanted_by = kept.peer().peer_addr().to_string();
            if let Err(refusal) = self.create_topic(wanted).await {
                return kept.lend(|request| request.refuse(&refusal));
            }
        }
        self.local.stages.begin_kept(*arrival);
        kept.lend(|request| self.handle_from_line(request, hops + 1));
        self.local.end_turn();
    }

    /// Creates a topic on shard 0. When it is done this shard knows the topic.
    async fn create_topic(self: &Rc<Self>, wanted: TopicWanted) -> Result<(), Refusal> {
        let create = |first: Rc<DataPlane>| async move {
            let control = first.control.borrow().clone();
            match control {
                Some(control) => control.topic_for_send(wanted).await,
                None => Err(Refusal::starting()),
            }
        };
        self.on_shard(0, create).await
    }
}

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

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::task;

use crate::control::TopicWanted;
use crate::outcome::Refusal;
use crate::services::Request;
use crate::services::kept::Kept;
use crate::shard::DataPlane;
use crate::stages::Arrival;

/// Bytes of the sends that wait for topics on one shard; further ones are answered SYSTEM_BUSY.
const WAITING_MAX_BYTES: usize = 64 << 20;

/// The lines of one shard.
#[derive(Default)]
pub(crate) struct Creating {
    lines: RefCell<HashMap<String, VecDeque<Waiting>>>,
    bytes: Cell<usize>,
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

    /// Puts a send into the line of its topic; `true` when it is the first there.
    fn join(&self, topic: &str, waiting: Waiting) -> bool {
        self.bytes.set(self.bytes.get() + waiting.kept.frame_bytes());
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
        self.bytes.set(self.bytes.get() - waiting.kept.frame_bytes());
        Some(waiting)
    }
}

impl DataPlane {
    /// Has a send wait until its topic exists.
    pub(crate) fn wait_for_topic(
        self: &Rc<Self>,
        topic: String,
        request: Request<'_, '_>,
        hops: u8,
    ) {
        if self.creating.bytes.get() + request.frame.len() > WAITING_MAX_BYTES {
            let remark = format!(
                "topic {topic} is being created, and sends of {WAITING_MAX_BYTES} bytes wait for it"
            );
            let refusal = Refusal::new(response::SYSTEM_BUSY, remark);
            return request.refuse(&refusal);
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
            let Waiting { kept, hops, arrival } = &waiting;
            // Only for the first of a line, unless that one was refused.
            let wanted = kept.lend(|asked| self.topic_wanted_by(asked.command));
            if let Some(mut wanted) = wanted {
                wanted.wanted_by = kept.peer().peer_addr().to_string();
                if let Err(refusal) = self.create_topic(wanted).await {
                    kept.lend(|request| request.refuse(&refusal));
                    continue;
                }
            }
            self.local.stages.begin_kept(*arrival);
            kept.lend(|request| self.handle_from_line(request, hops + 1));
            self.local.end_turn();
            task::yield_if_needed().await;
        }
    }

    /// Creates a topic on shard 0. When it is done this shard knows the topic.
    async fn create_topic(self: &Rc<Self>, wanted: TopicWanted) -> Result<(), Refusal> {
        let create = |first: Rc<DataPlane>| async move {
            let control = first.control.borrow().clone();
            match control {
                Some(control) => control.topic_for_send(wanted).await,
                None => Err(Refusal::unavailable("starting")),
            }
        };
        self.on_shard(0, create).await
    }
}

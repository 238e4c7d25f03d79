//! A control plane of a few lines, for tests of the data plane alone.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_broker::control::{ControlPlane, TopicWanted};
use ringmq_broker::link::ConnectionKey;
use ringmq_broker::outcome::Refusal;
use ringmq_broker::peer::Peer;
use ringmq_broker::shard::DataPlane;
use ringmq_broker::view::{Change, Group, Topic};
use ringmq_protocol::Command;
use ringmq_protocol::codes::{request, response};
use ringmq_remoting::ReplyTo;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task::LocalFuture;

/// A topic that is published at once and done only when [`RELEASE`] is asked for.
pub const HELD_TOPIC: &str = "Held";

/// A topic that is never made.
pub const REFUSED_TOPIC: &str = "Refused";

/// A group that is made when it is asked for a second time.
pub const REFUSED_ONCE_GROUP: &str = "RefusedOnce";

/// The request that ends the making of [`HELD_TOPIC`].
pub const RELEASE: i32 = request::GET_BROKER_CONFIG;

/// The request for how often pulls named a newer subscription.
pub const TIMES_OLD: i32 = request::GET_CONSUMER_CONNECTION_LIST;

/// What a heartbeat with a body takes.
const LONG_BEAT: Duration = Duration::from_millis(1);

thread_local! {
    /// Heartbeats that this shard, the first, has answered.
    pub static BEATS: Cell<u64> = const { Cell::new(0) };
}

/// Creates every topic that is asked for, with the queues that the sender wants.
pub struct TestControl {
    data: Rc<DataPlane>,
    closed: Cell<usize>,
    has_refused: Cell<bool>,
    times_old: Cell<usize>,
    released: Notify,
}

impl TestControl {
    pub fn start(data: Rc<DataPlane>) -> Rc<dyn ControlPlane> {
        // As a real one does when it finds them on disk.
        for name in ["T", "Other"] {
            data.publish(Change::Topic(Arc::new(topic(name, 4))));
        }
        Rc::new(Self {
            data,
            closed: Cell::new(0),
            has_refused: Cell::new(false),
            times_old: Cell::new(0),
            released: Notify::new(),
        })
    }
}

pub fn topic(name: &str, queues: u32) -> Topic {
    Topic {
        name: name.to_owned(),
        read_queues: queues,
        write_queues: queues,
        permission: 6,
        is_ordered: false,
        sys_flag: 0,
    }
}

impl ControlPlane for TestControl {
    fn on_request(&self, peer: &Peer, command: &Command<'_>) {
        let to = ReplyTo::of(command);
        match command.code {
            request::HEART_BEAT => {
                let begin = Instant::now();
                while !command.body.is_empty() && begin.elapsed() < LONG_BEAT {}
                BEATS.set(BEATS.get() + 1);
                peer.reply(&to, response::SUCCESS, None, &(), &[]);
            }
            request::GET_BROKER_RUNTIME_INFO => {
                let closed = self.closed.get().to_string();
                peer.reply(&to, response::SUCCESS, None, &(), closed.as_bytes());
            }
            TIMES_OLD => {
                let times = self.times_old.get().to_string();
                peer.reply(&to, response::SUCCESS, None, &(), times.as_bytes());
            }
            RELEASE => {
                self.released.notify_one();
                peer.reply(&to, response::SUCCESS, None, &(), &[]);
            }
            code => peer.refuse(&to, &Refusal::unsupported(code)),
        }
    }

    fn on_connection_closed(&self, _: ConnectionKey) {
        self.closed.set(self.closed.get() + 1);
    }

    fn topic_for_send(self: Rc<Self>, wanted: TopicWanted) -> LocalFuture<Result<(), Refusal>> {
        Box::pin(async move {
            if wanted.name == REFUSED_TOPIC {
                return Err(Refusal::no_topic(REFUSED_TOPIC));
            }
            self.data.publish(Change::Topic(Arc::new(topic(&wanted.name, wanted.queues))));
            if wanted.name == HELD_TOPIC {
                self.released.notified().await;
            }
            Ok(())
        })
    }

    fn group_for_pull(self: Rc<Self>, name: String) -> LocalFuture<Result<(), Refusal>> {
        Box::pin(async move {
            if name == REFUSED_ONCE_GROUP && !self.has_refused.replace(true) {
                return Err(Refusal::unavailable("refused once"));
            }
            let group = Group { name, consume_enabled: true, retries_max: 16, ..Group::default() };
            self.data.publish(Change::Group(Arc::new(group)));
            Ok(())
        })
    }

    fn subscription_is_old(&self, _: &str) {
        self.times_old.set(self.times_old.get() + 1);
    }

    fn on_ready(&self) {}

    fn stop(self: Rc<Self>) -> LocalFuture<()> {
        Box::pin(async {})
    }
}

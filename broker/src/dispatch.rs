//! How a request finds its service.
//!
//! A request comes from a connection of this shard or over the mesh. It is answered here when this
//! shard owns its queue, handed to the control plane when this is shard 0, and otherwise passed on,
//! as bytes, at most [`HOPS_MAX`] times. More than one hop happens only while shards disagree about
//! a topic or group that is changing.
//!
//! Whatever a request changes is changed in one synchronous step; only then does anything wait.

mod foreign;

use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_protocol::codes::request;
use ringmq_remoting::{Connection, Service};
use ringmq_runtime::task;

use self::foreign::{ForeignFrames, Later};
use crate::control::TopicWanted;
use crate::link::{ConnectionKey, Reply, ShardMessage};
use crate::logs::OwnedLog;
use crate::outcome::Refusal;
use crate::peer::{Peer, push_piece};
use crate::router::{HashedQueue, Place, place};
use crate::services::produce::{self, Destination};
use crate::services::pull::held;
use crate::services::{self, Request};
use crate::shard::DataPlane;

/// Times that a request may change shards before the sender is asked to try again.
const HOPS_MAX: u8 = 4;

/// Hops of a request that comes from the shard of its connection.
pub(crate) const HOPS_FROM_HOME: u8 = 1;

/// What becomes of a request.
enum Route {
    /// It is served on this shard.
    Serve,
    /// It is about messages of one log of this shard.
    ServeLog(Rc<OwnedLog>),
    /// Another shard serves it.
    PassTo(usize),
    /// It waits until shard 0 has created this topic.
    WaitFor(String),
    /// It is the control plane's.
    Control,
    /// It is refused here.
    Refuse(Refusal),
}

impl DataPlane {
    /// Receives from other shards until the shard stops.
    pub async fn run_mesh(self: Rc<Self>) {
        let mut later = Later::default();
        loop {
            let (from, message) = self.next_message(&mut later).await;
            self.on_message(from, message, &mut later);
            // A message may hold all requests of a turn of reading.
            task::yield_if_needed().await;
        }
    }

    fn on_message(self: &Rc<Self>, from: usize, message: ShardMessage, later: &mut Later) {
        match message {
            ShardMessage::Requests { connection, frames, hops, arrival, spare } => {
                self.link.pools.recycle_list(spare);
                // Its shard reads from a connection only while that has room for answers.
                self.link.found_room(connection.key);
                let foreign = ForeignFrames { connection, frames, handled: 0, hops, arrival };
                self.on_foreign_frames(foreign, later);
            }
            ShardMessage::Reply { connection, reply } => self.on_reply(connection, reply),
            ShardMessage::Closed(connection) => {
                if let Some(control) = &*self.control.borrow() {
                    control.on_connection_closed(connection);
                }
            }
            ShardMessage::Change(change) => self.local.apply(change),
            ShardMessage::Run { call, job } => {
                let (data, link) = (Rc::clone(self), Rc::clone(&self.link));
                let run = async move {
                    let value = job(data).await;
                    link.send(from, ShardMessage::Returned { call, value });
                };
                task::spawn("job of a shard", run).detach();
            }
            ShardMessage::Returned { call, value } => self.link.returned(call, value),
        }
    }

    fn on_reply(&self, id: u64, mut reply: Reply) {
        if let Some(connection) = self.inbound.connection(id) {
            self.inbound.handled(id, reply.handled_bytes);
            if reply.is_overfull {
                return connection.close_overfull();
            }
            // What tells of handled requests alone leaves the connection's output as it is.
            if !reply.bytes.is_empty() {
                self.write_reply(&connection, &mut reply);
            }
        }
        self.link.pools.recycle(reply.bytes);
        self.link.pools.recycle_list(reply.pieces);
    }

    fn write_reply(&self, connection: &Rc<Connection>, reply: &mut Reply) {
        connection.out(|out| {
            let mut written = 0;
            for (at, piece) in reply.pieces.drain(..) {
                out.append(|out| out.extend_from_slice(&reply.bytes[written..at]));
                push_piece(out, piece);
                written = at;
            }
            out.append(|out| out.extend_from_slice(&reply.bytes[written..]));
        });
        connection.flush_soon();
        self.local.stages.answered_elsewhere(connection, reply.answered.drain(..));
    }

    /// Handles one request, wherever it came from. Whether others are to have a turn before the
    /// next one of its connection: those of the control plane take up to tens of milliseconds each.
    pub(crate) fn handle(self: &Rc<Self>, request: Request<'_, '_>, hops: u8) -> bool {
        let route = self.route(request.command);
        let gives_way = matches!(route, Route::Control) && self.shard() == 0;
        self.follow(route, request, hops);
        gives_way
    }

    /// Handles a send that waited for its topic.
    pub(crate) fn handle_from_line(self: &Rc<Self>, request: Request<'_, '_>, hops: u8) {
        let route = match self.route_from_line(request.command) {
            // It was deleted again before its line was served.
            Route::WaitFor(topic) => Route::Refuse(Refusal::no_topic(&topic)),
            route => route,
        };
        self.follow(route, request, hops);
    }

    fn follow(self: &Rc<Self>, route: Route, request: Request<'_, '_>, hops: u8) {
        match route {
            Route::Serve => services::serve(self, request),
            Route::ServeLog(owned) => services::serve_log(self, &owned, request),
            Route::Control if self.shard() == 0 => match &*self.control.borrow() {
                Some(control) => control.on_request(request.peer, request.command),
                None => request.refuse(&Refusal::starting()),
            },
            Route::Control => self.pass_on(0, request, hops),
            Route::WaitFor(topic) => self.wait_for_topic(topic, request, hops),
            Route::PassTo(shard) => self.pass_on(shard, request, hops),
            Route::Refuse(refusal) => request.refuse(&refusal),
        }
    }

    fn route(&self, command: &Command<'_>) -> Route {
        match place(command) {
            Place::Control => Route::Control,
            Place::Here => Route::Serve,
            Place::Position(position) => match self.local.placement.log_of_position(position) {
                Some(log) => self.route_to_log_id(log),
                None => Route::Serve,
            },
            Place::Queue { topic, queue_id } => self.route_to_queue(command, topic, queue_id),
        }
    }

    /// The topic that a send needs and that this shard does not know.
    pub(crate) fn topic_wanted_by(&self, command: &Command<'_>) -> Option<TopicWanted> {
        let Place::Queue { topic, queue_id } = place(command) else { return None };
        match produce::destination(&self.local.view(), command, topic, queue_id) {
            Ok(Destination::NewTopic(wanted)) => Some(wanted),
            _ => None,
        }
    }

    fn route_send(&self, destination: Result<Destination, Refusal>) -> Route {
        match destination {
            Ok(Destination::Queue(topic, queue_id)) => {
                self.route_to_log(HashedQueue::new(&topic.name, queue_id))
            }
            Ok(Destination::AnyQueueOf(topic)) => {
                self.route_to_any_queue(HashedQueue::new(&topic.name, 0), topic.write_queues)
            }
            Ok(Destination::NewTopic(wanted)) => Route::WaitFor(wanted.name),
            Err(refusal) => Route::Refuse(refusal),
        }
    }

    fn route_from_line(&self, command: &Command<'_>) -> Route {
        let Place::Queue { topic, queue_id } = place(command) else { return Route::Serve };
        self.route_send(produce::destination(&self.local.view(), command, topic, queue_id))
    }

    fn route_to_queue(&self, command: &Command<'_>, topic: &str, queue_id: i32) -> Route {
        if produce::is_send(command.code) {
            let destination = produce::destination(&self.local.view(), command, topic, queue_id);
            return match destination {
                // Behind the sends that wait for the same topic.
                Ok(Destination::Queue(topic, _) | Destination::AnyQueueOf(topic))
                    if self.creating.has_line(&topic.name) =>
                {
                    Route::WaitFor(topic.name.clone())
                }
                destination => self.route_send(destination),
            };
        }
        if queue_id < 0 {
            let remark = format!("queueId {queue_id} is negative; topic {topic} begins at 0");
            return Route::Refuse(Refusal::invalid_parameter(remark));
        }
        self.route_to_log(HashedQueue::new(topic, queue_id))
    }

    /// The sender leaves the queue to us: one of this shard's, if there is one.
    fn route_to_any_queue(&self, first: HashedQueue, queues: u32) -> Route {
        let local = (0..queues as i32)
            .map(|queue_id| HashedQueue { queue_id, ..first })
            .find(|queue| self.local.log(self.local.placement.log_of(*queue)).is_some());
        self.route_to_log(local.unwrap_or(first))
    }

    fn route_to_log(&self, queue: HashedQueue) -> Route {
        self.route_to_log_id(self.local.placement.log_of(queue))
    }

    fn route_to_log_id(&self, log: usize) -> Route {
        match self.local.log(log) {
            Some(owned) => Route::ServeLog(Rc::clone(owned)),
            None => Route::PassTo(self.local.placement.shard_of_log(log)),
        }
    }

    fn pass_on(&self, shard: usize, request: Request<'_, '_>, hops: u8) {
        let Request { peer, frame, .. } = request;
        if hops >= HOPS_MAX {
            let remark = "shards disagree about the owner of this queue; try again";
            return request.refuse(&Refusal::unavailable(remark));
        }
        if hops == 0 && peer.is_local() {
            return self.inbound.gather(shard, frame);
        }
        let mut frames = self.link.pools.buffer();
        frames.extend_from_slice(frame);
        let arrival = self.local.stages.passing_on(peer);
        self.link.send_requests(shard, peer.to_remote(), frames, hops + 1, arrival);
    }
}

/// The face that a shard shows to its connections.
pub struct Front(pub Rc<DataPlane>);

impl Service for Front {
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, frame: &[u8]) {
        let is_registering =
            matches!(command.code, request::HEART_BEAT | request::UNREGISTER_CLIENT);
        if is_registering || self.0.link.shards() > 1 {
            self.0.inbound.remember(connection, is_registering);
        }
        let peer = &Peer::local(self.0.shard(), connection);
        if self.0.handle(Request { peer, command, frame }, 0) {
            connection.give_way();
        }
    }

    fn on_read_end(&self, connection: &Rc<Connection>) {
        if self.0.link.shards() > 1 {
            self.0.inbound.flush(&Peer::local(self.0.shard(), connection), &self.0.local.stages);
        }
        self.0.local.end_turn();
    }

    fn on_close(&self, connection: &Rc<Connection>) {
        let key = ConnectionKey { shard: self.0.shard(), id: connection.id() };
        held::connection_closed(&self.0, key);
        if self.0.inbound.forget(connection.id()) {
            self.0.link.send(0, ShardMessage::Closed(key));
        }
    }
}

//! What the fake answers.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_protocol::bodies::heartbeat::{ConsumerList, HeartbeatData};
use ringmq_protocol::bodies::lock::{LockBatchRequest, LockBatchResponse};
use ringmq_protocol::bodies::route::ClusterInfo;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::CreateTopicRequest;
use ringmq_protocol::headers::client::{ConsumerGroupRequest, UnregisterClientRequest};
use ringmq_protocol::headers::namesrv::RouteRequest;
use ringmq_protocol::headers::offset::{
    OffsetResponse, QueryOffsetRequest, QueueRequest, TimestampResponse, UpdateOffsetRequest,
};
use ringmq_protocol::headers::pull::{PullRequest, PullResponse, pull_flag};
use ringmq_protocol::headers::query::ViewMessageRequest;
use ringmq_protocol::headers::send::{SendRequest, SendResponse};
use ringmq_protocol::ids::OffsetMessageId;
use ringmq_protocol::{Command, Header, WriteHeader, batch, json};
use ringmq_remoting::{Connection, ReplyTo, Service};
use ringmq_runtime::task;

use super::Shared;
use super::state::{Ask, State, Trouble};

/// Most messages in one answer.
const PULLED_MAX: usize = 32;

/// The service of one fake.
pub struct Fake {
    shared: Arc<Shared>,
    held: RefCell<Vec<Held>>,
    connections: RefCell<Vec<Rc<Connection>>>,
}

struct Held {
    connection: Rc<Connection>,
    to: ReplyTo,
    place: (String, i32),
    from: usize,
}

impl Fake {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, held: RefCell::default(), connections: RefCell::default() }
    }
}

/// One request and the means to answer it.
struct Call<'a, 'f> {
    connection: &'a Rc<Connection>,
    command: &'a Command<'f>,
    to: ReplyTo,
}

impl<'a> Call<'a, '_> {
    fn header<H: Header<'a>>(&self) -> H {
        H::decode(&self.command.fields).expect("a complete header")
    }

    fn ok(&self, header: &impl WriteHeader, body: &[u8]) {
        self.connection.reply(&self.to, response::SUCCESS, None, header, body);
    }

    fn refuse(&self, code: i32, remark: &str) {
        self.connection.reply(&self.to, code, Some(remark), &(), &[]);
    }

    fn refuse_later(&self, code: i32, after: Duration) {
        let (connection, to) = (self.connection.clone(), ReplyTo::of(self.command));
        let answer = async move {
            task::sleep(after).await;
            connection.reply(&to, code, Some("trouble was asked for"), &(), &[]);
        };
        task::spawn("a late answer", answer).detach();
    }
}

impl Service for Fake {
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, _frame: &[u8]) {
        let call = Call { connection, command, to: ReplyTo::of(command) };
        let state = &mut *self.shared.state.lock().expect("no panic");
        state.seen.push(command.code);
        if !command.is_oneway() && state.silence.take_if(|code| *code == command.code).is_some() {
            self.shared.changed.notify_all();
            return;
        }
        if state.cut.take_if(|code| *code == command.code).is_some() {
            return connection.close("trouble was asked for");
        }
        match command.code {
            silent if state.silent.contains(&silent) => {}
            refused if state.refused.contains(&refused) => {
                call.refuse(response::SYSTEM_ERROR, "trouble was asked for");
            }
            request::GET_ROUTEINFO_BY_TOPIC => route(state, &call),
            request::GET_BROKER_CLUSTER_INFO => cluster(state, &call),
            request::HEART_BEAT => self.heartbeat(state, &call),
            request::UNREGISTER_CLIENT => self.unregister(state, &call),
            request::GET_CONSUMER_LIST_BY_GROUP => members(state, &call),
            request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE => self.send(state, &call),
            request::PULL_MESSAGE | request::LITE_PULL_MESSAGE => self.pull(state, &call),
            request::QUERY_CONSUMER_OFFSET => query_offset(state, &call),
            request::UPDATE_CONSUMER_OFFSET => update_offset(state, &call),
            request::GET_MAX_OFFSET | request::GET_MIN_OFFSET => end_offset(state, &call),
            request::GET_EARLIEST_MSG_STORETIME => {
                call.ok(&TimestampResponse { timestamp_ms: 1 }, &[]);
            }
            request::LOCK_BATCH_MQ => lock(state, &call, true),
            request::UNLOCK_BATCH_MQ => lock(state, &call, false),
            request::UPDATE_AND_CREATE_TOPIC => {
                state.topics.insert(call.header::<CreateTopicRequest<'_>>().topic.to_owned());
                call.ok(&(), &[]);
            }
            request::VIEW_MESSAGE_BY_ID => view(state, &call),
            _ => connection.reply_unsupported(command),
        }
        while let Some(ask) = state.asks.pop_front() {
            self.ask_clients(&ask);
        }
        self.shared.changed.notify_all();
    }

    fn on_close(&self, connection: &Rc<Connection>) {
        self.shared.state.lock().expect("no panic").closed += 1;
        self.shared.changed.notify_all();
        self.held.borrow_mut().retain(|held| held.connection.id() != connection.id());
        self.connections.borrow_mut().retain(|known| known.id() != connection.id());
    }
}

fn route(state: &State, call: &Call<'_, '_>) {
    let topic = call.header::<RouteRequest<'_>>().topic;
    match state.route(topic) {
        Some(route) => call.ok(&(), &json::to_vec(&route)),
        None => call.refuse(response::TOPIC_NOT_EXIST, "no such topic"),
    }
}

fn cluster(state: &State, call: &Call<'_, '_>) {
    let sets = state.route("TBW102").map(|route| route.broker_datas).unwrap_or_default();
    let mut info = ClusterInfo::default();
    for set in sets {
        let members = info.cluster_addr_table.entry(set.cluster.clone()).or_default();
        members.push(set.broker_name.clone());
        info.broker_addr_table.insert(set.broker_name.clone(), set);
    }
    call.ok(&(), &json::to_vec(&info));
}

fn members(state: &State, call: &Call<'_, '_>) {
    let group = call.header::<ConsumerGroupRequest<'_>>().consumer_group;
    match state.members.get(group) {
        Some(members) => {
            let list = ConsumerList { consumer_id_list: members.iter().cloned().collect() };
            call.ok(&(), &json::to_vec(&list));
        }
        None => call.refuse(response::SYSTEM_ERROR, "no consumer in this group"),
    }
}

fn query_offset(state: &State, call: &Call<'_, '_>) {
    let header: QueryOffsetRequest<'_> = call.header();
    let place = (header.topic.to_owned(), header.queue_id);
    match state.offsets.get(&(header.consumer_group.to_owned(), place)) {
        Some(offset) => call.ok(&OffsetResponse { offset: *offset }, &[]),
        None => call.refuse(response::QUERY_NOT_FOUND, "no offset"),
    }
}

fn update_offset(state: &mut State, call: &Call<'_, '_>) {
    let header: UpdateOffsetRequest<'_> = call.header();
    let place = (header.topic.to_owned(), header.queue_id);
    state.offsets.insert((header.consumer_group.to_owned(), place), header.commit_offset);
    call.ok(&(), &[]);
}

fn end_offset(state: &State, call: &Call<'_, '_>) {
    let header: QueueRequest<'_> = call.header();
    let records = state.queues.get(&(header.topic.to_owned(), header.queue_id));
    let is_max = call.command.code == request::GET_MAX_OFFSET;
    let offset = records.filter(|_| is_max).map_or(0, |records| records.len() as i64);
    call.ok(&OffsetResponse { offset }, &[]);
}

fn lock(state: &mut State, call: &Call<'_, '_>, take: bool) {
    let body: LockBatchRequest = json::from_slice(call.command.body).expect("a lock request");
    let mut answer = LockBatchResponse::default();
    for queue in body.mq_set {
        let place = (queue.topic.clone(), queue.queue_id);
        let key = (body.consumer_group.clone(), place);
        let is_ours = state.locks.get(&key).is_none_or(|holder| *holder == body.client_id);
        if take && is_ours {
            state.locks.insert(key, body.client_id.clone());
            answer.locked.push(queue);
        } else if is_ours {
            state.locks.remove(&key);
        }
    }
    call.ok(&(), &json::to_vec(&answer));
}

fn view(state: &State, call: &Call<'_, '_>) {
    let wanted = call.header::<ViewMessageRequest<'_>>().offset;
    let is_it = |record: &&Vec<u8>| {
        let parsed = ringmq_protocol::record::Record::parse(record).expect("our own record");
        parsed.physical_offset == wanted
    };
    match state.queues.values().flatten().find(is_it) {
        Some(record) => call.ok(&(), record),
        None => call.refuse(response::SYSTEM_ERROR, "no message there"),
    }
}

impl Fake {
    fn heartbeat(&self, state: &mut State, call: &Call<'_, '_>) {
        let data: HeartbeatData = json::from_slice(call.command.body).expect("a heartbeat");
        let mut changed = false;
        for consumer in &data.consumer_data_set {
            state.topics.insert(format!("%RETRY%{}", consumer.group_name));
            let members = state.members.entry(consumer.group_name.clone()).or_default();
            changed |= members.insert(data.client_id.clone());
        }
        let mut connections = self.connections.borrow_mut();
        if connections.iter().all(|known| known.id() != call.connection.id()) {
            connections.push(call.connection.clone());
        }
        drop(connections);
        call.ok(&(), &[]);
        if changed {
            self.notify_members();
        }
    }

    fn unregister(&self, state: &mut State, call: &Call<'_, '_>) {
        let header: UnregisterClientRequest<'_> = call.header();
        if let Some(members) = header.consumer_group.and_then(|g| state.members.get_mut(g)) {
            members.remove(header.client_id);
            self.notify_members();
        }
        call.ok(&(), &[]);
    }

    fn notify_members(&self) {
        let header = ConsumerGroupRequest { consumer_group: "any" };
        for connection in self.connections.borrow().iter() {
            connection.send_oneway(request::NOTIFY_CONSUMER_IDS_CHANGED, &header, &[]);
        }
    }

    fn ask_clients(&self, (code, fields, body): &Ask) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        for connection in self.connections.borrow().iter() {
            let shared = self.shared.clone();
            let timeout = std::time::Duration::from_secs(5);
            connection.call_with(*code, &fields.as_slice(), body, timeout, move |answer| {
                let answer = answer.expect("clients answer");
                let kept = (answer.code, answer.body.to_vec());
                shared.state.lock().expect("no panic").answers.push(kept);
                shared.changed.notify_all();
            });
        }
    }

    fn send(&self, state: &mut State, call: &Call<'_, '_>) {
        match state.trouble.pop_front() {
            Some(Trouble::Refuse(code)) => return call.refuse(code, "trouble was asked for"),
            Some(Trouble::RefuseLate(code, after)) => return call.refuse_later(code, after),
            Some(Trouble::Silence) => return,
            Some(Trouble::Disconnect) => return call.connection.close("trouble was asked for"),
            None => {}
        }
        let header: SendRequest<'_> = call.header();
        let body = call.command.body;
        let stored: Vec<_> = if header.batch {
            let items = batch::items(body).map(|item| item.expect("a whole item"));
            items.map(|i| state.store(&header, i.flag, i.body, i.properties.as_text())).collect()
        } else {
            let properties = header.properties.unwrap_or_default();
            vec![state.store(&header, header.flag, body, properties)]
        };
        let host = state.address.expect("listening");
        let id = |physical_offset| OffsetMessageId { host, physical_offset }.text();
        let ids: Vec<_> = stored.iter().map(|(_, at)| id(*at).as_str().to_owned()).collect();
        let answer = SendResponse {
            msg_id: &ids.join(","),
            queue_id: header.queue_id,
            queue_offset: stored[0].0,
            transaction_id: None,
            batch_uniq_id: None,
            recall_handle: None,
            msg_region: None,
            trace_on: None,
        };
        call.ok(&answer, &[]);
        self.wake(state);
    }

    fn pull(&self, state: &mut State, call: &Call<'_, '_>) {
        let header: PullRequest<'_> = call.header();
        let place = (header.topic.to_owned(), header.queue_id);
        if header.sys_flag & pull_flag::COMMIT_OFFSET != 0 {
            let key = (header.consumer_group.to_owned(), place.clone());
            state.offsets.insert(key, header.commit_offset);
        }
        let (connection, to) = (call.connection.clone(), call.to);
        let from = usize::try_from(header.queue_offset).expect("0 or more");
        let held = Held { connection, to, place, from };
        let is_answered = answer_pull(state, &held);
        if !is_answered && header.sys_flag & pull_flag::SUSPEND != 0 {
            self.held.borrow_mut().push(held);
        } else if !is_answered {
            let header = pull_header(held.from, 0);
            held.connection.reply(&held.to, response::PULL_NOT_FOUND, None, &header, &[]);
        }
    }

    fn wake(&self, state: &State) {
        self.held.borrow_mut().retain(|held| !answer_pull(state, held));
    }
}

/// Answers a pull if there is something to say.
fn answer_pull(state: &State, pull: &Held) -> bool {
    let none = Vec::new();
    let records = state.queues.get(&pull.place).unwrap_or(&none);
    if pull.from > records.len() {
        let header = pull_header(records.len(), records.len());
        pull.connection.reply(&pull.to, response::PULL_OFFSET_MOVED, None, &header, &[]);
        return true;
    }
    let found: Vec<_> = records[pull.from..].iter().take(PULLED_MAX).collect();
    if found.is_empty() {
        return false;
    }
    let header = pull_header(pull.from + found.len(), records.len());
    let body: Vec<u8> = found.into_iter().flatten().copied().collect();
    pull.connection.reply(&pull.to, response::SUCCESS, None, &header, &body);
    true
}

fn pull_header(next: usize, max: usize) -> PullResponse {
    PullResponse {
        suggest_which_broker_id: 0,
        next_begin_offset: next as i64,
        min_offset: 0,
        max_offset: max as i64,
        offset_delta: None,
        topic_sys_flag: None,
        group_sys_flag: None,
        forbidden_type: None,
    }
}

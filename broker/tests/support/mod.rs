//! A broker in this process, and a client that speaks the protocol to it over loopback.
//!
//! The scenario runs on shard 0 beside the broker, as its lifetime: the broker stops when it ends.
//! Topics come from a control plane of a few lines, so that these tests are about the data plane
//! alone.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod boot;
pub mod child;
pub mod raw;
pub mod simulated;
pub mod world;

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::FutureExt;
use ringmq_broker::config::Settings;
use ringmq_broker::control::{ControlPlane, TopicWanted};
use ringmq_broker::link::ConnectionKey;
use ringmq_broker::outcome::Refusal;
use ringmq_broker::peer::Peer;
use ringmq_broker::shard::DataPlane;
use ringmq_broker::start::{self, Plan};
use ringmq_broker::view::{Change, Group, Topic};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_protocol::headers::send::SendRequest;
use ringmq_protocol::record::{Record, records};
use ringmq_protocol::{Command, WriteHeader};
use ringmq_remoting::{Connection, ConnectionLimits, NoService, OwnedCommand, ReplyTo, dial};
use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::shards::{Cores, ShardsConfig};
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task::{self, LocalFuture};

pub const TIMEOUT: Duration = Duration::from_secs(20);

/// A broker to be started on a directory.
#[derive(Clone, Debug)]
pub struct Setup {
    pub shards: usize,
    pub logs: u16,
    pub settings: Settings,
}

impl Setup {
    pub fn new(shards: usize, logs: u16) -> Self {
        let settings = Settings {
            broker_name: "test".into(),
            bind_address: [127, 0, 0, 1].into(),
            commit_log_count: logs,
            // The smallest that holds the largest record, so that a start fills little.
            mapped_file_size_commit_log: 8 << 20,
            ..Settings::default()
        };
        Self { shards, logs, settings }
    }

    /// Runs `scenario` against a broker on `dir`, then stops the broker.
    pub fn run<F, Fut>(&self, dir: &Path, scenario: F)
    where
        F: FnOnce(Bench) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let listen_port = free_port();
        let settings = Settings { listen_port, ..self.settings.clone() };
        let address = SocketAddr::from(([127, 0, 0, 1], listen_port));
        let plan = Plan {
            settings: Arc::new(settings),
            shards: ShardsConfig::new(Cores::Floating(self.shards)),
            root: dir.to_owned(),
            store_host: address,
        };
        let panicked = Arc::new(Mutex::new(None));
        let report = Arc::clone(&panicked);
        let control =
            |data| Box::pin(async move { Ok(TestControl::start(data)) }) as LocalFuture<_>;
        let until = move |data: Rc<DataPlane>| {
            let bench = Bench { address, data };
            let run = AssertUnwindSafe(async move { scenario(bench).await }).catch_unwind();
            Box::pin(async move {
                *report.lock().expect("not poisoned") = run.await.err();
            }) as LocalFuture<()>
        };
        let ran = start::run(&plan, Box::new(control), Box::new(until));
        if let Some(panic) = panicked.lock().expect("not poisoned").take() {
            std::panic::resume_unwind(panic);
        }
        ran.expect("the broker starts and stops cleanly");
    }
}

/// A port that is free, and with it the one two below.
pub fn free_port() -> u16 {
    // Tests of one binary run side by side: each look starts elsewhere.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed) * 4;
        // Below 32,768, where Linux takes the ports of outgoing connections from.
        let port = 23_000 + (std::process::id() % 1_000) as u16 * 8 + offset % 1_000;
        let is_free =
            |port: u16| Listener::bind(SocketAddr::from(([127, 0, 0, 1], port)), Reuse::No).is_ok();
        if is_free(port) && is_free(port - 2) {
            return port;
        }
    }
}

/// Waits for what has to come true, or fails with its name.
pub async fn in_time<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    let result = task::timeout(TIMEOUT, awaited).await;
    result.unwrap_or_else(|_| panic!("not within {TIMEOUT:?}: {what}"))
}

pub fn temp_dir() -> tempfile::TempDir {
    // Not the system's: that may be in memory, where direct I/O is impossible.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

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
            request::HEART_BEAT => peer.reply(&to, response::SUCCESS, None, &(), &[]),
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

/// What a scenario works with.
#[derive(Clone)]
pub struct Bench {
    pub address: SocketAddr,
    pub data: Rc<DataPlane>,
}

impl Bench {
    pub async fn client(&self) -> Client {
        Client::connect(self.address).await.expect("the broker listens")
    }

    /// So many clients that each of a few shards has one, since the kernel spreads them.
    pub async fn clients(&self) -> Vec<Client> {
        let mut clients = Vec::new();
        for _ in 0..8 {
            clients.push(self.client().await);
        }
        clients
    }
}

/// One connection to the broker.
#[derive(Clone)]
pub struct Client {
    pub connection: Rc<Connection>,
}

/// One message as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub queue_offset: i64,
    pub physical_offset: i64,
    pub body: Vec<u8>,
    pub properties: String,
}

/// A decoded answer to a pull.
#[derive(Debug)]
pub struct Pulled {
    pub code: i32,
    pub remark: String,
    pub next: i64,
    pub min: i64,
    pub max: i64,
    pub messages: Vec<Message>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let limits = ConnectionLimits::default();
        let connection = dial(address, TIMEOUT, Rc::new(NoService), limits).await?;
        Ok(Self { connection })
    }

    pub async fn call(&self, code: i32, header: &impl WriteHeader, body: &[u8]) -> OwnedCommand {
        self.connection.call(code, header, body, TIMEOUT).await.expect("an answer")
    }

    pub async fn send(&self, topic: &str, queue_id: i32, body: &[u8]) -> OwnedCommand {
        self.send_with(topic, queue_id, body, "").await
    }

    pub async fn send_with(
        &self,
        topic: &str,
        queue_id: i32,
        body: &[u8],
        properties: &str,
    ) -> OwnedCommand {
        let header = send_header(topic, queue_id, properties);
        self.call(request::SEND_MESSAGE_V2, &header, body).await
    }

    /// Sends and insists on success; the queue offset.
    pub async fn store(&self, topic: &str, queue_id: i32, body: &[u8]) -> i64 {
        let answer = self.send(topic, queue_id, body).await;
        assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
        field(&answer, "queueOffset").parse().expect("a number")
    }

    pub async fn pull(&self, topic: &str, queue_id: i32, from: i64) -> Pulled {
        self.pull_with(&pull_header(topic, queue_id, from)).await
    }

    /// All messages of a queue, in as many pulls as it takes.
    pub async fn pull_all(&self, topic: &str, queue_id: i32) -> Vec<Message> {
        let (mut messages, mut from) = (Vec::new(), 0);
        loop {
            let pulled = self.pull(topic, queue_id, from).await;
            if pulled.messages.is_empty() {
                assert_eq!(from, pulled.max, "{pulled:?}");
                return messages;
            }
            from = pulled.next;
            messages.extend(pulled.messages);
        }
    }

    pub async fn pull_with(&self, header: &PullRequest<'_>) -> Pulled {
        pulled(&self.call(request::PULL_MESSAGE, header, &[]).await)
    }

    pub async fn number(&self, code: i32, header: &impl WriteHeader, name: &str) -> i64 {
        let answer = self.call(code, header, &[]).await;
        assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
        field(&answer, name).parse().expect("a number")
    }
}

pub fn field(answer: &OwnedCommand, name: &str) -> String {
    answer.command().fields.get(name).unwrap_or_else(|| panic!("no field {name}")).to_owned()
}

pub fn pulled(answer: &OwnedCommand) -> Pulled {
    let command = answer.command();
    let number = |name: &str| {
        command.fields.get(name).and_then(|text| text.parse().ok()).unwrap_or(i64::MIN)
    };
    Pulled {
        code: command.code,
        remark: command.remark().unwrap_or_default().to_owned(),
        next: number("nextBeginOffset"),
        min: number("minOffset"),
        max: number("maxOffset"),
        messages: messages(command.body),
    }
}

/// Reads records that stand back to back.
pub fn messages(bytes: &[u8]) -> Vec<Message> {
    let message = |record: Result<Record<'_>, _>| {
        let record = record.expect("a whole record");
        assert!(record.verify_record().expect("checksums hold"), "with a checksum of the whole");
        record.verify_body().expect("checksums hold");
        Message {
            topic: record.topic.to_owned(),
            queue_offset: record.queue_offset,
            physical_offset: record.physical_offset,
            body: record.body.to_vec(),
            properties: record.properties.as_text().to_owned(),
        }
    };
    records(bytes).map(message).collect()
}

pub fn send_header<'h>(topic: &'h str, queue_id: i32, properties: &'h str) -> SendRequest<'h> {
    SendRequest {
        producer_group: "producers",
        topic,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id,
        sys_flag: 0,
        born_at_ms: 1_700_000_000_000,
        flag: 7,
        properties: Some(properties),
        reconsume_times: 0,
        unit_mode: false,
        max_reconsume_times: None,
        batch: false,
        broker_name: None,
    }
}

/// A pull that brings its subscription along and does not wait.
pub fn pull_header(topic: &str, queue_id: i32, from: i64) -> PullRequest<'_> {
    PullRequest {
        consumer_group: "consumers",
        topic,
        queue_id,
        queue_offset: from,
        max_msg_nums: 32,
        sys_flag: pull_flag::SUBSCRIPTION,
        commit_offset: 0,
        suspend_timeout_ms: 15_000,
        subscription: Some("*"),
        sub_version: 0,
        expression_type: Some("TAG"),
        max_msg_bytes: None,
        request_source: None,
        proxy_forward_client_id: None,
        lite_topic: None,
        broker_name: None,
    }
}

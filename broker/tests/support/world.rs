//! A whole broker with its name server in this process, and clients that speak the protocol to
//! both.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ringmq_broker::config::{EmbeddedNamesrv, Settings};
use ringmq_broker::setup::{self, Setup};
use ringmq_protocol::bodies::heartbeat::{
    ConsumerData, ConsumerList, HeartbeatData, ProducerData, SubscriptionData,
};
use ringmq_protocol::bodies::route::TopicRouteData;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::CreateTopicRequest;
use ringmq_protocol::headers::client::{ConsumerGroupRequest, UnregisterClientRequest};
use ringmq_protocol::headers::namesrv::RouteRequest;
use ringmq_protocol::headers::send::SendRequest;
use ringmq_protocol::{Command, WriteHeader, json};
use ringmq_remoting::{Connection, ConnectionLimits, OwnedCommand, Service, dial};
use ringmq_runtime::shards::{Cores, ShardsConfig};
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;

use super::scenario::run_until;
use super::{TIMEOUT, free_port, send_header};

/// Where broker and name server of a test listen.
#[derive(Clone, Copy)]
pub struct Addresses {
    pub broker: SocketAddr,
    pub namesrv: SocketAddr,
}

/// A client that keeps the requests the broker sends it.
pub struct Client {
    pub connection: Rc<Connection>,
    inbox: Rc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    codes: RefCell<Vec<i32>>,
    arrived: Notify,
    closed: Cell<bool>,
}

impl Service for Inbox {
    fn on_request(&self, _: &Rc<Connection>, command: &Command<'_>, _: &[u8]) {
        self.codes.borrow_mut().push(command.code);
        self.arrived.notify_all();
    }

    fn on_close(&self, _: &Rc<Connection>) {
        self.closed.set(true);
    }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.expect("somebody listens")
    }

    pub async fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let inbox = Rc::new(Inbox::default());
        let limits = ConnectionLimits::default();
        let connection = dial(address, TIMEOUT, Rc::clone(&inbox), limits).await?;
        Ok(Self { connection, inbox })
    }

    pub async fn call(&self, code: i32, header: &impl WriteHeader, body: &[u8]) -> OwnedCommand {
        self.connection.call(code, header, body, TIMEOUT).await.expect("an answer")
    }

    /// Calls and expects success.
    pub async fn ask(&self, code: i32, header: &impl WriteHeader, body: &[u8]) -> OwnedCommand {
        let answer = self.call(code, header, body).await;
        let remark = answer.command().remark().map(str::to_owned);
        assert_eq!(answer.code(), response::SUCCESS, "code {code}: {remark:?}");
        answer
    }

    pub async fn beat(&self, client_id: &str, topics: &[&str]) -> OwnedCommand {
        self.ask(request::HEART_BEAT, &(), &json::to_vec(&beat(client_id, topics))).await
    }

    pub async fn members(&self) -> Vec<String> {
        let header = ConsumerGroupRequest { consumer_group: "g" };
        let answer = self.ask(request::GET_CONSUMER_LIST_BY_GROUP, &header, &[]).await;
        json::from_slice::<ConsumerList>(answer.body()).expect("a list").consumer_id_list
    }

    pub async fn send(&self, topic: &str, queue_id: i32) {
        self.send_with(topic, queue_id, "").await;
    }

    pub async fn send_with(&self, topic: &str, queue_id: i32, properties: &str) {
        let header = send_header(topic, queue_id, properties);
        self.ask(request::SEND_MESSAGE_V2, &header, b"body").await;
    }

    /// Sends without waiting for anything.
    pub fn send_oneway(&self, topic: &str, queue_id: i32) {
        let header = send_header(topic, queue_id, "");
        self.connection.send_oneway(request::SEND_MESSAGE_V2, &header, b"body");
    }

    /// Sends the copy of a message that came `reconsume_times` before to the group's retry topic,
    /// as a consumer does; the code of the answer.
    pub async fn send_retry(&self, reconsume_times: i32) -> i32 {
        let properties = "RETRY_TOPIC\u{1}T\u{2}DELAY\u{1}3\u{2}";
        let header = SendRequest {
            reconsume_times,
            max_reconsume_times: Some(1),
            ..send_header("%RETRY%g", 0, properties)
        };
        self.call(request::SEND_MESSAGE_V2, &header, b"body").await.code()
    }

    pub async fn pull(&self, topic: &str, queue_id: i32, queue_offset: i64) -> OwnedCommand {
        self.pull_as(topic, queue_id, queue_offset, &[]).await
    }

    /// Pulls with further fields.
    pub async fn pull_as(
        &self,
        topic: &str,
        queue_id: i32,
        queue_offset: i64,
        further: &[(&str, &str)],
    ) -> OwnedCommand {
        let offset = queue_offset.to_string();
        let queue_id = queue_id.to_string();
        let fields = [
            ("consumerGroup", "g"),
            ("topic", topic),
            ("queueId", &queue_id),
            ("queueOffset", &offset),
            ("maxMsgNums", "32"),
            ("sysFlag", "4"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subscription", "*"),
            ("subVersion", "1"),
        ];
        self.call(request::PULL_MESSAGE, &(fields, further), &[]).await
    }

    /// Leaves the group.
    pub async fn leave(&self, client_id: &str) {
        let header = UnregisterClientRequest {
            client_id,
            producer_group: Some("p"),
            consumer_group: Some("g"),
        };
        self.ask(request::UNREGISTER_CLIENT, &header, &[]).await;
    }

    pub async fn commit(&self, topic: &str, queue_id: i32, offset: i64) {
        let (queue_id, offset) = (queue_id.to_string(), offset.to_string());
        let fields = [
            ("consumerGroup", "g"),
            ("topic", topic),
            ("queueId", &queue_id),
            ("commitOffset", &offset),
        ];
        self.ask(request::UPDATE_CONSUMER_OFFSET, &fields, &[]).await;
    }

    pub async fn committed(&self, topic: &str, queue_id: i32) -> String {
        let queue_id = queue_id.to_string();
        let fields = [("consumerGroup", "g"), ("topic", topic), ("queueId", &queue_id)];
        let answer = self.ask(request::QUERY_CONSUMER_OFFSET, &fields, &[]).await;
        answer.command().fields.get("offset").expect("an offset").to_owned()
    }

    /// How often the broker has sent this code since it was last asked about.
    pub fn take_told(&self, code: i32) -> usize {
        let told = self.inbox.codes.take();
        told.into_iter().filter(|told| *told == code).count()
    }

    /// Waits until the broker sent this code.
    pub async fn told(&self, code: i32) {
        let told = async {
            while !self.inbox.codes.borrow().contains(&code) {
                self.inbox.arrived.notified().await;
            }
        };
        task::timeout(TIMEOUT, told).await.expect("the broker tells its client");
        self.inbox.codes.borrow_mut().clear();
    }
}

pub fn beat(client_id: &str, topics: &[&str]) -> HeartbeatData {
    let subscriptions = topics.iter().map(|topic| SubscriptionData::tags(topic, "*", 1));
    HeartbeatData {
        client_id: client_id.into(),
        consumer_data_set: vec![ConsumerData {
            group_name: "g".into(),
            subscription_data_set: subscriptions.collect(),
            ..ConsumerData::default()
        }],
        producer_data_set: vec![ProducerData { group_name: "p".into() }],
        ..HeartbeatData::default()
    }
}

pub fn create(topic: &str) -> CreateTopicRequest<'_> {
    CreateTopicRequest {
        topic,
        default_topic: "TBW102",
        read_queue_nums: 4,
        write_queue_nums: 4,
        perm: 6,
        topic_filter_type: "SINGLE_TAG",
        topic_sys_flag: Some(0),
        order: false,
        attributes: None,
        force: None,
    }
}

pub async fn route(namesrv: &Client, topic: &str) -> Option<TopicRouteData> {
    let header =
        RouteRequest { topic, accept_standard_json_only: None, zone_mode: None, zone_name: None };
    let answer = namesrv.call(request::GET_ROUTEINFO_BY_TOPIC, &header, &[]).await;
    (answer.code() == response::SUCCESS).then(|| json::from_slice(answer.body()).expect("a route"))
}

pub async fn wait_for_route(namesrv: &Client, topic: &str) -> TopicRouteData {
    let found = async {
        loop {
            if let Some(route) = route(namesrv, topic).await {
                return route;
            }
            task::sleep(Duration::from_millis(5)).await;
        }
    };
    task::timeout(TIMEOUT, found).await.expect("the topic is registered")
}

/// Runs a scenario against a broker of so many shards with its own name server, then stops both.
pub fn check<F, Fut>(shards: usize, dir: &Path, other_namesrvs: &[u16], scenario: F)
where
    F: FnOnce(Addresses) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let own_namesrv = free_port();
    let namesrvs = std::iter::once(&own_namesrv).chain(other_namesrvs);
    let namesrvs: Vec<_> = namesrvs.map(|port| format!("127.0.0.1:{port}")).collect();
    let settings = Settings {
        namesrv_addr: namesrvs.join(";"),
        broker_name: "broker-a".into(),
        bind_address: [127, 0, 0, 1].into(),
        broker_ip1: "127.0.0.1".into(),
        listen_port: free_port(),
        embedded_namesrv: EmbeddedNamesrv::Yes,
        embedded_namesrv_port: own_namesrv,
        mapped_file_size_commit_log: 8 << 20,
        store_path_root_dir: dir.to_string_lossy().into_owned(),
        ..Settings::default()
    };
    let setup = Setup::new(settings, BTreeMap::new()).expect("good settings");
    let localhost = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let at = Addresses {
        broker: localhost(setup.settings.listen_port),
        namesrv: localhost(setup.settings.embedded_namesrv_port),
    };
    let mut plan = setup.plan();
    plan.shards = ShardsConfig::new(Cores::Floating(shards));
    let control = move |data| setup::control_plane(setup, data, Box::new(|_| ()));
    run_until(&plan, Box::new(control), move |_| scenario(at));
}

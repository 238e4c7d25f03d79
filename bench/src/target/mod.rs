//! Which brokers and queues a run talks to: found through a name server, or started for the run.

pub mod caller;
pub mod embedded;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringmq_protocol::bodies::route::{ClusterInfo, TopicRouteData};
use ringmq_protocol::bodies::topic::KvTable;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::CreateTopicRequest;
use ringmq_protocol::headers::namesrv::RouteRequest;
use ringmq_protocol::json;
use ringmq_protocol::names::{MASTER_ID, TEMPLATE_TOPIC, perm};
use ringmq_runtime::clock::{self, Instant};
use ringmq_runtime::{process, task};

use crate::args::TargetArgs;
use crate::error::BenchError;
use crate::proof::journal::QueueNumber;
use crate::target::caller::Caller;
use crate::target::embedded::{Embedded, Setup};

/// How long a new topic may take to appear in the routes, or a broker to register again.
const ROUTE_LIMIT: Duration = Duration::from_secs(40);

/// Time between two looks at the route.
const ROUTE_POLL: Duration = Duration::from_millis(20);

/// Flushes of all commit logs, in a broker's runtime information; Apache's broker has no such key.
const FLUSHES_KEY: &str = "commitLogFlushTotal";

/// The queues of one topic on one master.
#[derive(Clone, Debug)]
struct Broker {
    addr: String,
    queue_ids: Vec<i32>,
}

/// Where a run sends to and reads from.
#[derive(Debug)]
pub struct Target {
    /// The topic.
    pub topic: String,
    namesrv: String,
    brokers: Vec<Broker>,
    embedded: Option<(Embedded, Setup)>,
}

impl Target {
    /// Finds the topic, or creates it; without an address starts a broker first.
    ///
    /// # Errors
    /// Nothing is reachable there, or the topic cannot be created.
    pub async fn open(args: &TargetArgs) -> Result<Self, BenchError> {
        match &args.namesrv {
            None => Self::start(args).await,
            Some(namesrv) => Self::find(namesrv.clone(), None, &args.topic, args.queues).await,
        }
    }

    /// Starts a broker of its own, and creates the topic.
    ///
    /// # Errors
    /// As for [`Target::open`].
    pub async fn start(args: &TargetArgs) -> Result<Self, BenchError> {
        let setup = Setup {
            flush: args.flush,
            shards: args.shards,
            logs: args.logs,
            store: args.store.clone().unwrap_or_else(fresh_directory),
            is_scratch: args.store.is_none(),
        };
        eprintln!("starting a broker: {}, files in {}", setup.flush.key(), setup.store.display());
        let embedded = Embedded::start(&setup)?;
        let namesrv = embedded.namesrv().to_owned();
        Self::find(namesrv, Some((embedded, setup)), &args.topic, args.queues).await
    }

    /// The same brokers with another topic, created when it is not there.
    ///
    /// # Errors
    /// As for [`Target::open`].
    pub async fn with_topic(self, topic: &str, queues: u32) -> Result<Self, BenchError> {
        Self::find(self.namesrv, self.embedded, topic, queues).await
    }

    async fn find(
        namesrv: String,
        embedded: Option<(Embedded, Setup)>,
        topic: &str,
        queues: u32,
    ) -> Result<Self, BenchError> {
        let brokers = brokers_of(&namesrv, topic, queues).await?;
        Ok(Self { topic: topic.to_owned(), namesrv, brokers, embedded })
    }

    /// Masters that have the topic.
    pub fn broker_count(&self) -> u32 {
        self.brokers.len() as u32
    }

    /// Address of a master by its number.
    pub fn broker_addr(&self, broker: u32) -> &str {
        &self.brokers[broker as usize].addr
    }

    /// Queues of the topic on that master.
    pub fn queue_ids(&self, broker: u32) -> Vec<i32> {
        self.brokers[broker as usize].queue_ids.clone()
    }

    /// All queues.
    pub fn queues(&self) -> Vec<QueueNumber> {
        let of = |(broker, found): (usize, &Broker)| -> Vec<QueueNumber> {
            let number = |id: &i32| QueueNumber { broker: broker as u32, queue_id: *id as u32 };
            found.queue_ids.iter().map(number).collect()
        };
        self.brokers.iter().enumerate().flat_map(of).collect()
    }

    /// Directory of the broker that was started; none for a running cluster.
    pub fn store(&self) -> Option<&Path> {
        self.embedded.as_ref().map(|(_, setup)| setup.store.as_path())
    }

    /// Says that the run ended well: the files of a broker that bench started in a directory of its
    /// own choice go when it ends. After a failure they stay, as evidence.
    pub fn ended_well(&self) {
        if let Some((embedded, setup)) = &self.embedded
            && setup.is_scratch
        {
            embedded.remove_at_end(setup.store.clone());
        }
    }

    /// What the broker's process has used; none for a running cluster.
    pub fn usage(&self) -> Option<process::Usage> {
        self.embedded.as_ref()?.0.usage()
    }

    /// Flushes of the commit logs so far; none when the broker does not tell.
    pub async fn flushes(&self) -> Option<u64> {
        let mut caller = Caller::connect(&self.brokers.first()?.addr).await.ok()?;
        let asked = "runtime information";
        let body = caller.expect(asked, request::GET_BROKER_RUNTIME_INFO, &(), |c| c.body.to_vec());
        let table: KvTable = json::from_slice(&body.await.ok()?).ok()?;
        table.table.get(FLUSHES_KEY)?.parse().ok()
    }

    /// Ends the broker with SIGKILL.
    ///
    /// # Errors
    /// It cannot be signalled.
    pub fn kill_broker(&mut self) -> Result<(), BenchError> {
        self.started().kill()
    }

    /// Starts it again and waits until the topic can be found.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart_broker(&mut self) -> Result<(), BenchError> {
        self.started().restart()?;
        self.brokers = brokers_of(&self.namesrv, &self.topic, 1).await?;
        Ok(())
    }

    fn started(&mut self) -> &mut Embedded {
        &mut self.embedded.as_mut().expect("only a broker that bench started is killed").0
    }
}

/// A directory that no other run has, since its name is the time.
fn fresh_directory() -> PathBuf {
    PathBuf::from(format!("data/bench-{}-{}", clock::unix_ms(), process::pid()))
}

/// The masters and queues of a topic; creates it when it is unknown.
async fn brokers_of(namesrv: &str, topic: &str, queues: u32) -> Result<Vec<Broker>, BenchError> {
    let mut caller = Caller::connect(namesrv).await?;
    let mut created = false;
    let deadline = Instant::now() + ROUTE_LIMIT;
    while Instant::now() < deadline {
        if let Some(brokers) = route(&mut caller, topic).await? {
            return Ok(brokers);
        }
        if !created {
            created = create_topic(&mut caller, topic, queues).await?;
        }
        task::sleep(ROUTE_POLL).await;
    }
    Err(BenchError::protocol(namesrv, format!("no route to topic {topic} in {ROUTE_LIMIT:?}")))
}

async fn route(caller: &mut Caller, topic: &str) -> Result<Option<Vec<Broker>>, BenchError> {
    let header = RouteRequest {
        topic,
        accept_standard_json_only: Some(true),
        zone_mode: None,
        zone_name: None,
    };
    let body = caller
        .ask(request::GET_ROUTEINFO_BY_TOPIC, &header, |command| {
            (command.code == response::SUCCESS).then(|| command.body.to_vec())
        })
        .await?;
    let Some(body) = body else { return Ok(None) };
    let route: TopicRouteData =
        json::from_slice(&body).map_err(|error| BenchError::protocol(caller.who(), error))?;
    let brokers = masters(&route);
    Ok((!brokers.is_empty()).then_some(brokers))
}

fn masters(route: &TopicRouteData) -> Vec<Broker> {
    let addrs: BTreeMap<_, _> = route
        .broker_datas
        .iter()
        .filter_map(|data| Some((&data.broker_name, data.broker_addrs.get(&MASTER_ID)?)))
        .collect();
    let broker = |queues: &ringmq_protocol::bodies::route::QueueData| {
        let addr = addrs.get(&queues.broker_name)?;
        let queue_ids = (0..queues.write_queue_nums).collect();
        Some(Broker { addr: (*addr).clone(), queue_ids })
    };
    route.queue_datas.iter().filter_map(broker).collect()
}

/// Creates the topic on every master; false when no broker has registered yet.
async fn create_topic(caller: &mut Caller, topic: &str, queues: u32) -> Result<bool, BenchError> {
    let body = caller
        .expect("cluster", request::GET_BROKER_CLUSTER_INFO, &(), |command| command.body.to_vec())
        .await?;
    let cluster: ClusterInfo =
        json::from_slice(&body).map_err(|error| BenchError::protocol(caller.who(), error))?;
    let queues = i32::try_from(queues).expect("checked by the command line");
    let header = CreateTopicRequest {
        topic,
        default_topic: TEMPLATE_TOPIC,
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm: perm::READ_WRITE,
        topic_filter_type: "SINGLE_TAG",
        topic_sys_flag: Some(0),
        order: false,
        attributes: None,
        force: None,
    };
    let mut created = false;
    for data in cluster.broker_addr_table.values() {
        let Some(addr) = data.broker_addrs.get(&MASTER_ID) else { continue };
        let mut broker = Caller::connect(addr).await?;
        broker.expect("create topic", request::UPDATE_AND_CREATE_TOPIC, &header, |_| ()).await?;
        created = true;
    }
    Ok(created)
}

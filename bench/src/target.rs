//! Which brokers and queues a run talks to: found through a name server, or started for the run.

pub mod caller;
pub mod child;
pub mod embedded;
#[cfg(test)]
pub mod fake;
mod rest;
pub mod routes;
pub mod scratch;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ringmq_protocol::Header;
use ringmq_protocol::codes::request;
use ringmq_protocol::headers::offset::{MaxOffsetRequest, OffsetResponse, QueueRequest};
use ringmq_runtime::process;

use crate::args::target::{BrokerArgs, TargetArgs};
use crate::driver::clients::{self, Clients, warn_of_shared};
use crate::error::BenchError;
use crate::program;
use crate::proof::journal::QueueNumber;
use crate::target::caller::Caller;
use crate::target::embedded::{Embedded, Pulls};
use crate::target::routes::Routes;
use crate::workload::send::BrokerTopic;

/// Flushes of all commit logs, in a broker's runtime information; Apache's broker has no such key.
const FLUSHES_KEY: &str = "commitLogFlushTotal";

/// A topic of the run.
#[derive(Clone, Debug)]
struct Topic {
    name: Arc<str>,
    /// Number of a master, and how many queues it has there.
    masters: Vec<(u32, u32)>,
}

/// Where a run sends to and reads from.
#[derive(Debug)]
pub struct Target {
    topics: Vec<Topic>,
    namesrv: String,
    /// Addresses of the masters; their index is the broker's number.
    brokers: Vec<String>,
    embedded: Option<Embedded>,
    /// Processes of a broker of this machine that bench did not start.
    pids: Vec<u32>,
    /// Who sends and reads.
    clients: Clients,
}

impl Target {
    /// Finds the topics, or creates them; without an address starts a broker first.
    ///
    /// # Errors
    /// Nothing is reachable there, or a topic cannot be created.
    pub async fn open(args: &TargetArgs) -> Result<Self, BenchError> {
        Self::open_with(args, None).await
    }

    /// As [`Target::open`]; a broker that bench starts answers `pulls` in full.
    ///
    /// # Errors
    /// As for [`Target::open`].
    pub async fn open_for(args: &TargetArgs, pulls: Pulls) -> Result<Self, BenchError> {
        Self::open_with(args, Some(pulls)).await
    }

    async fn open_with(args: &TargetArgs, pulls: Option<Pulls>) -> Result<Self, BenchError> {
        let clients = Clients::start(args.client_cores())?;
        let names = topic_names(args);
        let target = match &args.namesrv {
            Some(namesrv) => Self::find(namesrv.clone(), None, &names, args.queues).await?,
            None => Self::start_with(&args.broker, pulls, &names, args.queues).await?,
        };
        warn_of_shared(clients.cores(), target.broker_cores());
        let pids = args.broker_pid.clone();
        pids.iter().try_for_each(|&pid| is_there(pid))?;
        Ok(Self { clients, pids, ..target })
    }

    /// Starts a broker of its own, and creates the topics.
    ///
    /// # Errors
    /// As for [`Target::open`].
    pub async fn start(
        args: &BrokerArgs,
        topics: &[String],
        queues: u32,
    ) -> Result<Self, BenchError> {
        Self::start_with(args, None, topics, queues).await
    }

    async fn start_with(
        args: &BrokerArgs,
        pulls: Option<Pulls>,
        topics: &[String],
        queues: u32,
    ) -> Result<Self, BenchError> {
        let embedded = Embedded::start(args, pulls).await?;
        Self::find(embedded.namesrv().to_owned(), Some(embedded), topics, queues).await
    }

    /// The same brokers with another topic.
    ///
    /// # Errors
    /// As for [`Target::open`].
    pub async fn with_topic(self, topic: &str, queues: u32) -> Result<Self, BenchError> {
        Self::find(self.namesrv, self.embedded, &[topic.to_owned()], queues).await
    }

    /// The same brokers and clients with another topic, beside this one.
    ///
    /// # Errors
    /// As for [`Target::open`].
    pub async fn beside(&self, topic: &str, queues: u32) -> Result<Self, BenchError> {
        let other = Self::find(self.namesrv.clone(), None, &[topic.to_owned()], queues).await?;
        Ok(Self { clients: self.clients.clone(), ..other })
    }

    async fn find(
        namesrv: String,
        embedded: Option<Embedded>,
        names: &[String],
        queues: u32,
    ) -> Result<Self, BenchError> {
        let (topics, brokers, pids) = (Vec::new(), Vec::new(), Vec::new());
        let clients = Clients::default();
        let mut target = Self { topics, namesrv, brokers, embedded, pids, clients };
        let mut routes = Routes::connect(&target.namesrv).await?;
        if names.len() > 1 {
            routes.create_many(names, queues).await?;
        }
        for name in names {
            let mut masters = Vec::new();
            for master in routes.find(name, queues).await? {
                masters.push((target.number_of(master.addr), master.queues));
            }
            target.topics.push(Topic { name: name.as_str().into(), masters });
        }
        Ok(target)
    }

    fn number_of(&mut self, addr: String) -> u32 {
        let known = self.brokers.iter().position(|broker| *broker == addr);
        let number = known.unwrap_or_else(|| {
            self.brokers.push(addr);
            self.brokers.len() - 1
        });
        u32::try_from(number).expect("brokers are few")
    }

    /// The threads that drive the loads on it.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Cores that they and the broker that was started both are bound to.
    pub fn shared_cores(&self) -> Vec<usize> {
        clients::shared(self.clients.cores(), &self.broker_cores())
    }

    /// Cores of the broker that was started.
    fn broker_cores(&self) -> Range<usize> {
        self.embedded.as_ref().map_or(0..0, Embedded::cores)
    }

    /// Waits until the broker that was started writes nothing for a moment, as one does that makes
    /// the first zeros of its log; not for that of a running cluster.
    pub async fn rest(&self) {
        if let Some(embedded) = &self.embedded {
            embedded.rest().await;
        }
    }

    /// Masters that have a topic of the run.
    pub fn broker_count(&self) -> u32 {
        u32::try_from(self.brokers.len()).expect("brokers are few")
    }

    /// Address of a master by its number.
    pub fn broker_addr(&self, broker: u32) -> &str {
        &self.brokers[broker as usize]
    }

    /// Name of a topic by its number.
    pub fn topic(&self, number: u32) -> &Arc<str> {
        &self.topics[number as usize].name
    }

    /// The topics that a master has; at least one.
    pub fn topics_on(&self, broker: u32) -> Vec<BrokerTopic> {
        let on_it = |(number, topic): (usize, &Topic)| {
            let &(_, queues) = topic.masters.iter().find(|(master, _)| *master == broker)?;
            let number = u32::try_from(number).expect("topics are few");
            Some(BrokerTopic { number, name: topic.name.to_string(), queues })
        };
        self.topics.iter().enumerate().filter_map(on_it).collect()
    }

    /// All queues.
    pub fn queues(&self) -> Vec<QueueNumber> {
        let of_master = |broker: u32| {
            self.topics_on(broker).into_iter().flat_map(move |topic| {
                let number = topic.number;
                (0..topic.queues).map(move |queue_id| QueueNumber {
                    topic: number,
                    broker,
                    queue_id,
                })
            })
        };
        (0..self.broker_count()).flat_map(of_master).collect()
    }

    /// First and next offset of a queue.
    ///
    /// # Errors
    /// The broker does not tell.
    pub async fn range_of(
        &self,
        caller: &mut Caller,
        queue: QueueNumber,
    ) -> Result<(u64, u64), BenchError> {
        let topic = self.topic(queue.topic);
        let queue_id = i32::try_from(queue.queue_id).expect("queue ids are small");
        let first = QueueRequest { topic, queue_id, broker_name: None };
        let next = MaxOffsetRequest { topic, queue_id, committed: true, broker_name: None };
        let take = |command: &ringmq_protocol::Command<'_>| {
            OffsetResponse::decode(&command.fields).map_or(0, |answer| answer.offset.max(0))
        };
        let first = caller.expect("first offset", request::GET_MIN_OFFSET, &first, take).await?;
        let next = caller.expect("next offset", request::GET_MAX_OFFSET, &next, take).await?;
        Ok((first.unsigned_abs(), next.unsigned_abs()))
    }

    /// Directory of the broker that was started; none for a running cluster.
    pub fn store(&self) -> Option<&Path> {
        self.embedded.as_ref().map(Embedded::store)
    }

    /// Says that the run ended well: the files of a broker that bench started in a directory of its
    /// own choice go when it ends. After a failure they stay, as evidence.
    pub fn ended_well(&self) {
        if let Some(embedded) = &self.embedded {
            embedded.remove_at_end();
        }
    }

    /// What the broker's processes have used; none of a running cluster whose processes nobody has
    /// named.
    pub fn usage(&self) -> Option<process::Usage> {
        match (&self.embedded, &self.pids[..]) {
            (Some(embedded), _) => embedded.usage(),
            (None, []) => None,
            (None, pids) => Some(program::usage_of(pids)),
        }
    }

    /// The processes of brokers of this machine, as far as they are known.
    pub fn pids(&self) -> Vec<u32> {
        match &self.embedded {
            Some(embedded) => vec![embedded.pid()],
            None => self.pids.clone(),
        }
    }

    /// Flushes of the commit logs so far; none when the broker does not tell.
    pub async fn flushes(&self) -> Option<u64> {
        let mut caller = Caller::connect(self.brokers.first()?).await.ok()?;
        caller.runtime_information().await.ok()?.get(FLUSHES_KEY)?.parse().ok()
    }

    /// Ends the broker with SIGKILL.
    ///
    /// # Errors
    /// It cannot be signalled.
    pub fn kill_broker(&mut self) -> Result<(), BenchError> {
        self.started().kill()
    }

    /// Ends the broker as a service manager does.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn end_broker(&mut self) -> Result<(), BenchError> {
        self.started().end().await
    }

    /// Starts it again and waits until the topics can be found.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart_broker(&mut self) -> Result<(), BenchError> {
        self.started().restart()?;
        let mut routes = Routes::connect(&self.namesrv).await?;
        for topic in &self.topics {
            routes.find(&topic.name, 1).await?;
        }
        Ok(())
    }

    fn started(&mut self) -> &mut Embedded {
        self.embedded.as_mut().expect("only a broker that bench started is ended")
    }
}

fn topic_names(args: &TargetArgs) -> Vec<String> {
    match args.topics {
        1 => vec![args.topic.clone()],
        topics => (0..topics).map(|number| format!("{}-{number}", args.topic)).collect(),
    }
}

/// Refuses a number of which there is no process: its costs would be told as none.
fn is_there(pid: u32) -> Result<(), BenchError> {
    process::usage_of(pid).map(drop).map_err(|error| BenchError::NoProcess { pid, error })
}

//! The name servers and brokers that a command talks to.

use ringmq_protocol::bodies::route::{BrokerData, ClusterInfo, TopicRouteData};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::namesrv::RouteRequest;
use ringmq_protocol::json::JsonError;
use ringmq_protocol::names::{MASTER_ID, name_servers};
use ringmq_protocol::{WriteHeader, json};
use ringmq_remoting::{CallError, ConnectionLimits, DialError, Dialer, NoService, OwnedCommand};
use serde::de::DeserializeOwned;
use std::rc::Rc;
use std::time::Duration;

/// Longest wait for an answer (Apache's tools: 5 s, 15 s for statistics).
const TIMEOUT: Duration = Duration::from_secs(15);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody answers at an address.
    #[error("{0}")]
    Dial(#[from] DialError),
    /// A request was not answered.
    #[error("{address}: {error}")]
    Call {
        /// Whom we asked.
        address: String,
        /// What happened.
        error: CallError,
    },
    /// A request was refused.
    #[error("{address} answered with code {code}: {remark}")]
    Refused {
        /// Who refused.
        address: String,
        /// RocketMQ's response code.
        code: i32,
        /// Its reason.
        remark: String,
    },
    /// An answer cannot be read.
    #[error("{address}: {error}")]
    Body {
        /// Whose answer.
        address: String,
        /// What is wrong with it.
        error: JsonError,
    },
    /// What was asked for does not exist, or does not fit.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// Anything with a text of its own.
    pub fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// Whether a server refused with this code.
    pub fn is_code(&self, wanted: i32) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == wanted)
    }
}

/// A broker that a command is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub cluster: String,
    pub name: String,
    pub id: i64,
    pub address: String,
}

/// Connections to a cluster.
pub struct Cluster {
    /// Name servers in the order they were given.
    pub namesrvs: Vec<String>,
    dialer: Dialer<NoService>,
}

impl Cluster {
    /// The cluster that these name servers know: `ip:port;ip:port`.
    pub fn new(namesrvs: &str) -> Self {
        Self {
            namesrvs: name_servers(namesrvs),
            dialer: Dialer::new(Rc::new(NoService), ConnectionLimits::default(), CONNECT_TIMEOUT),
        }
    }

    /// Asks one server and expects success.
    ///
    /// # Errors
    /// No answer, or a refusal with its code and remark.
    pub async fn ask(
        &self,
        address: &str,
        code: i32,
        header: &impl WriteHeader,
        body: &[u8],
    ) -> Result<OwnedCommand, Failure> {
        let connection = self.dialer.get(address).await?;
        let answer = connection.call(code, header, body, TIMEOUT).await;
        let answer =
            answer.map_err(|error| Failure::Call { address: address.to_owned(), error })?;
        if answer.code() == response::SUCCESS {
            return Ok(answer);
        }
        let remark = answer.command().remark().unwrap_or("no remark").to_owned();
        Err(Failure::Refused { address: address.to_owned(), code: answer.code(), remark })
    }

    /// Asks one server for a JSON body.
    ///
    /// # Errors
    /// As [`Cluster::ask`], or a body that is not what it should be.
    pub async fn body<T: DeserializeOwned>(
        &self,
        address: &str,
        code: i32,
        header: &impl WriteHeader,
    ) -> Result<T, Failure> {
        let answer = self.ask(address, code, header, &[]).await?;
        json::from_slice(answer.body())
            .map_err(|error| Failure::Body { address: address.to_owned(), error })
    }

    /// Asks the name servers one after the other until one answers.
    ///
    /// # Errors
    /// The last one's failure; a refusal ends the search.
    pub async fn namesrv<T: DeserializeOwned>(
        &self,
        code: i32,
        header: &impl WriteHeader,
    ) -> Result<T, Failure> {
        let mut last = Failure::other("no name server is given; use -n or NAMESRV_ADDR");
        for address in &self.namesrvs {
            match self.body(address, code, header).await {
                Err(failure @ (Failure::Dial(_) | Failure::Call { .. })) => last = failure,
                result => return result,
            }
        }
        Err(last)
    }

    /// Clusters and their brokers.
    ///
    /// # Errors
    /// No name server answers.
    pub async fn info(&self) -> Result<ClusterInfo, Failure> {
        self.namesrv(request::GET_BROKER_CLUSTER_INFO, &()).await
    }

    /// Where a topic is.
    ///
    /// # Errors
    /// The topic is unknown, or no name server answers.
    pub async fn route(&self, topic: &str) -> Result<TopicRouteData, Failure> {
        let header = RouteRequest {
            topic,
            accept_standard_json_only: Some(true),
            zone_mode: None,
            zone_name: None,
        };
        self.namesrv(request::GET_ROUTEINFO_BY_TOPIC, &header).await
    }

    /// Every broker of a cluster, or of all of them, masters first.
    ///
    /// # Errors
    /// No such cluster, or no name server answers.
    pub async fn brokers(&self, cluster: Option<&str>) -> Result<Vec<Broker>, Failure> {
        let info = self.info().await?;
        let mut found = Vec::new();
        for (name, members) in &info.cluster_addr_table {
            if cluster.is_some_and(|wanted| wanted != name) {
                continue;
            }
            for data in members.iter().filter_map(|member| info.broker_addr_table.get(member)) {
                found.extend(data.broker_addrs.iter().map(|(id, address)| Broker {
                    cluster: name.clone(),
                    name: data.broker_name.clone(),
                    id: *id,
                    address: address.clone(),
                }));
            }
        }
        match (found.is_empty(), cluster) {
            (true, Some(cluster)) => Err(Failure::other(format!(
                "Make sure the specified clusterName exists or the name server connected to is \
                 correct: {cluster}"
            ))),
            _ => Ok(found),
        }
    }

    /// The masters that `-b` or `-c` names.
    ///
    /// # Errors
    /// Neither is given, or the cluster does not exist.
    pub async fn targets(&self, which: &Which) -> Result<Vec<String>, Failure> {
        match (&which.broker_addr, &which.cluster_name) {
            (Some(address), _) => Ok(vec![address.clone()]),
            (None, Some(cluster)) => {
                let brokers = self.brokers(Some(cluster)).await?;
                let masters = brokers.into_iter().filter(|broker| broker.id == MASTER_ID);
                Ok(masters.map(|broker| broker.address).collect())
            }
            (None, None) => Err(Failure::other("give a broker with -b or a cluster with -c")),
        }
    }
}

/// The broker or cluster that a command is for.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// One broker: ip:port.
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    pub broker_addr: Option<String>,

    /// All masters of this cluster.
    #[arg(short = 'c', long = "clusterName", value_name = "CLUSTER")]
    pub cluster_name: Option<String>,
}

/// The address that clients use of a broker: its master's, or any.
pub fn address_of(data: &BrokerData) -> Option<&String> {
    data.broker_addrs.get(&MASTER_ID).or_else(|| data.broker_addrs.values().next())
}

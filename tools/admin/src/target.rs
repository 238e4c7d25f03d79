//! The broker or cluster that a command is for, and why a command failed.

use ringmq_client::ClientError;
use ringmq_client::admin::BrokerTarget;
use ringmq_client::error::Fault;
use ringmq_protocol::bodies::route::TopicRouteData;
use ringmq_protocol::codes::response;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A server cannot be reached, or refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What was asked for does not exist, or does not fit.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// Anything with a text of its own.
    pub fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }
}

/// What the two options for addresses are for.
const ADDRESSES: &str =
    "-n takes the address of a name server (by default port 9876), -b that of a broker (10911)";

impl Failure {
    /// What to look at, where an address may be the reason.
    pub fn hint(&self) -> Option<String> {
        let Self::Client(ClientError::Failed { attempts, .. }) = self else { return None };
        let last = attempts.last()?;
        match &last.fault {
            Fault::Refused { code: response::REQUEST_CODE_NOT_SUPPORTED, .. } => {
                Some(format!("who answers there does not serve this: {ADDRESSES}"))
            }
            Fault::Unreachable { .. } if !has_port(&last.address) => {
                Some(format!("an address is host:port, such as 127.0.0.1:9876; {ADDRESSES}"))
            }
            Fault::Unreachable { is_silent: true, .. } => {
                Some(format!("is a server running there? {ADDRESSES}"))
            }
            _ => None,
        }
    }
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// The broker or cluster that a command is for.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true)]
pub struct Which {
    /// One broker: ip:port.
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    pub broker_addr: Option<String>,

    /// All masters of this cluster.
    #[arg(short = 'c', long = "clusterName", value_name = "CLUSTER")]
    pub cluster_name: Option<String>,
}

impl Which {
    /// What `-b`, or else `-c`, names.
    pub fn target(&self) -> BrokerTarget {
        match (&self.broker_addr, &self.cluster_name) {
            (Some(address), _) => BrokerTarget::Address(address.clone()),
            (None, Some(cluster)) => BrokerTarget::Cluster(cluster.clone()),
            (None, None) => unreachable!("the command line demands one of the two"),
        }
    }
}

/// One address of each broker name in a route: the master's, or any.
pub fn addresses(route: &TopicRouteData) -> impl Iterator<Item = &String> {
    route.broker_datas.iter().filter_map(|data| data.broker_addrs.values().next())
}

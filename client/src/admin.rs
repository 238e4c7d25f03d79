//! Administration and look-ups.

mod broker;
mod group;
mod message;
mod offset;
mod order;
mod topic;

use std::rc::Rc;

use ringmq_protocol::fields::OwnedFields;
use ringmq_protocol::names::MASTER_ID;
use ringmq_protocol::{Command, WriteHeader};

pub use broker::Broker;
pub use offset::QueueOffsets;
pub use topic::TopicSettings;

use crate::client::Client;
use crate::error::{ClientError, Fault};
use crate::instance::{Instance, Read, Server, expect_success};

/// Looks up and changes what name servers and brokers hold. Cheap to clone, usable from any thread
/// or runtime.
#[derive(Clone)]
pub struct Admin {
    client: Client,
}

/// Which brokers a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerTarget {
    /// The broker at this `host:port`.
    Address(String),
    /// Every master of this cluster.
    Cluster(String),
    /// Every master that the name server knows.
    All,
}

/// A server that did what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Its `host:port`.
    pub address: String,
    /// What it has to say about that.
    pub note: Option<String>,
}

/// A request as it goes to the client's executor, for one server or for several.
#[derive(Clone)]
struct Request {
    /// What it is for, e.g. `look-up of topic T`.
    action: String,
    code: i32,
    header: OwnedFields,
    body: Vec<u8>,
}

impl Request {
    fn new(action: impl Into<String>, code: i32, header: &impl WriteHeader) -> Self {
        let header = OwnedFields::of(header);
        Self { action: action.into(), code, header, body: Vec::new() }
    }

    fn with_body(self, body: Vec<u8>) -> Self {
        Self { body, ..self }
    }

    async fn ask<T: 'static>(
        &self,
        instance: &Instance,
        server: &Server,
        read: Read<T>,
    ) -> Result<T, ClientError> {
        let (header, timeout) = (&self.header, instance.config.call_timeout);
        let answer = instance.call(server, self.code, header, &self.body, timeout, read).await;
        answer.map_err(|fault| server.failed(&self.action, fault))
    }
}

impl Admin {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Asks the broker at `address`.
    async fn ask<T: Send + 'static>(
        &self,
        address: &str,
        request: Request,
        read: Read<T>,
    ) -> Result<T, ClientError> {
        let broker = Server::new("broker", address);
        let ask = move |instance: Rc<Instance>| async move {
            request.ask(&instance, &broker, read).await
        };
        self.client.run(ask).await
    }

    /// Asks every broker of `target`, one after the other, also when one before it failed.
    ///
    /// # Errors
    /// Names the brokers that failed, and those that did it.
    async fn change(
        &self,
        target: &BrokerTarget,
        request: Request,
    ) -> Result<Vec<Done>, ClientError> {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for address in self.addresses(target).await? {
            match self.ask(&address, request.clone(), read_note).await {
                Ok(note) => done.push(Done { address, note }),
                Err(ClientError::Failed { attempts, .. }) => failed.extend(attempts),
                Err(error) => return Err(error),
            }
        }
        if failed.is_empty() {
            return Ok(done);
        }
        let mut action = request.action;
        if !done.is_empty() {
            let places: Vec<_> = done.iter().map(|one| one.address.as_str()).collect();
            action = format!("{action} (done at {})", places.join(", "));
        }
        Err(ClientError::Failed { action, attempts: failed })
    }

    /// Asks name servers until one answers.
    async fn ask_name_server<T: Send + 'static>(
        &self,
        request: Request,
        read: Read<T>,
    ) -> Result<T, ClientError> {
        let ask = move |instance: Rc<Instance>| async move {
            let Request { action, code, header, .. } = request;
            instance.ask_name_server(&action, code, &header, read).await
        };
        self.client.run(ask).await
    }

    /// Asks every name server; each answer with its address.
    async fn ask_name_servers<T: Send + 'static>(
        &self,
        request: Request,
        read: Read<T>,
    ) -> Result<Vec<(String, T)>, ClientError> {
        let ask = move |instance: Rc<Instance>| async move {
            let mut answers = Vec::new();
            for server in instance.name_servers() {
                let answer = request.ask(&instance, &server, read).await?;
                answers.push((server.address, answer));
            }
            Ok(answers)
        };
        self.client.run(ask).await
    }

    /// Addresses of the brokers that `target` means.
    ///
    /// # Errors
    /// `Invalid` when there is no master or no such cluster, `Failed`, `ShutDown`.
    pub async fn addresses(&self, target: &BrokerTarget) -> Result<Vec<String>, ClientError> {
        let cluster = match target {
            BrokerTarget::Address(address) => return Ok(vec![address.clone()]),
            BrokerTarget::Cluster(name) => Some(name.as_str()),
            BrokerTarget::All => None,
        };
        let brokers = self.brokers(cluster).await?;
        let masters = brokers.into_iter().filter(|broker| broker.id == MASTER_ID);
        let masters: Vec<_> = masters.map(|broker| broker.address).collect();
        if masters.is_empty() {
            let place = cluster.map(|name| format!(" in cluster {name}")).unwrap_or_default();
            return Err(ClientError::invalid(format!("there is no master broker{place}")));
        }
        Ok(masters)
    }
}

/// The remark of an answer with code 0.
fn read_note(answer: &Command<'_>) -> Result<Option<String>, Fault> {
    expect_success(answer)?;
    Ok(answer.remark().map(str::to_owned))
}

//! The name servers: one is asked at a time, the next one after a failure.

use std::cell::Cell;

use ringmq_protocol::bodies::route::TopicRouteData;
use ringmq_protocol::codes::request;
use ringmq_protocol::headers::namesrv::RouteRequest;
use ringmq_protocol::{Command, WriteHeader};
use serde::de::DeserializeOwned;

use super::server::Read;
use super::{Instance, Server, expect_success, malformed};
use crate::error::{ClientError, Fault};

/// All name servers hold the same data, so the first that answers is right, and stays the one we
/// ask. Clients begin at random ones, which spreads them.
pub(crate) struct NameServers {
    addresses: Vec<String>,
    current: Cell<usize>,
}

impl NameServers {
    pub(crate) fn new(addresses: Vec<String>, random: u64) -> Self {
        let count = addresses.len().max(1) as u64;
        let current = usize::try_from(random % count).unwrap_or(0);
        Self { addresses, current: Cell::new(current) }
    }

    /// The name servers, the one in use first.
    pub(crate) fn servers(&self) -> Vec<Server> {
        let count = self.addresses.len();
        let in_turn = (0..count).map(|step| (self.current.get() + step) % count);
        in_turn.map(|place| Server::new("name server", &self.addresses[place])).collect()
    }

    /// Asks one after the other until one answers, whatever it says.
    pub(crate) async fn call<T: 'static>(
        &self,
        instance: &Instance,
        action: &str,
        code: i32,
        header: &impl WriteHeader,
        read: Read<T>,
    ) -> Result<T, ClientError> {
        let mut attempts = Vec::new();
        for server in self.servers() {
            let timeout = instance.config.call_timeout;
            let fault = match instance.call(&server, code, header, &[], timeout, read).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            if !matches!(fault, Fault::Unreachable { .. }) {
                return Err(server.failed(action, fault));
            }
            attempts.push(server.attempt(fault));
            self.current.set((self.current.get() + 1) % self.addresses.len());
        }
        if attempts.is_empty() {
            return Err(ClientError::invalid("no name server is configured"));
        }
        Err(ClientError::Failed { action: action.to_owned(), attempts })
    }

    /// The route of `topic`.
    pub(crate) async fn route(
        &self,
        instance: &Instance,
        topic: &str,
    ) -> Result<TopicRouteData, ClientError> {
        let action = format!("look-up of topic {topic}");
        let header = RouteRequest {
            topic,
            accept_standard_json_only: Some(true),
            zone_mode: None,
            zone_name: None,
        };
        self.call(instance, &action, request::GET_ROUTEINFO_BY_TOPIC, &header, read_json).await
    }
}

/// Reads a JSON body of an answer with code 0.
pub(crate) fn read_json<T: DeserializeOwned>(answer: &Command<'_>) -> Result<T, Fault> {
    expect_success(answer)?;
    ringmq_protocol::json::from_slice(answer.body).map_err(malformed)
}

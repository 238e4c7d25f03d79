//! Which queues an ordered topic has, as the name servers keep it: `broker:queues;broker:queues`.
//!
//! It is in the routes of the topic, so that its clients count the queues of a broker that is away,
//! too, and do not spread the keys of messages anew while it is.

use std::collections::BTreeMap;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::namesrv::{GetKvResponse, KvRequest, PutKvRequest};
use ringmq_protocol::names::{MASTER_ID, ORDER_TOPIC_CONFIG};
use ringmq_protocol::{Command, Header};

use super::{Admin, BrokerTarget, Request};
use crate::error::{ClientError, Fault};
use crate::instance::{Read, expect_success, malformed};

impl Admin {
    /// Stores that `topic` has `queues` on each master of `target`. If that is a single broker, the
    /// others keep theirs; if it is a cluster, there are no others.
    pub(super) async fn store_order(
        &self,
        target: &BrokerTarget,
        topic: &str,
        queues: i32,
    ) -> Result<(), ClientError> {
        let mut order = match target {
            BrokerTarget::Address(_) => self.order(topic).await?,
            BrokerTarget::Cluster(_) | BrokerTarget::All => BTreeMap::new(),
        };
        let names = self.master_names(target).await?;
        order.extend(names.into_iter().map(|name| (name, queues.to_string())));
        let order: Vec<_> = order.iter().map(|(name, count)| format!("{name}:{count}")).collect();
        let value = order.join(";");
        let header = PutKvRequest { namespace: ORDER_TOPIC_CONFIG, key: topic, value: &value };
        let action = format!("storing of the order of topic {topic}");
        let request = Request::new(action, request::PUT_KV_CONFIG, &header);
        self.ask_name_servers(request, expect_success).await?;
        Ok(())
    }

    /// What the name servers know: queues by the name of their broker.
    async fn order(&self, topic: &str) -> Result<BTreeMap<String, String>, ClientError> {
        let header = KvRequest { namespace: ORDER_TOPIC_CONFIG, key: topic };
        let action = format!("look-up of the order of topic {topic}");
        let request = Request::new(action, request::GET_KV_CONFIG, &header);
        let read: Read<String> = read_value;
        let text = self.ask_name_server(request, read).await?;
        let parts = text.split(';').filter_map(|part| part.split_once(':'));
        Ok(parts.map(|(name, count)| (name.to_owned(), count.to_owned())).collect())
    }

    async fn master_names(&self, target: &BrokerTarget) -> Result<Vec<String>, ClientError> {
        let addresses = self.addresses(target).await?;
        let brokers = self.brokers(None).await?.into_iter();
        let is_meant = |id, address: &String| id == MASTER_ID && addresses.contains(address);
        let names: Vec<_> = brokers
            .filter(|broker| is_meant(broker.id, &broker.address))
            .map(|broker| broker.name)
            .collect();
        if names.is_empty() {
            let what = format!(
                "no name server knows the broker at {}: the topic is there, its order is not \
                 stored; register the broker and try again",
                addresses.join(", ")
            );
            return Err(ClientError::invalid(what));
        }
        Ok(names)
    }
}

/// The value of a key; empty where there is none.
fn read_value(answer: &Command<'_>) -> Result<String, Fault> {
    if answer.code == response::QUERY_NOT_FOUND {
        return Ok(String::new());
    }
    expect_success(answer)?;
    let header = GetKvResponse::decode(&answer.fields).map_err(malformed)?;
    Ok(header.value.unwrap_or_default().to_owned())
}

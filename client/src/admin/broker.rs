//! Brokers: which there are, how they are, their settings and permissions.

use std::collections::BTreeMap;

use ringmq_protocol::Header;
use ringmq_protocol::bodies::route::ClusterInfo;
use ringmq_protocol::bodies::send_stage::SendStage;
use ringmq_protocol::bodies::topic::KvTable;
use ringmq_protocol::codes::request;
use ringmq_protocol::headers::namesrv::{
    AddWritePermResponse, WipeWritePermResponse, WritePermRequest,
};
use ringmq_settings::properties::{Properties, write_entry};

use super::{Admin, BrokerTarget, Done, Request};
use crate::error::ClientError;
use crate::instance::{Read, expect_success, malformed, read_json};

/// One broker of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Cluster.
    pub cluster: String,
    /// Name, which a master shares with its slaves.
    pub name: String,
    /// 0: the master.
    pub id: i64,
    /// `host:port`.
    pub address: String,
}

impl Admin {
    /// All brokers, as the name server answers.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn cluster(&self) -> Result<ClusterInfo, ClientError> {
        let request = Request::new("look-up of the cluster", request::GET_BROKER_CLUSTER_INFO, &());
        self.ask_name_server(request, read_json).await
    }

    /// Every broker, of one cluster or of all of them, masters first within each name.
    ///
    /// # Errors
    /// `Invalid` when there is no such cluster, `Failed`, `ShutDown`.
    pub async fn brokers(&self, cluster: Option<&str>) -> Result<Vec<Broker>, ClientError> {
        let info = self.cluster().await?;
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
        if let (Some(cluster), true) = (cluster, found.is_empty()) {
            let known: Vec<&str> = info.cluster_addr_table.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            let what = format!("there is no cluster {cluster}; the name server knows {known}");
            return Err(ClientError::invalid(what));
        }
        Ok(found)
    }

    /// Runtime information of the broker at `address`: names and values.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn broker_runtime(
        &self,
        address: &str,
    ) -> Result<BTreeMap<String, String>, ClientError> {
        let request = Request::new("look-up of a broker", request::GET_BROKER_RUNTIME_INFO, &());
        let read: Read<KvTable> = read_json;
        Ok(self.ask(address, request, read).await?.table)
    }

    /// Where the time of sends goes inside the broker at `address`, in the order of the stages;
    /// none when it does not time them.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn send_stages(&self, address: &str) -> Result<Vec<SendStage>, ClientError> {
        Ok(SendStage::read_all(&self.broker_runtime(address).await?))
    }

    /// All settings of the broker at `address`: keys and values.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn broker_config(
        &self,
        address: &str,
    ) -> Result<BTreeMap<String, String>, ClientError> {
        let request = Request::new("look-up of settings", request::GET_BROKER_CONFIG, &());
        let read: Read<BTreeMap<String, String>> = |answer| {
            expect_success(answer)?;
            let text = Properties::parse(answer.body).map_err(malformed)?;
            let entries = text.entries().iter();
            Ok(entries.map(|entry| (entry.key.clone(), entry.value.clone())).collect())
        };
        self.ask(address, request, read).await
    }

    /// Changes a setting of brokers.
    ///
    /// # Errors
    /// The brokers that failed; the others have the new value.
    pub async fn update_broker_config(
        &self,
        target: &BrokerTarget,
        key: &str,
        value: &str,
    ) -> Result<Vec<Done>, ClientError> {
        let request = Request::new(format!("change of {key}"), request::UPDATE_BROKER_CONFIG, &());
        let mut body = String::new();
        write_entry(&mut body, key, value);
        self.change(target, request.with_body(body.into_bytes())).await
    }

    /// Takes the write permission of a broker name out of all routes; each name server with the
    /// number of topics that it changed.
    ///
    /// # Errors
    /// The first name server that failed.
    pub async fn wipe_write_permission(
        &self,
        broker_name: &str,
    ) -> Result<Vec<(String, i32)>, ClientError> {
        let action = format!("removal of the write permission of {broker_name}");
        let header = WritePermRequest { broker_name };
        let request = Request::new(action, request::WIPE_WRITE_PERM_OF_BROKER, &header);
        let read: Read<i32> = |answer| {
            expect_success(answer)?;
            let header = WipeWritePermResponse::decode(&answer.fields).map_err(malformed)?;
            Ok(header.wipe_topic_count)
        };
        self.ask_name_servers(request, read).await
    }

    /// Gives the write permission of a broker name back to all routes; each name server with the
    /// number of topics that it changed.
    ///
    /// # Errors
    /// The first name server that failed.
    pub async fn add_write_permission(
        &self,
        broker_name: &str,
    ) -> Result<Vec<(String, i32)>, ClientError> {
        let action = format!("return of the write permission of {broker_name}");
        let header = WritePermRequest { broker_name };
        let request = Request::new(action, request::ADD_WRITE_PERM_OF_BROKER, &header);
        let read: Read<i32> = |answer| {
            expect_success(answer)?;
            let header = AddWritePermResponse::decode(&answer.fields).map_err(malformed)?;
            Ok(header.add_topic_count)
        };
        self.ask_name_servers(request, read).await
    }
}

//! What brokers ask: register, unregister, heartbeat, data version, members; write permission.

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::bodies::register::{RegisterBrokerBody, RegisterError};
use ringmq_protocol::bodies::route::BrokerMemberGroupResponse;
use ringmq_protocol::bodies::topic::DataVersion;
use ringmq_protocol::compression::CompressionError;
use ringmq_protocol::headers::namesrv::{
    AddWritePermResponse, BrokerHeartbeatRequest, BrokerMemberGroupRequest, BrokerRequest,
    QueryDataVersionResponse, RegisterBrokerRequest, RegisterBrokerResponse, WipeWritePermResponse,
    WritePermRequest,
};
use ringmq_protocol::json;
use ringmq_protocol::names::ORDER_TOPIC_CONFIG;
use ringmq_runtime::clock::Instant;

use crate::outcome::Refusal;
use crate::registration::Registration;
use crate::routes::BROKER_EXPIRY;
use crate::service::{Handled, NameServer, Request, answer_body};

/// First byte of a zlib stream with a window of 32 KiB, which every deflating broker sends. Plain
/// bodies start with a brace.
const ZLIB_START: u8 = 0x78;

/// First release that registers with filter servers.
const FILTER_SERVERS_SINCE_VERSION: i32 = ringmq_protocol::bodies::register::BODY_SINCE_VERSION;

impl NameServer {
    pub(crate) fn register_broker(&self, request: Request<'_, '_>) -> Handled {
        let header: RegisterBrokerRequest<'_> = request.header()?;
        let body = registration_body(request, &header, self.registration_max_bytes)?;
        let table = &body.topic_config_serialize_wrapper;
        let sends_filters = request.command.version >= FILTER_SERVERS_SINCE_VERSION;
        let registration = Registration {
            cluster: header.cluster_name,
            broker_name: header.broker_name,
            broker_id: header.broker_id,
            address: header.broker_addr,
            ha_address: header.ha_server_addr,
            zone: header.zone_name,
            timeout: header.heartbeat_timeout_ms.and_then(expiry),
            enable_acting_master: header.enable_acting_master,
            data_version: table.data_version,
            topics: &table.topic_config_table,
            mappings: table.topic_queue_mapping_info_map.as_ref(),
            filter_servers: sends_filters.then_some(body.filter_server_list.as_slice()),
            connection: request.connection.id(),
        };
        let registered = self.table.borrow_mut().register(&registration, Instant::now());
        let registered = registered
            .map_err(|error| Refusal::error(format_args!("register broker failed: {error}")))?;
        let connections = &mut self.broker_connections.borrow_mut();
        connections.insert(request.connection.id(), Rc::clone(request.connection));
        self.notify(registered.min_id_change.into_iter().collect());

        let master = registered.master.as_ref();
        let answer = RegisterBrokerResponse {
            ha_server_addr: master.map(|master| master.ha_address.as_str()),
            master_addr: master.map(|master| master.address.as_str()),
        };
        let order_topics = match self.config.borrow().return_order_topics {
            true => self.kv.borrow().list(ORDER_TOPIC_CONFIG),
            false => None,
        };
        // A table that no answer has room for is refused, but the broker is in the routes.
        let body = order_topics.map(|table| answer_body(&table)).transpose()?.unwrap_or_default();
        request.reply(&answer, &body)
    }

    /// Done at once, so that a broker that stops in order is out of the routes when it is answered.
    pub(crate) fn unregister_broker(&self, request: Request<'_, '_>) -> Handled {
        let header: BrokerRequest<'_> = request.header()?;
        let (cluster, name) = (header.cluster_name, header.broker_name);
        let change = self.table.borrow_mut().unregister(cluster, name, header.broker_addr);
        self.notify(change.into_iter().collect());
        request.reply(&(), &[])
    }

    pub(crate) fn query_data_version(&self, request: Request<'_, '_>) -> Handled {
        let header: BrokerRequest<'_> = request.header()?;
        let asked: DataVersion = match request.body_within(self.registration_max_bytes)? {
            [] => DataVersion::default(),
            body => json::from_slice(body).map_err(Refusal::error)?,
        };
        let mut table = self.table.borrow_mut();
        let (cluster, address) = (header.cluster_name, header.broker_addr);
        table.heartbeat(cluster, address, Instant::now());
        let known = table.data_version(cluster, address);
        let changed = known != Some(&asked);
        let body = known.map(json::to_vec).unwrap_or_default();
        request.reply(&QueryDataVersionResponse { changed }, &body)
    }

    pub(crate) fn heartbeat(&self, request: Request<'_, '_>) -> Handled {
        let header: BrokerHeartbeatRequest<'_> = request.header()?;
        let mut table = self.table.borrow_mut();
        table.heartbeat(header.cluster_name, header.broker_addr, Instant::now());
        request.reply(&(), &[])
    }

    pub(crate) fn member_group(&self, request: Request<'_, '_>) -> Handled {
        let header: BrokerMemberGroupRequest<'_> = request.header()?;
        let group = self.table.borrow().member_group(header.cluster_name, header.broker_name);
        request.reply_json(&BrokerMemberGroupResponse { broker_member_group: Some(group) })
    }

    pub(crate) fn wipe_write_permission(&self, request: Request<'_, '_>) -> Handled {
        let header: WritePermRequest<'_> = request.header()?;
        let wipe_topic_count = self.table.borrow_mut().wipe_write_permission(header.broker_name);
        request.reply(&WipeWritePermResponse { wipe_topic_count }, &[])
    }

    pub(crate) fn add_write_permission(&self, request: Request<'_, '_>) -> Handled {
        let header: WritePermRequest<'_> = request.header()?;
        let add_topic_count = self.table.borrow_mut().add_write_permission(header.broker_name);
        request.reply(&AddWritePermResponse { add_topic_count }, &[])
    }
}

fn registration_body(
    request: Request<'_, '_>,
    header: &RegisterBrokerRequest<'_>,
    max_len: usize,
) -> Result<RegisterBrokerBody, Refusal> {
    let body = request.command.body;
    if header.body_crc32 != 0 {
        let computed = crc32fast::hash(body) & 0x7fff_ffff;
        if u32::try_from(header.body_crc32) != Ok(computed) {
            let announced = header.body_crc32;
            return Err(Refusal::error(format_args!(
                "crc32 not match: the header says {announced}, the body has {computed}"
            )));
        }
    }
    // Brokers of 5.3 and later deflate the body and still say `compressed=false`.
    let is_compressed = !body.is_empty() && (header.compressed || body[0] == ZLIB_START);
    RegisterBrokerBody::from_slice(body, is_compressed, request.command.version, max_len)
        .map_err(|error| unreadable(&error))
}

fn unreadable(error: &RegisterError) -> Refusal {
    use RegisterError::{Compression, TooLong, TooManyTopics};
    let is_long = matches!(
        error,
        TooLong { .. } | TooManyTopics { .. } | Compression(CompressionError::TooLong { .. })
    );
    let fix = if is_long { "; mqnamesrv, in a process of its own, reads the most" } else { "" };
    Refusal::error(format_args!("registration cannot be read: {error}{fix}"))
}

/// A broker's own expiry: any time, but not much longer than the usual one.
fn expiry(timeout_ms: i64) -> Option<Duration> {
    let timeout_ms = u64::try_from(timeout_ms).ok().filter(|timeout_ms| *timeout_ms > 0)?;
    Some(Duration::from_millis(timeout_ms).min(BROKER_EXPIRY * 10))
}

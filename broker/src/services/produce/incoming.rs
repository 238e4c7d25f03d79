//! Putting a checked message into its log, and encoding its answer.

use std::net::SocketAddr;

use ringmq_protocol::codes::response;
use ringmq_protocol::frame::HEADER_SIZE_MAX_BYTES;
use ringmq_protocol::headers::send::{SendRequest, SendResponse};
use ringmq_protocol::ids::since_month_start_ms;
use ringmq_protocol::record::{NewRecord, sys_flag};
use ringmq_protocol::{ResponseHead, batch, write_response};
use ringmq_remoting::ReplyTo;
use ringmq_runtime::clock::{self, Instant};
use ringmq_store::Appended;

use super::check::check_facts;
use super::{Failure, Produce};
use crate::config::Settings;
use crate::logs::{OwnedLog, Sender};
use crate::outcome::Refusal;
use crate::router::HashedQueue;
use crate::services::Request;
use crate::services::stamp::{self, Added, Facts};
use crate::shard::Local;
use crate::view::Topic;
use crate::waiters::Placed;

/// Messages of one batch: its answer names each of them, and must fit the header of a frame.
const BATCH_MESSAGES_MAX: usize = 250_000;

/// Text of a message's id with the comma behind it, of a broker with an IPv6 address.
const ID_BYTES_MAX: usize = 57;

/// What the header of the answer holds beside the ids, with much to spare.
const ANSWER_REST_BYTES_MAX: usize = 1 << 20;

const _: () =
    assert!(BATCH_MESSAGES_MAX * ID_BYTES_MAX + ANSWER_REST_BYTES_MAX <= HEADER_SIZE_MAX_BYTES);

/// A send that passed all checks, on its way into a log.
pub(super) struct Incoming<'a, 'f> {
    pub(super) header: SendRequest<'a>,
    pub(super) topic: &'a Topic,
    pub(super) queue: HashedQueue,
    pub(super) facts: Facts<'a>,
    pub(super) request: Request<'a, 'f>,
    pub(super) received_at: Instant,
    pub(super) local: &'a Local,
}

impl Incoming<'_, '_> {
    pub(super) fn store_single(
        &self,
        produce: &Produce,
        owned: &OwnedLog,
        settings: &Settings,
    ) -> Result<(), Failure> {
        let now_ms = produce.unix_ms(self.received_at);
        let mut made = produce.made_key.borrow_mut();
        let made = match self.facts.unique_key {
            Some(_) => None,
            None => {
                let mut keys = produce.unique_keys.borrow_mut();
                keys.next_into(since_month_start_ms(now_ms), &mut made);
                Some(made.as_str())
            }
        };
        let (region, cluster) = (&settings.region_id, &settings.broker_cluster_name);
        let added = Added::new(region, settings.trace_on, cluster, made);
        let mut cleaned = produce.cleaned.borrow_mut();
        let sent = self.header.properties.unwrap_or("");
        let properties = if self.facts.needs_cleaning {
            stamp::clean(sent, &mut cleaned);
            cleaned.as_str()
        } else {
            sent
        };
        let record = self.record(produce, self.request.command.body, properties, added.entries());
        let appended = owned.log.append(&record, now_ms)?;
        let id = produce.message_id(&appended);
        let placed = self.placed(&appended, self.facts.tag_hash());
        let unique_key = self.facts.unique_key.or(made);
        self.stored(1, &appended, &appended);
        self.acknowledge(owned, placed, |out| {
            self.write_answer(out, settings, id.as_str(), &appended, unique_key);
        });
        Ok(())
    }

    /// Stores every item of the body as a message of its own, all or none. Items keep their
    /// properties as they are; everything else comes from the header.
    pub(super) fn store_batch(
        &self,
        produce: &Produce,
        owned: &OwnedLog,
        settings: &Settings,
    ) -> Result<(), Failure> {
        let items = items_of(self.request.command.body)?;
        let facts: Vec<_> =
            items.iter().map(|item| Facts::read(item.properties.as_text())).collect();
        facts.iter().try_for_each(|facts| check_facts(facts, false))?;
        let records: Vec<_> = items
            .iter()
            .map(|item| NewRecord {
                flag: item.flag,
                ..self.record(produce, item.body, item.properties.as_text(), &[])
            })
            .collect();
        let mut places = produce.places.borrow_mut();
        places.clear();
        owned.log.append_batch(&records, clock::unix_ms(), &mut places)?;
        let mut ids = produce.ids.borrow_mut();
        ids_of(produce, &places, &mut ids);
        let (last, before) =
            places.split_last().expect("a place for each item, and there are some");
        let placed =
            |(appended, facts): (&Appended, &Facts<'_>)| self.placed(appended, facts.tag_hash());
        owned.waiters.borrow_mut().extend(before.iter().zip(&facts).map(placed));
        let placed = placed((last, &facts[facts.len() - 1]));
        self.stored(places.len(), &places[0], last);
        self.acknowledge(owned, placed, |out| {
            self.write_answer(out, settings, &ids, &places[0], self.facts.unique_key);
        });
        Ok(())
    }

    fn record<'r>(
        &'r self,
        produce: &Produce,
        body: &'r [u8],
        properties: &'r str,
        extra: &'r [(&'r str, &'r str)],
    ) -> NewRecord<'r> {
        NewRecord {
            topic: &self.topic.name,
            queue_id: self.queue.queue_id,
            flag: self.header.flag,
            sys_flag: self.header.sys_flag & !sys_flag::TRANSACTION_MASK,
            born_at_ms: self.header.born_at_ms,
            born_host: canonical(self.request.peer.peer_addr()),
            store_host: produce.store_host,
            reconsume_times: self.header.reconsume_times,
            prepared_transaction_offset: 0,
            body,
            properties,
            extra,
            // The log decides.
            with_record_crc: false,
        }
    }

    fn placed(&self, appended: &Appended, tag_hash: i64) -> Placed {
        Placed { end: appended.end, queue: self.queue, offset: appended.queue_offset, tag_hash }
    }

    /// Counts messages, from the first to the last of a send; their records touch.
    fn stored(&self, messages: usize, first: &Appended, last: &Appended) {
        let bytes = last.end.byte() - first.position.byte();
        self.local.counters.stored(messages as u64, bytes);
    }

    /// Leaves the answer with the log's waiters, or gives it at once to a sender that does not
    /// wait.
    fn acknowledge(&self, owned: &OwnedLog, placed: Placed, encode: impl FnOnce(&mut Vec<u8>)) {
        let to = self.request.to();
        let mut waiters = owned.waiters.borrow_mut();
        if to.oneway {
            waiters.push(placed);
        } else if self.facts.is_impatient {
            waiters.push(placed);
            self.request.peer.write(encode);
        } else {
            self.local.stages.appended(owned, self.request.peer, placed.end);
            let peer = self.request.peer.clone();
            let sender = Sender { peer, to, received_at: self.received_at };
            waiters.push_with_answer(placed, sender, encode);
        }
    }

    fn write_answer(
        &self,
        out: &mut Vec<u8>,
        settings: &Settings,
        ids: &str,
        first: &Appended,
        unique_key: Option<&str>,
    ) {
        let header = SendResponse {
            msg_id: ids,
            queue_id: self.queue.queue_id,
            queue_offset: first.queue_offset.wire(),
            transaction_id: unique_key,
            batch_uniq_id: None,
            recall_handle: None,
            msg_region: Some(&settings.region_id),
            trace_on: Some(if settings.trace_on { "true" } else { "false" }),
        };
        let ReplyTo { serialize, opaque, .. } = self.request.to();
        let head = ResponseHead { serialize, opaque, code: response::SUCCESS, remark: None };
        write_response(out, head, &header, &[]);
    }
}

/// The items of a batch: one or more.
fn items_of(body: &[u8]) -> Result<Vec<batch::Item<'_>>, Refusal> {
    let items = batch::items(body).take(BATCH_MESSAGES_MAX + 1);
    let items: Vec<_> = items
        .collect::<Result<_, _>>()
        .map_err(|error| Refusal::illegal_message(format!("the batch is malformed: {error}")))?;
    if items.is_empty() {
        return Err(Refusal::illegal_message("the batch has no messages"));
    }
    if items.len() > BATCH_MESSAGES_MAX {
        return Err(Refusal::illegal_message(format!(
            "the batch has more than {BATCH_MESSAGES_MAX} messages, which is the limit: send it in \
             parts"
        )));
    }
    Ok(items)
}

/// Writes the ids of a batch's messages, as its answer has them.
fn ids_of(produce: &Produce, places: &[Appended], out: &mut String) {
    out.clear();
    for appended in places {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(produce.message_id(appended).as_str());
    }
}

/// An IPv4 client that came through an IPv6 socket is an IPv4 client: old clients read IPv4 hosts
/// only.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

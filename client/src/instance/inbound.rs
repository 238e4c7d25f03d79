//! What brokers ask of us, over the connections that we opened.

use std::rc::{Rc, Weak};

use ringmq_protocol::bodies::offset::{ConsumerStatus, ResetOffsetBody};
use ringmq_protocol::bodies::running::{ConsumerRunningInfo, ProcessQueueInfo};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::client::{
    ConsumerRunningInfoRequest, ConsumerStatusRequest, ResetOffsetRequest,
};
use ringmq_protocol::{Command, Header, json};
use ringmq_remoting::{Connection, ReplyTo, Service};

use super::Instance;
use super::heartbeat::to_data;
use crate::consumer::assigned::Assigned;
use crate::consumer::member::Member;
use crate::queue::MessageQueue;

/// Takes the requests of all connections of one client.
pub(crate) struct Inbound {
    instance: Weak<Instance>,
}

impl Inbound {
    pub(crate) fn new(instance: Weak<Instance>) -> Self {
        Self { instance }
    }
}

impl Service for Inbound {
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, _frame: &[u8]) {
        let Some(instance) = self.instance.upgrade() else { return };
        let answer = match command.code {
            request::NOTIFY_CONSUMER_IDS_CHANGED => {
                instance.members().iter().for_each(|member| member.rebalance_now.notify_one());
                Ok(None)
            }
            request::RESET_CONSUMER_CLIENT_OFFSET => reset(&instance, command).map(|()| None),
            request::GET_CONSUMER_STATUS_FROM_CLIENT => status(&instance, command).map(Some),
            request::GET_CONSUMER_RUNNING_INFO => running_info(&instance, command).map(Some),
            _ => return connection.reply_unsupported(command),
        };
        let to = ReplyTo::of(command);
        match answer {
            Ok(body) => {
                let body = body.unwrap_or_default();
                connection.reply(&to, response::SUCCESS, None, &(), &body);
            }
            Err(remark) => {
                tracing::debug!(code = command.code, remark, "request of a broker refused");
                connection.reply(&to, response::SYSTEM_ERROR, Some(&remark), &(), &[]);
            }
        }
    }
}

fn member(instance: &Instance, group: &str) -> Result<Rc<Member>, String> {
    instance.member(group).ok_or_else(|| format!("this client is not in group {group}"))
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// An administrator moves a group: our queues begin anew where he says.
fn reset(instance: &Instance, command: &Command<'_>) -> Result<(), String> {
    let header = ResetOffsetRequest::decode(&command.fields).map_err(text)?;
    let body: ResetOffsetBody = json::from_slice(command.body).map_err(text)?;
    let member = member(instance, header.group)?;
    for (queue, offset) in &body.offset_table {
        let queue = MessageQueue::from(queue);
        if *queue.topic == *header.topic && member.find(&queue).is_some() {
            tracing::info!(%queue, offset, group = header.group, "offset reset by administrator");
            member.restart(&queue, *offset);
        }
    }
    Ok(())
}

fn status(instance: &Instance, command: &Command<'_>) -> Result<Vec<u8>, String> {
    let header = ConsumerStatusRequest::decode(&command.fields).map_err(text)?;
    let member = member(instance, header.group)?;
    let offsets = member.offsets.borrow().all();
    let of_topic = offsets.iter().filter(|(queue, _)| *queue.topic == *header.topic);
    let table = of_topic.map(|(queue, offset)| (queue.into(), *offset)).collect();
    Ok(json::to_vec(&ConsumerStatus { message_queue_table: table, ..ConsumerStatus::default() }))
}

fn running_info(instance: &Instance, command: &Command<'_>) -> Result<Vec<u8>, String> {
    let header = ConsumerRunningInfoRequest::decode(&command.fields).map_err(text)?;
    let member = member(instance, header.consumer_group)?;
    let properties = [
        ("PROP_CLIENT_VERSION", format!("RingMQ {}", env!("CARGO_PKG_VERSION"))),
        ("PROP_CONSUMEORDERLY", member.consumption.is_orderly().to_string()),
        ("PROP_CONSUMER_START_TIMESTAMP", member.started_at_ms.to_string()),
        ("PROP_NAMESERVER_ADDR", instance.config.name_servers.join(";")),
        ("PROP_THREADPOOL_CORE_SIZE", member.config.consume_threads.to_string()),
        (
            "PROP_CONSUME_TYPE",
            match member.consumption.is_polled() {
                true => "CONSUME_ACTIVELY".to_owned(),
                false => "CONSUME_PASSIVELY".to_owned(),
            },
        ),
    ];
    let info = ConsumerRunningInfo {
        mq_table: member
            .all_assigned()
            .iter()
            .map(|assigned| ((&assigned.queue).into(), queue_info(&member, assigned)))
            .collect(),
        properties: properties.map(|(name, value)| (name.to_owned(), value)).into(),
        subscription_set: member.subscriptions.borrow().values().map(to_data).collect(),
        ..ConsumerRunningInfo::default()
    };
    Ok(json::to_vec(&info))
}

fn queue_info(member: &Member, assigned: &Assigned) -> ProcessQueueInfo {
    let held = assigned.held.borrow();
    ProcessQueueInfo {
        cached_msg_count: i32::try_from(held.len()).unwrap_or(i32::MAX),
        cached_msg_min_offset: held.commit_offset().unwrap_or(0),
        cached_msg_max_offset: assigned.next_offset.get().saturating_sub(1).max(0),
        commit_offset: member.offsets.borrow().get(&assigned.queue).unwrap_or(-1),
        locked: assigned.lock.locked_at_ms.get().is_some(),
        last_pull_timestamp: assigned.pulled_at_ms.get(),
        last_consume_timestamp: assigned.consumed_at_ms.get(),
        ..ProcessQueueInfo::default()
    }
}

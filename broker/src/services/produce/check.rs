//! What a send must be to go into a log.
//!
//! Delayed and transactional messages are refused: delivering them at once would be wrong. So are
//! requests, whose replies this broker does not carry: their senders would wait in vain. The one
//! exception: a consumer sends its last retry with the delay of a retry, and nobody waits for a
//! dead letter.
//!
//! An item of a batch is a message like any other. Apache looks at the properties of no item and
//! shows half and delayed ones at once, which is not what their sender means.

use ringmq_protocol::codes::response;
use ringmq_protocol::headers::send::SendRequest;
use ringmq_protocol::names::{group_of_retry_topic, perm};
use ringmq_protocol::properties::PROPERTIES_SIZE_MAX_BYTES;
use ringmq_protocol::record::sys_flag;
use ringmq_runtime::clock;

use crate::config::Settings;
use crate::names;
use crate::outcome::Refusal;
use crate::services::stamp::Facts;
use crate::view::Topic;

const DELAYED_REMARK: &str =
    "delayed messages (DELAY, TIMER_*) are not supported by this broker yet; send without a delay";
const UNREADABLE_DELAY_REMARK: &str =
    "the delay level of the message (DELAY) is not a whole number of 32 bits";
const INNER_BATCH_REMARK: &str = "INNER_NUM and sysFlag 0x80 mark a whole batch in one record, \
     which no topic of this broker keeps; send an ordinary message, or a batch";
const TRANSACTION_REMARK: &str =
    "transactional messages are not supported by this broker yet; send an ordinary message";
const REQUEST_REMARK: &str = "request-reply (CORRELATION_ID, REPLY_TO_CLIENT, TTL) is not \
     supported by this broker yet: no reply would come; send an ordinary message";

/// Whether this broker takes messages for a topic now.
pub(super) fn check_broker(settings: &Settings, topic: &Topic) -> Result<(), Refusal> {
    let from_ms = settings.start_accept_send_request_at_ms;
    // Nearly always 0, and then the clock need not be read.
    if from_ms > 0 && from_ms > clock::unix_ms() {
        return Err(Refusal::new(
            response::SYSTEM_ERROR,
            "the broker takes no messages before the time set in startAcceptSendRequestTimeStamp",
        ));
    }
    let is_writable = settings.broker_permission & perm::WRITE != 0;
    if topic.is_ordered && !is_writable {
        return Err(Refusal::no_permission("sending to ordered topics is off: brokerPermission"));
    }
    Ok(())
}

/// Whether a send is of a size that is taken.
pub(super) fn check_size(
    settings: &Settings,
    header: &SendRequest<'_>,
    body: &[u8],
) -> Result<(), Refusal> {
    let body_max = settings.max_message_size as usize;
    if body.is_empty() {
        return Err(Refusal::illegal_message("the message has no body"));
    }
    if body.len() > body_max {
        return Err(Refusal::illegal_message(format!(
            "the body has {} bytes, maxMessageSize allows {body_max}",
            body.len()
        )));
    }
    let properties = header.properties.map_or(0, str::len);
    if properties > PROPERTIES_SIZE_MAX_BYTES {
        return Err(Refusal::illegal_message(format!(
            "the properties have {properties} bytes, at most {PROPERTIES_SIZE_MAX_BYTES} are allowed"
        )));
    }
    Ok(())
}

/// Whether a send is of a kind that can be delivered; `facts` are those of its header.
pub(super) fn check_kind(
    header: &SendRequest<'_>,
    topic: &Topic,
    facts: &Facts<'_>,
) -> Result<(), Refusal> {
    // A send that goes elsewhere than it says is a retry that became a dead letter.
    let is_dead_letter = topic.name != *header.topic;
    check_facts(facts, is_dead_letter)?;
    if header.sys_flag & sys_flag::INNER_BATCH != 0 {
        return Err(Refusal::illegal_message(INNER_BATCH_REMARK));
    }
    if !header.batch {
        return Ok(());
    }
    if group_of_retry_topic(header.topic).is_some() {
        return Err(Refusal::illegal_message("a batch cannot be sent to a retry topic"));
    }
    if topic.name.len() > names::TOPIC_MAX_BYTES {
        return Err(Refusal::illegal_message(format!(
            "the topic of a batch has at most {} bytes, this one {}",
            names::TOPIC_MAX_BYTES,
            topic.name.len()
        )));
    }
    Ok(())
}

/// Whether a message with these properties, alone or an item of a batch, can be delivered.
pub(super) fn check_facts(facts: &Facts<'_>, is_dead_letter: bool) -> Result<(), Refusal> {
    if facts.is_prepared {
        return Err(Refusal::no_permission(TRANSACTION_REMARK));
    }
    if facts.has_unreadable_delay {
        return Err(Refusal::illegal_message(UNREADABLE_DELAY_REMARK));
    }
    if facts.is_inner_batch {
        return Err(Refusal::illegal_message(INNER_BATCH_REMARK));
    }
    if facts.is_timed || (facts.is_delayed && !is_dead_letter) {
        return Err(Refusal::illegal_message(DELAYED_REMARK));
    }
    if facts.is_request && !is_dead_letter {
        return Err(Refusal::illegal_message(REQUEST_REMARK));
    }
    Ok(())
}

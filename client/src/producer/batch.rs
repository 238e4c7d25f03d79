//! Several messages of one topic in one request.

use ringmq_protocol::batch::{self, Item};
use ringmq_protocol::names::RETRY_PREFIX;
use ringmq_protocol::properties::{Properties, keys};

use super::send::{Outgoing, Payload, Prepared, Target, ensure_key};
use crate::config::ProducerConfig;
use crate::error::ClientError;
use crate::instance::Identity;
use crate::message::Message;

/// Properties of messages that brokers deliver later or in other ways; none may be in a batch.
const NOT_IN_BATCHES: [&str; 5] = [
    keys::DELAY_TIME_LEVEL,
    keys::TIMER_DELAY_SEC,
    keys::TIMER_DELAY_MS,
    keys::TIMER_DELIVER_MS,
    keys::TRANSACTION_PREPARED,
];

/// Checks that the messages may share a batch.
pub(super) fn outgoing(
    messages: Vec<Message>,
    size_max_bytes: usize,
) -> Result<Outgoing, ClientError> {
    let Some(first) = messages.first() else {
        return Err(ClientError::invalid("a batch needs at least one message"));
    };
    if first.topic().starts_with(RETRY_PREFIX) {
        return Err(ClientError::invalid("messages to a retry topic cannot be batched"));
    }
    let waits_for_store = first.waits_for_store();
    for message in &messages {
        message.check(size_max_bytes)?;
        if message.topic() != first.topic() || message.waits_for_store() != waits_for_store {
            let what = "all messages of a batch must have the same topic and WAIT property";
            return Err(ClientError::invalid(what));
        }
        if let Some(name) = NOT_IN_BATCHES.iter().find(|name| message.get(name).is_some()) {
            return Err(ClientError::invalid(format!("property {name} cannot be in a batch")));
        }
    }
    Ok(Outgoing { payload: Payload::Batch(messages), target: Target::Any })
}

/// Encodes a batch; each message has a unique key of its own.
pub(super) fn prepare(
    messages: Vec<Message>,
    config: &ProducerConfig,
    identity: &Identity,
    now_ms: i64,
) -> Result<Prepared, ClientError> {
    let topic = messages[0].topic().to_owned();
    let waits_for_store = messages[0].waits_for_store();
    let (mut body, mut ids) = (Vec::new(), Vec::with_capacity(messages.len()));
    for mut message in messages {
        ids.push(ensure_key(&mut message, identity, now_ms));
        let properties = message.properties_text();
        let item = Item {
            flag: message.flag,
            body: &message.body,
            properties: Properties::new(&properties),
        };
        batch::push(&mut body, &item).map_err(|error| ClientError::invalid(error.to_string()))?;
    }
    if body.len() > config.message_size_max_bytes {
        let (size, limit) = (body.len(), config.message_size_max_bytes);
        let what = format!("batch of {size} bytes exceeds the limit of {limit}");
        return Err(ClientError::invalid(what));
    }
    // Brokers with batch queues want a key of the whole; others do not store these properties.
    let mut whole = Message::default();
    ensure_key(&mut whole, identity, now_ms);
    if !waits_for_store {
        whole = whole.wait_stored(false);
    }
    let properties = whole.properties_text();
    Ok(Prepared::batch(topic, body.into(), ids.join(","), properties, now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(messages: Vec<Message>, accepted: bool) {
        let outcome = outgoing(messages, 1 << 20).map(|_| ());
        assert_eq!(outcome.is_ok(), accepted, "{outcome:?}");
    }

    #[test]
    fn only_messages_that_may_be_stored_together_share_a_batch() {
        let message = || Message::new("T", "x");
        check(vec![message(), message().tag("A").keys("k")], true);
        check(vec![], false);
        check(vec![message(), Message::new("U", "x")], false);
        check(vec![message(), message().wait_stored(false)], false);
        check(vec![message(), message().wait_stored(true)], true);
        check(vec![message().wait_stored(true), message()], true);
        check(vec![message().wait_stored(false), message().wait_stored(false)], true);
        check(vec![message().delay_level(3)], false);
        check(vec![Message::new("%RETRY%g", "x")], false);
    }

    #[test]
    fn each_item_has_its_own_key_and_the_result_lists_them() {
        let messages = vec![Message::new("T", "one"), Message::new("T", "two")];
        let config = ProducerConfig::new("p");
        let prepared = prepare(messages, &config, &Identity::sample(), 5).expect("fits");
        let items: Vec<_> = batch::items(&prepared.body).map(|item| item.expect("whole")).collect();
        let found: Vec<_> =
            items.iter().filter_map(|i| i.properties.get(keys::UNIQUE_KEY)).collect();
        assert_eq!(items.iter().map(|item| item.body).collect::<Vec<_>>(), [b"one", b"two"]);
        assert_eq!(found.join(","), prepared.message_id);
        assert_ne!(found[0], found[1]);
    }

    #[test]
    fn a_batch_says_once_that_it_is_not_waited_for() {
        let check = |wait: Option<bool>, expected: Option<&str>| {
            let message = Message::new("T", "x");
            let message = wait.into_iter().fold(message, Message::wait_stored);
            let messages = vec![message, Message::new("T", "y")];
            let (config, identity) = (ProducerConfig::new("p"), Identity::sample());
            let prepared = prepare(messages, &config, &identity, 5).expect("fits");
            let found = Properties::new(&prepared.properties).get(keys::WAIT_STORE_MSG_OK);
            assert_eq!(found, expected);
        };
        check(Some(false), Some("false"));
        check(Some(true), None);
        check(None, None);
    }

    #[test]
    fn a_batch_beyond_the_limit_is_refused_before_it_is_sent() {
        let config = ProducerConfig { message_size_max_bytes: 100, ..ProducerConfig::new("p") };
        let messages = vec![Message::new("T", "x"); 5];
        let refused = prepare(messages, &config, &Identity::sample(), 5);
        assert!(matches!(refused, Err(ClientError::Invalid { .. })));
    }
}

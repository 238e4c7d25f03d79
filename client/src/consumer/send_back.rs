//! Messages that shall come again: sent back to their broker, or sent to the group's retry topic
//! when the broker does not take them back.

use ringmq_protocol::properties::keys;

use super::member::Member;
use crate::config::ProducerConfig;
use crate::error::ClientError;
use crate::message::Message;
use crate::producer::{Outgoing, ProducerCore};
use crate::received::ReceivedMessage;

/// Deliveries of a message before it becomes a dead letter, for concurrent listeners.
const RECONSUME_TIMES_DEFAULT: i32 = 16;
/// Delay level of a first re-delivery (10 s); each further one waits a level longer.
const DELAY_LEVEL_FIRST: i32 = 3;
/// Group that Java clients use for sends of their own.
const INNER_PRODUCER_GROUP: &str = "CLIENT_INNER_PRODUCER";

impl Member {
    /// Has `message` delivered to the group again at `delay_level` (0: the broker decides, -1:
    /// never, it becomes a dead letter).
    ///
    /// # Errors
    /// Neither way worked; the last one is reported.
    pub(crate) async fn send_back(
        &self,
        message: &ReceivedMessage,
        delay_level: i32,
    ) -> Result<(), ClientError> {
        let bound = self.reconsume_bound();
        let sent_back = match self.instance.master(&message.queue.broker_name) {
            Ok(broker) => {
                let group = &self.config.group;
                self.instance.send_back(&broker, group, message, delay_level, bound).await
            }
            Err(fault) => Err(fault),
        };
        let Err(fault) = sent_back else { return Ok(()) };
        tracing::debug!(id = message.message_id(), %fault, "not sent back, sent to retry topic");
        let times = message.reconsume_times.saturating_add(1);
        self.send_to_retry_topic(message, times, bound).await
    }

    fn reconsume_bound(&self) -> i32 {
        match self.config.reconsume_times_max {
            -1 => RECONSUME_TIMES_DEFAULT,
            bound => bound,
        }
    }

    /// Sends a copy of `message`, which came `times` times in vain, to the retry topic of this
    /// group, to come again after a delay, or to become a dead letter once it came `bound` times.
    pub(crate) async fn send_to_retry_topic(
        &self,
        message: &ReceivedMessage,
        times: i32,
        bound: i32,
    ) -> Result<(), ClientError> {
        let copy = retry_copy(message, self.retry_topic(), times, bound);
        let config = ProducerConfig::new(INNER_PRODUCER_GROUP);
        let producer = ProducerCore::new(self.instance.clone(), config);
        producer.send(Outgoing::any(copy)).await.map(|_| ())
    }
}

fn retry_copy(message: &ReceivedMessage, retry_topic: String, times: i32, bound: i32) -> Message {
    let mut copy = Message::new(retry_topic, message.body.clone()).flag(message.flag);
    let is_dropped = |name: &str| name == keys::TRANSACTION_PREPARED || name == keys::CRC32;
    for (name, value) in message.properties().iter().filter(|(name, _)| !is_dropped(name)) {
        copy = copy.property(name, value);
    }
    let origin = message.property(keys::ORIGIN_MESSAGE_ID);
    let origin = origin.map_or_else(|| message.offset_message_id(), str::to_owned);
    let level = DELAY_LEVEL_FIRST.saturating_add(message.reconsume_times);
    copy.property(keys::RETRY_TOPIC, message.topic.clone())
        .property(keys::ORIGIN_MESSAGE_ID, origin)
        .property(keys::RECONSUME_TIME, times.to_string())
        .property(keys::MAX_RECONSUME_TIMES, bound.to_string())
        .property(keys::DELAY_TIME_LEVEL, level.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_copy_says_where_it_comes_from_and_how_often_it_came() {
        let mut message = ReceivedMessage::sample(7, b"hello");
        message.reconsume_times = 2;
        let copy = retry_copy(&message, "%RETRY%g".into(), 3, 16);
        let found = |name| copy.get(name).unwrap_or_default();
        assert_eq!(copy.topic(), "%RETRY%g");
        assert_eq!(found(keys::RETRY_TOPIC), "T");
        assert_eq!(found(keys::ORIGIN_MESSAGE_ID), message.offset_message_id());
        assert_eq!((found(keys::RECONSUME_TIME), found(keys::DELAY_TIME_LEVEL)), ("3", "5"));
        assert_eq!(found(keys::MAX_RECONSUME_TIMES), "16");
    }
}

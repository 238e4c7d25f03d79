//! Messages: by offset id, by key.

use bytes::Bytes;
use ringmq_protocol::Command;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::query::{QueryMessageRequest, ViewMessageRequest};
use ringmq_protocol::ids::OffsetMessageId;

use super::{Admin, Request};
use crate::error::{ClientError, Fault};
use crate::instance::{Read, Server, expect_success, malformed, refusal};
use crate::received::ReceivedMessage;

impl Admin {
    /// The message with this offset message id, from the broker that the id names. Its queue has
    /// the broker's address in place of the name.
    ///
    /// # Errors
    /// `Invalid` ids, `Failed`.
    pub async fn view_message(&self, id: &str) -> Result<ReceivedMessage, ClientError> {
        let place: OffsetMessageId = id
            .parse()
            .map_err(|error| ClientError::invalid(format!("message id {id}: {error}")))?;
        let (address, action) = (place.host.to_string(), format!("look-up of message {id}"));
        let header = ViewMessageRequest { offset: place.physical_offset, topic: None };
        let request = Request::new(&action, request::VIEW_MESSAGE_BY_ID, &header);
        let bytes = self.ask(&address, request, read_messages).await?;
        let missing = || Fault::Malformed { reason: "no message in the answer".into() };
        let found = ReceivedMessage::decode_found(&bytes, &address).map_err(malformed);
        let first = found.and_then(|found| found.into_iter().next().ok_or_else(missing));
        first.map_err(|fault| Server::new("broker", &address).failed(action, fault))
    }

    /// Messages of a topic with this key (one of those that [`Message::keys`] set), up to `max`
    /// of each broker.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    ///
    /// [`Message::keys`]: crate::message::Message::keys
    pub async fn find_by_key(
        &self,
        topic: &str,
        key: &str,
        max: i32,
    ) -> Result<Vec<ReceivedMessage>, ClientError> {
        self.find(topic, key, false, max).await
    }

    /// Messages of a topic with this unique key, the id that a send returned; more than one if a
    /// send was tried again.
    ///
    /// # Errors
    /// `Failed`, `ShutDown`.
    pub async fn find_by_unique_key(
        &self,
        topic: &str,
        key: &str,
    ) -> Result<Vec<ReceivedMessage>, ClientError> {
        // As many as Java's client asks for.
        self.find(topic, key, true, 32).await
    }

    async fn find(
        &self,
        topic: &str,
        key: &str,
        is_unique: bool,
        max: i32,
    ) -> Result<Vec<ReceivedMessage>, ClientError> {
        let mut found = Vec::new();
        for broker in self.topic_route(topic).await?.broker_datas {
            let Some(address) = broker.broker_addrs.values().next() else { continue };
            let header = QueryMessageRequest {
                topic,
                key,
                max_num: max,
                begin_timestamp_ms: 0,
                end_timestamp_ms: i64::MAX,
                unique_key_query: is_unique,
                index_type: None,
                last_key: None,
            };
            let action = format!("look-up of key {key} in {topic}");
            let request = Request::new(&action, request::QUERY_MESSAGE, &header);
            let read: Read<Bytes> = |answer| match answer.code {
                response::QUERY_NOT_FOUND => Ok(Bytes::new()),
                _ => read_messages(answer),
            };
            let bytes = self.ask(address, request, read).await?;
            let messages = ReceivedMessage::decode_found(&bytes, &broker.broker_name);
            let server = Server::new(&broker.broker_name, address);
            found.extend(messages.map_err(|error| server.failed(action, malformed(error)))?);
        }
        Ok(found)
    }
}

fn read_messages(answer: &Command<'_>) -> Result<Bytes, Fault> {
    expect_success(answer)?;
    if answer.body.is_empty() {
        return Err(refusal(answer));
    }
    Ok(Bytes::copy_from_slice(answer.body))
}

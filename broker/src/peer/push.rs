//! Requests of ours to a client, and the end of a connection, wherever the connection lives.

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::fields::OwnedFields;
use ringmq_remoting::{CallError, OwnedCommand};

use super::{Home, Peer};
use crate::shard::DataPlane;

const GONE: CallError = CallError::Closed { reason: "the client is gone" };

impl Peer {
    /// Sends a request to the client and waits for its answer.
    ///
    /// # Errors
    /// No answer within `timeout`, or the connection is closed.
    pub async fn call(
        &self,
        code: i32,
        fields: OwnedFields,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<OwnedCommand, CallError> {
        match &self.home {
            Home::Local { connection, .. } => {
                let call = connection.call(code, &fields, &body, timeout);
                // It is in the connection's output; the answer may take long.
                drop((fields, body));
                call.await
            }
            Home::Remote { connection, link } => {
                let key = connection.key;
                let job = move |data: Rc<DataPlane>| async move {
                    let connection = data.inbound.connection(key.id).ok_or(GONE)?;
                    let call = connection.call(code, &fields, &body, timeout);
                    drop((fields, body));
                    call.await
                };
                link.call(key.shard, job).await
            }
        }
    }

    /// Closes the connection.
    pub fn close(&self, reason: &'static str) {
        match &self.home {
            Home::Local { connection, .. } => connection.close(reason),
            Home::Remote { connection, link } => {
                let (key, link) = (connection.key, Rc::clone(link));
                let close = async move {
                    let job = move |data: Rc<DataPlane>| async move {
                        if let Some(connection) = data.inbound.connection(key.id) {
                            connection.close(reason);
                        }
                    };
                    link.call(key.shard, job).await;
                };
                ringmq_runtime::task::spawn("close a connection", close).detach();
            }
        }
    }
}

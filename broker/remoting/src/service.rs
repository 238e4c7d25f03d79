//! Who handles the requests of a connection, and what must be remembered to answer one.

use std::rc::Rc;

use ringmq_protocol::codes::request;
use ringmq_protocol::{Command, SerializeType};

use crate::connection::Connection;

/// Handles the requests that arrive on a connection. All methods run on the connection's shard and
/// must not block; what takes longer continues in a task and answers later.
pub trait Service: 'static {
    /// One request: `frame` is all of it with its length word, `command` borrows from it. Answer
    /// with [`Connection::reply`] now, later or, as all one-way ones are, never: nothing is kept
    /// until then.
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, frame: &[u8]);

    /// All frames of one read were handed over: flush work that was batched. Replies made so far
    /// leave in one write after this returns.
    fn on_read_end(&self, _connection: &Rc<Connection>) {}

    /// The connection is gone, for whatever reason; called once, after the last request.
    fn on_close(&self, _connection: &Rc<Connection>) {}
}

/// A service for connections on which only answers are expected: every request is answered
/// "not supported".
pub struct NoService;

impl Service for NoService {
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, _frame: &[u8]) {
        connection.reply_unsupported(command);
    }
}

/// What a client reads whose request no service handles: as Apache words it, and for a code of
/// Apache's with its name.
pub fn unsupported_remark(code: i32) -> String {
    match request::name(code) {
        Some(name) => format!(
            " request type {code} ({name}) not supported by this server; see Honest limits in the \
             README"
        ),
        None => format!(" request type {code} not supported"),
    }
}

/// Where an answer goes: what must be remembered of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The request's correlation id.
    pub opaque: i32,
    /// The request's header encoding, which the answer echoes.
    pub serialize: SerializeType,
    /// One-way requests are never answered.
    pub oneway: bool,
}

impl ReplyTo {
    /// Remembers `request`.
    pub fn of(request: &Command<'_>) -> Self {
        let oneway = request.is_oneway();
        Self { opaque: request.opaque, serialize: request.serialize, oneway }
    }
}

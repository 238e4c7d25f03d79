//! One name server: what it has to be told, and whether it answers.
//!
//! States: *silent* (never reached, or the last attempt failed: everything is due) and *current*
//! (it knows everything up to a generation, and some topics may be due). A current one that let
//! somebody wait in vain is *late* besides, until it has answered: changes do not wait for it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::response;
use ringmq_protocol::{Command, WriteHeader};
use ringmq_remoting::{
    CallError, Connection, ConnectionLimits, Dialer, MALFORMED_FRAME, OwnedCommand, Service,
};
use ringmq_runtime::sync::Notify;

/// Time for a connection to a name server to come about (Apache's client default).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// One name server.
pub(super) struct Server {
    pub(super) address: String,
    pub(super) dialer: Dialer<Wake>,
    pub(super) due: RefCell<Due>,
    pub(super) wake: Rc<Wake>,
    /// The newest generation that it acknowledged.
    pub(super) acknowledged: Cell<u64>,
    /// The connection over which it was told everything, and a change alone is understood.
    pub(super) told_over: Cell<Option<u64>>,
    /// Whether the last attempt succeeded; `None` before the first ended.
    pub(super) is_reachable: Cell<Option<bool>>,
    /// Somebody waited in vain for it to hear of a change, and it has not answered since.
    pub(super) is_late: Cell<bool>,
}

/// Ends the pause between two registrations: something changed, or the connection closed.
#[derive(Default)]
pub(super) struct Wake(pub(super) Notify);

impl Service for Wake {
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, _: &[u8]) {
        connection.reply_unsupported(command);
    }

    fn on_close(&self, _: &Rc<Connection>) {
        self.0.notify_one();
    }
}

/// What a name server has to be told.
pub(super) enum Due {
    Everything,
    Topics(BTreeSet<String>),
}

impl Server {
    /// One that was never reached.
    pub(super) fn new(address: &str) -> Self {
        let wake = Rc::new(Wake::default());
        Self {
            address: address.to_owned(),
            dialer: Dialer::new(Rc::clone(&wake), ConnectionLimits::default(), CONNECT_TIMEOUT),
            due: RefCell::new(Due::Everything),
            wake,
            acknowledged: Cell::new(0),
            told_over: Cell::new(None),
            is_reachable: Cell::new(None),
            is_late: Cell::new(false),
        }
    }

    /// It has to be told everything; the first time this is said.
    pub(super) fn lost(&self, reason: &str) {
        if self.is_reachable.replace(Some(false)) != Some(false) {
            tracing::warn!("name server {}: {reason}; trying on", self.address);
        }
        *self.due.borrow_mut() = Due::Everything;
    }

    /// Whether who made the changes up to `goal` waits for it.
    pub(super) fn is_awaited(&self, goal: u64) -> bool {
        let is_unreachable = self.is_reachable.get() == Some(false);
        self.acknowledged.get() < goal && !is_unreachable && !self.is_late.get()
    }

    /// A connection to it.
    pub(super) async fn connect(&self) -> Result<Rc<Connection>, String> {
        self.dialer.get(&self.address).await.map_err(|error| error.to_string())
    }

    /// The answer to a request, when it is a success; otherwise what is to be told of it.
    pub(super) async fn call(
        connection: &Rc<Connection>,
        code: i32,
        header: &impl WriteHeader,
        body: &[u8],
        timeout: Duration,
    ) -> Result<OwnedCommand, String> {
        let answer = connection.call(code, header, body, timeout).await;
        let answer = answer.map_err(|error| match error {
            CallError::Closed { reason: MALFORMED_FRAME } => no_name_server("in another protocol"),
            error => error.to_string(),
        })?;
        let remark = || answer.command().remark().unwrap_or("no remark").trim().to_owned();
        match answer.code() {
            response::SUCCESS => Ok(answer),
            response::REQUEST_CODE_NOT_SUPPORTED => Err(no_name_server(&remark())),
            other => Err(format!("it answered {code} with code {other}: {}", remark())),
        }
    }
}

impl Due {
    /// These topics, too.
    pub(super) fn add(&mut self, more: &BTreeSet<String>) {
        if let Self::Topics(topics) = self {
            topics.extend(more.iter().cloned());
        }
    }
}

/// What answers there is something else, such as a broker or a web server.
fn no_name_server(found: &str) -> String {
    format!(
        "something answers, and it is no name server ({found}): give the address of one \
         (mqnamesrv, port 9876 by default), with -n or namesrvAddr"
    )
}

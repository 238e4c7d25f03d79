//! One call to one server, with its failures named.

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::response;
use ringmq_protocol::{Command, WriteHeader};
use ringmq_remoting::{CallError, Connection};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::{sync, task};

use super::Instance;
use crate::error::{Attempt, ClientError, Fault};

/// A server as it is called: its name for people, its address for the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn new(name: &str, address: &str) -> Self {
        Self { name: name.to_owned(), address: address.to_owned() }
    }

    /// A server of which no address is known.
    pub(crate) fn unknown(name: &str) -> Self {
        Self::new(name, "unknown address")
    }

    /// The same server's port for sends only, two below the ordinary one.
    pub(crate) fn vip(self) -> Self {
        let vip = self.address.rsplit_once(':').and_then(|(host, port)| {
            let port = port.parse::<u16>().ok()?.checked_sub(2)?;
            Some(format!("{host}:{port}"))
        });
        Self { address: vip.unwrap_or(self.address), ..self }
    }

    /// This fault, at this server.
    pub(crate) fn attempt(&self, fault: Fault) -> Attempt {
        Attempt { server: self.name.clone(), address: self.address.clone(), fault }
    }

    /// This fault, at this server, as the failure of `action`.
    pub(crate) fn failed(&self, action: impl Into<String>, fault: Fault) -> ClientError {
        ClientError::failed(action, self.attempt(fault))
    }
}

/// Reads an answer while it lies in the receive buffer.
pub(crate) type Read<T> = fn(&Command<'_>) -> Result<T, Fault>;

impl Instance {
    /// Sends one request to `server` and has `read` make sense of the answer.
    ///
    /// `timeout` begins when there is a connection. A server that is going away (code 1500) is
    /// asked once more over a new one, in what is left of the time; the old connection stays until
    /// what others asked over it is answered.
    pub(crate) async fn call<T: 'static>(
        &self,
        server: &Server,
        code: i32,
        header: &impl WriteHeader,
        body: &[u8],
        timeout: Duration,
        read: Read<T>,
    ) -> Result<T, Fault> {
        self.call_with(server, code, header, || body, timeout, read).await
    }

    /// Like [`Instance::call`], with a body that is made when there is a connection to send it on.
    pub(crate) async fn call_with<T: 'static, B: AsRef<[u8]>>(
        &self,
        server: &Server,
        code: i32,
        header: &impl WriteHeader,
        body: impl Fn() -> B,
        timeout: Duration,
        read: Read<T>,
    ) -> Result<T, Fault> {
        let connection = self.connect(&server.address).await?;
        let deadline = Instant::now() + timeout;
        let outcome = ask(&connection, code, header, body().as_ref(), timeout, read).await;
        if outcome.as_ref().is_err_and(|fault| fault.code() == Some(response::GO_AWAY)) {
            self.dialer.retire(&server.address, &connection, "the server goes away");
            let left = deadline.saturating_since(Instant::now());
            let again = async {
                let connection = self.connect(&server.address).await?;
                ask(&connection, code, header, body().as_ref(), left, read).await
            };
            let silence = |_| Fault::silence(format!("going away, no answer within {timeout:?}"));
            return task::timeout(left, again).await.map_err(silence).flatten();
        }
        outcome
    }

    /// Sends one request to `server`; there will be no answer.
    pub(crate) async fn tell(
        &self,
        server: &Server,
        code: i32,
        header: &impl WriteHeader,
        body: &[u8],
    ) -> Result<(), Fault> {
        self.connect(&server.address).await?.send_oneway(code, header, body);
        Ok(())
    }
}

async fn ask<T: 'static>(
    connection: &Rc<Connection>,
    code: i32,
    header: &impl WriteHeader,
    body: &[u8],
    timeout: Duration,
    read: Read<T>,
) -> Result<T, Fault> {
    let (sender, answer) = sync::oneshot();
    connection.call_with(code, header, body, timeout, move |answer| {
        // Nobody listens if the caller was dropped meanwhile.
        let _ = sender.send(answer.map_err(unreachable).and_then(read));
    });
    answer.await.unwrap_or_else(|_| Err(unreachable(CallError::Closed { reason: "stopped" })))
}

fn unreachable(error: CallError) -> Fault {
    let is_silent = matches!(error, CallError::Timeout { .. });
    Fault::Unreachable { reason: error.to_string(), is_silent }
}

/// The code and the words of an answer that refuses.
pub(crate) fn refusal(answer: &Command<'_>) -> Fault {
    // Some of Apache's begin with a blank.
    let remark = answer.remark().unwrap_or_default().trim().to_owned();
    Fault::Refused { code: answer.code, remark }
}

/// Passes answers with code 0 and turns others into faults.
pub(crate) fn expect_success(answer: &Command<'_>) -> Result<(), Fault> {
    if answer.code == response::SUCCESS { Ok(()) } else { Err(refusal(answer)) }
}

/// An answer whose header or body is not what the protocol says.
pub(crate) fn malformed(error: impl ToString) -> Fault {
    Fault::Malformed { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_call_that_ran_out_of_time_says_that_the_next_will() {
        let is_silence = |error| unreachable(error).is_silence();
        assert!(is_silence(CallError::Timeout { timeout: Duration::from_secs(3) }));
        assert!(!is_silence(CallError::Closed { reason: "the next call dials again" }));
        assert!(!is_silence(CallError::TooMany { limit: 1 }));
    }
}

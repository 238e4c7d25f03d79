//! A connection that we open.

use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ringmq_runtime::net::Stream;
use ringmq_runtime::task;

use crate::limits::Growth;
use crate::{Connection, ConnectionLimits, InFlight, Service, reader, writer};

/// Why an address cannot be reached.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DialError {
    /// The text is not `host:port`, or the name is unknown.
    #[error("cannot resolve \"{address}\": {detail}")]
    Resolve {
        /// The address as given.
        address: String,
        /// What the resolver said.
        detail: String,
    },
    /// Nobody answers there.
    #[error("cannot connect to {address}: {detail}")]
    Connect {
        /// The address as given.
        address: String,
        /// What the network said.
        detail: String,
    },
    /// The last attempt failed so recently that none was made.
    #[error("{address} is not tried again for {} ms: {last}", .wait.as_millis())]
    Backoff {
        /// The address as given.
        address: String,
        /// Time until the next attempt.
        wait: Duration,
        /// How the last attempt failed.
        last: Box<DialError>,
    },
}

/// Opens a connection; requests that arrive on it go to `service`.
///
/// # Errors
/// The operating system's, or `TimedOut` after `timeout`.
pub async fn dial<S: Service>(
    address: SocketAddr,
    timeout: Duration,
    service: Rc<S>,
    limits: ConnectionLimits,
) -> io::Result<Rc<Connection>> {
    let stream = Stream::connect(address, timeout).await?;
    // What we asked for ourselves needs no gate: the limit of open calls bounds it.
    let in_flight = InFlight::new(u64::MAX);
    let growth = Growth::unwatched();
    let (connection, read_half) = Connection::new(stream, limits, in_flight, growth, Weak::new());
    task::spawn("connection writer", writer::run(Rc::clone(&connection))).detach();
    task::spawn("connection reader", reader::run(Rc::clone(&connection), read_half, service))
        .detach();
    Ok(connection)
}

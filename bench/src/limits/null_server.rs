//! The round trip to a server that answers everything at once and stores nothing.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::{remote, task};

use crate::driver::lane::Lane;
use crate::driver::work::Work;
use crate::driver::{Load, Timing};
use crate::error::BenchError;
use crate::limits::prepared::{self, Prepared};
use crate::record::archive::Archive;
use crate::record::latencies::Latencies;
use crate::target::caller;

/// Round trips of `work`, one in flight, to a server on another thread that answers `prepared`.
///
/// # Errors
/// Loopback connections fail.
pub async fn round_trips(
    work: Rc<dyn Work>,
    prepared: Prepared,
    measured: Duration,
) -> Result<Latencies, BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::protocol("null server", error);
    let server = remote::spawn_executor("null server").map_err(|error| failed(&error))?;
    let bound = server
        .run(|| async {
            let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Reuse::No)?;
            let addr = listener.local_addr();
            task::spawn("null server", prepared::serve(listener, prepared)).detach();
            addr
        })
        .await
        .map_err(|error| failed(&error))?;
    let addr = bound.map_err(BenchError::NoPorts)?;
    let (read, write) = caller::connect(&addr.to_string()).await?.split();
    let load = Load::new(None);
    load.add_lane(Lane::new(work, write, 1), read);
    let timing = Timing { warm_up: Duration::ZERO, duration: measured };
    let archive = load.run(timing, Archive::default(), |_, _| ()).await;
    Ok(archive.total.service)
}

//! The round trip to a server that answers everything at once and stores nothing.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::{remote, shards, task};

use crate::driver::clients::Clients;
use crate::driver::work::Work;
use crate::driver::{Load, Timing};
use crate::error::BenchError;
use crate::limits::prepared::{self, Prepared};
use crate::record::latencies::Latencies;

/// Where the two ends of a round trip run. It decides the figure: to wake a core that sleeps takes
/// several times as long as the rest of the way.
#[derive(Debug)]
pub struct Ends {
    server_core: usize,
    clients: Clients,
}

impl Ends {
    /// Those of a lone request of a run: the server has the broker's first core, and who asks is
    /// the first of the run's `clients`. Where these are bound to no core the kernel may put both
    /// ends on one or not, as it may those of the run.
    pub fn of_run(broker_core: usize, clients: &Clients) -> Self {
        Self { server_core: broker_core, clients: clients.clone() }
    }

    /// Both on the first core that bench may use. No core is woken and the kernel has no choice, so
    /// the figure is the same each time on a machine that is: of 20 in a row, each of 0.3 s beside
    /// builds, the slowest had 1.04 times the fastest, and 4.4 times with ends bound to no core.
    ///
    /// # Errors
    /// The kernel refuses the thread.
    pub fn on_one_core() -> Result<Self, BenchError> {
        let core = shards::usable_cores()[0];
        Ok(Self { server_core: core, clients: Clients::start(&[core])? })
    }
}

/// Round trips of what `work` makes, one in flight, to a server that answers `prepared`.
///
/// # Errors
/// Loopback connections fail, or the server's core is not there.
pub async fn round_trips<W: Work + 'static>(
    ends: &Ends,
    work: impl FnOnce() -> Rc<W> + Send + 'static,
    prepared: Prepared,
    measured: Duration,
) -> Result<Latencies, BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::program("null server", error);
    let server = remote::spawn_executor_on("null server", ends.server_core)
        .map_err(|error| failed(&error))?;
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
    let load = Load::on(&ends.clients, None);
    load.connect(&addr.to_string(), 1, work).await?;
    let timing = Timing { warm_up: Duration::ZERO, duration: measured };
    let tally = load.run_unseen(timing).await;
    Ok(tally.total.service)
}

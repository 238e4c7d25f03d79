//! From settings to a running broker, and back.
//!
//! Start, each step on all shards before the next begins: lock the store and learn how many logs it
//! has; one executor per shard, joined by the mesh; open the logs; the control plane loads topics
//! and groups and publishes them; listen. Stop, in reverse: leave the name servers; accept and read
//! nothing more; answer what waits; close the connections, write progress and close the logs; end
//! the executors. An error on the way up takes the way down from where it was.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::Disk;
use ringmq_runtime::mesh;
use ringmq_runtime::shards::{self, ShardsConfig};
use ringmq_runtime::start::{self, StartError};
use ringmq_runtime::task::{self, LocalFuture};

use crate::config::Settings;
use crate::control::ControlPlane;
use crate::layout;
use crate::link::{Backlog, Link, MESH_CAPACITY};
use crate::recovered::Recovered;
use crate::router::Placement;
use crate::services::Services;
use crate::shard::{DataPlane, Local};
use crate::view::View;

/// Longest wait for answers when the broker stops: a device or a client that does nothing must not
/// keep it.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Makes the control plane on shard 0, once the logs are open.
pub type MakeControl =
    Box<dyn FnOnce(Rc<DataPlane>) -> LocalFuture<Result<Rc<dyn ControlPlane>, BrokerError>> + Send>;

/// Runs on shard 0 while the broker serves; the broker stops when it ends.
pub type Until = Box<dyn FnOnce(Rc<DataPlane>) -> LocalFuture<()> + Send>;

/// What to run.
#[derive(Clone)]
pub struct Plan {
    /// The settings, with every default filled in.
    pub settings: Arc<Settings>,
    /// Shards and their cores.
    pub shards: ShardsConfig,
    /// Root directory of the store.
    pub root: PathBuf,
    /// Address under which clients reach this broker: part of message ids.
    pub store_host: SocketAddr,
}

/// Why a broker did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The executors could not be made.
    #[error(transparent)]
    Shards(#[from] StartError),
    /// The store cannot be used.
    #[error("{0}")]
    Store(String),
    /// A step on the way up failed.
    #[error("{0}")]
    Start(String),
    /// Something was lost on the way down.
    #[error("{0}")]
    Stop(String),
}

/// Runs a broker until `until` ends.
///
/// # Errors
/// What went wrong and what to change. A broker that could not start has served nothing.
pub fn run(plan: &Plan, make_control: MakeControl, until: Until) -> Result<(), BrokerError> {
    let shards = plan.shards.cores.shards();
    // First of all, because what it finds has a fix that the errors of later steps do not name.
    start::check_directory(&plan.root)?;
    let store = shards::try_block_on("store", async {
        let disk = Disk::live(&plan.root).map_err(|error| error.to_string())?;
        layout::claim(&disk, plan.settings.commit_log_count.into(), shards).await
    })?
    .map_err(BrokerError::Store)?;
    let placement = Placement::new(store.logs, shards);
    let mut first = Some((make_control, until));
    let backlog = Backlog::new(shards);
    let luggage =
        mesh::build(shards, MESH_CAPACITY).into_iter().map(|port| (port, first.take())).collect();
    let outcomes = shards::run_with(&plan.shards, luggage, |_, (port, first)| async {
        let disk = Disk::live(&plan.root).map_err(|error| BrokerError::Store(error.to_string()))?;
        let link = Link::new(port, backlog.clone());
        run_shard(plan.clone(), placement, disk, link, first).await
    })?;
    outcomes.into_iter().collect()
}

/// Runs a broker with all its shards on this executor and its store on `disk`, until `until` ends:
/// what a simulated world needs, which has one thread.
///
/// # Errors
/// As [`run`].
pub async fn run_together(
    plan: &Plan,
    disk: Disk,
    make_control: MakeControl,
    until: Until,
) -> Result<(), BrokerError> {
    let shards = plan.shards.cores.shards();
    let logs_wanted = plan.settings.commit_log_count.into();
    let store = layout::claim(&disk, logs_wanted, shards).await.map_err(BrokerError::Store)?;
    let placement = Placement::new(store.logs, shards);
    let mut first = Some((make_control, until));
    let backlog = Backlog::new(shards);
    let running: Vec<_> = mesh::build(shards, MESH_CAPACITY)
        .into_iter()
        .map(|port| {
            let link = Link::new(port, backlog.clone());
            let run = run_shard(plan.clone(), placement, disk.clone(), link, first.take());
            task::spawn("shard", run)
        })
        .collect();
    let mut outcome = Ok(());
    for shard in running {
        let ended = shard.await;
        outcome = outcome.and(ended);
    }
    outcome
}

async fn run_shard(
    plan: Plan,
    placement: Placement,
    disk: Disk,
    link: Rc<Link>,
    first: Option<(MakeControl, Until)>,
) -> Result<(), BrokerError> {
    let view = View::new(Arc::clone(&plan.settings));
    let shard = link.shard();
    let services = Services::new(plan.store_host, shard);
    let local = Local::new(placement, view);
    let data = DataPlane::new(local, link, services, disk);
    let _alive = Alive(Rc::clone(&data));
    let mesh = task::spawn_urgent("mesh", Rc::clone(&data).run_mesh());
    let result = match first {
        Some((make_control, until)) => lead(&data, make_control, until).await,
        None => {
            data.wait_for_end().await;
            Ok(())
        }
    };
    tracing::debug!(shard, "shard ended");
    drop(mesh);
    result
}

/// A shard that has not ended. It ends also where its task is dropped while it waits: so die the
/// machines of a simulated world.
struct Alive(Rc<DataPlane>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

/// What shard 0 does: takes all shards up, runs, and takes them down.
async fn lead(
    data: &Rc<DataPlane>,
    make_control: MakeControl,
    until: Until,
) -> Result<(), BrokerError> {
    let served = serve(data, make_control, until).await;
    let deadline = Instant::now() + ANSWER_TIME;
    data.on_all_shards(move |data| data.stop_reading(deadline)).await;
    // Twice, since a send that waited for its topic may then go to a shard that owed nobody.
    for _ in 0..2 {
        data.on_all_shards(move |data| data.answer_everybody(deadline)).await;
    }
    let stopped = on_every_shard(data, move |data| data.stop(deadline)).await;
    data.on_all_shards(|data| async move { data.end() }).await;
    served?;
    stopped.map(drop).map_err(BrokerError::Stop)
}

async fn serve(
    data: &Rc<DataPlane>,
    make_control: MakeControl,
    until: Until,
) -> Result<(), BrokerError> {
    let opened = on_every_shard(data, |data| async move { data.open_logs().await }).await;
    let recovered = opened.map_err(BrokerError::Store)?.into_iter().reduce(Recovered::and);
    if let Some(recovered) = recovered.filter(|recovered| !recovered.is_nothing()) {
        tracing::warn!("{recovered}");
    }
    let control = make_control(Rc::clone(data)).await?;
    data.set_control(Rc::clone(&control));
    let listening = match data.check_ports() {
        Ok(()) => on_every_shard(data, |data| async move { data.listen() }).await.map(drop),
        Err(problem) => Err(problem),
    };
    if let Err(problem) = listening {
        control.stop().await;
        return Err(BrokerError::Start(problem));
    }
    control.on_ready();
    until(Rc::clone(data)).await;
    control.stop().await;
    Ok(())
}

/// Runs a step on every shard; the first problem is everybody's.
async fn on_every_shard<T, F, Fut>(data: &Rc<DataPlane>, step: F) -> Result<Vec<T>, String>
where
    T: Send + 'static,
    F: Fn(Rc<DataPlane>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<T, String>> + 'static,
{
    data.on_all_shards(step).await.into_iter().collect()
}

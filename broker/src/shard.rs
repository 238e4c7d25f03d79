//! One core of the broker: what it owns, and how others reach it.
//!
//! A shard owns its connections, its logs with everything that waits for them, and its copy of the
//! view. It is changed by its own tasks only; other shards send messages ([`crate::link`]) or jobs
//! ([`DataPlane::on_shard`]). How a request finds its service is in `dispatch.rs`, start and stop
//! in `lifecycle.rs`.

use std::cell::{OnceCell, Ref, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use ringmq_remoting::Server;
use ringmq_runtime::disk::Disk;
use ringmq_runtime::random::HashSet;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task::{self, Task};

use crate::control::ControlPlane;
use crate::creating::Creating;
use crate::dispatch::Front;
use crate::inbound::Inbound;
use crate::link::{Link, ShardMessage};
use crate::logs::{OwnedLog, stalled};
use crate::metrics::Counters;
use crate::retention::Looked;
use crate::router::{HashedQueue, Placement};
use crate::services::Services;
use crate::shares::Shares;
use crate::stages::Stages;
use crate::view::{Change, View};

/// Groups that wait to be created, or were refused lately; further ones work with the defaults.
const GROUPS_WANTED_MAX: usize = 4096;

/// Time until a group that was refused is asked for again: by then the table may have room.
const REFUSAL_HOLDS: Duration = Duration::from_secs(60);

/// Groups whose members are asked for newer subscriptions, or were lately; further ones are when
/// there is room.
const GROUPS_OLD_MAX: usize = 4096;

/// Time between two such questions of a shard about one group: all its members are noted.
const OLD_PAUSE: Duration = Duration::from_secs(1);

/// One core of the broker. The control plane uses it on shard 0; jobs get it on theirs.
pub struct DataPlane {
    /// What services look at.
    pub local: Local,
    services: Services,
    pub(crate) link: Rc<Link>,
    pub(crate) inbound: Rc<Inbound>,
    /// Sends that wait for their topics to be created.
    pub(crate) creating: Creating,
    /// Groups that shard 0 was asked to create, and those that it refused lately.
    groups_wanted: RefCell<HashSet<String>>,
    /// Groups that shard 0 was told lately have newer subscriptions.
    groups_old: RefCell<HashSet<String>>,
    /// Shard 0 only.
    pub(crate) control: RefCell<Option<Rc<dyn ControlPlane>>>,
    pub(crate) disk: Disk,
    pub(crate) running: Running,
}

/// What a shard knows and owns, for the services that run on it.
pub struct Local {
    /// Who owns which queue.
    pub placement: Placement,
    /// What this shard has done so far.
    pub counters: Counters,
    /// Where the time of sends goes.
    pub stages: Stages,
    /// Who has what of the places of sends that wait for room in its logs.
    pub(crate) stalled_shares: RefCell<Shares>,
    view: RefCell<View>,
    /// One slot per log of the store; filled for those of this shard when they are open.
    pub(crate) log_slots: Vec<OnceCell<Rc<OwnedLog>>>,
}

/// What lives from the start of a shard to its end.
#[derive(Default)]
pub(crate) struct Running {
    pub(crate) server: RefCell<Option<Rc<Server<Front>>>>,
    /// Tasks that live as long as the shard serves.
    pub(crate) tasks: RefCell<Vec<Task<()>>>,
    pub(crate) retention: RefCell<Option<Task<()>>>,
    pub(crate) looked: Looked,
    pub(crate) ended: Notify,
}

impl Local {
    /// What a shard knows before its logs are open.
    pub fn new(placement: Placement, view: View) -> Self {
        Self {
            placement,
            counters: Counters::default(),
            stages: Stages::default(),
            stalled_shares: RefCell::new(stalled::shares()),
            view: RefCell::new(view),
            log_slots: (0..placement.logs()).map(|_| OnceCell::new()).collect(),
        }
    }

    /// Topics, groups and settings as this shard knows them. Not to be held across an await.
    pub fn view(&self) -> Ref<'_, View> {
        self.view.borrow()
    }

    /// The logs of this shard.
    pub fn logs(&self) -> impl Iterator<Item = &Rc<OwnedLog>> {
        self.log_slots.iter().filter_map(OnceCell::get)
    }

    /// The log of a queue, when this shard owns it.
    pub fn log_of(&self, topic: &str, queue_id: i32) -> Option<&Rc<OwnedLog>> {
        self.log(self.placement.log_of(HashedQueue::new(topic, queue_id)))
    }

    /// A log by its id, when this shard owns it.
    pub fn log(&self, id: usize) -> Option<&Rc<OwnedLog>> {
        self.log_slots.get(id)?.get()
    }

    /// Whether a queue lies in this log.
    pub fn owns_queue(&self, owned: &OwnedLog, queue: HashedQueue) -> bool {
        usize::from(owned.log.id().0) == self.placement.log_of(queue)
    }

    pub(crate) fn apply(&self, change: Change) {
        self.view.borrow_mut().apply(change);
        self.trace_sends();
    }

    /// Times the stages of sends, or does not, as the settings say.
    pub(crate) fn trace_sends(&self) {
        let is_on = self.view().settings().send_stage_tracing;
        self.stages.switch(is_on, self.logs());
    }

    /// The requests that came together are handled.
    pub(crate) fn end_turn(&self) {
        self.stages.end_turn(self.logs());
    }
}

impl DataPlane {
    /// Puts a shard together; its logs are opened later.
    pub fn new(local: Local, link: Rc<Link>, services: Services, disk: Disk) -> Rc<Self> {
        Rc::new(Self {
            local,
            services,
            inbound: Inbound::new(Rc::clone(&link)),
            link,
            creating: Creating::default(),
            groups_wanted: RefCell::default(),
            groups_old: RefCell::default(),
            control: RefCell::default(),
            disk,
            running: Running::default(),
        })
    }

    /// Number of this shard.
    pub fn shard(&self) -> usize {
        self.link.shard()
    }

    /// Root directory of the store.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The state of this shard's services.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Installs the control plane; shard 0 only.
    pub fn set_control(&self, control: Rc<dyn ControlPlane>) {
        assert_eq!(self.shard(), 0, "the control plane lives on shard 0");
        *self.control.borrow_mut() = Some(control);
    }

    /// Publishes a change: to this shard at once, to the others ahead of whatever is sent to them
    /// next.
    pub fn publish(&self, change: Change) {
        assert_eq!(self.shard(), 0, "shard 0 is the only writer of the view");
        for shard in 1..self.link.shards() {
            self.link.send(shard, ShardMessage::Change(change.clone()));
        }
        self.local.apply(change);
    }

    /// Lets go of those that hold this shard while it holds them, so that all of them are dropped.
    pub(crate) fn let_go(&self) {
        self.running.server.take();
        self.control.take();
    }

    /// Tells the control plane that a consumer knows a newer subscription of its group than we do:
    /// once in a while, since its pulls come again until a heartbeat brings that.
    pub(crate) fn tell_old_subscription(self: &Rc<Self>, group: &str) {
        if !note(&self.groups_old, group, GROUPS_OLD_MAX) {
            return;
        }
        let (data, group) = (Rc::clone(self), group.to_owned());
        let tell = async move {
            let name = group.clone();
            let tell = |first: Rc<DataPlane>| async move {
                let control = first.control.borrow().clone();
                control.iter().for_each(|control| control.subscription_is_old(&name));
            };
            data.on_shard(0, tell).await;
            task::sleep(OLD_PAUSE).await;
            data.groups_old.borrow_mut().remove(&group);
        };
        task::spawn("old subscription", tell).detach();
    }

    /// Has shard 0 create a group that consumes without having sent a heartbeat. The request that
    /// named it does not wait: without settings of its own a group has the defaults.
    pub(crate) fn want_group(self: &Rc<Self>, group: &str) {
        if !note(&self.groups_wanted, group, GROUPS_WANTED_MAX) {
            return;
        }
        let (data, group) = (Rc::clone(self), group.to_owned());
        let create = async move {
            let name = group.clone();
            let create = |first: Rc<DataPlane>| async move {
                let control = first.control.borrow().clone();
                match control {
                    Some(control) => control.group_for_pull(name).await,
                    None => Ok(()),
                }
            };
            if let Err(refusal) = data.on_shard(0, create).await {
                tracing::warn!(group, "not created: {}", refusal.remark);
                // Each pull would ask again, and most often get the same answer.
                task::sleep(REFUSAL_HOLDS).await;
            }
            data.groups_wanted.borrow_mut().remove(&group);
        };
        task::spawn("create a group", create).detach();
    }

    /// Runs a job on any shard and waits for what it returns.
    pub async fn on_shard<T, F, Fut>(self: &Rc<Self>, shard: usize, job: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(Rc<DataPlane>) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
    {
        if shard == self.shard() {
            return job(Rc::clone(self)).await;
        }
        self.link.call(shard, job).await
    }

    /// Runs a job on every shard, all at the same time; results come in the order of the shards.
    pub async fn on_all_shards<T, F, Fut>(self: &Rc<Self>, job: F) -> Vec<T>
    where
        T: Send + 'static,
        F: Fn(Rc<DataPlane>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = T> + 'static,
    {
        let calls: Vec<_> = (0..self.link.shards())
            .map(|shard| {
                let (data, job) = (Rc::clone(self), job.clone());
                task::spawn("job on a shard", async move { data.on_shard(shard, job).await })
            })
            .collect();
        let mut results = Vec::with_capacity(calls.len());
        for call in calls {
            results.push(call.await);
        }
        results
    }
}

/// Notes the name of a group, unless it is noted or there are too many.
fn note(names: &RefCell<HashSet<String>>, group: &str, count_max: usize) -> bool {
    let mut names = names.borrow_mut();
    !names.contains(group) && names.len() < count_max && names.insert(group.to_owned())
}

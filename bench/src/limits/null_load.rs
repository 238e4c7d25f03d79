//! A load on the null broker, as it is put on a broker.

use std::ffi::OsStr;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use ringmq_protocol::SerializeType;
use ringmq_runtime::random;

use crate::args::commands::Durability;
use crate::args::load::{MessageArgs, PaceArgs};
use crate::driver::Load;
use crate::driver::clients::Clients;
use crate::driver::work::Work;
use crate::error::BenchError;
use crate::limits::null_broker;
use crate::measure::{Measured, Used};
use crate::observe::Machine;
use crate::record::archive::{Archive, Second};
use crate::report::files;
use crate::target::child::OwnProcess;
use crate::workload::pull::{Position, PullPlan, PullWork, Reading};
use crate::workload::send::{BrokerTopic, SendPlan, SendWork};
use crate::workload::topics::{Spread, TopicDraw};

/// The one topic, and its queues: what a broker of our own has by default.
const TOPIC: &str = "BenchTopic";
const QUEUES: u32 = 4;

/// The file with what pulls are answered with.
const MESSAGES_NAME: &str = "bench-null-messages";

/// What the connections send: the same requests as to a broker.
pub fn plan(message: &MessageArgs) -> Arc<SendPlan> {
    let topic = BrokerTopic { number: 0, name: TOPIC.to_owned(), queues: QUEUES };
    Arc::new(SendPlan {
        run: random::seed_u64(),
        broker: 0,
        topics: vec![topic],
        draw: TopicDraw::new(1, Spread::Uniform),
        message: message.plan(),
        batch: message.batch,
        // The null broker takes request numbers from where this form has them.
        serialize: SerializeType::RocketMq,
    })
}

/// What the connections pull: as `plan` says, over and over.
pub fn pull_plan(plan: &PullPlan) -> Rc<PullPlan> {
    let (reading, serialize) = (Reading::Replay(None), SerializeType::RocketMq);
    Rc::new(PullPlan { reading, serialize, ..plan.clone() })
}

/// A connection of `depth` cursors that pull.
pub fn pulls(plan: &Rc<PullPlan>, depth: u32) -> Rc<PullWork> {
    let cursor = |cursor: u32| {
        let queue_id = i32::try_from(cursor % QUEUES).expect("queue ids are small");
        vec![Position { topic: TOPIC.into(), queue_id, first: 0, next: 0, passes: 0 }]
    };
    PullWork::new(plan.clone(), (0..depth).map(cursor).collect())
}

/// The end of a look at the null broker, which is awaited while its process is still there.
pub type LookEnds = Pin<Box<dyn Future<Output = ()>>>;

/// A load on a null broker of its own.
#[derive(Clone, Copy)]
pub struct NullLoad<'a> {
    /// Where its file is.
    pub directory: &'a Path,
    /// Its core.
    pub core: usize,
    /// Who loads it, as they load the broker.
    pub clients: &'a Clients,
    /// How much, how fast, how long.
    pub pace: &'a PaceArgs,
    /// Called when the load begins, with the number of the process; what it gives is awaited when
    /// the load has ended.
    pub watch: &'a dyn Fn(u32, &Rc<Load>) -> LookEnds,
    /// Makes what the counted seconds are added to.
    pub archive: &'a dyn Fn() -> Archive,
}

impl NullLoad<'_> {
    /// Starts the null broker and puts sends on it.
    ///
    /// # Errors
    /// The directory cannot be written, or the process or a connection fails.
    pub async fn sends(
        &self,
        durability: Durability,
        message: &MessageArgs,
        show: impl Fn(&Second, bool),
    ) -> Result<Measured, BenchError> {
        let plan = plan(message);
        let work = |lane| {
            let (plan, depth) = (plan.clone(), self.pace.depth);
            move || SendWork::new(lane, plan, None, depth)
        };
        self.run(&["--durability", durability.word()], plan.run, work, show).await
    }

    /// Starts the null broker, which answers every pull with `messages`, and puts pulls on it.
    ///
    /// # Errors
    /// As for [`NullLoad::sends`].
    pub async fn pulls(&self, plan: &PullPlan, messages: &[u8]) -> Result<Measured, BenchError> {
        files::replace(&self.directory.join(MESSAGES_NAME), messages).await?;
        let work = |_| {
            let (plan, depth) = (plan.clone(), self.pace.depth);
            move || pulls(&pull_plan(&plan), depth)
        };
        let words = ["--durability", Durability::None.word(), "--messages", MESSAGES_NAME];
        self.run(&words, random::seed_u64(), work, |_, _| ()).await
    }

    /// Puts on each connection what `work` makes of its number.
    async fn run<W: Work + 'static, M: FnOnce() -> Rc<W> + Send + 'static>(
        &self,
        words: &[&str],
        seed: u64,
        work: impl Fn(u32) -> M,
        show: impl Fn(&Second, bool),
    ) -> Result<Measured, BenchError> {
        let core = self.core.to_string();
        let placed = ["serve-null", "--core", &core];
        let flags = placed.iter().chain(words).map(OsStr::new);
        let all: Vec<&OsStr> = flags.chain([self.directory.as_os_str()]).collect();
        let (server, line) = OwnProcess::start(&all, null_broker::READY)?;
        let port = line.trim_start_matches(null_broker::READY).trim();
        let addr = format!("127.0.0.1:{port}");
        let load = Load::on(self.clients, self.pace.schedule(seed));
        for lane in 0..self.pace.connections {
            load.connect(&addr, self.pace.depth, work(lane)).await?;
        }
        let (before, machine) = (server.usage(), Machine::look().await);
        let look_ends = (self.watch)(server.id(), &load);
        let archive = load.run(self.pace.timing(), (self.archive)(), show).await;
        let usages = before.zip(server.usage());
        let used = usages.map(|(before, after)| Used::between(before, after, load.messages()));
        let meanwhile = Some(Machine::look().await.since(&machine));
        look_ends.await;
        Ok(Measured { archive, used, meanwhile, ..Measured::default() })
    }
}

//! A load on the null broker, as it is put on a broker.

use std::ffi::OsStr;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use ringmq_protocol::SerializeType;
use ringmq_runtime::disk::Disk;
use ringmq_runtime::{random, task};

use crate::args::commands::EndToEndArgs;
use crate::args::limits::Durability;
use crate::args::load::{MessageArgs, PaceArgs};
use crate::cold_log::ColdLog;
use crate::driver::Load;
use crate::driver::clients::Clients;
use crate::end_to_end;
use crate::error::BenchError;
use crate::files;
use crate::limits::cold_answers::{self, Answers};
use crate::limits::delivery::PULLS_MAX;
use crate::limits::null_broker;
use crate::measure::{Measured, Used};
use crate::observe::Machine;
use crate::readers;
use crate::record::tally::{Second, Tally};
use crate::target::child::OwnProcess;
use crate::workload::pull::{Position, PullPlan, PullWork, Reading};
use crate::workload::send::{BrokerTopic, SendPlan, SendWork};
use crate::workload::topics::{Spread, TopicDraw};

/// The one topic.
pub const TOPIC: &str = "BenchTopic";

/// Its queues: what a broker of our own has by default.
const QUEUES: u32 = 4;

/// The null broker takes request numbers from where this form has them.
const FORM: SerializeType = SerializeType::RocketMq;

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
        serialize: FORM,
    })
}

/// What the connections pull: as `plan` says, over and over.
pub fn pull_plan(plan: &PullPlan) -> PullPlan {
    PullPlan { reading: Reading::Replay(None), serialize: FORM, ..plan.clone() }
}

/// A connection of `depth` cursors that pull.
pub fn pulls(plan: &Rc<PullPlan>, depth: u32) -> Rc<PullWork> {
    PullWork::new(plan.clone(), (0..depth).map(|cursor| vec![start(cursor % QUEUES)]).collect())
}

/// Where a cursor begins.
fn start(queue_id: u32) -> Position {
    let queue_id = i32::try_from(queue_id).expect("queue ids are small");
    Position { topic: TOPIC.into(), queue_id, first: 0, next: 0, passes: 0 }
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
    pub tally: &'a dyn Fn() -> Tally,
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
        let server = self.start(&["--durability", durability.word()])?;
        let load = self.producers(&server, &plan).await?;
        Ok(self.measure(&server, &load, show).await)
    }

    /// Starts the null broker, puts the sends of an end-to-end run on it and has it deliver them;
    /// what the consumers came to, and what the producers did.
    ///
    /// # Errors
    /// As for [`NullLoad::sends`].
    pub async fn deliveries(
        &self,
        durability: Durability,
        args: &EndToEndArgs,
    ) -> Result<(Measured, Tally), BenchError> {
        let plan = plan(&args.load.message);
        let server = self.start(&["--durability", durability.word(), "--deliver"])?;
        let target = &args.load.target;
        let queues = (target.topics * target.queues).min(PULLS_MAX);
        let pulls = PullPlan { serialize: FORM, ..end_to_end::pull_plan(args, plan.run) };
        let consumers = Load::on(self.clients, None);
        for cursors in readers::per_queue((0..queues).map(start).collect(), args.consumers) {
            let slots = u32::try_from(cursors.len()).expect("bounded above");
            let pulls = pulls.clone();
            let work = move || PullWork::new(Rc::new(pulls), cursors);
            consumers.connect(&server.addr, slots, work).await?;
        }
        let producers = self.producers(&server, &plan).await?;
        let sending = producers.run_beside("bench producers", self.pace.timing());
        let measured = self.measure(&server, &consumers, |_, _| ()).await;
        Ok((measured, sending.await))
    }

    /// Starts the null broker, which answers every pull with `messages`, and puts pulls on it.
    ///
    /// # Errors
    /// As for [`NullLoad::sends`].
    pub async fn pulls(&self, plan: &PullPlan, messages: &[u8]) -> Result<Measured, BenchError> {
        files::replace(&self.directory.join(MESSAGES_NAME), messages).await?;
        let words = ["--durability", Durability::None.word(), "--messages", MESSAGES_NAME];
        let server = self.start(&words)?;
        let load = self.readers(&server, &pull_plan(plan)).await?;
        Ok(self.measure(&server, &load, |_, _| ()).await)
    }

    /// Starts the null broker, which answers pulls from a file with `count` times `messages`, which
    /// is in no cache, and has the connections of the load read it once; before, once uncounted, so
    /// that both sides have their memory. Also tells what the device gives meanwhile. What the
    /// tools say goes to files that begin with `prefix`.
    ///
    /// # Errors
    /// As for [`NullLoad::sends`]; a tool is missing, or what should be cold is not.
    pub async fn cold_pulls(
        &self,
        plan: &PullPlan,
        messages: &[u8],
        count: u64,
        prefix: &Path,
    ) -> Result<(Measured, ColdLog), BenchError> {
        let written =
            async { Answers::write(&Disk::live(self.directory)?, messages, count).await }.await;
        let answers = written.map_err(|error| BenchError::file(self.directory, error))?;
        let file = self.directory.join(cold_answers::NAME);
        let log = ColdLog::drop_files(vec![file], usize::MAX, prefix).await?;
        let (count, len) = (answers.count.to_string(), answers.len.to_string());
        let words = ["--durability", Durability::None.word(), "--cold-answers", &count];
        let server = self.start(&[&words[..], &["--cold-len", &len]].concat())?;
        let plan = PullPlan { reading: Reading::Replay(Some(1)), serialize: FORM, ..plan.clone() };
        let uncounted = self.readers(&server, &plan).await?;
        uncounted.run_unseen(self.pace.timing()).await;
        let readers = self.readers(&server, &plan).await?;
        log.check().await?;
        Ok((self.measure(&server, &readers, |_, _| ()).await, log))
    }

    /// Connections that pull as `plan` says.
    async fn readers(&self, server: &Server, plan: &PullPlan) -> Result<Rc<Load>, BenchError> {
        let load = Load::on(self.clients, self.pace.schedule(random::seed_u64()));
        for _ in 0..self.pace.connections {
            let (plan, depth) = (plan.clone(), self.pace.depth);
            load.connect(&server.addr, depth, move || pulls(&Rc::new(plan), depth)).await?;
        }
        Ok(load)
    }

    fn start(&self, words: &[&str]) -> Result<Server, BenchError> {
        let core = self.core.to_string();
        let placed = ["serve-null", "--core", &core];
        let flags = placed.iter().chain(words).map(OsStr::new);
        let all: Vec<&OsStr> = flags.chain([self.directory.as_os_str()]).collect();
        let (process, line) = OwnProcess::start(&all, null_broker::READY)?;
        let port = line.trim_start_matches(null_broker::READY).trim();
        Ok(Server { process, addr: format!("127.0.0.1:{port}") })
    }

    /// Connections that send.
    async fn producers(
        &self,
        server: &Server,
        plan: &Arc<SendPlan>,
    ) -> Result<Rc<Load>, BenchError> {
        let load = Load::on(self.clients, self.pace.schedule(plan.run));
        for lane in 0..self.pace.connections {
            let (plan, depth) = (plan.clone(), self.pace.depth);
            let work = move || SendWork::new(lane, plan, None, depth);
            load.connect(&server.addr, depth, work).await?;
        }
        Ok(load)
    }

    /// Runs a load that is connected.
    async fn measure(
        &self,
        server: &Server,
        load: &Rc<Load>,
        show: impl Fn(&Second, bool),
    ) -> Measured {
        let (before, machine) = (server.process.usage(), Machine::look().await);
        let look_ends = (self.watch)(server.process.id(), load);
        // The watch looks before the first request.
        task::yield_now().await;
        let tally = load.run(self.pace.timing(), (self.tally)(), show).await;
        let usages = before.zip(server.process.usage());
        let used = usages.map(|(before, after)| Used::between(before, after, load.messages()));
        let meanwhile = Some(Machine::look().await.since(&machine));
        look_ends.await;
        Measured { tally, used, meanwhile, ..Measured::default() }
    }
}

/// A null broker. Dropping it ends it.
struct Server {
    process: OwnProcess,
    addr: String,
}

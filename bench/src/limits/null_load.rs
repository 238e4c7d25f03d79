//! A load on the null broker, as it is put on a broker.

use std::path::Path;
use std::rc::Rc;

use ringmq_protocol::SerializeType;
use ringmq_runtime::random;

use crate::args::commands::Durability;
use crate::args::load::{MessageArgs, PaceArgs};
use crate::driver::Load;
use crate::driver::lane::Lane;
use crate::error::BenchError;
use crate::limits::null_broker;
use crate::measure::{Measured, Used};
use crate::record::archive::{Archive, Second};
use crate::target::caller;
use crate::target::child::OwnProcess;
use crate::workload::send::{BrokerTopic, SendPlan, SendWork};
use crate::workload::topics::{Spread, TopicDraw};

/// Queues of the one topic: what a broker of our own has by default.
const QUEUES: u32 = 4;

/// What the connections send: the same requests as to a broker.
pub fn plan(message: &MessageArgs) -> Rc<SendPlan> {
    let topic = BrokerTopic { number: 0, name: "BenchTopic".to_owned(), queues: QUEUES };
    Rc::new(SendPlan {
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

/// Starts a null broker with its file in `directory` and puts the load on it.
///
/// # Errors
/// The directory cannot be written, or the process or a connection fails.
pub async fn measure(
    directory: &Path,
    durability: Durability,
    core: usize,
    (pace, message): (&PaceArgs, &MessageArgs),
    show: impl Fn(&Second, bool),
) -> Result<Measured, BenchError> {
    let core = core.to_string();
    let words = [
        "serve-null".as_ref(),
        directory.as_os_str(),
        "--durability".as_ref(),
        durability.word().as_ref(),
        "--core".as_ref(),
        core.as_ref(),
    ];
    let (server, line) = OwnProcess::start(&words, null_broker::READY)?;
    let port = line.trim_start_matches(null_broker::READY).trim();
    let addr = format!("127.0.0.1:{port}");
    let plan = plan(message);
    let load = Load::new(pace.schedule(plan.run));
    for lane in 0..pace.connections {
        let (read, write) = caller::connect(&addr).await?.split();
        let work = SendWork::new(lane, plan.clone(), None, pace.depth);
        load.add_lane(Lane::new(work, write, pace.depth), read);
    }
    let before = server.usage();
    let archive = load.run(pace.timing(), Archive::default(), show).await;
    let usages = before.zip(server.usage());
    let used = usages.map(|(before, after)| Used::between(before, after, load.messages()));
    Ok(Measured { archive, used, ..Measured::default() })
}

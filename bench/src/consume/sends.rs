//! What consumers get that wait at the ends of the queues: sends at a fixed rate, beside them.

use std::cell::RefCell;
use std::rc::Rc;

use ringmq_runtime::task::Task;

use crate::args::load::{LoadArgs, PaceArgs};
use crate::driver::Load;
use crate::error::BenchError;
use crate::measure::Measured;
use crate::produce::Producers;
use crate::record::tally::Tally;
use crate::target::Target;

/// Connections, and sends that may wait on each: room for a stall of 50 ms at 5,000 per second.
const LANES: (u32, u32) = (4, 64);

/// Producers beside the consumers of each repetition.
pub struct Sends {
    producers: Producers,
    pace: PaceArgs,
    running: RefCell<Option<(Rc<Load>, Task<Tally>)>>,
    done: RefCell<Vec<Measured>>,
}

impl Sends {
    /// Sends of the messages of `load`, so many per second, as long as it takes.
    pub fn new(target: &Target, load: &LoadArgs, rate: f64) -> Self {
        let producers = Producers::new(target, &load.message, load.pace.header.serialize());
        let (connections, depth) = LANES;
        let pace = PaceArgs { connections, depth, rate: vec![rate], ..load.pace.clone() };
        Self { producers, pace, running: RefCell::default(), done: RefCell::default() }
    }

    /// What tells their messages from others.
    pub fn run(&self) -> u64 {
        self.producers.run
    }

    /// Them as a load of their own; `of` are the consumers.
    pub fn load(&self, of: &LoadArgs) -> LoadArgs {
        LoadArgs { pace: self.pace.clone(), ..of.clone() }
    }

    /// Starts those of repetition number `again`.
    ///
    /// # Errors
    /// A broker cannot be reached.
    pub async fn start(&self, target: &Target, again: u32) -> Result<(), BenchError> {
        self.end().await;
        let load = self.producers.connect(target, &self.pace, again, None).await?;
        let sending = load.clone().run_beside("bench producers", self.pace.timing());
        *self.running.borrow_mut() = Some((load, sending));
        Ok(())
    }

    /// Ends the last ones; what all came to.
    pub async fn finish(self) -> Vec<Measured> {
        self.end().await;
        self.done.into_inner()
    }

    async fn end(&self) {
        let running = self.running.take();
        if let Some((load, sending)) = running {
            // The consumers may have come to their end before their time.
            load.stop_after(0);
            let tally = sending.await;
            self.done.borrow_mut().push(Measured::of(tally));
        }
    }
}

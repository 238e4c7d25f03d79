//! Requests that read the device, or wait for other readers: a bounded number at a time, the others
//! in line.
//!
//! A read of a connection can hold thousands of them, each with an answer of megabytes. A request
//! therefore starts only when its connection has sent most of its earlier answers, and connections
//! have their [`Turns`] one after the other. What finds no place in line, or loses it, is answered
//! SYSTEM_BUSY.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ringmq_protocol::WriteHeader;
use ringmq_protocol::codes::response;
use ringmq_remoting::ReplyTo;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task::{self, LocalFuture};
use ringmq_store::Piece;

use crate::link::ConnectionKey;
use crate::outcome::Refusal;
use crate::peer::Peer;
use crate::services::Request;
use crate::services::turns::{FullInARow, Turns};
use crate::shard::DataPlane;

/// Requests that run at the same time on a shard: enough to keep a device busy at 64 KiB each.
pub const RUNNING_MAX: usize = 16;

/// Parts of other shards' requests that run at the same time beside them.
const VISITS_MAX: usize = 4;

/// Bytes that the requests in line hold.
const WAITING_MAX_BYTES: usize = 64 << 20;

/// What each counts for at least: 16,384 of them fill the line.
const WAITING_MIN_BYTES: usize = 4 << 10;

/// What a request holds while it is in line, beside the names in it.
const KEPT_BYTES: usize = 512;

/// Connections that are found full one after the other before a worker pauses: a look at each costs
/// 0.1 us, and there may be many.
const FULL_IN_A_ROW_MAX: usize = 256;

/// The line of one shard.
pub struct SlowLane {
    running: Cell<usize>,
    line: RefCell<Turns<Job>>,
    visits: Cell<usize>,
    visit_ended: Notify,
}

struct Job {
    peer: Peer,
    to: ReplyTo,
    run: Box<dyn FnOnce(Rc<DataPlane>) -> LocalFuture<()>>,
}

/// What a job resolves to.
pub struct Answer<H> {
    /// Fields of the answer.
    pub header: H,
    /// Its body.
    pub pieces: Vec<Piece>,
    /// See [`answer_with_remark`].
    pub remark: Option<String>,
}

/// Answers a request with what `job` resolves to, a header and the pieces of a body, when it is its
/// turn.
pub fn answer<F, Fut, H>(data: &Rc<DataPlane>, request: Request<'_, '_>, job: F)
where
    F: FnOnce(Rc<DataPlane>) -> Fut + 'static,
    Fut: Future<Output = Result<(H, Vec<Piece>), Refusal>> + 'static,
    H: WriteHeader,
{
    answer_with_remark(data, request, move |data| async move {
        let (header, pieces) = job(data).await?;
        Ok(Answer { header, pieces, remark: None })
    });
}

/// As [`answer`], with a remark for people if there is something to say.
pub fn answer_with_remark<F, Fut, H>(data: &Rc<DataPlane>, request: Request<'_, '_>, job: F)
where
    F: FnOnce(Rc<DataPlane>) -> Fut + 'static,
    Fut: Future<Output = Result<Answer<H>, Refusal>> + 'static,
    H: WriteHeader,
{
    let (peer, to) = (request.peer.clone(), request.to());
    let bytes = KEPT_BYTES + request.command.fields.text_bytes();
    run(data, request, bytes, move |data| async move {
        match job(data).await {
            Ok(Answer { header, mut pieces, remark }) => {
                let remark = remark.as_deref();
                peer.reply_pieces(&to, response::SUCCESS, remark, &header, &mut pieces);
            }
            Err(refusal) => peer.refuse(&to, &refusal),
        }
    });
}

/// Runs `job`, which answers the request itself, when it is its turn. `bytes` is about what it
/// holds until then.
pub fn run<F, Fut>(data: &Rc<DataPlane>, request: Request<'_, '_>, bytes: usize, job: F)
where
    F: FnOnce(Rc<DataPlane>) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let (peer, to) = (request.peer.clone(), request.to());
    let (key, bytes) = (peer.key(), bytes.max(WAITING_MIN_BYTES));
    let run = Box::new(move |data| Box::pin(job(data)) as LocalFuture<()>);
    let mut line = data.services().slow.line.borrow_mut();
    let without_place = line.join(key, bytes, Job { peer, to, run }, Instant::now());
    drop(line);
    for job in without_place {
        let remark =
            "no place is free in the line for the device, where each connection has its share";
        job.peer.refuse(&job.to, &Refusal::busy(remark));
    }
    add_worker(data);
}

fn add_worker(data: &Rc<DataPlane>) {
    let lane = &data.services().slow;
    if lane.running.get() < RUNNING_MAX {
        lane.running.set(lane.running.get() + 1);
        task::spawn("slow lane", work(Rc::clone(data))).detach();
    }
}

async fn work(data: Rc<DataPlane>) {
    let lane = &data.services().slow;
    let mut full = FullInARow::default();
    while let Some((key, peer)) = lane.next_turn() {
        // One of another shard may be gone unnoticed: its answer is made in vain. To ask for that,
        // too, would cost each request another way there and back.
        if peer.is_closed() {
            lane.line.borrow_mut().forget(key);
            continue;
        }
        if peer.is_out_full().await {
            lane.line.borrow_mut().put_back(key);
            let limit = lane.line.borrow().len().min(FULL_IN_A_ROW_MAX);
            full.add(limit).await;
            continue;
        }
        full.end();
        let (job, has_more) = lane.line.borrow_mut().take(key);
        if has_more {
            // Those that found nobody's turn have ended.
            add_worker(&data);
        }
        (job.run)(Rc::clone(&data)).await;
    }
    lane.running.set(lane.running.get() - 1);
}

impl Default for SlowLane {
    fn default() -> Self {
        let line = RefCell::new(Turns::new(WAITING_MAX_BYTES));
        Self { running: Cell::new(0), line, visits: Cell::new(0), visit_ended: Notify::new() }
    }
}

impl SlowLane {
    /// Whether a request would start at once.
    pub fn is_free(&self) -> bool {
        self.running.get() < RUNNING_MAX && self.line.borrow().len() == 0
    }

    /// Runs a part of another shard's request when there is a place for it.
    ///
    /// Such parts have places of their own: those of the line may all be taken by requests that
    /// wait for parts on other shards, which would then wait for each other. Each of the others has
    /// at most [`RUNNING_MAX`] parts here, one of each request that runs there.
    pub async fn visit<T>(&self, part: impl Future<Output = T>) -> T {
        while self.visits.get() == VISITS_MAX {
            self.visit_ended.notified().await;
        }
        self.visits.set(self.visits.get() + 1);
        let result = part.await;
        self.visits.set(self.visits.get() - 1);
        self.visit_ended.notify_one();
        result
    }

    /// Begins the next connection's turn.
    fn next_turn(&self) -> Option<(ConnectionKey, Peer)> {
        self.line.borrow_mut().begin().map(|(key, job)| (key, job.peer.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringmq_runtime::sim::World;

    use super::*;

    #[test]
    fn parts_of_other_shards_wait_for_a_place_of_their_own() {
        World::new(1).run(async {
            let lane = Rc::new(SlowLane::default());
            let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let visits: Vec<_> = (0..3 * VISITS_MAX)
                .map(|number| {
                    let (lane, inside, most) = (lane.clone(), inside.clone(), most.clone());
                    task::spawn("visit", async move {
                        let part = async {
                            inside.set(inside.get() + 1);
                            most.set(most.get().max(inside.get()));
                            task::sleep(Duration::from_millis(1 + number as u64)).await;
                            inside.set(inside.get() - 1);
                            number
                        };
                        lane.visit(part).await
                    })
                })
                .collect();
            for (number, visit) in visits.into_iter().enumerate() {
                assert_eq!(visit.await, number);
            }
            assert_eq!((most.get(), inside.get()), (VISITS_MAX, 0));
        });
    }
}

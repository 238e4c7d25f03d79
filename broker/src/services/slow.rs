//! Requests that read the device: a bounded number at a time, the others in line.
//!
//! A read of a connection can hold thousands of them, each with an answer of megabytes. A request
//! therefore starts only when its connection has sent most of its earlier answers; until then
//! others overtake it. Past [`WAITING_MAX`] requests or [`WAITING_MAX_BYTES`] in line, further ones
//! are answered SYSTEM_BUSY.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::WriteHeader;
use ringmq_protocol::codes::response;
use ringmq_runtime::task::{self, LocalFuture};
use ringmq_store::Piece;

use crate::outcome::Refusal;
use crate::peer::Peer;
use crate::services::Request;
use crate::shard::DataPlane;

/// Requests that run at the same time on a shard: enough to keep a device busy at 64 KiB each.
pub const RUNNING_MAX: usize = 16;

/// Requests in line on a shard.
const WAITING_MAX: usize = 16_384;

/// Bytes that the requests in line hold.
const WAITING_MAX_BYTES: usize = 64 << 20;

/// What a request holds while it is in line, beside the names in it.
const KEPT_BYTES: usize = 512;

/// Requests that are put back one after the other before a worker pauses: a look at each costs
/// 0.1 us, and a line of them is long.
const BLOCKED_IN_A_ROW_MAX: usize = 256;

/// Pause when every request in line waits for its connection.
const ALL_BLOCKED_PAUSE: Duration = Duration::from_millis(2);

/// The line of one shard.
#[derive(Default)]
pub struct SlowLane {
    running: Cell<usize>,
    line: RefCell<VecDeque<Job>>,
    line_bytes: Cell<usize>,
}

struct Job {
    peer: Peer,
    bytes: usize,
    run: Box<dyn FnOnce(Rc<DataPlane>) -> LocalFuture<()>>,
}

/// Answers a request with what `job` resolves to, a header and the pieces of a body, when it is its
/// turn.
pub fn answer<F, Fut, H>(data: &Rc<DataPlane>, request: Request<'_, '_>, job: F)
where
    F: FnOnce(Rc<DataPlane>) -> Fut + 'static,
    Fut: Future<Output = Result<(H, Vec<Piece>), Refusal>> + 'static,
    H: WriteHeader,
{
    let (peer, to) = (request.peer.clone(), request.to());
    let names = request.command.fields.iter().map(|(name, value)| name.len() + value.len());
    let bytes = KEPT_BYTES + names.sum::<usize>();
    run(data, request, bytes, move |data| async move {
        match job(data).await {
            Ok((header, mut pieces)) => {
                peer.reply_pieces(&to, response::SUCCESS, None, &header, &mut pieces);
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
    let lane = &data.services().slow;
    let waiting = lane.line.borrow().len();
    if waiting >= WAITING_MAX || lane.line_bytes.get() + bytes > WAITING_MAX_BYTES {
        let remark = format!("{waiting} requests wait for the device, limit {WAITING_MAX}");
        return request.refuse(&Refusal::new(response::SYSTEM_BUSY, remark));
    }
    let run = Box::new(move |data| Box::pin(job(data)) as LocalFuture<()>);
    lane.push(Job { peer: request.peer.clone(), bytes, run });
    if lane.running.get() < RUNNING_MAX {
        lane.running.set(lane.running.get() + 1);
        task::spawn("slow lane", work(Rc::clone(data))).detach();
    }
}

async fn work(data: Rc<DataPlane>) {
    let lane = &data.services().slow;
    let mut blocked = 0;
    while let Some(job) = lane.pop() {
        if job.peer.is_closed() {
            continue;
        }
        if job.peer.is_out_full().await {
            lane.push(job);
            blocked += 1;
            if blocked >= lane.line.borrow().len().min(BLOCKED_IN_A_ROW_MAX) {
                blocked = 0;
                task::sleep(ALL_BLOCKED_PAUSE).await;
            }
            continue;
        }
        blocked = 0;
        (job.run)(Rc::clone(&data)).await;
    }
    lane.running.set(lane.running.get() - 1);
}

impl SlowLane {
    fn push(&self, job: Job) {
        self.line_bytes.set(self.line_bytes.get() + job.bytes);
        self.line.borrow_mut().push_back(job);
    }

    fn pop(&self) -> Option<Job> {
        let job = self.line.borrow_mut().pop_front()?;
        self.line_bytes.set(self.line_bytes.get() - job.bytes);
        Some(job)
    }
}

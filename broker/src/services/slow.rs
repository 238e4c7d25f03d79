//! Requests that read the device: a bounded number at a time, the others in line.
//!
//! A read of a connection can hold thousands of them, each with an answer of megabytes. A request
//! therefore starts only when its connection has sent most of its earlier answers, and connections
//! have their turns one after the other, a request each: who asks for much, or takes nothing of
//! what it asked for, waits by itself. The places in line are [`Shares`]: a connection that wants
//! more of them than are free is answered SYSTEM_BUSY. Now and then those with the most places lose
//! some of them in this way, so that peers that take nothing do not keep them from the others.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::WriteHeader;
use ringmq_protocol::codes::response;
use ringmq_remoting::ReplyTo;
use ringmq_runtime::clock::Instant;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::task::{self, LocalFuture};
use ringmq_store::Piece;

use crate::link::ConnectionKey;
use crate::outcome::Refusal;
use crate::peer::Peer;
use crate::services::Request;
use crate::shard::DataPlane;
use crate::shares::Shares;

/// Requests that run at the same time on a shard: enough to keep a device busy at 64 KiB each.
pub const RUNNING_MAX: usize = 16;

/// Bytes that the requests in line hold.
const WAITING_MAX_BYTES: usize = 64 << 20;

/// What each counts for at least: 16,384 of them fill the line.
const WAITING_MIN_BYTES: usize = 4 << 10;

/// What a request holds while it is in line, beside the names in it.
const KEPT_BYTES: usize = 512;

/// Connections that are found full one after the other before a worker pauses: a look at each costs
/// 0.1 us, and there may be many.
const BLOCKED_IN_A_ROW_MAX: usize = 256;

/// Time between two times that places are taken back: it costs up to a millisecond.
const LEVEL_PAUSE: Duration = Duration::from_millis(100);

/// Pause when every connection in line is full.
const ALL_BLOCKED_PAUSE: Duration = Duration::from_millis(2);

/// The line of one shard.
#[derive(Default)]
pub struct SlowLane {
    running: Cell<usize>,
    line: RefCell<Line<Job>>,
    /// When places were last taken back.
    levelled_at: Cell<Option<Instant>>,
}

/// What waits, by connection.
struct Line<J> {
    shares: Shares,
    waiting: HashMap<ConnectionKey, VecDeque<(usize, J)>>,
    /// Connections that wait for their turn, each once. One whose turn it is stands in `waiting`
    /// alone.
    turns: VecDeque<ConnectionKey>,
}

struct Job {
    peer: Peer,
    to: ReplyTo,
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
    let (peer, to) = (request.peer.clone(), request.to());
    let (lane, key) = (&data.services().slow, peer.key());
    if lane.has_place(key, bytes) {
        let run = Box::new(move |data| Box::pin(job(data)) as LocalFuture<()>);
        lane.line.borrow_mut().join(key, bytes, Job { peer, to, run });
        add_worker(data);
    } else {
        peer.refuse(&to, &no_place(lane.line.borrow().len_of(key)));
    }
}

fn no_place(waiting: usize) -> Refusal {
    let remark = format!(
        "{waiting} requests of this connection wait for the device, and no more places are free"
    );
    Refusal::new(response::SYSTEM_BUSY, remark)
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
    let mut blocked = 0;
    while let Some((key, peer)) = lane.next_turn() {
        if peer.is_closed() {
            lane.line.borrow_mut().forget(key);
            continue;
        }
        if peer.is_out_full().await {
            lane.line.borrow_mut().put_back(key);
            blocked += 1;
            if blocked >= lane.line.borrow().turns.len().min(BLOCKED_IN_A_ROW_MAX) {
                blocked = 0;
                task::sleep(ALL_BLOCKED_PAUSE).await;
            }
            continue;
        }
        blocked = 0;
        let (job, has_more) = lane.line.borrow_mut().take(key);
        if has_more {
            // Those that found nobody's turn have ended.
            add_worker(&data);
        }
        (job.run)(Rc::clone(&data)).await;
    }
    lane.running.set(lane.running.get() - 1);
}

impl SlowLane {
    /// Takes a place for a request of `bytes`, if need be from those that have the most.
    fn has_place(&self, key: ConnectionKey, bytes: usize) -> bool {
        let mut line = self.line.borrow_mut();
        if line.take_place(key, bytes) {
            return true;
        }
        let now = Instant::now();
        let is_due = |at: Instant| now.saturating_since(at) >= LEVEL_PAUSE;
        if !self.levelled_at.get().is_none_or(is_due) {
            return false;
        }
        self.levelled_at.set(Some(now));
        for (job, left) in line.level() {
            job.peer.refuse(&job.to, &no_place(left));
        }
        line.take_place(key, bytes)
    }

    /// Begins the next connection's turn.
    fn next_turn(&self) -> Option<(ConnectionKey, Peer)> {
        let mut line = self.line.borrow_mut();
        let key = line.turns.pop_front()?;
        let (_, job) = line.waiting[&key].front().expect("who has a turn has a request");
        Some((key, job.peer.clone()))
    }
}

impl<J> Default for Line<J> {
    fn default() -> Self {
        let shares = Shares::new(WAITING_MAX_BYTES, 1);
        Self { shares, waiting: HashMap::default(), turns: VecDeque::new() }
    }
}

impl<J> Line<J> {
    /// Takes a place for a request of `bytes`, which then [joins](Self::join).
    fn take_place(&mut self, key: ConnectionKey, bytes: usize) -> bool {
        self.shares.take(key, bytes.max(WAITING_MIN_BYTES))
    }

    /// Puts a request, which has a place, behind those of its connection.
    fn join(&mut self, key: ConnectionKey, bytes: usize, job: J) {
        let waiting = self.waiting.entry(key).or_default();
        waiting.push_back((bytes.max(WAITING_MIN_BYTES), job));
        if waiting.len() == 1 {
            self.turns.push_back(key);
        }
    }

    /// Takes out the newest requests of the connections with the most, each with the number that
    /// its connection has left. The oldest of each stays, since it may be its turn.
    fn level(&mut self) -> Vec<(J, usize)> {
        let mut out = Vec::new();
        let above: Vec<_> = self.shares.above(self.shares.level()).collect();
        for (key, mut excess) in above {
            let waiting = self.waiting.get_mut(&key).expect("its places are taken for them");
            while excess > 0
                && waiting.len() > 1
                && let Some((bytes, job)) = waiting.pop_back()
            {
                self.shares.give_back(key, bytes);
                excess = excess.saturating_sub(bytes);
                out.push((job, waiting.len()));
            }
        }
        out
    }

    /// Requests of one connection in line.
    fn len_of(&self, key: ConnectionKey) -> usize {
        self.waiting.get(&key).map_or(0, VecDeque::len)
    }

    /// Ends a turn without having taken a request.
    fn put_back(&mut self, key: ConnectionKey) {
        self.turns.push_back(key);
    }

    /// Ends a turn with the oldest request of the connection, and says whether it has more.
    fn take(&mut self, key: ConnectionKey) -> (J, bool) {
        let waiting = self.waiting.get_mut(&key).expect("it is its turn");
        let (bytes, job) = waiting.pop_front().expect("who has a turn has a request");
        let has_more = !waiting.is_empty();
        self.shares.give_back(key, bytes);
        if has_more {
            self.turns.push_back(key);
        } else {
            self.waiting.remove(&key);
        }
        (job, has_more)
    }

    /// Ends the turn of a connection that is gone, with all of its requests.
    fn forget(&mut self, key: ConnectionKey) {
        let waiting = self.waiting.remove(&key).unwrap_or_default();
        let bytes = waiting.iter().map(|(bytes, _)| bytes).sum();
        self.shares.give_back(key, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(id: u64) -> ConnectionKey {
        ConnectionKey { shard: 0, id }
    }

    fn join(line: &mut Line<u32>, id: u64, bytes: usize, job: u32) -> bool {
        let has_place = line.take_place(connection(id), bytes);
        if has_place {
            line.join(connection(id), bytes, job);
        }
        has_place
    }

    fn next(line: &mut Line<u32>) -> Option<u32> {
        let key = line.turns.pop_front()?;
        Some(line.take(key).0)
    }

    #[test]
    fn connections_have_their_turns_one_after_the_other() {
        let mut line = Line::default();
        for (id, job) in [(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (2, 21)] {
            assert!(join(&mut line, id, 0, job));
        }
        let order: Vec<u32> = std::iter::from_fn(|| next(&mut line)).collect();
        assert_eq!(order, [10, 20, 30, 11, 21, 12]);
        assert!(line.waiting.is_empty());
    }

    #[test]
    fn places_that_peers_keep_go_to_the_others_when_they_want_some() {
        let mut line = Line::default();
        // Their turns never come, since they take nothing.
        for id in 0..100 {
            while join(&mut line, id, 300, 0) {}
        }
        assert!(!join(&mut line, 999, 300, 1));
        let lost = line.level();
        assert!(lost.len() >= 4000, "a quarter of the line: {}", lost.len());
        for job in 0..1000 {
            assert!(join(&mut line, 999, 300, job), "request {job}");
        }
        assert!(line.turns.iter().all(|key| line.len_of(*key) > 0), "each turn has its request");
    }

    #[test]
    fn the_places_of_a_connection_that_is_gone_are_free() {
        let mut line = Line::default();
        let fill =
            |line: &mut Line<u32>, id| (0..).take_while(|_| join(line, id, 1 << 20, 0)).count();
        assert_eq!(fill(&mut line, 1), 32);
        let key = line.turns.pop_front().expect("its turn");
        line.forget(key);
        assert_eq!(next(&mut line), None);
        assert_eq!(fill(&mut line, 2), 32);
    }
}

//! Pulls that the null broker answers from the device: a file lies there with all answers, one
//! behind the other, and is read past the page cache from its first byte to its last, some reads
//! ahead of whoever pulls. Each pull gets the next answer, over whichever connection it comes, and
//! the bytes go to the socket from where the device has put them.
//!
//! When all are given, pulls find nothing; a connection that comes then begins anew.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use ringmq_runtime::buffer::{Block, DmaBuffer, Shared};
use ringmq_runtime::disk::{Access, Disk, File};
use ringmq_runtime::net::{Listener, Stream, WriteHalf};
use ringmq_runtime::sync::Turn;
use ringmq_runtime::task::{self, Task};

use crate::limits::device::{self, READ_SIZE_BYTES};
use crate::limits::prepared::{Frames, Prepared};

/// The file.
pub const NAME: &str = "bench-null-cold";

/// Reads on their way at a time, each of [`READ_SIZE_BYTES`], as our broker has them: twice what
/// the device needs (`bench/NOTES.md`), which works on while answers are made.
const READS_AHEAD: usize = 8;

/// Bytes of one write when the file is made.
const PIECE_SIZE_BYTES: usize = 4 << 20;

/// What the file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    /// How many.
    pub count: u64,
    /// Bytes of each.
    pub len: usize,
}

impl Answers {
    /// Writes the file: `messages` again and again.
    ///
    /// # Errors
    /// As the file system says.
    pub async fn write(disk: &Disk, messages: &[u8], count: u64) -> io::Result<Self> {
        let answers = Self { count, len: messages.len() };
        let file = device::zeroed(disk, NAME, answers.file_len()).await?;
        let (mut pos, mut from) = (0, 0);
        while pos < answers.file_len() {
            let left = usize::try_from(answers.file_len() - pos).unwrap_or(usize::MAX);
            let mut buffer = DmaBuffer::alloc(left.min(PIECE_SIZE_BYTES));
            let mut free = buffer.as_mut_slice();
            while !free.is_empty() {
                let some = free.len().min(messages.len() - from);
                free[..some].copy_from_slice(&messages[from..from + some]);
                free = &mut free[some..];
                from = (from + some) % messages.len();
            }
            pos += file.write_at(pos, buffer).await?.len() as u64;
        }
        file.sync_data().await?;
        Ok(answers)
    }

    /// Whole reads: beyond the last answer lies what nobody gets.
    fn file_len(&self) -> u64 {
        (self.count * self.len as u64).next_multiple_of(READ_SIZE_BYTES as u64)
    }
}

/// The file while it is read.
struct Log {
    file: File,
    answers: Answers,
    /// Answers that are not given yet.
    left: Cell<u64>,
    /// Where the next read begins.
    next: Cell<u64>,
    /// Reads that have begun, oldest first.
    ahead: RefCell<VecDeque<Task<io::Result<Block>>>>,
    /// What the last answer left of a read.
    rest: RefCell<Shared>,
    /// Memory of reads, also such whose bytes are still on their way to a socket.
    blocks: RefCell<Vec<Block>>,
    /// Whose pull takes its answer.
    turn: Turn,
    found: Prepared,
    nothing: Prepared,
}

/// Answers pulls from the file below `disk`, for ever.
///
/// # Errors
/// There is no such file, or nothing can be accepted any more.
pub async fn serve(listener: Listener, disk: &Disk, answers: Answers) -> io::Result<()> {
    let log = Rc::new(Log {
        file: disk.open(NAME, Access::Read).await?,
        answers,
        left: Cell::new(0),
        next: Cell::new(0),
        ahead: RefCell::default(),
        rest: RefCell::new(Shared::empty()),
        blocks: RefCell::default(),
        turn: Turn::default(),
        found: Prepared::to_pull_of_any(),
        nothing: Prepared::to_pull(Vec::new()),
    });
    loop {
        let (stream, _) = listener.accept().await?;
        if log.left.get() == 0 {
            log.begin();
        }
        task::spawn("null connection", answer(stream, log.clone())).detach();
    }
}

/// Whatever ends it, the other side sees its connection closed.
async fn answer(stream: Stream, log: Rc<Log>) {
    let (mut read, mut write) = stream.split();
    let (mut frames, mut pulls) = (Frames::default(), Vec::new());
    loop {
        let take = |opaque, _: &[u8]| pulls.push(opaque);
        let open = read.read_with(|bytes| !bytes.is_empty() && frames.feed(bytes, take));
        if !matches!(open.await, Ok(true)) {
            return;
        }
        for opaque in pulls.drain(..) {
            if let Err(error) = log.give(opaque, &mut write).await {
                if error.kind() == ErrorKind::UnexpectedEof {
                    eprintln!("null broker: {error}");
                }
                return;
            }
        }
    }
}

impl Log {
    fn begin(&self) {
        self.left.set(self.answers.count);
        self.next.set(0);
        self.ahead.take();
        self.rest.replace(Shared::empty());
    }

    /// Writes the next answer, or that there is none.
    async fn give(&self, opaque: [u8; 4], write: &mut WriteHalf) -> io::Result<()> {
        let answer = self.take().await?;
        let mut head = Vec::new();
        match answer.is_empty() {
            true => self.nothing.push_head(&mut head, opaque),
            false => self.found.push_head_of(&mut head, opaque, self.answers.len),
        }
        let bodies = answer.iter().map(|piece| IoSlice::new(piece));
        let mut pieces: Vec<_> = std::iter::once(IoSlice::new(&head)).chain(bodies).collect();
        write.write_all(&mut pieces).await
    }

    /// The pieces of the next answer; no piece when all are given.
    async fn take(&self) -> io::Result<Vec<Shared>> {
        let _turn = self.turn.enter().await;
        let mut pieces = Vec::new();
        let Some(left) = self.left.get().checked_sub(1) else { return Ok(pieces) };
        self.left.set(left);
        let mut missing = self.answers.len;
        while missing > 0 {
            if self.rest.borrow().is_empty() {
                let read = self.read().await?;
                self.rest.replace(read);
            }
            let mut rest = self.rest.borrow_mut();
            let some = rest.len().min(missing);
            pieces.push(rest.slice(0..some));
            *rest = rest.slice(some..rest.len());
            missing -= some;
        }
        Ok(pieces)
    }

    /// The bytes of the next read, with others on their way behind it.
    async fn read(&self) -> io::Result<Shared> {
        self.read_ahead();
        let first = self.ahead.borrow_mut().pop_front();
        let block = first.ok_or(ErrorKind::UnexpectedEof)?.await?;
        let bytes = block.share(0..block.len());
        self.blocks.borrow_mut().push(block);
        self.read_ahead();
        Ok(bytes)
    }

    fn read_ahead(&self) {
        let mut ahead = self.ahead.borrow_mut();
        while ahead.len() < READS_AHEAD && self.next.get() < self.answers.file_len() {
            let (file, pos, block) = (self.file.clone(), self.next.get(), self.block());
            let read = async move {
                let (read, blocks) = file.read_into(pos, vec![block]).await;
                read?;
                blocks.into_iter().next().ok_or(ErrorKind::UnexpectedEof.into())
            };
            ahead.push_back(task::spawn("null read", read));
            self.next.set(pos + READ_SIZE_BYTES as u64);
        }
    }

    /// Memory whose bytes have all left; fresh memory while there is none.
    fn block(&self) -> Block {
        let mut blocks = self.blocks.borrow_mut();
        match blocks.iter_mut().position(Block::try_reset) {
            Some(index) => blocks.swap_remove(index),
            None => Block::with_capacity(READ_SIZE_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use ringmq_protocol::SerializeType;
    use ringmq_runtime::net::Reuse;
    use ringmq_runtime::shards;

    use super::*;
    use crate::driver::{Load, Timing};
    use crate::limits::null_load;
    use crate::limits::tests::messages;
    use crate::workload::pull::{HOLD, PullPlan, Reading};

    /// Messages and bodies' bytes that three connections read together.
    async fn read(addr: &str) -> (u64, u64) {
        let plan = PullPlan {
            reading: Reading::Replay(Some(1)),
            batch: 32,
            subscription: "*".to_owned(),
            hold: HOLD,
            serialize: SerializeType::RocketMq,
        };
        let load = Load::new(None);
        for _ in 0..3 {
            let plan = plan.clone();
            load.connect(addr, 1, move || null_load::pulls(&Rc::new(plan), 1)).await.unwrap();
        }
        let timing = Timing { warm_up: Duration::ZERO, duration: Duration::from_secs(60) };
        let tally = load.run_unseen(timing).await;
        assert_eq!(tally.total.errors.total(), 0);
        (tally.total.messages, tally.total.bytes)
    }

    #[test]
    fn all_answers_are_read_once_and_again_by_those_who_come_then() {
        // Next to the build: file systems of temporary directories often lack O_DIRECT.
        let program = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        shards::block_on(async {
            let disk = Disk::live(folder.path()).unwrap();
            // Answers of 330 KB, which end within reads of 512 KiB.
            let answers = Answers::write(&disk, &messages(30, 10_900), 7).await.unwrap();
            let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Reuse::No);
            let listener = listener.unwrap();
            let addr = listener.local_addr().unwrap().to_string();
            let serving = task::spawn("null broker", async move {
                serve(listener, &disk, answers).await.unwrap();
            });
            for _ in 0..2 {
                assert_eq!(read(&addr).await, (7 * 30, 7 * 30 * 10_900));
            }
            drop(serving);
        });
    }
}

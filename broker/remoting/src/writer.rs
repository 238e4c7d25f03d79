//! How output leaves: at once where the socket takes it, otherwise through the connection's writer.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use ringmq_runtime::net::{Stream, WriteHalf};
use ringmq_runtime::sync::Notify;
use ringmq_runtime::task;

use crate::Connection;
use crate::out::OutQueue;

/// Connections that are flushed, about 3 us each, before others have their turn. With 8, requests
/// of those that were answered first were read in between, and groups became smaller.
const FLUSHED_PER_TURN: usize = 64;

/// Flushes the connections of a server that have output, one after the other: a group of messages
/// is answered by one task, where a task per connection takes a wake-up and a turn for each.
#[derive(Default)]
pub(crate) struct Flusher {
    waiting: RefCell<Vec<Rc<Connection>>>,
    wake: Notify,
}

impl Flusher {
    fn add(&self, connection: Rc<Connection>) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() {
            self.wake.notify_one();
        }
        waiting.push(connection);
    }

    /// Works until dropped.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut turn = Vec::new();
        loop {
            std::mem::swap(&mut turn, &mut *self.waiting.borrow_mut());
            if turn.is_empty() {
                self.wake.notified().await;
            }
            let mut flushed = 0;
            for connection in turn.drain(..) {
                if connection.writer.is_flush_wanted.replace(false) {
                    connection.flush();
                    flushed += 1;
                    if flushed % FLUSHED_PER_TURN == 0 {
                        task::yield_now().await;
                    }
                }
            }
        }
    }
}

/// The write side of a connection.
pub(crate) struct WriterState {
    /// To shut the socket down, until the connection has ended.
    stream: RefCell<Option<Stream>>,
    /// Flushes this connection, as long as it has a server.
    flusher: Weak<Flusher>,
    /// The writer task takes the half while it waits for the socket; nobody else may write then.
    /// None is left when the connection has ended.
    half: RefCell<Option<WriteHalf>>,
    /// Wakes the writer task.
    wake: Notify,
    /// Someone asked for a flush since the writer task last looked.
    is_flush_wanted: Cell<bool>,
    /// A turn of reading is under way: its end flushes, so replies need not ask for it.
    is_in_turn: Cell<bool>,
    /// Bytes that the writer task has taken and that have not left.
    taken_bytes: Cell<u64>,
    /// Bytes of copied output among the queue that the writer task has taken.
    taken_copied_bytes: Cell<u64>,
    /// Wakes the reader when output has left.
    room: Notify,
}

/// What a synchronous attempt to write came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    AllSent,
    /// The socket is full, or a file range is next: the writer task goes on.
    Blocked,
}

impl WriterState {
    pub(crate) fn new(stream: Stream, half: WriteHalf, flusher: Weak<Flusher>) -> Self {
        Self {
            stream: RefCell::new(Some(stream)),
            flusher,
            half: RefCell::new(Some(half)),
            wake: Notify::new(),
            is_flush_wanted: Cell::new(false),
            is_in_turn: Cell::new(false),
            taken_bytes: Cell::new(0),
            taken_copied_bytes: Cell::new(0),
            room: Notify::new(),
        }
    }

    pub(crate) fn taken_bytes(&self) -> u64 {
        self.taken_bytes.get()
    }

    pub(crate) fn taken_copied_bytes(&self) -> u64 {
        self.taken_copied_bytes.get()
    }

    /// Whether output is on its way that the peer has not taken.
    pub(crate) fn is_busy(&self) -> bool {
        self.half.borrow().is_none()
    }

    /// Waits until output has left.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    /// Lets a waiting reader look again.
    pub(crate) fn wake_reader(&self) {
        self.room.notify_all();
    }

    /// The connection is closed: the socket too, and whoever waits for it.
    pub(crate) fn end(&self) {
        if let Some(stream) = &*self.stream.borrow() {
            stream.shutdown();
        }
        self.wake.notify_one();
        self.room.notify_all();
    }

    /// Gives the descriptor of the closed socket back, at the latest when a helper has left it that
    /// sends a file: requests that wait keep their connection for minutes, and peers that leave
    /// such ones behind would take all descriptors of the process.
    pub(crate) fn release_socket(&self) {
        self.half.take();
        self.stream.take();
    }
}

impl Connection {
    /// Lets output leave soon, together with what others append in the meantime: at the end of
    /// the current read, or when the tasks that are ready now have run.
    pub fn flush_soon(&self) {
        let writer = &self.writer;
        if writer.is_in_turn.get() || writer.is_flush_wanted.replace(true) {
            return;
        }
        match (writer.flusher.upgrade(), self.me.upgrade()) {
            (Some(flusher), Some(me)) => flusher.add(me),
            _ => writer.wake.notify_one(),
        }
    }

    /// Writes output now, in one gathered write where the socket takes it all; the rest leaves
    /// through the writer task. Never waits.
    pub fn flush(&self) {
        if self.writer.is_busy() || self.is_closed() {
            return;
        }
        match self.try_flush() {
            Ok(Attempt::AllSent) => {}
            Ok(Attempt::Blocked) => {
                self.writer.is_flush_wanted.set(true);
                self.writer.wake.notify_one();
            }
            Err(error) => self.close_on_write_error(&error),
        }
    }

    /// A turn of reading begins: replies collect until [`Connection::end_turn`].
    pub(crate) fn begin_turn(&self) {
        self.note_turn();
        self.writer.is_in_turn.set(true);
    }

    /// A turn of reading is over: its replies leave.
    pub(crate) fn end_turn(&self) {
        self.writer.is_in_turn.set(false);
        self.flush();
    }

    fn try_flush(&self) -> io::Result<Attempt> {
        let half = self.writer.half.borrow();
        let half = half.as_ref().expect("nobody flushes while the writer task has the half");
        let mut out = self.out.borrow_mut();
        while !out.is_empty() {
            let slices = out.gather();
            if slices.is_empty() {
                return Ok(Attempt::Blocked);
            }
            let offered: usize = slices.iter().map(|slice| slice.len()).sum();
            let written = match half.try_write(&slices) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            drop(slices);
            if written > 0 {
                out.advance(written);
                self.note_written();
            }
            if written < offered {
                return Ok(Attempt::Blocked);
            }
        }
        // The reader may have stopped when the socket was full a moment ago.
        self.writer.room.notify_all();
        Ok(Attempt::AllSent)
    }

    fn close_on_write_error(&self, error: &io::Error) {
        tracing::debug!(connection = self.id(), peer = %self.peer_addr(), %error, "write failed");
        self.close("write failed");
    }
}

/// The writer task of one connection: sends what [`Connection::flush`] could not.
pub(crate) async fn run(connection: Rc<Connection>) {
    let mut spare = OutQueue::default();
    while !connection.is_closed() {
        if !connection.writer.is_flush_wanted.replace(false) {
            connection.writer.wake.notified().await;
            continue;
        }
        let sent = match connection.try_flush() {
            Ok(Attempt::AllSent) => Ok(()),
            Ok(Attempt::Blocked) => {
                connection.timekeeper.watch_writes(&connection);
                // Boxed, because this future is 9 KB and most connections never need it.
                Box::pin(send_all(&connection, &mut spare)).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            connection.close_on_write_error(&error);
        }
    }
}

/// Sends until nothing is queued. The queue under way is taken out of the connection, so that
/// others can append to the next one while this one waits for the socket.
async fn send_all(connection: &Rc<Connection>, spare: &mut OutQueue) -> io::Result<()> {
    let writer = &connection.writer;
    let mut half = writer.half.take().expect("one writer task per connection");
    let mut result = Ok(());
    while result.is_ok() && !connection.is_closed() && !connection.out.borrow().is_empty() {
        std::mem::swap(&mut *connection.out.borrow_mut(), spare);
        writer.taken_copied_bytes.set(spare.copied_bytes());
        result = send_queue(connection, &mut half, spare).await;
    }
    if !spare.is_empty() {
        spare.clear();
    }
    writer.taken_bytes.set(0);
    writer.taken_copied_bytes.set(0);
    if !connection.is_closed() {
        writer.half.replace(Some(half));
    }
    writer.room.notify_all();
    result
}

async fn send_queue(
    connection: &Rc<Connection>,
    half: &mut WriteHalf,
    queue: &mut OutQueue,
) -> io::Result<()> {
    let writer = &connection.writer;
    while !queue.is_empty() {
        writer.taken_bytes.set(queue.len_bytes());
        if let Some(range) = queue.front_file() {
            half.send_file(&range.view, range.pos, range.len).await?;
            queue.file_sent();
        } else {
            let slices = queue.gather();
            let written = half.write(&slices).await?;
            drop(slices);
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            queue.advance(written);
        }
        connection.note_written();
        writer.taken_bytes.set(queue.len_bytes());
        writer.taken_copied_bytes.set(queue.copied_bytes());
        // Half of the limit, so that the reader does not stop and go for every reply.
        if connection.out_bytes() <= connection.limits().out_limit_bytes / 2 {
            writer.room.notify_all();
        }
        if connection.is_closed() {
            return Ok(());
        }
    }
    Ok(())
}

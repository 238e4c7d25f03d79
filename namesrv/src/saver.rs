//! Writes one small document to disk and answers those who changed it once it is safe there.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_remoting::{Connection, Permit, ReplyTo};
use ringmq_runtime::disk::Disk;
use ringmq_runtime::sync::Notify;

/// What an unanswered change takes in memory; counted so that a stop waits for its answer.
const WAITING_SIZE_BYTES: usize = 64;

/// A file whose contents are replaced as a whole. Changes that arrive while it is being written
/// share the next write.
pub(crate) struct Saver {
    disk: Disk,
    path: PathBuf,
    waiting: RefCell<Vec<(Rc<Connection>, ReplyTo, Permit)>>,
    wake: Notify,
}

impl Saver {
    /// A document at `path` of `disk`.
    pub(crate) fn new(disk: Disk, path: &Path) -> Self {
        let path = path.to_owned();
        Self { disk, path, waiting: RefCell::default(), wake: Notify::new() }
    }

    /// The contents on disk, `None` before the first write.
    pub(crate) async fn read(&self, size_max_bytes: usize) -> io::Result<Option<Vec<u8>>> {
        match self.disk.read_all(&self.path, size_max_bytes).await {
            Ok(contents) => Ok(Some(contents)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has the document written soon; `to` is answered when it is on disk.
    pub(crate) fn save(&self, connection: &Rc<Connection>, to: ReplyTo) {
        let permit = connection.admit(WAITING_SIZE_BYTES);
        self.waiting.borrow_mut().push((Rc::clone(connection), to, permit));
        self.wake.notify_one();
    }

    /// Writes the document that `render` gives whenever it was changed.
    pub(crate) async fn run(&self, render: impl Fn() -> Vec<u8>) {
        loop {
            self.wake.notified().await;
            let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
            let saved = self.write(&render()).await;
            if let Err(error) = &saved {
                let file = self.path.display();
                tracing::error!(%file, %error, "not written: the change is lost at a restart");
            }
            for (connection, to, _permit) in waiting {
                answer(&connection, &to, saved.as_ref().err());
            }
        }
    }

    /// Makes the directory first: it need not exist before something is kept in it.
    async fn write(&self, contents: &[u8]) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            self.disk.create_dir_all(directory).await?;
        }
        self.disk.replace(&self.path, contents).await
    }
}

fn answer(connection: &Connection, to: &ReplyTo, error: Option<&io::Error>) {
    match error {
        None => connection.reply(to, response::SUCCESS, None, &(), &[]),
        Some(error) => {
            let remark = format!("changed in memory, but not on disk: {error}");
            connection.reply(to, response::SYSTEM_ERROR, Some(&remark), &(), &[]);
        }
    }
}

//! Entering a record that a start finds in the log into the indexes.

use ringmq_protocol::record::Record;

use crate::entry::{Entry, KeyEntry};
use crate::error::OpenError;
use crate::log::State;
use crate::position::LogPosition;
use crate::queue_index::QueueIndex;
use crate::terms::{Terms, is_keyed, is_queued};

/// Why a sound record cannot be entered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Its queue cannot have it there: what was expected and found.
    Contradiction(String),
    /// It is the first of a queue that there is no slot for.
    NoSlot,
}

impl Unfit {
    /// Why a log with that record at `at` is not opened.
    pub(crate) fn at(self, at: LogPosition) -> OpenError {
        let log = at.log();
        match self {
            Self::Contradiction(problem) => OpenError::Contradiction { log, at, problem },
            Self::NoSlot => OpenError::OutOfSlots { log, at },
        }
    }
}

impl From<String> for Unfit {
    fn from(problem: String) -> Self {
        Self::Contradiction(problem)
    }
}

/// Enters a record into the indexes, as the append step did.
///
/// # Errors
/// When it cannot be entered; nothing of it is in the indexes then.
pub(crate) fn index_record(state: &mut State, byte: u64, bytes: &[u8]) -> Result<(), Unfit> {
    let record = Record::parse(bytes).map_err(|error| error.to_string())?;
    let stored_at_ms = check_stored_at(&record)?;
    let terms = Terms::of_stored(&record);
    if is_queued(record.sys_flag) {
        let entry = Entry::new(byte, bytes.len() as u32, stored_at_ms, terms.tag_hash());
        index_in_queue(&mut state.queues, &record, entry)?;
    }
    if is_keyed(record.sys_flag) {
        terms.each_key_hash(record.topic, |hash| {
            state.keys.push(KeyEntry::new(hash, byte, stored_at_ms));
        });
    }
    state.last_stored_at_ms = state.last_stored_at_ms.max(stored_at_ms);
    Ok(())
}

fn index_in_queue(queues: &mut QueueIndex, record: &Record<'_>, entry: Entry) -> Result<(), Unfit> {
    let found = queues.find(record.topic, record.queue_id);
    let next = found.and_then(|key| queues.get(key)).map(|queue| queue.next());
    let offset = check_offset(record, next)?;
    let key = match found {
        Some(key) if next == Some(offset) => key,
        // The queue was deleted and began anew.
        Some(key) => {
            queues.begin_anew(key);
            key
        }
        None => queues.open(record.topic, record.queue_id, offset).ok_or(Unfit::NoSlot)?,
    };
    queues.push(key, entry);
    queues.show_all(key);
    Ok(())
}

/// When a record was stored: Unix time in milliseconds.
pub(crate) fn check_stored_at(record: &Record<'_>) -> Result<u64, String> {
    u64::try_from(record.stored_at_ms).map_err(|_| "negative store time".to_owned())
}

/// The offset of a record in a queue whose next one is `next`, if it is known. A queue that was
/// deleted begins anew.
pub(crate) fn check_offset(record: &Record<'_>, next: Option<u64>) -> Result<u64, String> {
    let offset = u64::try_from(record.queue_offset).map_err(|_| "negative queue offset")?;
    match next {
        Some(next) if offset != next && offset != 0 => Err(format!(
            "queue {} of {} has offset {offset} where {next} was expected",
            record.queue_id, record.topic
        )),
        _ => Ok(offset),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ringmq_runtime::disk::Disk;
    use ringmq_runtime::sim::World;

    use crate::append::tests::message;
    use crate::error::OpenError;
    use crate::log::{INDEX_DIR, Log};
    use crate::options::{FlushPolicy, LogOptions};
    use crate::position::LogId;
    use crate::queue_index::SLOTS_MAX;

    async fn remove_index(disk: &Disk) {
        let dir = Path::new("log").join(INDEX_DIR);
        for entry in disk.list(&dir).await.expect("a directory") {
            disk.remove_file(dir.join(&entry.name)).await.expect("removable");
        }
    }

    #[test]
    fn queues_that_began_anew_take_no_slots_of_a_rebuild() {
        const LIVES: usize = 3;
        let world = World::new(1);
        let disk = world.disk(0);
        let options = LogOptions { flush: FlushPolicy::Sync, ..LogOptions::default() };
        world.run(async {
            let open = async || Log::open(&disk, "log", LogId(0), options.clone()).await;
            for life in 1..=LIVES {
                let (log, _) = open().await.expect("the log opens");
                for _ in 0..SLOTS_MAX / 2 {
                    log.delete_topic("topic");
                    log.append(&message("topic", 0, b"body"), 1000).expect("room");
                }
                log.close().await.expect("a clean stop");
                let (log, _) = open().await.expect("the log opens");
                assert!(log.queue_range("topic", 0).is_some(), "life {life}");
                log.close().await.expect("a clean stop");
            }
            remove_index(&disk).await;
            let (log, report) = open().await.expect("there are slots enough");
            assert_eq!(report.scanned_records as usize, LIVES * SLOTS_MAX / 2);
            let (min, max) = log.queue_range("topic", 0).expect("the last one");
            assert_eq!((min.0, max.0), (0, 1));
        });
    }

    #[test]
    fn a_rebuild_without_slots_says_so_and_cuts_nothing() {
        let world = World::new(1);
        let disk = world.disk(0);
        let options = LogOptions { flush: FlushPolicy::Sync, ..LogOptions::default() };
        world.run(async {
            let open = async |options| Log::open(&disk, "log", LogId(0), options).await;
            for topic in ["first", "second"] {
                let (log, _) = open(options.clone()).await.expect("the log opens");
                for queue_id in 0..SLOTS_MAX as i32 * 2 / 3 {
                    log.append(&message(topic, queue_id, b"body"), 1000).expect("room");
                }
                log.delete_topic("first");
                log.close().await.expect("a clean stop");
            }
            remove_index(&disk).await;
            let refused = open(options.clone()).await.err().expect("what was deleted counts");
            assert!(matches!(refused, OpenError::OutOfSlots { .. }), "{refused}");
        });
    }

    #[test]
    fn a_rebuild_without_slots_leaves_the_index_that_was_of_no_use() {
        let world = World::new(1);
        let disk = world.disk(0);
        let options = LogOptions { flush: FlushPolicy::Sync, ..LogOptions::default() };
        world.run(async {
            let open = async || Log::open(&disk, "log", LogId(0), options.clone()).await;
            let (log, _) = open().await.expect("the log opens");
            for queue_id in 0..SLOTS_MAX as i32 {
                log.append(&message("deleted", queue_id, b"body"), 1000).expect("room");
            }
            log.delete_topic("deleted");
            log.close().await.expect("a clean stop");
            let (log, _) = open().await.expect("the log opens");
            log.append(&message("topic", 0, b"body"), 1000).expect("room");
            log.close().await.expect("a clean stop");
            let files = async || disk.list(Path::new("log").join(INDEX_DIR)).await;
            for file in files().await.expect("a directory") {
                let path = Path::new("log").join(INDEX_DIR).join(file.name);
                disk.replace(path, b"damaged".to_vec()).await.expect("room");
            }
            let before = files().await.expect("a directory");
            assert!(!before.is_empty());
            let refused = open().await.err().expect("what was deleted counts");
            assert!(matches!(refused, OpenError::OutOfSlots { .. }), "{refused}");
            assert_eq!(files().await.expect("a directory"), before);
        });
    }
}

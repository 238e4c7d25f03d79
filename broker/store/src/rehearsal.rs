//! A look at a whole log before useless files of its index are removed.
//!
//! A log that is refused is left as it is, and what is of no use to us may be of use to whoever
//! finds out what happened: an index of another log, or of another moment, tells which files were
//! mixed up. So where the scan that builds the index anew would end in a refusal, this one does,
//! and nothing was touched. The log is read twice then, which only a lost index costs.

use ringmq_protocol::record::Record;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::task;

use crate::abort::RunNote;
use crate::error::OpenError;
use crate::options::LogOptions;
use crate::queue_index::SLOTS_MAX;
use crate::reindex::{Unfit, check_offset, check_stored_at};
use crate::scan::{Found, Scanner};
use crate::segments::Segments;
use crate::settle;
use crate::terms::is_queued;

/// The offset that the next message of each queue has.
type NextOffsets = HashMap<(Box<str>, i32), u64>;

/// Scans the log from its first file on, as a start without an index does.
///
/// # Errors
/// Those with which that would end.
pub(crate) async fn demand(
    segments: &Segments,
    options: &LogOptions,
    crashed: Option<RunNote>,
) -> Result<(), OpenError> {
    let log = segments.log;
    let (mut scanner, mut queues) = (Scanner::new(log, false), NextOffsets::default());
    let mut end = segments.min();
    let damage = loop {
        let found = scanner.look(segments, end).await;
        match found.map_err(OpenError::io(log, "scanning the log"))? {
            Found::Record(bytes) => {
                if let Err(unfit) = check(&mut queues, &bytes) {
                    return Err(unfit.at(log.at(end)));
                }
                end += bytes.len() as u64;
            }
            Found::EndMark => end = segments.base_of(end) + segments.size,
            Found::Nothing | Found::NoFile => break None,
            Found::Damaged(problem) => break Some(problem),
        }
        task::yield_if_needed().await;
    };
    settle::examine(segments, options, end, crashed, damage.as_deref()).await.map(drop)
}

/// Refuses what [`index_record`](crate::reindex::index_record) refuses, and keeps no entries.
fn check(queues: &mut NextOffsets, bytes: &[u8]) -> Result<(), Unfit> {
    let record = Record::parse(bytes).map_err(|error| error.to_string())?;
    check_stored_at(&record)?;
    if is_queued(record.sys_flag) {
        let queue = (Box::from(record.topic), record.queue_id);
        let next = queues.get(&queue).copied();
        let offset = check_offset(&record, next)?;
        if next.is_none() && queues.len() == SLOTS_MAX {
            return Err(Unfit::NoSlot);
        }
        queues.insert(queue, offset + 1);
    }
    Ok(())
}

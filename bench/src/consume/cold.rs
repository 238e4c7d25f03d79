//! Messages that are in no cache when they are read.

use crate::args::load::PaceArgs;
use crate::cold_log::ColdLog;
use crate::error::BenchError;
use crate::target::Target;

/// What the files begin with that have the words of the tools, in the directory of the store.
const TOOLS: &str = "page-cache";

/// Makes everything cold that the broker has stored, which bench has started, for the readers of
/// `pace`: the broker ends, the page cache drops its log, and it starts again.
///
/// # Errors
/// The broker does not end or start again, or a tool is missing.
pub async fn make(target: &mut Target, pace: &PaceArgs) -> Result<ColdLog, BenchError> {
    let (cursors, queues) = (pace.connections * pace.depth, target.queues().len());
    if cursors as usize > queues {
        eprintln!(
            "warning: {cursors} cursors read {queues} queues: messages are read several times, \
             and cold only at the first (--queues)"
        );
    }
    let store = target.store().expect("the command line names no broker").to_owned();
    eprintln!("ending the broker; the page cache drops its log");
    target.end_broker().await?;
    let log = ColdLog::drop_of(&store, usize::MAX, &store.join(TOOLS)).await?;
    let megabytes_per_s = log.bytes_per_s / 1e6;
    eprintln!("past the page cache its files are read at {megabytes_per_s:.0} MB/s");
    target.restart_broker().await?;
    Ok(log)
}

//! Messages that are in no cache when they are read.

use std::path::PathBuf;

use crate::args::load::PaceArgs;
use crate::error::BenchError;
use crate::limits::device;
use crate::page_cache;
use crate::target::Target;

/// Where the words of the tools go, in the directory of the store.
const DROP_LOG: &str = "page-cache-drop.log";
const CACHED_LOG: &str = "page-cache-cached.log";

/// The log of a broker of our own that was ended, dropped from the page cache, and started again.
pub struct Cold {
    files: Vec<PathBuf>,
    cached_log: PathBuf,
}

impl Cold {
    /// Makes everything cold that the broker has stored, for the readers of `pace`.
    ///
    /// # Errors
    /// The broker does not end or start again, or a tool is missing.
    pub async fn make(target: &mut Target, pace: &PaceArgs) -> Result<Self, BenchError> {
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
        let files = page_cache::log_files(&store).await?;
        page_cache::drop_files(&files, &store.join(DROP_LOG)).await?;
        let read = device::files_bytes_per_s(&files).await;
        let bytes_per_s = read.map_err(|error| BenchError::file(&store, error))?;
        eprintln!("past the page cache its files are read at {:.0} MB/s", bytes_per_s / 1e6);
        target.restart_broker().await?;
        Ok(Self { files, cached_log: store.join(CACHED_LOG) })
    }

    /// Makes sure that it still is: a broker may look at its log when it starts.
    ///
    /// # Errors
    /// It is not, or a tool is missing.
    pub async fn check(&self) -> Result<(), BenchError> {
        page_cache::refuse_cached(&self.files, &self.cached_log).await
    }
}

//! The scan of a start: what stands in the log behind its indexes is entered into them.
//!
//! A log whose index is rebuilt may be far larger than memory, so what is found is saved on the
//! way. No byte of the log changes: what it has of the torn window is written again as it is, where
//! it has to be saved at once.

use std::io;

use ringmq_runtime::task;

use crate::checkpoint;
use crate::error::OpenError;
use crate::log::Inner;
use crate::reindex::index_record;
use crate::scan::{Found, Scanner};
use crate::segments::Segments;

/// What a scan of the log found.
pub(crate) struct Scanned {
    /// End of the last sound record.
    pub(crate) end: u64,
    pub(crate) records: u64,
    /// What stands there, unless it is zeros or the end of the files.
    pub(crate) damage: Option<String>,
}

/// Enters every sound record from `from` on into the indexes.
pub(crate) async fn scan_log(
    inner: &Inner,
    mut scanner: Scanner,
    from: u64,
    torn_window: u64,
) -> Result<Scanned, OpenError> {
    let scanning = OpenError::io(inner.id, "scanning the log");
    // Nobody else knows the log yet, so the row stays as it is.
    let segments = inner.state.borrow().segments.clone();
    let mut saving = Saving { saved: from, candidate: None, torn_window };
    let (mut end, mut records) = (from, 0);
    let damage = loop {
        match scanner.look(&segments, end).await.map_err(&scanning)? {
            Found::Record(bytes) => {
                let indexed = index_record(&mut inner.state.borrow_mut(), end, &bytes);
                indexed.map_err(|unfit| unfit.at(inner.id.at(end)))?;
                end += bytes.len() as u64;
                records += 1;
            }
            Found::EndMark => end = segments.base_of(end) + segments.size,
            Found::Nothing | Found::NoFile => break None,
            Found::Damaged(problem) => break Some(problem),
        }
        saving.save_if_due(inner, &segments, end).await.map_err(&scanning)?;
        task::yield_if_needed().await;
    };
    Ok(Scanned { end, records, damage })
}

/// What a scan has saved.
struct Saving {
    /// Everything below is in the index stream.
    saved: u64,
    /// Up to where it is saved next.
    candidate: Option<u64>,
    torn_window: u64,
}

impl Saving {
    /// Saves the indexes of a scan that has come to `end` when there is much of them. What a failed
    /// flush may have lost is not saved before it has been written again: the last torn window
    /// waits for the end, unless its keys alone are too many.
    async fn save_if_due(
        &mut self,
        inner: &Inner,
        segments: &Segments,
        end: u64,
    ) -> io::Result<()> {
        if inner.state.borrow().keys.is_full() {
            segments.rewrite(self.saved..end).await?;
            segments.sync(self.saved..end).await?;
            checkpoint::save(inner, end).await?;
            (self.saved, self.candidate) = (end, None);
        }
        if end - self.saved >= inner.options.checkpoint_bytes {
            let below = *self.candidate.get_or_insert(end);
            if end - below >= self.torn_window {
                segments.sync(self.saved..below).await?;
                checkpoint::save(inner, below).await?;
                (self.saved, self.candidate) = (below, None);
            }
        }
        Ok(())
    }
}

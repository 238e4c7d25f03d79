//! Work on the helper threads of an executor.

use std::future::Future;

use crate::live;
#[cfg(feature = "sim")]
use crate::{sim, task};

/// Runs `work` on a helper thread and waits for its value. Costs about 10 us; each executor has two
/// such threads, which the log's flushes need too, so nothing that takes more than a few
/// milliseconds: see [`long_work`].
///
/// `work` runs to its end even if the caller stops waiting. A panic in it continues here.
pub async fn blocking<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    in_world(work, live::helpers::blocking).await
}

/// As [`blocking`], for work that takes longer, such as the text of a document.
///
/// An executor does one piece of it at a time, in the order of their coming, as it does whole-file
/// reads, so that a helper thread is left for flushes. So nothing that waits for another piece of
/// it; and what takes more than a tenth of a second is cut into pieces, between which others get
/// their turn.
pub async fn long_work<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    in_world(work, live::helpers::long_work).await
}

/// Runs `work` as `live` does, or at once in a simulated world.
async fn in_world<T, F, L>(work: F, live: impl FnOnce(F) -> L) -> T
where
    F: FnOnce() -> T,
    L: Future<Output = T>,
{
    #[cfg(feature = "sim")]
    if sim::current().is_some() {
        task::yield_now().await;
        return work();
    }
    live(work).await
}

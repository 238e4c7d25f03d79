//! Whether a log takes messages, told from its end alone.

use std::time::Duration;

use ringmq_runtime::clock::Instant;

/// Time without an append after which a log is quiet.
const QUIET: Duration = Duration::from_millis(100);

/// Whether messages arrive.
#[derive(Debug)]
pub(crate) struct Tempo {
    /// End of the log at the last look.
    appended: Option<u64>,
    quiet_from: Instant,
}

impl Default for Tempo {
    fn default() -> Self {
        Self { appended: None, quiet_from: Instant::from_nanos(0) }
    }
}

impl Tempo {
    /// Looks at a log that ends at `appended`. One that has grown since the last look counts as
    /// growing now.
    pub(crate) fn is_quiet(&mut self, now: Instant, appended: u64) -> bool {
        if self.appended.replace(appended).is_some_and(|last| last != appended) {
            self.quiet_from = now + QUIET;
        }
        now >= self.quiet_from
    }
}

//! Lines of the log that would come with every request.

use std::cell::Cell;
use std::time::Duration;

use ringmq_runtime::clock::Instant;

/// Time between two lines in the log that say the same.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Lets one line into the log at a time.
#[derive(Default)]
pub struct Seldom(Cell<Option<Instant>>);

impl Seldom {
    /// Whether the line is to be written now.
    pub fn is_due(&self) -> bool {
        self.is_due_at(Instant::now())
    }

    fn is_due_at(&self, now: Instant) -> bool {
        let is_due = self.0.get().is_none_or(|last| now.saturating_since(last) >= REPORT_INTERVAL);
        if is_due {
            self.0.set(Some(now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_due_per_interval() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let half = REPORT_INTERVAL / 2;
        let due = [0, 1, 2, 3, 4].map(|halves| seldom.is_due_at(start + half * halves));
        assert_eq!(due, [true, false, true, false, true]);
    }
}

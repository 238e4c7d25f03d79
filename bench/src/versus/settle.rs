//! The wait before a run until the host leaves the machine alone.
//!
//! A broker that ends gives back gigabytes, and a virtual machine hands them on to its host a part
//! at a time, every two seconds for half a minute (free page reporting). Each part takes the CPUs
//! away for 20 to 30 ms, which a run of seconds that begins meanwhile shows as its own tail.

use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

use crate::observe;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Ticks between two looks that are nothing: an interrupt of the host's own.
const TICKS_CALM: u64 = 1;

/// Longest wait. A host that never leaves the machine alone does so in all runs.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// Waits until the host has taken no CPU time for so long. Where the kernel does not tell, or the
/// host never stops, the run begins all the same.
pub async fn settle(calm: Duration) {
    let begun = Instant::now();
    let mut disturbed = begun;
    let mut before = observe::stolen_ticks().await;
    while disturbed.elapsed() < calm && begun.elapsed() < SETTLE_MAX {
        task::sleep(LOOK).await;
        let now = observe::stolen_ticks().await;
        let Some(taken) = now.zip(before).map(|(now, before)| now.saturating_sub(before)) else {
            return;
        };
        if taken > TICKS_CALM {
            disturbed = Instant::now();
        }
        before = now;
    }
}

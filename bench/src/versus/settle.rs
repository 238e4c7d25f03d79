//! The wait before a run until the host leaves the machine alone.
//!
//! A JVM that ends gives back gigabytes, and a virtual machine hands them on to its host a part at
//! a time, every two seconds for half a minute (free page reporting). The host works on each part
//! with the cores that the machine has, and takes them away for that. A machine that idles sees
//! none of it: seconds after a JVM of 4 GiB had ended, two busy cores lost 5 to 30 ticks of 10 ms
//! every second second for 22 s, and still did when 12 idle seconds without a tick had passed; one
//! busy core of the two lost nothing. So the wait keeps all cores busy, and looks at what they
//! lose.
//!
//! Apache's broker runs without this wait: its start and the warm-up of its JVM take as long. What
//! the host takes of its counted time is looked at as in all other runs.

use std::hint;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::remote::{self, Remote};
use ringmq_runtime::{shards, task};

use crate::args::versus::Contestant;
use crate::observe;

/// Between two looks: half of the time between two parts.
const LOOK: Duration = Duration::from_secs(1);

/// Ticks between two looks that are nothing: an interrupt of the host's own.
const TICKS_CALM: u64 = 1;

/// Longest wait: twice what was seen. A host that never leaves the machine alone does so in all
/// runs.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// Time for which a thread is busy without a look at its other tasks.
const BUSY_PIECE: Duration = Duration::from_millis(5);

/// Waits until busy cores have lost no CPU time to the host for as long as `calm`, and says how
/// long that took where it was long. Where the kernel does not tell, or the host never stops, the
/// run begins all the same.
pub async fn settle(next: Contestant, calm: Duration) {
    if next.is_apache() || calm.is_zero() {
        return;
    }
    let start = |core| remote::spawn_executor_on("bench busy", core);
    // A core that cannot be had is somebody else's.
    let cores: Vec<Remote> = shards::usable_cores().into_iter().flat_map(start).collect();
    let begun = Instant::now();
    let mut disturbed = begun;
    let mut before = observe::stolen_ticks().await;
    while disturbed.elapsed() < calm && begun.elapsed() < SETTLE_MAX {
        keep_busy(&cores).await;
        let now = observe::stolen_ticks().await;
        let Some(taken) = now.zip(before).map(|(now, before)| now.saturating_sub(before)) else {
            break;
        };
        if taken > TICKS_CALM {
            disturbed = Instant::now();
        }
        before = now;
    }
    for core in &cores {
        core.close().await;
    }
    if disturbed > begun {
        let (waited, calm) = (begun.elapsed().as_secs(), disturbed.elapsed() >= calm);
        let told = if calm { "the host has settled" } else { "the host has not settled" };
        eprintln!("  {told} after {waited} s");
    }
}

/// Keeps all of them busy until the next look.
async fn keep_busy(cores: &[Remote]) {
    let until = Instant::now() + LOOK;
    let busy = |core: Remote| async move { core.run(move || busy_until(until)).await };
    let all: Vec<_> =
        cores.iter().cloned().map(|core| task::spawn("bench busy", busy(core))).collect();
    for one in all {
        // A thread that is gone keeps nothing busy, and has said so itself.
        let _ = one.await;
    }
    task::sleep_until(until).await;
}

async fn busy_until(until: Instant) {
    while Instant::now() < until {
        let piece = Instant::now();
        while piece.elapsed() < BUSY_PIECE {
            hint::spin_loop();
        }
        task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calm_host_is_waited_for_no_longer_than_asked_and_before_apaches_broker_not_at_all() {
        shards::block_on(async {
            let begun = Instant::now();
            settle(Contestant::Tuned, Duration::from_secs(60)).await;
            settle(Contestant::Ours, Duration::ZERO).await;
            assert!(begun.elapsed() < LOOK, "{:?}", begun.elapsed());
        });
    }
}

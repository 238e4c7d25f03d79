//! The wait until a broker that has just started writes no more.
//!
//! It makes the zeros that its log will need first, 256 MiB of them in some seconds. A device that
//! is busy with these is not the one that the broker has under load, so what is measured beside it
//! would be no limit.

use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

use crate::environment::fact;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Looks in a row that must find nothing written. Zeros are made in pieces of 256 KiB at 64 MiB per
/// second, so they are never that far apart.
const STILL_LOOKS: u32 = 3;

/// Longest wait: several times what the zeros take on a slow device. A broker that then still
/// writes has another reason, and does so under load, too.
const REST_MAX: Duration = Duration::from_secs(15);

/// Waits until the process `pid` has written nothing to any device for a moment. Where the kernel
/// does not tell there is no wait.
pub async fn until_still(pid: u32) {
    until_same(async || written_bytes(&fact(&format!("proc/{pid}/io")).await)).await;
}

/// Waits until some looks in a row have found the same, or there is nothing to be seen.
async fn until_same(look: impl AsyncFn() -> Option<u64>) {
    let begun = Instant::now();
    let mut before = look().await;
    let mut still = 0;
    while before.is_some() && still < STILL_LOOKS && begun.elapsed() < REST_MAX {
        task::sleep(LOOK).await;
        let now = look().await;
        still = if now == before { still + 1 } else { 0 };
        before = now;
    }
}

/// proc(5): a line `write_bytes: 123` of `/proc/PID/io`, what the process caused to be sent to
/// devices.
fn written_bytes(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use ringmq_runtime::sim::World;

    use super::*;

    /// How many looks the wait takes for a process that writes until as many have looked, and of
    /// which the kernel tells or not.
    fn check(looks: u64, told: bool) -> u128 {
        World::new(3).run(async move {
            let (begun, looked) = (Instant::now(), Cell::new(0));
            until_same(async || {
                looked.set(looked.get() + 1);
                told.then(|| looked.get().min(looks))
            })
            .await;
            begun.elapsed().as_millis() / LOOK.as_millis()
        })
    }

    #[test]
    fn the_wait_ends_when_nothing_more_is_written() {
        let still = u128::from(STILL_LOOKS);
        assert_eq!((check(1, true), check(20, true)), (still, 19 + still));
    }

    #[test]
    fn a_process_that_goes_on_or_does_not_tell_is_not_waited_for() {
        assert_eq!(check(u64::MAX, true), REST_MAX.as_millis() / LOOK.as_millis());
        assert_eq!(check(1, false), 0);
    }

    #[test]
    fn what_was_written_is_read_from_its_line() {
        let io = "rchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 7";
        assert_eq!((written_bytes(io), written_bytes("")), (Some(4096), None));
    }
}

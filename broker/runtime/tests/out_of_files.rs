//! A process that has no file descriptor left. Alone in its binary: the limit is the process's.
#![expect(unsafe_code, reason = "the limit of file descriptors is set by a system call")]

use std::net::SocketAddr;
use std::time::Duration;

use ringmq_runtime::net::{Listener, Reuse, Stream};
use ringmq_runtime::shards::block_on;
use ringmq_runtime::task;

const LIMIT: Duration = Duration::from_secs(10);

/// Sets the number of descriptors that the process may have; returns what it was.
fn set_files_max(files_max: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid structure that outlives them.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        let before = limit.rlim_cur;
        limit.rlim_cur = files_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        before
    }
}

#[test]
fn accepting_without_descriptors_fails_at_once_and_goes_on_when_there_are_some() {
    block_on(async {
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Reuse::No);
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("bound");
        // Connected by the kernel; it waits in the backlog.
        let waiting = Stream::connect(address, LIMIT).await.expect("connected");
        // Below every descriptor that is open.
        let before = set_files_max(0);
        for attempt in 0..3 {
            let accepted = task::timeout(LIMIT, listener.accept()).await.expect("no hang");
            let error = accepted.expect_err("no descriptor is left").raw_os_error();
            assert_eq!(error, Some(libc::EMFILE), "attempt {attempt}");
            // The shard works on.
            task::sleep(Duration::from_millis(1)).await;
        }
        set_files_max(before);
        let accepted = task::timeout(LIMIT, listener.accept()).await.expect("no hang");
        let (_, peer) = accepted.expect("the connection that waited");
        assert_eq!(peer, waiting.local_addr());

        // Nobody waits in the backlog: the lack of descriptors is an error again, no hang.
        set_files_max(0);
        let idle = task::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(idle.is_err() || idle.is_ok_and(|accepted| accepted.is_err()));
        set_files_max(before);
    });
}

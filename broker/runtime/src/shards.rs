//! Executors and their threads.

use std::future::Future;
use std::time::Duration;

use crate::live::executor::{self, Options};
use crate::live::stall;

/// Runs `future` on an executor of its own on this thread: for tools, client threads and tests.
///
/// # Panics
/// If the executor cannot be made; the message says what to change.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let options = Options {
        name: "main".to_owned(),
        core: None,
        io_memory_bytes: 0,
        ring_depth: 256,
        spin: Duration::ZERO,
        stall_limit_ns: stall::DEFAULT_LIMIT_NS,
    };
    executor::run(&options, future).unwrap_or_else(|error| panic!("{error}"))
}

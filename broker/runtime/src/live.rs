//! The live world: glommio executors, the kernel's files and sockets.
//!
//! glommio makes the executor, sleeps when nothing comes for a while, and does what is rare: it
//! opens files, reads cold ones, flushes in the background. What each request needs goes past it,
//! since a round of glommio takes 3 system calls, and 10 where it sleeps: the tasks (`scheduler`),
//! the waits for sockets, timers and other threads (`driver`, `step`), the writes of the log
//! (`ring`) and the threads that flush (`helpers`).
//!
//! The traps of glommio 0.9 that the code here steps around are explained where it does so; when
//! a newer glommio is taken, search for "glommio 0.9".

mod crossing;
pub(crate) mod disk;
mod driver;
mod epoll;
pub(crate) mod executor;
pub(crate) mod file;
mod heartbeat;
pub(crate) mod helpers;
mod interrupt;
pub(crate) mod net;
mod page_cache;
pub(crate) mod poller;
pub(crate) mod probe;
mod replace;
pub(crate) mod resolve;
mod ring;
mod scheduler;
mod send_file;
pub(crate) mod stall;
mod step;
pub(crate) mod sys;
pub(crate) mod timers;
mod watchdog;
mod zero_fill;

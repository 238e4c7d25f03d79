//! The live world: glommio executors, the kernel's files and sockets.
//!
//! The traps of glommio 0.9 that the code here steps around are explained where it does so; when
//! a newer glommio is taken, search for "glommio 0.9".

mod crossing;
pub(crate) mod disk;
mod epoll;
pub(crate) mod executor;
mod heartbeat;
mod interrupt;
pub(crate) mod net;
pub(crate) mod poller;
pub(crate) mod probe;
mod send_file;
pub(crate) mod stall;
pub(crate) mod sys;
mod watchdog;
mod zero_fill;

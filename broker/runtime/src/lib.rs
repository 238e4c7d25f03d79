//! The outside world behind one facade: live (glommio) and simulated.
//!
//! Everything that RingMQ knows of time, disks, networks, threads and chance comes through this crate, so the same
//! code runs on io_uring in production and in a seeded, single-threaded world whose disk and network misbehave on
//! demand (`sim`, behind the feature of that name). The current world is found through a thread-local, so callers
//! use plain functions: `clock::Instant::now()`, `task::spawn(...)`, `task::sleep(...)`.
//!
//! Outside an executor only [`clock`], [`random`], [`process`], [`buffer`] and the sending half of [`mesh`] and
//! [`remote`] work; everything else panics with the reason.

pub mod buffer;
pub mod clock;
pub mod disk;
pub mod host;
pub mod mesh;
pub mod net;
pub mod process;
pub mod random;
pub mod remote;
pub mod shards;
pub mod signal;
#[cfg(feature = "sim")]
pub mod sim;
pub mod start;
pub mod sync;
pub mod task;

mod live;

//! The outside world behind one facade: live (glommio) and simulated.
//!
//! Everything that RingMQ knows of time, disks, networks, threads and chance comes through this
//! crate, so the same code runs on io_uring in production and in a seeded, single-threaded world
//! whose disk and network misbehave on demand (`sim`, behind the feature of that name). The
//! current world is found through a thread-local, so callers use plain functions:
//! `clock::Instant::now()`, `task::spawn(...)`, `task::sleep(...)`.
//!
//! Outside an executor only [`clock`], [`random`], [`process`], [`host`], [`buffer`], [`region`],
//! [`start`], the sending half of [`mesh`] and [`remote`] work; the rest panics with the reason.
//!
//! What is here for whom:
//!
//! | Module | Live | Simulated |
//! |---|---|---|
//! | [`shards`] | an executor per core, each on its thread | `sim::World::run`: one executor |
//! | [`task`], [`sync`], [`clock`] | a scheduler within glommio's | drawn order, virtual time |
//! | [`disk`] | direct I/O, helpers for everything slow | bytes written and synced, kept apart |
//! | [`net`] | readiness, one gathered `sendmsg`, `sendfile` | delays, cuts, resets, partitions |
//! | [`mesh`], [`remote`] | between threads, woken by wakers | the same code on one thread |
//! | [`start`] | why it does not start, and the fix | |
//! | [`signal`], [`process`], [`host`] | what the kernel tells | |

pub mod buffer;
pub mod clock;
pub mod disk;
pub mod host;
pub mod mesh;
pub mod net;
pub mod process;
pub mod random;
pub mod region;
pub mod remote;
pub mod shards;
pub mod signal;
#[cfg(feature = "sim")]
pub mod sim;
pub mod start;
pub mod sync;
pub mod task;

mod live;

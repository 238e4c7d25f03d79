//! The simulated world: one thread, virtual time, and a disk and network that misbehave on demand.
//!
//! All that happens follows from the seed: which runnable task goes next, how long devices take,
//! what a crash leaves behind. A failure that a seed shows, it shows again.
//!
//! ```
//! use std::time::Duration;
//! use ringmq_runtime::{sim::World, task};
//!
//! let world = World::new(42);
//! let disk = world.disk(0);
//! world.run(async {
//!     disk.replace("state", b"kept").await.expect("healthy disk");
//!     task::sleep(Duration::from_secs(3600)).await; // takes no real time
//! });
//! world.crash(0);
//! world.run(async { assert_eq!(disk.read_all("state", 100).await.expect("kept"), b"kept") });
//! ```

mod content;
mod core;
pub(crate) mod device;
mod directories;
pub(crate) mod disk;
mod faults;
pub(crate) mod file;
pub(crate) mod net;
mod pipe;
mod timer;

use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

pub use self::core::NodeId;
pub(crate) use self::core::{Core, current};
pub use self::device::DiskReads;
pub use self::faults::{Chance, DiskFaults, NetFaults, PageCache};
pub(crate) use self::timer::Timer;

use crate::disk::Disk;
use crate::random::Sequence;
use crate::task::Task;

/// A world of its own, with any number of machines ("nodes").
///
/// Clones are the same world, for its tasks and helpers. It ends, and drops all tasks that are
/// left, with the one that [`World::new`] gave: tasks may hold clones, so it would not end with the
/// last.
pub struct World {
    core: Rc<Core>,
    is_clone: bool,
}

impl Clone for World {
    fn clone(&self) -> Self {
        Self { core: self.core.clone(), is_clone: true }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.is_clone {
            self.core.end();
        }
    }
}

impl World {
    /// A world in which everything follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { core: Core::new(seed), is_clone: false }
    }

    /// Runs `future`, and the tasks there are, until it is done. Node 0 is where it runs: tasks
    /// that it spawns, and their children, die with [`World::crash`] of node 0.
    ///
    /// Tasks left over stay and go on in the next `run`.
    ///
    /// # Panics
    /// With the panics of tasks; if nothing can ever happen again; if tasks only keep each other
    /// busy. The seed is printed.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.core.clone().run(future)
    }

    /// Starts a task on a node, from within [`World::run`].
    pub fn spawn_on<F>(&self, node: NodeId, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        self.core.on_node(node, || crate::task::spawn(name, future))
    }

    /// The disk of a node. Each node has one; it is made, empty, by the first call.
    #[must_use]
    pub fn disk(&self, node: NodeId) -> Disk {
        Disk::simulated(self.core.disk(node))
    }

    /// The address of a node: `10.0.0.0` plus its number. Loopback addresses mean the node itself.
    #[must_use]
    pub fn ip(&self, node: NodeId) -> IpAddr {
        net::ip(node)
    }

    /// Cuts the power of a node: its tasks are dropped where they wait, its connections end, and
    /// of its disk remains what was synced, plus whatever the seed decides of the rest: each
    /// sector written since is old or new on its own, each name not synced is there or not.
    ///
    /// The future given to [`World::run`] goes on, so that it can look at the ruins.
    pub fn crash(&self, node: NodeId) {
        self.core.crash(node);
    }

    /// Crashes the kernel of a node: as [`World::crash`], but the device keeps its power, so direct
    /// writes that were completed are there. What only the kernel knew is lost: the lengths of
    /// files that were not synced since they grew, and names.
    pub fn crash_kernel(&self, node: NodeId) {
        self.core.crash_kernel(node);
    }

    /// Kills the process on a node (`kill -9`): as [`World::crash`], but the kernel lives on and
    /// finishes what was written. Writes on their way happen or not.
    pub fn kill(&self, node: NodeId) {
        self.core.kill(node);
    }

    /// Changes what goes wrong with the disk of a node, from now on.
    pub fn disk_faults(&self, node: NodeId, change: impl FnOnce(&mut DiskFaults)) {
        self.core.disk(node).change_faults(change);
    }

    /// The reads that the disk of a node was asked for so far.
    pub fn disk_reads(&self, node: NodeId) -> DiskReads {
        self.core.disk(node).reads()
    }

    /// Changes what goes wrong in the network, from now on.
    pub fn net_faults(&self, change: impl FnOnce(&mut NetFaults)) {
        self.core.net().change_faults(change);
    }

    /// Flips one bit of a file, as a dying device does: at once and for good.
    ///
    /// # Panics
    /// If the file or the position does not exist.
    pub fn flip_bit(&self, node: NodeId, path: &str, pos: u64, bit: u8) {
        self.core.disk(node).flip_bit(path, pos, bit);
    }

    /// Reads of the device that touch the sectors of these bytes of a file fail from now on, until
    /// they are written again. What the page cache has of them can still be read.
    ///
    /// # Panics
    /// If the file does not exist.
    pub fn make_unreadable(&self, node: NodeId, path: &str, pos: u64, len: usize) {
        self.core.disk(node).make_unreadable(path, pos, len);
    }

    /// Ends all that [`World::make_unreadable`] did to a file.
    ///
    /// # Panics
    /// If the file does not exist.
    pub fn make_readable(&self, node: NodeId, path: &str) {
        self.core.disk(node).make_readable(path);
    }

    /// Moves the wall clock, not the monotonic one, as an operator or NTP does.
    pub fn step_wall_clock(&self, milliseconds: i64) {
        self.core.step_wall_clock(milliseconds);
    }

    /// Virtual time since the world began.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.core.age()
    }

    /// A stream of numbers for the test itself: it follows from the seed too, but drawing from it
    /// changes nothing else.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        Sequence::new(self.core.seed() ^ 0x7465_7374)
    }
}

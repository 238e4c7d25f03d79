//! On which cores a thread may run.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;

/// A set of cores.
#[derive(Clone, Copy)]
pub(crate) struct CoreSet(libc::cpu_set_t);

impl CoreSet {
    /// The cores that this thread may use.
    pub(crate) fn of_this_thread() -> Self {
        // SAFETY: all zero is the empty set, which the kernel fills; on failure it stays empty.
        unsafe {
            let mut set: libc::cpu_set_t = MaybeUninit::zeroed().assume_init();
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
            Self(set)
        }
    }

    /// Restricts this thread to the set. Without effect if the kernel refuses.
    pub(crate) fn apply_to_this_thread(&self) {
        // SAFETY: the set is readable and of the size given.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.0) };
    }

    /// Numbers of the cores, ascending.
    pub(crate) fn cores(&self) -> Vec<usize> {
        let cores_max = 8 * size_of::<libc::cpu_set_t>();
        // SAFETY: the macro only looks at bits inside the set.
        (0..cores_max).filter(|core| unsafe { libc::CPU_ISSET(*core, &self.0) }).collect()
    }
}

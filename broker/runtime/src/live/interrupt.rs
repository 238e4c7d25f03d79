//! Wakes a thread that sleeps in the kernel, whatever it waits for: with a signal whose handler
//! does nothing, after which system calls return early (EINTR).

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// Ignored by whoever does not handle it, so that a stray one harms nobody.
const SIGNAL: libc::c_int = libc::SIGURG;

/// The kernel's number of this thread.
pub(super) fn this_thread() -> libc::pid_t {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::gettid() }
}

/// Interrupts the system call that a thread of this process sleeps in. Does nothing if the thread
/// has ended, or if the program uses the signal for itself.
pub(super) fn interrupt(thread: libc::pid_t) {
    static IS_OURS: OnceLock<bool> = OnceLock::new();
    if *IS_OURS.get_or_init(take_signal) {
        // SAFETY: sends a signal, whose handler does nothing, within this process.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGNAL) };
    }
}

extern "C" fn on_signal(_: libc::c_int) {}

/// Whether the signal was free and has our handler now.
fn take_signal() -> bool {
    // SAFETY: both actions are valid for the calls; all zero is one to start from: no flags, so
    // that system calls are not taken up again. The handler does nothing.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        if libc::sigaction(SIGNAL, std::ptr::null(), &raw mut action) != 0
            || ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
        {
            return false;
        }
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()) == 0
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::mpsc;
    use std::thread::JoinHandle;
    use std::time::Duration;

    use super::*;

    /// A thread, by the kernel's number, that sleeps until it is interrupted.
    pub(in crate::live) fn sleeper() -> (libc::pid_t, JoinHandle<()>) {
        let (tell, told) = mpsc::channel();
        let sleeper = std::thread::spawn(move || {
            tell.send(this_thread()).expect("somebody listens");
            // SAFETY: waits until a signal was handled.
            unsafe { libc::pause() };
        });
        (told.recv().expect("it runs"), sleeper)
    }

    #[test]
    fn a_thread_that_sleeps_in_the_kernel_is_interrupted() {
        let (thread, sleeper) = sleeper();
        // It may not sleep yet when the first one comes.
        let woken = (0..10_000).any(|_| {
            interrupt(thread);
            std::thread::sleep(Duration::from_millis(1));
            sleeper.is_finished()
        });
        assert!(woken, "it sleeps on");
        sleeper.join().expect("it ended well");
        // Nobody is there any more.
        interrupt(thread);
    }
}

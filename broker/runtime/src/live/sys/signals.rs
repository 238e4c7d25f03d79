//! Signals that this process gets.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use super::check;

/// Descriptor that the signal handler writes to, -1 before there is one.
static SIGNAL_EVENT: AtomicI32 = AtomicI32::new(-1);

/// The last signal handled, 0 before the first.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

extern "C" fn on_signal(signal: libc::c_int) {
    SIGNAL.store(signal, Ordering::Release);
    let one = 1u64;
    // SAFETY: `write` is allowed in signal handlers, the buffer is 8 readable bytes. `errno` may
    // change under the interrupted code only if this fails, which takes 2^64 - 1 signals.
    unsafe { libc::write(SIGNAL_EVENT.load(Ordering::Acquire), (&raw const one).cast(), 8) };
}

/// Makes `event` readable when one of `signals` arrives; after that the signal has its default
/// action again, so that a second one ends the process. `event` stays open for good.
pub(crate) fn catch_signals(event: OwnedFd, signals: &[libc::c_int]) -> io::Result<()> {
    SIGNAL_EVENT.store(event.into_raw_fd(), Ordering::Release);
    for signal in signals {
        // SAFETY: all zero is a valid action to start from; the handler does nothing that is
        // forbidden in a signal handler.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESETHAND | libc::SA_RESTART;
            check(libc::sigaction(*signal, &raw const action, std::ptr::null_mut()))?;
        }
    }
    Ok(())
}

/// Has the kernel end this process with SIGKILL when the thread that started it ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    let signal = libc::c_ulong::try_from(libc::SIGKILL).expect("signals are small");
    // SAFETY: this option takes a signal and touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) }).map(|_| ())
}

/// The signal that was caught last.
pub(crate) fn caught_signal() -> Option<libc::c_int> {
    Some(SIGNAL.load(Ordering::Acquire)).filter(|signal| *signal != 0)
}

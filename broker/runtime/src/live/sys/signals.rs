//! Signals that this process gets.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::check;
use super::clocks::monotonic_ns;

/// Descriptor that the signal handler writes to, -1 before there is one.
static SIGNAL_EVENT: AtomicI32 = AtomicI32::new(-1);

/// The first signal handled, 0 before.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// When each signal was handled first, by its number: nanoseconds, 0 before.
static FIRST_AT_NS: [AtomicU64; 32] = [const { AtomicU64::new(0) }; 32];

/// Signals of a kind that are no further apart are one: `timeout` sends its own to the process and
/// then to the group that it is in.
const SAME_NS: u64 = 100_000_000;

/// What a second signal of a kind says.
const ENDED: &[u8] = b"second signal: ended at once; what was under way is not finished\n";

extern "C" fn on_signal(signal: libc::c_int) {
    let is_second = is_second(&FIRST_AT_NS[signal.unsigned_abs() as usize % 32], monotonic_ns());
    match SIGNAL.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => tell_event(),
        Err(_) if is_second && signal != libc::SIGHUP => end_by(signal),
        Err(_) => {}
    }
}

/// Whether there was a signal of the kind before this one; allowed in signal handlers.
fn is_second(first_at_ns: &AtomicU64, now_ns: u64) -> bool {
    match first_at_ns.compare_exchange(0, now_ns, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => false,
        Err(first_at_ns) => now_ns.saturating_sub(first_at_ns) > SAME_NS,
    }
}

fn tell_event() {
    let one = 1u64;
    // SAFETY: `write` is allowed in signal handlers, the buffer is 8 readable bytes. `errno` may
    // change under the interrupted code only if this fails, which takes 2^64 - 1 signals.
    unsafe { libc::write(SIGNAL_EVENT.load(Ordering::Acquire), (&raw const one).cast(), 8) };
}

/// Ends the process by this signal, as if nobody had caught it.
fn end_by(signal: libc::c_int) {
    // SAFETY: all four calls are allowed in signal handlers, the structure is ours, and the buffer
    // is readable. The line is written only where that waits for nobody: a reader of the standard
    // error that does not read may be what the first signal waits for.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        let mut stderr =
            libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
        if libc::poll(&raw mut stderr, 1, 0) == 1 && stderr.revents == libc::POLLOUT {
            libc::write(libc::STDERR_FILENO, ENDED.as_ptr().cast(), ENDED.len());
        }
        libc::raise(signal);
    }
}

/// Makes `event` readable when the first of `signals` arrives; a second one of its kind, not the
/// same once more, ends the process, but for SIGHUP; that stays ignored if it is. `event` stays
/// open for good.
pub(crate) fn catch_signals(event: OwnedFd, signals: &[libc::c_int]) -> io::Result<()> {
    SIGNAL_EVENT.store(event.into_raw_fd(), Ordering::Release);
    for signal in signals {
        // SAFETY: all zero is a valid action to start from, and to be filled in; the handler does
        // nothing that is forbidden in a signal handler.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            check(libc::sigaction(*signal, std::ptr::null(), &raw mut action))?;
            if *signal == libc::SIGHUP && action.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            action = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
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

/// Has the kernel end the process of `command` with SIGKILL when the thread that starts it ends.
pub(crate) fn die_with_this(command: &mut Command) {
    let parent = std::process::id();
    let die = move || {
        die_with_parent()?;
        match std::os::unix::process::parent_id() == parent {
            true => Ok(()),
            // It ended before the call above, which sends no signal any more then.
            false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    };
    // SAFETY: between fork and exec only `prctl` and `getppid` are called, which are allowed there,
    // and nothing is allocated: both errors are plain numbers.
    unsafe { command.pre_exec(die) };
}

/// Ends the child `pid`, which leads a group of processes, and all of that group with SIGKILL;
/// waits for the end of the child, which is still to be collected then.
pub(crate) fn kill_group(pid: u32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 1);
    let pid = pid.ok_or(io::Error::from_raw_os_error(libc::ESRCH))?;
    // The number of a child that has been collected may be somebody else's by now.
    look_for_end(pid, libc::WNOHANG)?;
    // SAFETY: the call takes two numbers and touches no memory; the group is that of a child.
    check(unsafe { libc::kill(-pid, libc::SIGKILL) })?;
    look_for_end(pid, 0)
}

/// Looks whether the child `pid` has ended, and collects nothing; waits for it without `WNOHANG`.
fn look_for_end(pid: libc::pid_t, options: libc::c_int) -> io::Result<()> {
    let options = options | libc::WEXITED | libc::WNOWAIT;
    // SAFETY: all zero is a valid `siginfo_t`, and the kernel writes one there.
    check(unsafe {
        let mut info: libc::siginfo_t = MaybeUninit::zeroed().assume_init();
        libc::waitid(libc::P_PID, pid.cast_unsigned(), &raw mut info, options)
    })
    .map(|_| ())
}

/// The signal that was caught first.
pub(crate) fn caught_signal() -> Option<libc::c_int> {
    Some(SIGNAL.load(Ordering::Acquire)).filter(|signal| *signal != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_comes_twice_at_once_is_one() {
        let first_at_ns = AtomicU64::new(0);
        assert!(!is_second(&first_at_ns, 7));
        assert!(!is_second(&first_at_ns, 7 + SAME_NS));
        assert!(is_second(&first_at_ns, 8 + SAME_NS), "counted from the first one");
    }
}

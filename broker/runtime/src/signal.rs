//! Signals that ask the process to end.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::live;

/// Which signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, from a service manager.
    Terminate,
    /// SIGINT, from Ctrl-C.
    Interrupt,
    /// SIGHUP, from a terminal that closes.
    Hangup,
}

static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Waits for SIGTERM, SIGINT, or SIGHUP unless whoever started the process ignores that (`nohup`),
/// as Java does. Once per process, from any executor; signals are caught from the first poll on.
///
/// A second SIGTERM or SIGINT ends the process at once, with a line on standard error; one that
/// comes within 100 ms of the first is the same. A terminal that closes sends SIGHUP more than
/// once, and service managers send it after SIGTERM: after the first signal it does nothing.
///
/// # Errors
/// If the kernel refuses to install the handler.
///
/// # Panics
/// If called twice.
pub async fn terminate() -> io::Result<Signal> {
    assert!(!IS_TAKEN.swap(true, Ordering::Relaxed), "signal::terminate is called once");
    let event = live::sys::waits::event_fd()?;
    let watched = event.as_fd().try_clone_to_owned()?;
    live::sys::signals::catch_signals(event, &[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?;
    loop {
        live::net::readable(watched.as_fd()).await?;
        match live::sys::signals::caught_signal() {
            Some(libc::SIGINT) => return Ok(Signal::Interrupt),
            Some(libc::SIGHUP) => return Ok(Signal::Hangup),
            Some(_) => return Ok(Signal::Terminate),
            None => {}
        }
    }
}

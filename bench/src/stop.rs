//! Ends a run early when SIGTERM or Ctrl-C asks for it.
//!
//! A command that has begun to measure what its table tells comes to its own end: its loads see
//! [`is_requested`], send no more and wait for answers for a moment, and the table tells that it
//! was stopped. Everything else is dropped where it is, which ends the processes that it started
//! and removes its scratch directories.
//!
//! Signals are asked for once per process, and every thread may look whether one came. The rest of
//! the state belongs to the thread that runs the command.

use std::cell::Cell;
use std::future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::task::Poll;

use ringmq_runtime::signal::{self, Signal};
use ringmq_runtime::sync::Notify;

use crate::ending::Ending;
use crate::error::BenchError;

/// The signal that came.
static REQUESTED: OnceLock<Signal> = OnceLock::new();

#[derive(Default)]
struct State {
    table_follows: Cell<bool>,
    dropped: Cell<bool>,
    came: Rc<Notify>,
}

thread_local! {
    static STATE: State = State::default();
}

/// Runs a command to its end, or to that which a signal asks for.
///
/// # Errors
/// Those of the command.
pub async fn run(
    command: impl Future<Output = Result<Ending, BenchError>>,
) -> Result<Ending, BenchError> {
    let mut command = pin!(command);
    let mut dropped = pin!(until_dropped());
    let outcome = future::poll_fn(|context| match command.as_mut().poll(context) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => dropped.as_mut().poll(context).map(|()| None),
    })
    .await;
    let stopped = REQUESTED.get().copied().map(Ending::Stopped);
    match outcome {
        // What was found before the signal counts for more than the signal.
        Some(Ok(Ending::ProofFailed)) => Ok(Ending::ProofFailed),
        Some(outcome) => outcome.map(|ending| stopped.unwrap_or(ending)),
        None => Ok(stopped.expect("only a signal drops a command")),
    }
}

/// Resolves when a signal has come and the command has nothing to tell.
async fn until_dropped() {
    let signal = match signal::terminate().await {
        Ok(signal) => signal,
        Err(error) => {
            eprintln!("bench: SIGTERM and Ctrl-C end it at once: {error}");
            return future::pending().await;
        }
    };
    eprintln!("stopping: {} came; a second SIGTERM or Ctrl-C ends bench at once", name(signal));
    // A closed pipe may have asked before.
    let _ = REQUESTED.set(signal);
    let table_follows = STATE.with(|state| {
        state.came.notify_all();
        state.dropped.set(!state.table_follows.get());
        state.table_follows.get()
    });
    if table_follows {
        future::pending().await
    }
}

/// Runs a part of a command that a signal drops where it is, as it drops a command that has nothing
/// to tell; none then. What comes behind it tells what there is.
pub async fn or_dropped<T>(part: impl Future<Output = T>) -> Option<T> {
    table_follows();
    let mut part = pin!(part);
    let mut signal = pin!(requested());
    let outcome = future::poll_fn(|context| match signal.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => part.as_mut().poll(context).map(Some),
    })
    .await;
    if outcome.is_none() {
        STATE.with(|state| state.dropped.set(true));
    }
    outcome
}

/// Says that from now on the command has something to tell: a signal then lets it come to its end.
pub fn table_follows() {
    STATE.with(|state| state.table_follows.set(true));
}

/// Ends the run as SIGTERM does: what it says is read by nobody any more.
pub fn nobody_reads() {
    if REQUESTED.set(Signal::Terminate).is_ok() {
        STATE.with(|state| state.came.notify_all());
    }
}

/// True when a signal has come: send no more.
pub fn is_requested() -> bool {
    REQUESTED.get().is_some()
}

/// True when the command is dropped where it is, so that nobody looks at what it leaves behind.
pub fn is_dropping() -> bool {
    STATE.with(|state| state.dropped.get())
}

/// Waits for a signal.
pub async fn requested() {
    let came = STATE.with(|state| state.came.clone());
    while !is_requested() {
        came.notified().await;
    }
}

/// What was run, with the signal that ended it, if one did.
pub fn described(workload: String) -> String {
    match REQUESTED.get() {
        Some(&signal) => format!("{workload}; stopped early by {}", name(signal)),
        None => workload,
    }
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Terminate => "SIGTERM",
        Signal::Interrupt => "SIGINT",
        Signal::Hangup => "SIGHUP",
    }
}

//! How a command ended, and what the process says of it.

use std::process::ExitCode;

use ringmq_runtime::signal::Signal;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Good,
    /// Some requests failed, most of an open loop was never sent, or nothing was counted.
    RequestsFailed,
    /// Something acknowledged is not there as it should be.
    ProofFailed,
    /// A comparison found something worse.
    Worse,
    /// A comparison or a race had too little to tell anything.
    TooShort,
    /// A race that was not lost has a goal that was not reached.
    GoalMissed,
    /// A signal has ended it early.
    Stopped(Signal),
}

impl Ending {
    /// The ending of a run by the number of its failed requests.
    pub fn of(failures: u64) -> Self {
        if failures == 0 { Self::Good } else { Self::RequestsFailed }
    }

    /// The exit code: see the help text.
    pub fn code(self) -> ExitCode {
        match self {
            Self::Good => ExitCode::SUCCESS,
            Self::RequestsFailed => ExitCode::from(3),
            Self::ProofFailed => ExitCode::from(4),
            Self::Worse => ExitCode::from(5),
            Self::TooShort => ExitCode::from(6),
            Self::GoalMissed => ExitCode::from(7),
            // As a shell reports a signal: 128 and its number.
            Self::Stopped(Signal::Hangup) => ExitCode::from(129),
            Self::Stopped(Signal::Interrupt) => ExitCode::from(130),
            Self::Stopped(Signal::Terminate) => ExitCode::from(143),
        }
    }
}

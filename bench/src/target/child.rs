//! This program again, in a process of its own: so that its CPU time is told apart, it can be
//! killed, and a fresh clone needs no other binary.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::{process, task};

use crate::error::BenchError;
use crate::leftovers;

/// Time between two looks at whether a process has ended.
const END_POLL: Duration = Duration::from_millis(10);

/// A process of ours. Dropping it ends it.
#[derive(Debug)]
pub struct OwnProcess {
    child: Child,
    _leftover: leftovers::Entry,
}

impl OwnProcess {
    /// Starts this program with `words` and its own number as `--parent`, and waits until it prints
    /// a line that contains `ready`; returns the line, too.
    ///
    /// # Errors
    /// It cannot be started, or stops before it is ready; its own words have gone to standard error
    /// by then.
    pub fn start(words: &[impl AsRef<OsStr>], ready: &str) -> Result<(Self, String), BenchError> {
        let program = std::env::current_exe().map_err(BenchError::Child)?;
        let mut child = Command::new(program)
            .args(words)
            .arg("--parent")
            .arg(process::pid().to_string())
            // Ctrl-C is for bench alone, which then sends no more and lets this process answer.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::Child)?;
        let output = child.stdout.take().expect("standard output was asked for");
        let _leftover = leftovers::process(child.id());
        let mut process = Self { child, _leftover };
        for line in BufReader::new(output).lines() {
            let line = line.map_err(BenchError::Child)?;
            if line.contains(ready) {
                return Ok((process, line));
            }
        }
        let status = process.child.wait().map_err(BenchError::Child)?;
        Err(BenchError::BrokerStopped(status.to_string()))
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far; none when it is gone.
    pub fn usage(&self) -> Option<process::Usage> {
        process::usage_of(self.child.id()).ok()
    }

    /// Asks it to end with SIGTERM, as a service manager does, and waits until it has.
    ///
    /// # Errors
    /// It did not in `limit`.
    pub async fn terminate(&mut self, limit: Duration) -> Result<(), BenchError> {
        ask_to_end(self.child.id())?;
        let asked = Instant::now();
        while self.child.try_wait().map_err(BenchError::Child)?.is_none() {
            if asked.elapsed() > limit {
                return Err(BenchError::DoesNotEnd(limit));
            }
            task::sleep(END_POLL).await;
        }
        Ok(())
    }

    /// Ends it with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// It cannot be signalled.
    pub fn kill(&mut self) -> Result<(), BenchError> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(BenchError::Child)?;
        Ok(())
    }
}

impl Drop for OwnProcess {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.kill();
    }
}

/// Sends SIGTERM.
///
/// # Errors
/// The process cannot be signalled.
pub fn ask_to_end(pid: u32) -> Result<(), BenchError> {
    let words = ["-TERM", &pid.to_string()];
    Command::new("kill").args(words).status().map_err(BenchError::Child).map(|_| ())
}

/// Is such a process: does `work`, and ends with the process `parent` that started it, even where
/// that is killed.
pub fn serve(parent: u32, work: impl FnOnce() -> ExitCode) -> ExitCode {
    match process::end_with(parent) {
        Ok(()) => work(),
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(1)
        }
    }
}

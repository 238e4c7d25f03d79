//! Programs that run beside a task: started, watched and always ended.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::workspace::{Outcome, at};

const POLL: Duration = Duration::from_millis(20);

/// A running child process whose output goes to a file; it is killed when this is dropped.
pub struct Background {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Background {
    /// Starts the program; both outputs go to `log`.
    ///
    /// # Errors
    /// The program is missing or the log cannot be written.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Outcome<Self> {
        let out = File::create(log).map_err(at(log))?;
        let err = out.try_clone().map_err(at(log))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_path_buf() })
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` holds.
    ///
    /// # Errors
    /// The program ended, or `limit` passed; the sentence has the end of its log.
    pub fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut(&str) -> bool) -> Outcome {
        let deadline = Instant::now() + limit;
        loop {
            if ready(&self.output()) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{} ended with {status}:\n{}", self.name, self.log_end()));
            }
            if Instant::now() > deadline {
                let name = &self.name;
                return Err(format!("{name} not ready in {limit:?}:\n{}", self.log_end()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Waits for the end of the program.
    ///
    /// # Errors
    /// `limit` passed; the program is killed then.
    pub fn wait(&mut self, limit: Duration) -> Outcome<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                self.kill();
                return Err(format!("{} did not end in {limit:?}", self.name));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Whether the program has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Everything it wrote so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn log_end(&self) -> String {
        const LINES: usize = 20;
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// SIGTERM, and SIGKILL when the program has not ended within `limit`.
    ///
    /// # Errors
    /// It had to be killed, or ended with a failure; `Ok` means that it stopped cleanly.
    pub fn stop(mut self, limit: Duration) -> Outcome {
        if self.has_ended() {
            return Err(format!("{} ended by itself:\n{}", self.name, self.log_end()));
        }
        // The standard library knows only SIGKILL.
        let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.id())]).status();
        asked.map_err(|error| format!("cannot send SIGTERM: {error}"))?;
        let status = self.wait(limit)?;
        // A JVM reports the signal in its status, and so does bench.
        const JVM_TERMINATED: i32 = 143;
        if status.success() || status.code() == Some(JVM_TERMINATED) {
            Ok(())
        } else {
            Err(format!("{} ended with {status} on SIGTERM:\n{}", self.name, self.log_end()))
        }
    }

    /// SIGKILL, without a goodbye.
    pub fn kill(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.kill();
    }
}

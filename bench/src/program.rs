//! Programs that bench needs beside its own: the brokers of a race, perf, tools of the page cache.
//! Started, watched through their output, and always ended by their number.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::Disk;
use ringmq_runtime::{process, task};

use crate::error::BenchError;
use crate::files;
use crate::leftovers;
use crate::target::child::ask_to_end;

/// Time between two looks at a program.
const POLL: Duration = Duration::from_millis(200);

/// Most output that is looked at.
const OUTPUT_MAX_BYTES: usize = 64 << 20;

/// Last lines that are shown when it fails.
const SHOWN_LINES: usize = 12;

/// A child process whose output goes to a file. Dropping it ends it and what it started with
/// SIGKILL; so does the end of bench, whatever that is.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
    _leftover: leftovers::Entry,
}

impl Program {
    /// Starts `words`, the program first; both outputs go to the file `log`.
    ///
    /// # Errors
    /// No process can be made. That the program is missing shows in its output.
    pub fn start<W: AsRef<OsStr>>(name: &str, words: &[W], log: &Path) -> Result<Self, BenchError> {
        // The shell opens the log and becomes the program, which so has the number of the child.
        let mut command = Command::new("sh");
        command
            .args(["-c", "log=$1; shift; exec \"$@\" >\"$log\" 2>&1", "sh"])
            .arg(log)
            .args(words)
            // Ctrl-C is for bench alone, which then ends this process.
            .process_group(0)
            .stdin(Stdio::null());
        process::ends_with_this(&mut command);
        let child = command.spawn().map_err(BenchError::Child)?;
        let _leftover = leftovers::process(child.id());
        Ok(Self { name: name.to_owned(), child, log: log.to_owned(), _leftover })
    }

    /// What it has written so far.
    pub async fn output(&self) -> String {
        let read = files::read(&self.log, OUTPUT_MAX_BYTES).await;
        String::from_utf8_lossy(&read.unwrap_or_default()).into_owned()
    }

    /// Waits until `ready` holds of its output.
    ///
    /// # Errors
    /// It ended before, or `limit` passed; the sentence has the end of its output.
    pub async fn wait_until(
        &mut self,
        limit: Duration,
        ready: impl Fn(&str) -> bool,
    ) -> Result<(), BenchError> {
        let deadline = Instant::now() + limit;
        loop {
            if ready(&self.output().await) {
                return Ok(());
            }
            if let Some(status) = self.ended()? {
                return Err(self.failed(&format!("ended with {status}")).await);
            }
            if Instant::now() > deadline {
                return Err(self.failed(&format!("not ready in {limit:?}")).await);
            }
            task::sleep(POLL).await;
        }
    }

    /// Waits for its end, which must be a good one, and tells what it has written.
    ///
    /// # Errors
    /// It failed, or `limit` passed.
    pub async fn wait(mut self, limit: Duration) -> Result<String, BenchError> {
        self.end(limit).await?;
        Ok(self.output().await)
    }

    /// The same of one whose output is not looked at.
    ///
    /// # Errors
    /// As for [`Program::wait`].
    pub async fn end(&mut self, limit: Duration) -> Result<(), BenchError> {
        match self.end_within(limit).await? {
            status if status.success() => Ok(()),
            status => Err(self.failed(&format!("ended with {status}")).await),
        }
    }

    /// Asks it to end with SIGTERM, as a service manager does, and waits until it has.
    ///
    /// # Errors
    /// It did not in `limit`.
    pub async fn terminate(&mut self, limit: Duration) -> Result<(), BenchError> {
        ask_to_end(self.child.id())?;
        self.end_within(limit).await.map(|_| ())
    }

    async fn end_within(&mut self, limit: Duration) -> Result<ExitStatus, BenchError> {
        let deadline = Instant::now() + limit;
        loop {
            match self.ended()? {
                Some(status) => return Ok(status),
                None if Instant::now() > deadline => {
                    return Err(self.failed(&format!("did not end in {limit:?}")).await);
                }
                None => task::sleep(POLL).await,
            }
        }
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn is_running(&mut self) -> Result<bool, BenchError> {
        Ok(self.ended()?.is_none())
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, BenchError> {
        self.child.try_wait().map_err(BenchError::Child)
    }

    /// The error that says so of it, with the end of its output.
    pub async fn failed(&self, what: &str) -> BenchError {
        let output = self.output().await;
        let lines: Vec<&str> = output.lines().collect();
        let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        BenchError::program(&self.name, format!("{what}:\n{shown}"))
    }

    /// Its number and those of all processes below it.
    pub async fn tree(&self) -> Vec<u32> {
        let Ok(proc) = Disk::live("/proc") else { return vec![self.child.id()] };
        let mut pids = vec![self.child.id()];
        let mut looked_at = 0;
        while let Some(&pid) = pids.get(looked_at) {
            looked_at += 1;
            // Children hang on the thread that made them.
            let threads = proc.list(format!("{pid}/task")).await.unwrap_or_default();
            for thread in threads {
                let file = format!("{pid}/task/{}/children", thread.name);
                let bytes = proc.read_all(file, OUTPUT_MAX_BYTES).await.unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes);
                pids.extend(
                    text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()),
                );
            }
        }
        pids
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = process::kill_group(self.child.id());
        let _ = self.child.wait();
    }
}

/// What processes have used together.
pub fn usage_of(pids: &[u32]) -> process::Usage {
    let usages = pids.iter().filter_map(|&pid| process::usage_of(pid).ok());
    usages.fold(process::Usage::default(), process::Usage::and)
}

/// What a tool says of its version; that it is there.
///
/// # Errors
/// It is not; `fix` tells how to get it.
pub fn version_of(tool: &str, flag: &str, fix: &str) -> Result<String, BenchError> {
    let output = Command::new(tool).arg(flag).stdin(Stdio::null()).output();
    let output = output.map_err(|error| BenchError::program(tool, format!("{error}; {fix}")))?;
    // Java speaks on standard error.
    let all = [output.stdout, output.stderr].concat();
    let first = String::from_utf8_lossy(&all).lines().next().unwrap_or_default().to_owned();
    match output.status.success() {
        true => Ok(first),
        false => Err(BenchError::program(tool, format!("{}: {first}; {fix}", output.status))),
    }
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::shards;

    use super::*;

    fn check<F: Future<Output = ()> + 'static>(test: impl FnOnce(PathBuf) -> F + Send + 'static) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        shards::try_block_on("test", async move { test(log).await }).unwrap();
    }

    #[test]
    fn a_program_is_watched_and_ended_with_all_that_it_used() {
        check(async |log| {
            let words = ["sh", "-c", "echo ready; sleep 600 & wait"];
            let mut program = Program::start("sleeper", &words, &log).unwrap();
            program.wait_until(Duration::from_secs(20), |text| text == "ready\n").await.unwrap();
            let mut tree = program.tree().await;
            let deadline = Instant::now() + Duration::from_secs(20);
            while tree.len() < 2 && Instant::now() < deadline {
                task::sleep(POLL).await;
                tree = program.tree().await;
            }
            assert_eq!(tree.len(), 2, "the shell and its sleep");
            assert!(usage_of(&tree).rss_bytes > usage_of(&tree[..1]).rss_bytes);
            drop(program);
            assert!(process::usage_of(tree[0]).is_err(), "the program has ended");
            // Nobody can wait for what is not a child.
            while process::usage_of(tree[1]).is_ok() {
                assert!(Instant::now() < deadline, "what it started ends as well");
                task::sleep(POLL).await;
            }
        });
    }

    #[test]
    fn what_a_failing_program_said_is_told() {
        check(async |log| {
            let words = ["sh", "-c", "echo no such flag; exit 3"];
            let mut program = Program::start("picky", &words, &log).unwrap();
            let error = program.wait_until(Duration::from_secs(20), |_| false).await.unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("picky: ended with") && text.contains("no such flag"));
        });
    }

    #[test]
    fn a_missing_tool_comes_with_its_fix() {
        let error = version_of("no-such-tool-here", "-v", "install it").unwrap_err().to_string();
        assert!(error.starts_with("no-such-tool-here: ") && error.ends_with("; install it"));
    }
}

//! A program in a process of its own: what it says, how it ends. Every wait has an end, and no
//! process outlives its test.

use std::io::{BufRead, BufReader, Read as _};
use std::process::{Child as Process, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

/// Longest wait for a line or the end; a start takes milliseconds, but the machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Time between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// What prints when clients are served.
const BOOT_LINE: &str = "boot success";

pub struct Child {
    process: Process,
    output: Option<BufReader<ChildStdout>>,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// Standard output from the last awaited line on.
    pub output: String,
    pub errors: String,
}

/// The same command with SIGHUP as it is by default: whoever runs the tests under `nohup` has it
/// ignored, and programs inherit that.
fn with_sighup(command: &Command) -> Command {
    let mut same = Command::new("env");
    same.arg("--default-signal=HUP").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => same.env(name, value),
            None => same.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        same.current_dir(directory);
    }
    same
}

impl Child {
    /// Starts it with an environment of its own, so that the tester's does not count.
    pub fn start(command: &mut Command) -> Self {
        command.env_remove("NAMESRV_ADDR").env_remove("RINGMQ_LOG");
        Self::start_as_is(command)
    }

    /// As [`Child::start`], with the environment that `command` has.
    pub fn start_as_is(command: &mut Command) -> Self {
        let mut command = with_sighup(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the program can be started");
        let output = process.stdout.take().map(BufReader::new);
        Self { process, output }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the line that says it serves.
    pub async fn booted(&mut self) -> String {
        let line = self.boots().await;
        line.unwrap_or_else(|| panic!("it ended before it served: {}", self.errors()))
    }

    /// As [`Child::booted`]; none when it ended instead.
    pub async fn boots(&mut self) -> Option<String> {
        self.says(BOOT_LINE).await
    }

    /// Waits for the line of its standard output that holds `words`; none when it ended instead.
    pub async fn says(&mut self, words: &'static str) -> Option<String> {
        let mut output = self.output.take().expect("nobody else reads it");
        let read = task::blocking(move || {
            let mut line = String::new();
            while !line.contains(words) {
                line.clear();
                if output.read_line(&mut line).expect("a pipe") == 0 {
                    return (output, None);
                }
            }
            (output, Some(line))
        });
        let (output, line) =
            task::timeout(TIMEOUT, read).await.expect("it says so or ends in time");
        self.output = Some(output);
        line
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").arg(format!("-{name}")).arg(pid).status();
        assert!(sent.expect("kill").success(), "the process takes {name}");
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Ended {
        let deadline = Instant::now() + TIMEOUT;
        let status = loop {
            if let Some(status) = self.process.try_wait().expect("its state") {
                break status;
            }
            assert!(Instant::now() < deadline, "it ends in time");
            task::sleep(LOOK).await;
        };
        let mut output = String::new();
        let rest = self.output.take().expect("nobody else reads it").read_to_string(&mut output);
        rest.expect("text");
        Ended { status, output, errors: self.errors() }
    }

    /// Asks it to stop and expects that it does so without an error.
    pub async fn stop(self, signal: &str) {
        self.signal(signal);
        let ended = self.ended().await;
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(!ended.errors.contains("ERROR"), "{ended:?}");
    }

    /// What it wrote to standard error, once it has ended.
    fn errors(&mut self) -> String {
        let mut errors = String::new();
        let mut pipe = self.process.stderr.take().expect("read once");
        pipe.read_to_string(&mut errors).expect("text");
        errors
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Ended {
    /// Checks the exit status, and that what it said holds these facts and no terminal's colours.
    pub fn expect(&self, code: i32, facts: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        for fact in facts {
            assert!(self.errors.contains(fact), "{fact:?} is missing in: {}", self.errors);
        }
        assert!(!self.errors.contains('\x1b'), "colours where no terminal is: {:?}", self.errors);
    }
}

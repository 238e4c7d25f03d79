//! Signals: a run that is stopped says what it measured and leaves nothing behind.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that watches a real process from outside, with no executor of its own"
)]

use std::fs::DirEntry;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// For a process to end, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A load that only a signal ends.
pub const ENDLESS: [&str; 8] =
    ["produce", "--no-limits", "--warm-up", "0", "--duration", "600", "--connections", "2"];

/// A started `bench`, in a group of processes of its own as a shell makes one.
pub struct Running {
    child: Child,
    errors: BufReader<ChildStderr>,
    folder: TempDir,
}

impl Running {
    /// Starts `bench` and waits for a line on standard error that contains `sign`.
    pub fn start(words: &[&str], sign: &str) -> Self {
        Self::start_in(super::folder(), words, sign)
    }

    /// The same in a folder; programs in its `bin` come before all others.
    pub fn start_in(folder: TempDir, words: &[&str], sign: &str) -> Self {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", folder.path().join("bin").display());
        let mut child = Command::new(env!("CARGO_BIN_EXE_bench"))
            .args(words)
            .current_dir(folder.path())
            .env_remove("RUST_LOG")
            .env("PATH", path)
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bench can be started");
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains(sign) {
            line.clear();
            assert!(errors.read_line(&mut line).unwrap() > 0, "it says {sign:?} before it ends");
        }
        Self { child, errors, folder }
    }

    /// Where it works.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where its name server and its broker listen.
    pub fn addresses(&self) -> (String, String) {
        let settings = super::broker_settings(self.folder.path());
        let at = |key| format!("127.0.0.1:{}", super::port(&settings, key));
        (at("embeddedNamesrvPort="), at("listenPort="))
    }

    /// Sends a signal to the process, or to its whole group as Ctrl-C in a terminal does.
    pub fn signal(&self, name: &str, to_group: bool) {
        let pid = self.child.id().to_string();
        let to = if to_group { format!("-{pid}") } else { pid };
        let sent = Command::new("kill").args(["-s", name, "--", &to]).status();
        assert!(sent.expect("kill").success(), "{name} is sent to {to}");
    }

    /// Waits until the process has a thread of this name that is bound to this core.
    pub fn wait_for_bound(&self, thread: &str, core: usize) {
        let started = Instant::now();
        while !self.has_bound(thread, core) {
            assert!(started.elapsed() < PATIENCE, "{thread:?} is bound to core {core}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn has_bound(&self, thread: &str, core: usize) -> bool {
        let (name, cores) = (format!("Name:\t{thread}"), format!("Cpus_allowed_list:\t{core}"));
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let status = |thread: DirEntry| std::fs::read_to_string(thread.path().join("status")).ok();
        let is_it = |status: String| {
            [&name, &cores].iter().all(|it| status.lines().any(|line| line == **it))
        };
        threads.flatten().filter_map(status).any(is_it)
    }

    /// Waits for its end; its status and what it printed.
    pub fn ended(&mut self) -> (ExitStatus, String) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < PATIENCE, "it ends in time");
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut output = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        (status, output)
    }

    fn assert_nothing_is_left(&self) {
        assert_eq!(processes_in(self.folder.path()), Vec::<u32>::new());
        let data = self.folder.path().join("data");
        assert_eq!(data.read_dir().unwrap().count(), 0, "its files are removed");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only where a test has failed is there anything to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processes that work in `folder`: `bench` and the broker that it started, whose parent it may
/// not be any more.
pub fn processes_in(folder: &Path) -> Vec<u32> {
    let folder = folder.canonicalize().unwrap();
    let processes = Path::new("/proc").read_dir().unwrap().flatten();
    let number = |name: &std::ffi::OsStr| name.to_str()?.parse::<u32>().ok();
    processes
        .filter(|process| process.path().join("cwd").read_link().is_ok_and(|cwd| cwd == folder))
        .filter_map(|process| number(&process.file_name()))
        .collect()
}

/// Waits until no process works in `folder` any more.
pub fn wait_until_nobody_is_left(folder: &Path) {
    let begun = Instant::now();
    while !processes_in(folder).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "all processes end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_run_that_is_asked_to_end_prints_its_table_and_leaves_nothing_behind() {
    let mut running = Running::start(&ENDLESS, "msg/s");
    assert_eq!(processes_in(running.folder.path()).len(), 2);
    running.signal("TERM", false);
    let (status, output) = running.ended();
    assert_eq!(status.code(), Some(143), "{output}");
    assert!(output.contains("; stopped early by SIGTERM\n"), "{output}");
    assert!(output.contains("msg/s") && output.contains("p99.99"), "{output}");
    running.assert_nothing_is_left();
}

#[test]
fn ctrl_c_ends_the_load_before_the_broker_so_that_no_request_fails() {
    let mut running = Running::start(&[&ENDLESS[..], &["--json"]].concat(), "msg/s");
    running.signal("INT", true);
    let (status, output) = running.ended();
    assert_eq!(status.code(), Some(130), "{output}");
    let report: Value = serde_json::from_str(&output).unwrap();
    super::assert_counted(&report);
    assert!(report["workload"].as_str().unwrap().ends_with("stopped early by SIGINT"));
    running.assert_nothing_is_left();
}

#[test]
fn a_signal_before_anything_is_measured_ends_it_at_once() {
    let mut running = Running::start(&["consume", "--fill", "100M"], "filling with");
    running.signal("TERM", false);
    let (status, output) = running.ended();
    assert_eq!((status.code(), output.as_str()), (Some(143), ""));
    running.assert_nothing_is_left();
}

#[test]
fn a_broker_ends_with_the_bench_that_started_it_even_if_that_is_killed() {
    let mut running = Running::start(&ENDLESS, "msg/s");
    running.signal("KILL", false);
    assert_eq!(running.ended().0.code(), None);
    wait_until_nobody_is_left(running.folder());
    // What it wrote to standard error has an end, too: nobody holds the other side.
    let mut rest = String::new();
    running.errors.read_to_string(&mut rest).unwrap();
}

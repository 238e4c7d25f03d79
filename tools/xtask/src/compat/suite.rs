//! The clients: how each suite is built and run, and what it reported.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::background::Background;
use crate::check::cargo;
use crate::java::{self, VERSION_4, VERSION_5};
use crate::process;
use crate::workspace::{Outcome, at, compat_target, root, target};

/// A suite against a healthy server takes 30 s at most; one whose every wait runs out still ends
/// within this.
const SUITE_LIMIT: Duration = Duration::from_secs(420);

/// A client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Suite {
    /// rocketmq-client 5.5.0
    Java55,
    /// rocketmq-client 4.9.7
    Java49,
    /// rocketmq-client-go v2
    Go,
    /// ali-ons
    Node,
    /// Our own, `client/examples/exercise`
    Ringmq,
}

/// What a suite printed.
#[derive(Clone, Debug)]
pub struct Report {
    pub title: String,
    pub passed: usize,
    /// Name and reason of each failed scenario.
    pub failed: Vec<String>,
    pub took: Duration,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Java55, Self::Java49, Self::Go, Self::Node, Self::Ringmq];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Java55 => "java55",
            Self::Java49 => "java49",
            Self::Go => "go",
            Self::Node => "node",
            Self::Ringmq => "ringmq",
        }
    }

    /// Whether it is one of the two Java clients, whose scenarios have the same names.
    pub fn is_java(self) -> bool {
        matches!(self, Self::Java55 | Self::Java49)
    }

    /// Builds what is not built yet.
    ///
    /// # Errors
    /// A tool is missing or fails.
    pub fn build(self) -> Outcome {
        match self {
            Self::Java55 => java::build("java", VERSION_5).map(drop),
            Self::Java49 => java::build("java", VERSION_4).map(drop),
            // The go command has a cache of its own.
            Self::Go => process::run(
                Command::new("go")
                    .args(["build", "-o"])
                    .arg(compat_target().join("go-suite"))
                    .current_dir(root().join("tools/compat/go")),
            ),
            Self::Node => install_node_modules(),
            // With the features of the tests, so that what those have built is used.
            Self::Ringmq => process::run(cargo().args([
                "build",
                "--quiet",
                "--workspace",
                "--example",
                "exercise",
            ])),
        }
    }

    /// Runs the suite, or with `scenario` one scenario of it, against a cluster; prints its lines
    /// as they come.
    ///
    /// # Errors
    /// The suite cannot be started or does not end.
    pub fn run(self, run: &Run<'_>) -> Outcome<Report> {
        let home = compat_target().join("home");
        std::fs::create_dir_all(&home).map_err(at(&home))?;
        let mut command = self.command(&home)?;
        let dash = if self == Self::Go { "-" } else { "--" };
        command
            .args([&format!("{dash}namesrv"), &run.namesrv.to_string()])
            .args([&format!("{dash}broker"), &run.broker.to_string()])
            .args([&format!("{dash}scenario"), run.scenario])
            .args([&format!("{dash}run-id"), run.run_id]);
        if self.is_java() && !run.without.is_empty() {
            command.args(["--without", run.without]);
        }
        let log = run.folder.join(format!("{}-{}.log", self.name(), run.run_id));
        let began = Instant::now();
        let mut suite = Background::start(self.name(), &mut command, &log)?;
        let ended = suite.wait(SUITE_LIMIT);
        let output = suite.output();
        let title = format!("{} {}", self.name(), run.title);
        let mut report = Report { title, passed: 0, failed: Vec::new(), took: began.elapsed() };
        for line in output.lines() {
            if line.starts_with("PASS ") {
                report.passed += 1;
            } else if let Some(reason) = line.strip_prefix("FAIL ") {
                println!("FAIL {}: {reason}", report.title);
                report.failed.push(reason.to_owned());
            }
        }
        let closing = format!("{} passed, {} failed", report.passed, report.failed.len());
        if !output.contains(&closing) || report.passed + report.failed.len() == 0 {
            report.failed.push(format!("the suite did not end well, see {}", log.display()));
        }
        ended?;
        Ok(report)
    }

    fn command(self, home: &Path) -> Outcome<Command> {
        let tools = root().join("tools/compat");
        Ok(match self {
            Self::Java55 => java_command(VERSION_5, home)?,
            Self::Java49 => java_command(VERSION_4, home)?,
            Self::Go => {
                let mut command = Command::new(compat_target().join("go-suite"));
                command.env("rocketmq.client.localOffsetStoreDir", home);
                command
            }
            Self::Node => {
                let mut command = Command::new("node");
                command.arg("--max-old-space-size=600").arg(tools.join("node/main.js"));
                command.env("HOME", home);
                command
            }
            Self::Ringmq => Command::new(target().join("debug/examples/exercise")),
        })
    }
}

/// One run of a suite.
pub struct Run<'a> {
    pub namesrv: SocketAddr,
    pub broker: SocketAddr,
    /// `all`, or names with commas between.
    pub scenario: &'a str,
    /// Names that are left out of `all`, with commas between; only for Java.
    pub without: &'a str,
    /// Makes the names of topics and groups unique.
    pub run_id: &'a str,
    /// What it runs against, for the report.
    pub title: &'a str,
    /// Gets the log.
    pub folder: &'a Path,
}

fn java_command(version: &str, home: &Path) -> Outcome<Command> {
    // Its logs and the progress of broadcasting consumers go below the home folder.
    let options = [format!("-Duser.home={}", home.display())];
    Ok(java::build("java", version)?.command_with(&options, "compat.CompatMain", 512))
}

/// Runs `npm ci` when the lock file is newer than what is installed.
fn install_node_modules() -> Outcome {
    let folder = root().join("tools/compat/node");
    let stamp = folder.join("node_modules/.package-lock.json");
    let modified = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    if modified(&stamp).is_some_and(|at| Some(at) >= modified(&folder.join("package-lock.json"))) {
        return Ok(());
    }
    println!("installing the packages of tools/compat/node");
    process::quiet(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(folder),
    )
}

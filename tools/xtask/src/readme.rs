//! What the README prints is run as printed: its first command, and the tour with a Java client.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::background::Background;
use crate::check::stage;
use crate::compat::run_folder;
use crate::java;
use crate::probe;
use crate::process;
use crate::workspace::{Outcome, at, compat_target, root};

/// Where the tour's name server and broker listen, and the VIP port of the broker.
const TOUR_PORTS: [u16; 3] = [9876, 10911, 10909];

/// What the broker prints once it serves; the README quotes it.
const BOOTED: &str = "boot success. serializeType=JSON and name server is 127.0.0.1:9876";

/// The command may have to build first.
const START_LIMIT: Duration = Duration::from_secs(600);
const TOUR_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Columns of the tables at the end of a measurement.
const COLUMNS: [&str; 7] = ["msg/s", "p50", "p95", "p99", "p99.9", "p99.99", "max"];

/// Messages that the tour sends and receives.
const TOUR_MESSAGES: usize = 10;

/// Runs the README's first command and its tour.
///
/// # Errors
/// The README lacks a part, or a part does not do what it says.
pub fn run() -> Outcome {
    let file = root().join("README.md");
    let text = std::fs::read_to_string(&file).map_err(at(&file))?;
    let readme = Readme { text };
    stage("README: test command", || test_command(&readme))?;
    stage("README: first command", || first_command(&readme))?;
    stage("README: tour", || tour(&readme))
}

struct Readme {
    text: String,
}

impl Readme {
    /// The fenced blocks of a language, in their order.
    fn blocks<'a>(&'a self, language: &str) -> impl Iterator<Item = &'a str> {
        // Every second piece between fences is a block, and begins with its language.
        let first_line = format!("{language}\n");
        let inside = self.text.split("```").skip(1).step_by(2);
        inside.filter_map(move |block| block.strip_prefix(&first_line))
    }

    /// The command in a line of a shell block, without the comment behind it; both count from 0.
    fn command(&self, block: usize, line: usize) -> Outcome<&str> {
        let line = self.blocks("sh").nth(block).and_then(|block| block.lines().nth(line));
        let command = line.and_then(|line| line.split('#').next()).map(str::trim);
        command.ok_or_else(|| format!("shell block {block} of the README is too short"))
    }

    fn only(&self, language: &str) -> Outcome<&str> {
        let mut blocks = self.blocks(language);
        match (blocks.next(), blocks.next()) {
            (Some(block), None) => Ok(block),
            _ => Err(format!("expected one block of {language} in the README")),
        }
    }
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    // In place of the shell, so that a signal reaches the program.
    shell.args(["-c", &format!("exec {command}")]).current_dir(root());
    shell
}

/// CI runs it in a stage of its own, and would run another one if the README changed.
fn test_command(readme: &Readme) -> Outcome {
    let command = readme.command(0, 1)?;
    let file = root().join(".ci/run");
    let stages = std::fs::read_to_string(&file).map_err(at(&file))?;
    let is_run = stages.lines().any(|line| line == format!("stage \"tests\" {command}"));
    if is_run { Ok(()) } else { Err(format!("{} does not run `{command}`", file.display())) }
}

fn first_command(readme: &Readme) -> Outcome {
    let command = readme.command(0, 0)?;
    println!("{command}");
    let output = process::output(&mut shell(command))?;
    print!("{output}");
    for expected in COLUMNS {
        // Whole words: "p99.9" would be found in "p99.99".
        if !output.split_whitespace().any(|word| word == expected) {
            return Err(format!("`{command}` printed a table without {expected}"));
        }
    }
    Ok(())
}

fn tour(readme: &Readme) -> Outcome {
    if let Some(port) = TOUR_PORTS.into_iter().find(|port| !probe::is_free(*port)) {
        return Err(format!("the tour needs port {port}, which is in use: stop what uses it"));
    }
    let folder = run_folder("tour", false)?;
    let program = compile(readme, &folder)?;
    // In a folder of its own: the broker keeps its data in ./data.
    let command = readme.command(1, 0)?;
    println!("{command}");
    let mut start = shell(command);
    start.current_dir(&folder);
    let mut broker = Background::start("the broker", &mut start, &folder.join("broker.log"))?;
    broker.wait_until(START_LIMIT, |output| output.contains(BOOTED))?;
    let log = folder.join("tour.log");
    let home = [format!("-Duser.home={}", folder.join("home").display())];
    let mut tour =
        Background::start("the tour", &mut program.command_with(&home, "Tour", 256), &log)?;
    let status = tour.wait(TOUR_LIMIT)?;
    let printed = tour.output();
    if !status.success() {
        return Err(format!("the tour ended with {status}:\n{printed}"));
    }
    check_tour(&printed)?;
    broker.stop(STOP_LIMIT)
}

/// Every message was stored and came once.
fn check_tour(printed: &str) -> Outcome {
    let stored = printed.lines().filter(|line| line.contains("SEND_OK")).count();
    let mut came: Vec<&str> = printed.lines().filter(|line| line.starts_with("hello ")).collect();
    came.sort_unstable();
    let expected: Vec<String> =
        (0..TOUR_MESSAGES).map(|number| format!("hello {number}")).collect();
    if stored == TOUR_MESSAGES && came == expected {
        println!("{stored} messages sent and received");
        return Ok(());
    }
    Err(format!(
        "the tour sent {stored} of {TOUR_MESSAGES} messages and received {came:?}:\n{printed}"
    ))
}

/// Builds the program of the tour with the dependency that the README names.
fn compile(readme: &Readme, folder: &Path) -> Outcome<java::Program> {
    const MARK: &str = "<!-- the dependency that README.md prints -->";
    let template = root().join("tools/compat/tour/pom.xml");
    let pom = std::fs::read_to_string(&template).map_err(at(&template))?;
    if !pom.contains(MARK) {
        return Err(format!("{} has no line {MARK}", template.display()));
    }
    let source = folder.join("source");
    std::fs::create_dir_all(&source).map_err(at(&source))?;
    for (name, text) in [
        ("pom.xml", pom.replace(MARK, readme.only("xml")?)),
        ("Tour.java", readme.only("java")?.into()),
    ] {
        let path = source.join(name);
        std::fs::write(&path, text).map_err(at(&path))?;
    }
    java::build_in(&source, &compat_target().join("tour"), java::VERSION_5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_by_language_and_commands_without_their_comments() {
        let text =
            "a\n```sh\ncargo run   # what it does\nmore\n```\n\n```xml\n<a/>\n```\n```sh\nb\n```\n";
        let readme = Readme { text: text.into() };
        assert_eq!(readme.command(0, 0), Ok("cargo run"));
        assert_eq!(readme.command(0, 1), Ok("more"));
        assert_eq!(readme.command(1, 0), Ok("b"));
        assert!(readme.command(0, 2).is_err() && readme.command(2, 0).is_err());
        assert_eq!(readme.only("xml"), Ok("<a/>\n"));
        assert!(readme.only("sh").is_err() && readme.only("java").is_err());
    }

    #[test]
    fn a_message_that_is_missing_or_doubled_fails_the_tour() {
        let line = |number| format!("SendResult [sendStatus=SEND_OK]\nhello {number}\n");
        let whole: String = (0..TOUR_MESSAGES).map(line).collect();
        assert_eq!(check_tour(&whole), Ok(()));
        assert!(check_tour(&whole.replace("hello 3\n", "")).is_err());
        assert!(check_tour(&(whole + "hello 3\n")).is_err());
    }
}

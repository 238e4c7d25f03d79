//! Programs that run to their end.

use std::process::{Command, Stdio};

use crate::workspace::Outcome;

/// Runs a program, shows its output, and fails when it fails.
///
/// # Errors
/// The program is missing, or its exit status is not 0.
pub fn run(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|error| start_failure(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", name(command))) }
}

/// Runs a program without showing its output, unless it fails.
///
/// # Errors
/// The program is missing, or its exit status is not 0; the sentence has its output.
pub fn quiet(command: &mut Command) -> Outcome {
    let done = command.output().map_err(|error| start_failure(command, &error))?;
    if done.status.success() {
        return Ok(());
    }
    let text = [done.stdout, done.stderr].concat();
    Err(format!(
        "{} ended with {}:\n{}",
        name(command),
        done.status,
        String::from_utf8_lossy(&text)
    ))
}

/// Runs a program and returns what it wrote to its standard output.
///
/// # Errors
/// The program is missing, its exit status is not 0, or its output is not UTF-8.
pub fn output(command: &mut Command) -> Outcome<String> {
    output_of_exit(command, 0)
}

/// The same of a program that must end with the exit code `code`.
///
/// # Errors
/// The program is missing, ends otherwise, or its output is not UTF-8.
pub fn output_of_exit(command: &mut Command, code: i32) -> Outcome<String> {
    let done = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| start_failure(command, &error))?;
    if done.status.code() != Some(code) {
        return Err(format!("{} ended with {}", name(command), done.status));
    }
    String::from_utf8(done.stdout).map_err(|_| format!("{} printed no UTF-8", name(command)))
}

fn start_failure(command: &Command, error: &std::io::Error) -> String {
    format!("cannot start {}: {error}", name(command))
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

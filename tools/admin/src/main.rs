//! `mqadmin`: administration of a RocketMQ cluster on the command line, with Apache's commands and
//! options.
//!
//! Commands are found in any letter case. Tables are for people and keep the words that scripts
//! look for (`create topic to ... success`); `--json` prints one JSON value for programs. Unlike
//! Apache's tool a command that failed ends with exit status 1.

mod commands;
mod report;
mod target;
mod times;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use futures_lite::future::block_on;
use ringmq_client::Client;
use ringmq_client::config::ClientConfig;
use ringmq_version::VERSION;

use commands::Command;
use report::Report;
use target::Failure;

/// Longest wait for an answer (Apache's tools: 5 s, 15 s for statistics).
const TIMEOUT: Duration = Duration::from_secs(15);

const EXAMPLES: &str = "\
Examples:
  mqadmin clusterList -n 127.0.0.1:9876
  mqadmin updateTopic -n 127.0.0.1:9876 -c DefaultCluster -t Orders -r 8 -w 8
  mqadmin topicStatus -t Orders                     name servers from NAMESRV_ADDR
  mqadmin consumerProgress -g billing --json
  mqadmin updateBrokerConfig -b 10.0.0.5:10911 -k brokerPermission -v 4

Exit status:
  0  done
  1  the command failed, or a listing lacks something; standard error says why
  2  the command line is wrong

Environment:
  NAMESRV_ADDR   name servers, when -n does not give them; without both 127.0.0.1:9876
  TZ             time zone of the times that are read and printed";

/// Administration of a RocketMQ cluster.
#[derive(Debug, Parser)]
#[command(name = "mqadmin", version = VERSION, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    /// Name servers: ip:port;ip:port [default: NAMESRV_ADDR, else 127.0.0.1:9876].
    #[arg(short = 'n', long = "namesrvAddr", global = true, value_name = "ADDRESSES")]
    namesrv_addr: Option<String>,

    /// Print one JSON value instead of text.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(with_known_spelling(std::env::args_os()));
    let servers = arguments.namesrv_addr.or_else(|| std::env::var("NAMESRV_ADDR").ok());
    let servers = servers.as_deref().unwrap_or("127.0.0.1:9876");
    match block_on(run(&arguments.command, servers)) {
        Ok(report) => {
            let text = if arguments.json { report.json_text() } else { report.text() };
            // A reader that went away, such as `head`, is no failure.
            let _ = io::stdout().lock().write_all(text.as_bytes());
            if let (false, Some(hint)) = (arguments.json, report.hint()) {
                let _ = writeln!(io::stderr(), "mqadmin: {hint}");
            }
            let mut code = ExitCode::SUCCESS;
            for failure in report.failures() {
                let _ = writeln!(io::stderr(), "mqadmin: {failure}");
                code = ExitCode::FAILURE;
            }
            code
        }
        Err(failure) => {
            let _ = writeln!(io::stderr(), "mqadmin: {failure}");
            if let Some(hint) = failure.hint() {
                let _ = writeln!(io::stderr(), "  {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(command: &Command, servers: &str) -> Result<Report, Failure> {
    let config = ClientConfig { call_timeout: TIMEOUT, ..ClientConfig::new(servers) };
    let client = Client::start(config).await?;
    let report = command.run(&client).await;
    client.shutdown().await;
    report
}

/// Puts our spelling in place of the command's, which may be written in any letter case.
fn with_known_spelling(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let known = Arguments::command();
    let respell = |argument: OsString| {
        let name = known.get_subcommands().map(clap::Command::get_name).find(|name| {
            argument.to_str().is_some_and(|written| written.eq_ignore_ascii_case(name))
        });
        name.map_or(argument, OsString::from)
    };
    let mut is_found = false;
    let mut result = Vec::new();
    for (position, argument) in arguments.enumerate() {
        // Only the first word that is a command; later ones may be names of topics.
        let respelt =
            if position == 0 || is_found { argument.clone() } else { respell(argument.clone()) };
        is_found |= known.get_subcommands().any(|command| respelt == *command.get_name());
        result.push(respelt);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_all_commands_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_examples_of_the_help_are_command_lines() {
        let grammar = Arguments::command();
        let commands = grammar.get_subcommands().chain([&grammar]);
        let helps = commands.filter_map(clap::Command::get_after_help).map(ToString::to_string);
        let mut examples = 0;
        for help in helps {
            for example in help.lines().filter(|line| line.starts_with("  mqadmin ")) {
                // What stands behind several blanks explains it.
                let words = example.trim_start().split("   ").next().unwrap_or_default();
                let parsed = Arguments::try_parse_from(words.split_whitespace());
                assert!(parsed.is_ok(), "{example}: {parsed:?}");
                examples += 1;
            }
        }
        assert!(examples > 10, "only {examples}");
    }

    #[test]
    fn commands_are_found_in_any_letter_case_and_values_are_left_alone() {
        let words = ["mqadmin", "updatetopic", "-t", "topiclist"].map(OsString::from);
        let respelt = with_known_spelling(words.into_iter());
        assert_eq!(respelt, ["mqadmin", "updateTopic", "-t", "topiclist"].map(OsString::from));
    }
}

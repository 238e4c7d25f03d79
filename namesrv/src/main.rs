//! `mqnamesrv`: a name server in a process of its own.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ringmq_namesrv::config::{Config, sample_file};
use ringmq_program::{Failure, SERVER_LOG};
use ringmq_runtime::shards::{self, Cores, ShardsConfig};
use ringmq_runtime::signal;
use ringmq_settings::template;
use ringmq_version::VERSION;

const EXAMPLES: &str = "\
Examples:
  mqnamesrv                            listen on 0.0.0.0:9876
  mqnamesrv -c conf/namesrv.conf       settings from a file (Apache's keys)
  mqnamesrv -c conf/namesrv.conf -p    print every setting with its value, then exit

Exit status:
  0  stopped on request (SIGTERM, Ctrl-C, or SIGHUP unless under nohup); also after -p, --help.
     A second SIGTERM or Ctrl-C ends it at once, by that signal
  2  the command line is wrong
  3  the configuration is wrong; the text names key, line and what is allowed
  4  the machine does not give what is needed (io_uring, a free port, a readable file, ...)

Environment:
  RINGMQ_LOG   what is logged to standard error, such as warn or ringmq_namesrv=debug; without it
               info: brokers that come and go are few lines, and what one looks for here";

/// Time that open requests get when the name server stops; they are answered in microseconds.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// The RingMQ name server.
#[derive(Debug, Parser)]
#[command(name = "mqnamesrv", version = VERSION, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    /// Settings file: Java properties with Apache's keys.
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    config_file: Option<String>,

    /// Accepted as in Apache; a name server does not need others.
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES")]
    namesrv_addr: Option<String>,

    /// Print all settings and exit.
    #[arg(short = 'p', long = "printConfigItem")]
    print_all: bool,

    /// Print the sample settings file and exit; `conf/namesrv.conf` is made with this.
    #[arg(long = "print-conf-template", hide = true)]
    print_template: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.print_template {
        print!("{}", sample_file());
        return ExitCode::SUCCESS;
    }
    ringmq_program::start_log(SERVER_LOG, "info");
    let shards = ShardsConfig::new(Cores::Floating(1));
    let ended = shards::run(&shards, |_| run(&arguments));
    let ended = ended
        .map_err(Failure::machine)
        .and_then(|mut ended| ended.pop().expect("one shard, one outcome"));
    ringmq_program::end("mqnamesrv", ended)
}

async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = configure(arguments).await?;
    if arguments.print_all {
        ringmq_program::say(&template::listing(&config, false));
        return Ok(());
    }
    let started = ringmq_namesrv::start(config).await;
    let name_server = started.map_err(|error| Failure::machine(error.explained("listenPort")))?;
    let address = name_server.address();
    ringmq_program::say(&format!(
        "The Name Server boot success. serializeType=JSON, address {address}\n"
    ));
    let signal = signal::terminate().await.map_err(Failure::machine)?;
    tracing::info!(?signal, "stopping");
    name_server.stop(DRAIN_TIME).await;
    Ok(())
}

async fn configure(arguments: &Arguments) -> Result<Config, Failure> {
    let mut config = Config::default();
    if let Some(path) = &arguments.config_file {
        ringmq_program::apply_file(&mut config, path).await?;
        ringmq_program::say(&format!("load config properties file OK, {path}\n"));
    }
    Ok(config)
}

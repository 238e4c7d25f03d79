//! The command line of `mqbroker`: Apache's options, with what each means written next to it.

use clap::Parser;
use ringmq_version::VERSION;

const EXAMPLES: &str = "\
Examples:
  mqbroker                                  broker and name server in one process, data in ./data
  mqbroker -n 10.0.0.5:9876                 broker that registers with that name server
  mqbroker -c conf/broker.conf              settings from a file (Apache's keys)
  mqbroker -c conf/broker.conf -p           print every setting with its value, then exit
  NAMESRV_ADDR='10.0.0.5:9876;10.0.0.6:9876' mqbroker

Exit status:
  0  stopped on request (SIGTERM, Ctrl-C, or SIGHUP unless under nohup) with everything on disk;
     also after -p, -m, --help. A second SIGTERM or Ctrl-C ends it at once, by that signal
  1  stopped, but something could not be saved; the text says what
  2  the command line is wrong
  3  the configuration is wrong; the text names key, line and what is allowed
  4  the machine does not give what is needed (io_uring, memory lock limit, a free port, ...)
  5  the store cannot be opened: used by another process, damaged (topics and groups, too), or
     made by other settings

Environment:
  NAMESRV_ADDR   name servers, when neither -n nor namesrvAddr gives them
  RINGMQ_LOG     what is logged to standard error, such as info or ringmq_broker=debug; without it
                 warnings and errors";

/// A RocketMQ broker on io_uring, one shard per core.
#[derive(Debug, Parser)]
#[command(name = "mqbroker", version = VERSION, after_help = EXAMPLES, max_term_width = 100)]
pub struct Arguments {
    /// Settings file: Java properties with Apache's keys.
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    pub config_file: Option<String>,

    /// Name servers, for example '192.168.0.1:9876;192.168.0.2:9876'.
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES")]
    pub namesrv_addr: Option<String>,

    /// Print all settings and exit.
    #[arg(short = 'p', long = "printConfigItem")]
    pub print_all: bool,

    /// Print the important settings and exit.
    #[arg(short = 'm', long = "printImportantConfig")]
    pub print_important: bool,

    /// Print the sample settings file and exit; `conf/broker.conf` is made with this.
    #[arg(long = "print-conf-template", hide = true)]
    pub print_template: bool,
}

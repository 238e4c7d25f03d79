//! `mqbroker`: a RocketMQ broker on io_uring.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringmq_broker::command::main(std::env::args_os())
}

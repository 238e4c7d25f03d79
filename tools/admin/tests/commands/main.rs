//! The commands against a broker with its name server in this process.

mod brokers;
mod cluster;
mod command_line;
mod gone;
mod groups;
mod messages;
// As the tests of the broker run beside one.
#[path = "../../../../broker/tests/support/scenario.rs"]
mod scenario;
mod topics;

//! The requests of a name server, one file per family.

mod brokers;
mod settings;
mod topics;

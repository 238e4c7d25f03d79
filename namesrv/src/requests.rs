//! The requests of a name server, one file per family.

mod broker;
mod settings;
mod topic;

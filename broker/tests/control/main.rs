//! The control plane through its wire interface: a whole broker with its name server in this
//! process, and clients that speak the protocol to both over loopback.

mod as_apache;
mod codes;
mod deleted;
mod flood;
mod limits;
mod locks;
mod members;
mod name_servers;
mod runtime_info;
mod send_back;
#[path = "../support/mod.rs"]
mod support;
mod tags;
mod tools;
mod unwritten;

//! Servers and connections, over loopback sockets and in simulated networks.

mod calls;
mod fixture;
mod frames;
mod limits;

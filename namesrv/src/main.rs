//! The RingMQ name server.

fn main() {}

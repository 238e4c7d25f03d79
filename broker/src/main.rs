//! The RingMQ broker.

fn main() {}

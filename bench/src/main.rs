//! Measures RocketMQ-compatible brokers.

fn main() {}

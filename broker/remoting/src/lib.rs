//! Connections that speak the RocketMQ protocol.

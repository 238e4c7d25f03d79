//! The RingMQ name server.

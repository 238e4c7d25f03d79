//! The RingMQ client library.

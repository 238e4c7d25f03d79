//! The RingMQ broker.

//! RocketMQ's wire protocol: bytes to meaning and back.

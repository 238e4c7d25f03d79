//! The message store of one log.

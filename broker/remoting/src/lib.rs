//! Connections that speak the RocketMQ protocol: accept, read, dispatch, coalesced writes,
//! outgoing calls, limits. The broker, the name server, the client and the tools share it.
//!
//! - [`Server`] accepts connections on one shard and hands their requests to a [`Service`].
//! - [`dial`] opens one connection, a [`Dialer`] keeps one per address.
//! - A [`Connection`] works in both directions: it answers requests, makes calls, and pushes.
//!
//! Bytes are read into the shard's scratch buffer and frames are parsed where they lie; only an
//! unfinished frame is copied. Replies of one read leave in one write. Nothing here is `Send`: what
//! crosses shards is the business of the broker.
//!
//! # At the limits
//! | limit | what happens |
//! |---|---|
//! | a frame above `frame_size_max_bytes`, or malformed | one line in the log, connection closed |
//! | more than `connections_max` | accepted and closed, one line in the log |
//! | `in_flight_max_bytes` held by [`Permit`]s | no connection is read until answers have left |
//! | `out_limit_bytes` waiting for one peer | that peer is not read until half has left |
//! | `out_copied_max_bytes` of copied output for one peer | connection closed at once |
//! | `out_copied_total_max_bytes` of it for all peers | those with the most are closed |
//! | `unfinished_total_max_bytes` of frames that have not ended | those with the most are closed |
//! | `out_hard_limit_bytes`, nothing taken for `write_timeout` | connection closed |
//! | `idle_timeout` without a read (of a large frame: 128 KiB) or a write | connection closed |
//! | `calls_max` open calls | [`CallError::TooMany`] |

mod assemble;
mod calls;
mod connection;
mod dial;
mod dialer;
mod gathered;
mod limits;
mod out;
mod owned;
mod preface;
mod reader;
mod seldom;
mod server;
mod service;
mod timekeeper;
mod writer;

pub use calls::{CALLS_MAX, Call, CallError};
pub use connection::Connection;
pub use dial::{DialError, dial};
pub use dialer::Dialer;
pub use limits::{
    ConnectionLimits, IN_FLIGHT_MAX_BYTES, InFlight, OUT_COPIED_MAX_BYTES, Permit, ServerLimits,
};
pub use out::OutQueue;
pub use owned::OwnedCommand;
pub use reader::MALFORMED_FRAME;
pub use seldom::Seldom;
pub use server::{Server, ServerStats, serve};
pub use service::{NoService, ReplyTo, Service, unsupported_remark};

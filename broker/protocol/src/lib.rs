//! RocketMQ's wire protocol: bytes to meaning and back.
//!
//! No I/O, no clock, no unsafe code. Bytes from a peer or a disk become valid types or an error;
//! none of the functions panics on input or allocates without a named limit. The path of a warm
//! send or pull ([`frame::cut`], [`Command::parse`], [`header::Header::decode`],
//! [`write_response`]) allocates nothing.
//!
//! What clients say to brokers and name servers, and brokers to name servers, is described whole
//! on purpose, also where no program here uses it yet (pop, transactions, recall, replies): it is
//! one text with its flags, and tested as one (`tests/headers.rs` holds its fields as a list). Of
//! the requests of administrators there is what is served or asked here.
#![forbid(unsafe_code)]

pub mod batch;
pub mod bodies;
pub mod codes;
pub mod command;
pub mod compression;
pub mod error;
pub mod fields;
pub mod frame;
pub mod header;
pub mod headers;
pub mod ids;
pub mod json;
pub mod names;
pub mod properties;
pub mod reader;
pub mod record;
pub mod tags;

mod compact;

pub use command::{
    Command, Language, RequestHead, ResponseHead, write_request, write_response,
    write_response_head,
};
pub use frame::{Frame, SerializeType};
pub use header::{Header, WriteHeader};

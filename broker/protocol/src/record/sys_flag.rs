//! The bits of a message's sysFlag.

/// The body is compressed.
pub const COMPRESSED: i32 = 0x1;
/// Mask of the transaction state; 0 is none, 8 a committed message.
pub const TRANSACTION_MASK: i32 = 0xC;
/// A half message.
pub const TRANSACTION_PREPARED: i32 = 0x4;
/// A rolled-back message.
pub const TRANSACTION_ROLLBACK: i32 = 0xC;
/// The born host is an IPv6 address.
pub const BORN_HOST_V6: i32 = 0x10;
/// The store host is an IPv6 address.
pub const STORE_HOST_V6: i32 = 0x20;
/// The body is an inner batch: messages of a topic that keeps whole batches (`queue.type=BatchCQ`).
pub const INNER_BATCH: i32 = 0x80;
/// Mask of the compression type.
pub const COMPRESSION_MASK: i32 = 0x700;

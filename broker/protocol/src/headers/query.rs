//! Look-ups of messages: 12 and 33.

use crate::header::headers;

headers! {
    /// QUERY_MESSAGE (12).
    pub struct QueryMessageRequest<'h> {
        required topic: &'h str = "topic",
        required key: &'h str = "key",
        required max_num: i32 = "maxNum",
        required begin_timestamp_ms: i64 = "beginTimestamp",
        required end_timestamp_ms: i64 = "endTimestamp",
        /// `key` is a unique key.
        default unique_key_query: bool = "_UNIQUE_KEY_QUERY" or false,
        /// `K` key (when absent), `U` unique key, `T` tag.
        optional index_type: &'h str = "indexType",
        /// Where the page before ended.
        optional last_key: &'h str = "lastKey",
    }

    /// Answer of 12.
    pub struct QueryMessageResponse {
        required index_last_update_timestamp_ms: i64 = "indexLastUpdateTimestamp",
        required index_last_update_physical_offset: i64 = "indexLastUpdatePhyoffset",
    }

    /// VIEW_MESSAGE_BY_ID (33).
    pub struct ViewMessageRequest<'h> {
        /// Physical offset.
        required offset: i64 = "offset",
        optional topic: &'h str = "topic",
    }
}

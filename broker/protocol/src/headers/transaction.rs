//! Transactions: 37 and 39.

use crate::header::headers;
use crate::record::sys_flag;

/// Values of [`EndTransactionRequest::commit_or_rollback`].
pub mod decision {
    use super::sys_flag;

    /// The producer does not know yet.
    pub const UNKNOWN: i32 = 0;
    /// Deliver the message.
    pub const COMMIT: i32 = sys_flag::TRANSACTION_COMMIT;
    /// Forget the message.
    pub const ROLLBACK: i32 = sys_flag::TRANSACTION_ROLLBACK;
}

headers! {
    /// END_TRANSACTION (37), one-way.
    pub struct EndTransactionRequest<'h> {
        optional topic: &'h str = "topic",
        required producer_group: &'h str = "producerGroup",
        /// Queue offset of the half message.
        required tran_state_table_offset: i64 = "tranStateTableOffset",
        /// Physical offset of the half message.
        required commit_log_offset: i64 = "commitLogOffset",
        /// See [`decision`].
        required commit_or_rollback: i32 = "commitOrRollback",
        default from_transaction_check: bool = "fromTransactionCheck" or false,
        /// Unique key of the message.
        required msg_id: &'h str = "msgId",
        optional transaction_id: &'h str = "transactionId",
        optional broker_name: &'h str = "bname",
    }

    /// CHECK_TRANSACTION_STATE (39), one-way from the broker.
    pub struct CheckTransactionRequest<'h> {
        optional topic: &'h str = "topic",
        /// Queue offset of the half message.
        required tran_state_table_offset: i64 = "tranStateTableOffset",
        /// Physical offset of the half message.
        required commit_log_offset: i64 = "commitLogOffset",
        /// Unique key of the message.
        optional msg_id: &'h str = "msgId",
        optional transaction_id: &'h str = "transactionId",
        optional offset_msg_id: &'h str = "offsetMsgId",
        optional broker_name: &'h str = "bname",
    }
}

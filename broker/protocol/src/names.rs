//! Names and numbers that all sides agree on without sending them.

/// Prefix of the topic that holds what a group could not consume yet.
pub const RETRY_PREFIX: &str = "%RETRY%";

/// Prefix of the topic that holds what a group gave up on.
pub const DEAD_LETTER_PREFIX: &str = "%DLQ%";

/// The topic whose route and settings a topic gets that the first message to it creates.
pub const TEMPLATE_TOPIC: &str = "TBW102";

/// Namespace of the name servers' keys whose values list the queues of ordered topics:
/// `broker:queues;broker:queues` by topic.
pub const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

/// Id of the master among the brokers of one name.
pub const MASTER_ID: i64 = 0;

/// Bits of the permission of a topic or a broker.
pub mod perm {
    /// Topics made from a template with this bit keep the other bits.
    pub const INHERIT: i32 = 1;
    /// Producers may send.
    pub const WRITE: i32 = 2;
    /// Consumers may pull.
    pub const READ: i32 = 4;
    /// Reserved; nobody acts on it.
    pub const PRIORITY: i32 = 8;
    /// What an ordinary topic has.
    pub const READ_WRITE: i32 = READ | WRITE;
    /// Every bit there is.
    pub const ALL: i32 = READ_WRITE | INHERIT | PRIORITY;
}

/// Bits of the flags of a topic.
pub mod topic_flag {
    /// A topic of a unit.
    pub const UNIT: i32 = 1;
    /// Groups of units subscribe to it.
    pub const UNIT_SUBSCRIPTION: i32 = 2;
}

/// Topics of the system that more than one place speaks of; no client may send to them.
pub mod system_topic {
    /// Messages that wait for their delay level.
    pub const SCHEDULE: &str = "SCHEDULE_TOPIC_XXXX";
    /// Halves of transactions.
    pub const TRANSACTION_HALF: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
    /// Which of them are decided.
    pub const TRANSACTION_OPERATION: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
    /// Halves that were asked about too often.
    pub const TRANSACTION_GIVEN_UP: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
    /// Written by self-tests of old tools.
    pub const SELF_TEST: &str = "SELF_TEST_TOPIC";
    /// Pulls that a broker sent to another offset.
    pub const OFFSET_MOVED: &str = "OFFSET_MOVED_EVENT";
    /// All of these.
    pub const ALL: [&str; 6] = [
        SCHEDULE,
        TRANSACTION_HALF,
        TRANSACTION_OPERATION,
        TRANSACTION_GIVEN_UP,
        SELF_TEST,
        OFFSET_MOVED,
    ];
}

/// The topic that holds what `group` could not consume yet.
pub fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// The topic that holds what `group` gave up on.
pub fn dead_letter_topic(group: &str) -> String {
    format!("{DEAD_LETTER_PREFIX}{group}")
}

/// The group of a retry topic; `None` for every other topic.
pub fn group_of_retry_topic(topic: &str) -> Option<&str> {
    topic.strip_prefix(RETRY_PREFIX)
}

/// Whether a topic holds what a group could not consume, yet or at all.
pub fn is_for_retries(topic: &str) -> bool {
    topic.starts_with(RETRY_PREFIX) || topic.starts_with(DEAD_LETTER_PREFIX)
}

/// The addresses in a list of name servers, `host:port;host:port`; `,` separates them as well.
pub fn name_servers(list: &str) -> Vec<String> {
    let parts = list.split([';', ',']).map(str::trim).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_topics_name_their_group() {
        assert_eq!(group_of_retry_topic(&retry_topic("g")), Some("g"));
        assert_eq!(group_of_retry_topic(&dead_letter_topic("g")), None);
        assert!(is_for_retries("%DLQ%g") && is_for_retries("%RETRY%g") && !is_for_retries("g"));
    }

    #[test]
    fn lists_of_name_servers_may_have_gaps_and_blanks() {
        assert_eq!(name_servers(" a:1; ;b:2,c:3;"), ["a:1", "b:2", "c:3"]);
        assert_eq!(name_servers(""), [""; 0]);
    }
}

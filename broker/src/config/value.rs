//! Types of values that only the broker has.

use ringmq_settings::word_value;

word_value! {
    /// When a send is answered: see "What an acknowledgement means" in `ARCHITECTURE.md`.
    FlushDiskType {
        /// After the write; the flush follows within `flushIntervalCommitLog`.
        Async = "ASYNC_FLUSH",
        /// After write and flush.
        Sync = "SYNC_FLUSH",
    }
}

word_value! {
    /// The part this broker plays in its group.
    BrokerRole {
        /// Takes messages, does not wait for slaves.
        AsyncMaster = "ASYNC_MASTER",
        /// Takes messages, answers when slaves have them.
        SyncMaster = "SYNC_MASTER",
        /// Follows a master.
        Slave = "SLAVE",
    }
}

impl BrokerRole {
    /// What this version takes. `SLAVE` is read all the same, so that its refusal can say why.
    pub const TAKEN: &'static [&'static str] = &["ASYNC_MASTER", "SYNC_MASTER"];
}

word_value! {
    /// Whether this process also runs a name server.
    EmbeddedNamesrv {
        /// When no name server address is configured anywhere.
        Auto = "auto",
        /// Always.
        Yes = "true",
        /// Never.
        No = "false",
    }
}

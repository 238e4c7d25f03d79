//! Settings of consumer groups: Apache's `subscriptionGroup.json`.
//!
//! Pure, like the topic table: the owner passes the time, writes [`SubscriptionGroups::document`]
//! to disk and publishes the entry before anyone is told. Built-in groups exist from the start and
//! cannot be removed; groups named `CID_RMQ_SYS_...` are made when asked for, whatever
//! `autoCreateSubscriptionGroup` says, unless `enableCreateSysGroup` is off, too.

mod forbidden;

use std::sync::Arc;

use ringmq_protocol::bodies::group::{SubscriptionGroupConfig, SubscriptionGroupTable};
use ringmq_protocol::bodies::topic::DataVersion;

use crate::config::Settings;
use crate::names;
use crate::versioned_table::{Full, VersionedTable};
use forbidden::{FORBIDDEN_MAX, FORBIDDEN_TOPICS_MAX, Forbidden};

/// Prefix of groups that clients and proxies use for themselves.
const SYSTEM_PREFIX: &str = "CID_RMQ_SYS_";

/// Largest JSON of one group's settings: some hundred bytes, attributes and a retry policy.
const SETTINGS_MAX_BYTES: usize = 16 << 10;

/// Bytes of JSON that the settings of all groups may add to those of groups made by use: attributes
/// of a hundred bytes for each of 80,000 groups. All of them are in memory, where they take up to
/// fifteen times as much, and in one file, which has room for them beside the most groups allowed.
const OWN_MAX_BYTES: usize = 8 << 20;

/// Groups that tools and old gateways expect, with the right to broadcast where they need it.
const BUILT_IN: &[(&str, bool)] = &[
    ("TOOLS_CONSUMER", false),
    ("FILTERSRV_CONSUMER", false),
    ("SELF_TEST_C_GROUP", false),
    ("CID_ONS-HTTP-PROXY", true),
    ("CID_ONSAPI_PULL", true),
    ("CID_ONSAPI_PERMISSION", true),
    ("CID_ONSAPI_OWNER", true),
    ("CID_RMQ_SYS_TRANS", true),
];

/// Why a group was not made or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The name is empty, too long, or has characters that are not allowed.
    #[error("{0}")]
    IllegalName(String),
    /// The group does not exist and is not created by use.
    #[error("subscription group [{0}] does not exist, and autoCreateSubscriptionGroup=false")]
    Missing(String),
    /// The group belongs to the system.
    #[error("the group {0} belongs to the system and cannot be removed")]
    BuiltIn(String),
    /// Its settings take more than a group's may.
    #[error("the settings of a group have {0} bytes, at most {SETTINGS_MAX_BYTES} are allowed")]
    TooLarge(usize),
    /// The settings of all groups together would take more than they may.
    #[error(
        "the settings of all groups would have {0} bytes beside what every group has, at most \
         {OWN_MAX_BYTES} are allowed: give shorter attributes, or delete groups that nobody uses"
    )]
    AllTooLarge(usize),
    /// The table is full.
    #[error(
        "{have} groups exist, the limit is subscriptionGroupsMax={limit}: raise it or delete unused ones"
    )]
    Full {
        /// Groups in the table.
        have: usize,
        /// How many there may be: less than there are when it was lowered since.
        limit: usize,
    },
    /// A group is forbidden as many topics as one may be.
    #[error(
        "{group} is forbidden {have} topics, at most {FORBIDDEN_TOPICS_MAX} are allowed: allow it those \
         that are gone, or take it off with consumeEnable=false"
    )]
    ForbiddenTopicsFull {
        /// The group.
        group: String,
        /// Topics that it is forbidden.
        have: usize,
    },
    /// All groups together are forbidden as many topics as they may be.
    #[error(
        "{0} topics are forbidden to groups, at most {FORBIDDEN_MAX} are allowed: allow those that are \
         gone, or delete groups that nobody uses"
    )]
    ForbiddenFull(usize),
}

/// The consumer groups of this broker.
#[derive(Debug)]
pub struct SubscriptionGroups {
    table: VersionedTable<SubscriptionGroupConfig>,
    /// A change of it is one of the table.
    forbidden: Forbidden,
    /// The sum of [`own_bytes`] over all groups.
    own_bytes: usize,
}

impl SubscriptionGroups {
    /// The table of an earlier run, completed with the built-in groups.
    pub fn load(document: SubscriptionGroupTable, now_ms: i64) -> Self {
        let entries = document.subscription_group_table;
        let mut table = VersionedTable::new(entries, document.data_version);
        let wanted = BUILT_IN.iter().map(|(name, may_broadcast)| {
            let group = SubscriptionGroupConfig {
                group_name: (*name).to_owned(),
                consume_broadcast_enable: *may_broadcast,
                ..SubscriptionGroupConfig::default()
            };
            ((*name).to_owned(), group)
        });
        table.complete(wanted, |known, group| known.is_none().then_some(group), now_ms);
        let own_bytes: usize = table.iter().map(|group| own_bytes(group)).sum();
        Self { table, forbidden: Forbidden(document.forbidden_table), own_bytes }
    }

    /// The whole table, as it is written to disk (Apache's `subscriptionGroup.json`).
    pub fn document(&self) -> SubscriptionGroupTable {
        self.table_of(SubscriptionGroupConfig::clone)
    }

    /// The whole table, lent to be sent to tools: some of it may be all that they get.
    pub fn lent(&self) -> SubscriptionGroupTable<&SubscriptionGroupConfig> {
        self.table_of(|group| group)
    }

    fn table_of<'a, C>(
        &'a self,
        of: impl Fn(&'a SubscriptionGroupConfig) -> C,
    ) -> SubscriptionGroupTable<C> {
        SubscriptionGroupTable {
            data_version: self.table.version(),
            forbidden_table: self.forbidden.0.clone(),
            subscription_group_table: self.table.to_map(of),
        }
    }

    /// The group of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<SubscriptionGroupConfig>> {
        self.table.get(name)
    }

    /// All groups, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<SubscriptionGroupConfig>> {
        self.table.iter()
    }

    /// Identifies this state of the table.
    pub fn version(&self) -> DataVersion {
        self.table.version()
    }

    /// The group of a client that consumes: the existing one, or a new one where the settings allow
    /// it. The flag says whether it is new.
    ///
    /// # Errors
    /// It does not exist and is not made by use, its name is illegal, or the table is full.
    pub fn ensure(
        &mut self,
        name: &str,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<(Arc<SubscriptionGroupConfig>, bool), GroupError> {
        if let Some(group) = self.table.get(name) {
            return Ok((Arc::clone(group), false));
        }
        check_made_by_use(name, settings)?;
        self.insert(made_by_use(name), settings, now_ms).map(|group| (group, true))
    }

    /// Creates or replaces a group as a tool asks; `None`: it was exactly so already.
    ///
    /// # Errors
    /// An illegal name, a full table, settings that are too large, or add to those of all groups
    /// when these are.
    pub fn update(
        &mut self,
        group: SubscriptionGroupConfig,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<Option<Arc<SubscriptionGroupConfig>>, GroupError> {
        if self.table.get(&group.group_name).is_some_and(|known| **known == group) {
            return Ok(None);
        }
        let bytes = ringmq_protocol::json::to_vec(&group).len();
        if bytes > SETTINGS_MAX_BYTES {
            return Err(GroupError::TooLarge(bytes));
        }
        let before = self.table.get(&group.group_name).map_or(0, |known| own_bytes(known));
        let after = own_bytes(&group);
        let all = self.own_bytes - before + after;
        if all > OWN_MAX_BYTES && after > before {
            return Err(GroupError::AllTooLarge(all));
        }
        let group = self.insert(group, settings, now_ms)?;
        self.own_bytes = all;
        Ok(Some(group))
    }

    /// Removes a group and what it is forbidden; `None` when there is none of that name.
    ///
    /// # Errors
    /// A built-in group.
    pub fn delete(
        &mut self,
        name: &str,
        now_ms: i64,
    ) -> Result<Option<Arc<SubscriptionGroupConfig>>, GroupError> {
        if is_system(name) {
            return Err(GroupError::BuiltIn(name.to_owned()));
        }
        self.forbidden.forget_group(name);
        let removed = self.table.remove(name, now_ms);
        self.own_bytes -= removed.as_ref().map_or(0, |group| own_bytes(group));
        Ok(removed)
    }

    /// Topics that a group may not read.
    pub fn forbidden_topics(&self, group: &str) -> Vec<String> {
        self.forbidden.topics(group)
    }

    /// Allows or forbids a group to read a topic; says whether that changes anything.
    ///
    /// # Errors
    /// More topics would be forbidden than may be, or no group or topic can have such a name.
    pub fn set_readable(
        &mut self,
        group: &str,
        topic: &str,
        readable: bool,
        now_ms: i64,
    ) -> Result<bool, GroupError> {
        let changed = self.forbidden.set_readable(group, topic, readable)?;
        if changed {
            self.table.advance(now_ms);
        }
        Ok(changed)
    }

    fn insert(
        &mut self,
        group: SubscriptionGroupConfig,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<Arc<SubscriptionGroupConfig>, GroupError> {
        names::check_group(&group.group_name).map_err(GroupError::IllegalName)?;
        let (name, limit) = (group.group_name.clone(), settings.groups_max as usize);
        let made = self.table.insert(name, group, limit, now_ms);
        made.map_err(|Full { have, limit }| GroupError::Full { have, limit })
    }
}

/// Checks that a group that does not exist is made because a client consumes with it.
///
/// # Errors
/// The settings do not allow it, or its name is illegal.
pub fn check_made_by_use(name: &str, settings: &Settings) -> Result<(), GroupError> {
    let is_made_anyway = settings.system_groups_by_use && name.starts_with(SYSTEM_PREFIX);
    if !settings.auto_create_subscription_group && !is_made_anyway {
        return Err(GroupError::Missing(name.to_owned()));
    }
    names::check_group(name).map_err(GroupError::IllegalName)
}

/// A group as it is made because a client consumes with it.
fn made_by_use(name: &str) -> SubscriptionGroupConfig {
    SubscriptionGroupConfig { group_name: name.to_owned(), ..Default::default() }
}

/// Bytes of JSON by which the settings of a group exceed those of one made by use.
fn own_bytes(group: &SubscriptionGroupConfig) -> usize {
    let plain = made_by_use(&group.group_name);
    // Most are, and there may be hundreds of thousands at a start.
    if *group == plain {
        return 0;
    }
    let len = |group: &SubscriptionGroupConfig| ringmq_protocol::json::to_vec(group).len();
    len(group).saturating_sub(len(&plain))
}

/// Whether a group belongs to the system.
pub fn is_system(name: &str) -> bool {
    name.starts_with(SYSTEM_PREFIX) || BUILT_IN.iter().any(|(built_in, _)| *built_in == name)
}

#[cfg(test)]
mod tests;

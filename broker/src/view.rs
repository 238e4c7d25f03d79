//! What every shard knows of topics and groups.
//!
//! Shard 0 is the only writer of topics, groups and memberships. It sends each change to all shards
//! as a [`Change`]; a shard applies it between two requests, so a request sees one consistent view.
//! Entries are immutable and shared; a change replaces a whole entry. The mesh keeps order:
//! whatever shard 0 sends after a change is handled by a shard that knows the change.

use std::sync::Arc;

use ringmq_runtime::random::HashMap;

use crate::config::Settings;
use crate::filter::TagFilter;

/// A topic as the data plane sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Name, valid by the rules of RocketMQ.
    pub name: String,
    /// A pull may name queues below this number.
    pub read_queues: u32,
    /// Producers spread over this many queues.
    pub write_queues: u32,
    /// Bits of [`ringmq_protocol::names::perm`].
    pub permission: i32,
    /// Ordered topics refuse sends while the broker is not writable.
    pub is_ordered: bool,
    /// Unit flags, handed to consumers.
    pub sys_flag: i32,
}

impl Topic {
    /// Queues that there are, to write, to read or for both.
    pub fn queues(&self) -> u32 {
        self.read_queues.max(self.write_queues)
    }
}

/// A consumer group as the data plane sees it: its settings and what its live members asked for.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Name of the group.
    pub name: String,
    /// `false`: pulls are refused.
    pub consume_enabled: bool,
    /// `false`: pulls of broadcasting members are refused.
    pub broadcast_enabled: bool,
    /// Deliveries after which a message goes to the dead letters.
    pub retries_max: i32,
    /// Flags handed to consumers.
    pub sys_flag: i32,
    /// Topics that the group may not read, set by an administrator.
    pub forbidden_topics: Vec<String>,
    /// Members are connected now; `None` when the group only has settings.
    pub live: Option<LiveGroup>,
}

/// What the connected members of a group said in their heartbeats.
#[derive(Debug, Clone, Default)]
pub struct LiveGroup {
    /// Every member reads every queue.
    pub is_broadcasting: bool,
    /// Unix time in milliseconds until which at least one queue lock of the group is held; 0: none.
    pub locked_until_ms: i64,
    /// Subscriptions by topic; a change of locks leaves them as they are.
    pub subscriptions: Arc<Subscriptions>,
}

/// What a group wants to read, by topic.
pub type Subscriptions = HashMap<String, Subscription>;

/// One topic of a group's subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Version given by the client: milliseconds or nanoseconds, larger is newer.
    pub version: i64,
    /// `false` for SQL92, which the tag filter cannot decide.
    pub is_tag: bool,
    /// Which messages are wanted.
    pub filter: TagFilter,
}

/// A change of the control plane, published by shard 0.
#[derive(Debug, Clone)]
pub enum Change {
    /// A topic was created or altered.
    Topic(Arc<Topic>),
    /// A topic was deleted.
    TopicGone(String),
    /// A group was created, altered, or its members changed.
    Group(Arc<Group>),
    /// A group was deleted.
    GroupGone(String),
    /// Members of a group took or gave back locks.
    Locked {
        /// Its name.
        group: String,
        /// The new [`LiveGroup::locked_until_ms`].
        until_ms: i64,
    },
    /// A setting was changed while the broker runs.
    Settings(Arc<Settings>),
}

/// The topics and groups of the broker as one shard knows them.
#[derive(Debug)]
pub struct View {
    settings: Arc<Settings>,
    topics: HashMap<String, Arc<Topic>>,
    groups: HashMap<String, Arc<Group>>,
}

impl View {
    /// A view without topics and groups.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { settings, topics: HashMap::default(), groups: HashMap::default() }
    }

    /// The settings as of now.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// The group of that name.
    pub fn group(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.get(name)
    }

    /// Replaces or removes one entry.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Topic(topic) => drop(self.topics.insert(topic.name.clone(), topic)),
            Change::TopicGone(name) => drop(self.topics.remove(&name)),
            Change::Group(group) => drop(self.groups.insert(group.name.clone(), group)),
            Change::GroupGone(name) => drop(self.groups.remove(&name)),
            Change::Locked { group, until_ms } => self.lock(&group, until_ms),
            Change::Settings(settings) => self.settings = settings,
        }
    }

    /// A group without settings or members is nobody's business.
    fn lock(&mut self, group: &str, until_ms: i64) {
        let Some(group) = self.groups.get_mut(group) else { return };
        // Copied by the first change after other shards got the same one.
        if group.live.is_some()
            && let Some(live) = &mut Arc::make_mut(group).live
        {
            live.locked_until_ms = until_ms;
        }
    }
}

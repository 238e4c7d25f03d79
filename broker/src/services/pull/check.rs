//! All that a pull is checked for before anything is read, from the request and the view alone.

use ringmq_protocol::bodies::heartbeat::is_tag_type;
use ringmq_protocol::codes::response;
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_protocol::names::perm;
use ringmq_protocol::{Command, Header};
use ringmq_store::{BatchLimit, QueueOffset, ReadLimits, ReadQuery};

use crate::config::Settings;
use crate::filter::TagFilter;
use crate::outcome::Refusal;
use crate::subscription_groups;
use crate::view::{Group, Topic, View};

/// Who forbids a pull, in the answer's header.
mod forbidden {
    pub const BROKER: i32 = 1;
    pub const GROUP: i32 = 2;
    pub const TOPIC: i32 = 3;
    pub const BROADCAST: i32 = 4;
    pub const SUBSCRIPTION: i32 = 5;
}

/// Why a pull is refused; some refusals say who forbids it.
pub(super) struct Denied {
    pub(super) refusal: Refusal,
    pub(super) forbidden_by: Option<i32>,
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, forbidden_by: None }
    }
}

/// A pull that passed all checks.
pub(super) struct Pulling<'a> {
    pub(super) header: PullRequest<'a>,
    pub(super) filter: TagFilter,
    pub(super) limits: ReadLimits,
    pub(super) topic_sys_flag: i32,
    pub(super) group_sys_flag: i32,
}

impl<'a> Pulling<'a> {
    /// What the log is asked for.
    pub(super) fn query(&self, from: QueueOffset) -> ReadQuery<'a> {
        let PullRequest { topic, queue_id, .. } = self.header;
        ReadQuery { topic, queue_id, from, limits: self.limits }
    }
}

/// All checks that need only the request and the view, in Apache's order.
pub(super) fn check<'c>(
    view: &View,
    memory_bytes: u64,
    command: &'c Command<'_>,
) -> Result<Pulling<'c>, Denied> {
    let header = PullRequest::decode(&command.fields).map_err(Refusal::malformed)?;
    check_broker(view.settings(), &header)?;
    let group = check_group(view, header.consumer_group)?;
    let topic = check_queue(view, &header)?;
    let filter = match header.sys_flag & pull_flag::SUBSCRIPTION {
        0 => filter_of_group(group, &header)?,
        _ => filter_of_request(&header)?,
    };
    let limits = limits(view.settings(), memory_bytes, header.max_msg_nums);
    let topic_sys_flag = topic.sys_flag;
    let group_sys_flag = group.map_or(0, |group| group.sys_flag);
    Ok(Pulling { header, filter, limits, topic_sys_flag, group_sys_flag })
}

fn deny(forbidden_by: i32, remark: String) -> Denied {
    Denied { refusal: Refusal::no_permission(remark), forbidden_by: Some(forbidden_by) }
}

fn check_broker(settings: &Settings, header: &PullRequest<'_>) -> Result<(), Denied> {
    if settings.broker_permission & perm::READ == 0 {
        let remark = format!("broker {} is not readable: brokerPermission", settings.broker_name);
        return Err(deny(forbidden::BROKER, remark));
    }
    if header.sys_flag & pull_flag::LITE_PULL != 0 && !settings.lite_pull_message_enable {
        return Err(deny(forbidden::BROKER, "lite pull is off: litePullMessageEnable".into()));
    }
    Ok(())
}

/// The group; none that a client may make.
fn check_group<'v>(view: &'v View, name: &str) -> Result<Option<&'v Group>, Denied> {
    match view.group(name) {
        Some(group) if !group.consume_enabled => {
            Err(deny(forbidden::GROUP, format!("consumer group {name} is disabled")))
        }
        Some(group) => Ok(Some(group)),
        None => {
            let may_be_made = subscription_groups::check_made_by_use(name, view.settings());
            may_be_made.map_err(Refusal::unknown_group)?;
            Ok(None)
        }
    }
}

/// The topic, which can be read and has the queue.
fn check_queue<'v>(view: &'v View, header: &PullRequest<'_>) -> Result<&'v Topic, Denied> {
    let Some(topic) = view.topic(header.topic) else {
        return Err(Refusal::no_topic(header.topic).into());
    };
    if topic.permission & perm::READ == 0 {
        return Err(deny(forbidden::TOPIC, format!("topic {} is not readable", topic.name)));
    }
    let number = u32::try_from(header.queue_id);
    if number.map_or(true, |number| number >= topic.read_queues) {
        return Err(Refusal::no_queue_to_read(header.queue_id, topic).into());
    }
    Ok(topic)
}

/// What the settings and the client let one answer have.
fn limits(settings: &Settings, memory_bytes: u64, messages_max: i32) -> ReadLimits {
    ReadLimits {
        count: usize::try_from(messages_max).unwrap_or(0).max(1),
        near_bytes: memory_bytes / 100 * u64::from(settings.access_message_in_memory_max_ratio),
        in_memory: BatchLimit {
            count: settings.max_transfer_count_in_memory as usize,
            bytes: settings.max_transfer_bytes_in_memory.into(),
        },
        on_disk: BatchLimit {
            count: settings.max_transfer_count_on_disk as usize,
            bytes: settings.max_transfer_bytes_on_disk.into(),
        },
    }
}

fn filter_of_request(header: &PullRequest<'_>) -> Result<TagFilter, Denied> {
    check_expression_type(header.expression_type.is_none_or(is_tag_type))?;
    Ok(TagFilter::parse(header.subscription.unwrap_or("*")))
}

fn filter_of_group(group: Option<&Group>, header: &PullRequest<'_>) -> Result<TagFilter, Denied> {
    let missing = |what: String| Denied::from(Refusal::new(response::SUBSCRIPTION_NOT_EXIST, what));
    let name = header.consumer_group;
    let live = group.and_then(|group| Some((group, group.live.as_ref()?)));
    let Some((group, live)) = live else {
        return Err(missing(format!(
            "no consumer of group {name} has sent a heartbeat to this broker yet"
        )));
    };
    if live.is_broadcasting && !group.broadcast_enabled {
        let remark = format!("broadcasting is disabled for consumer group {name}");
        return Err(deny(forbidden::BROADCAST, remark));
    }
    if group.forbidden_topics.iter().any(|topic| topic == header.topic) {
        let remark = format!("consumer group {name} may not read topic {}", header.topic);
        return Err(deny(forbidden::SUBSCRIPTION, remark));
    }
    let Some(subscription) = live.subscriptions.get(header.topic) else {
        return Err(missing(format!(
            "consumer group {name} is not subscribed to topic {}; all its members must subscribe \
             to the same topics",
            header.topic
        )));
    };
    if subscription.version < header.sub_version {
        return Err(Refusal::new(
            response::SUBSCRIPTION_NOT_LATEST,
            format!(
                "the subscription of group {name} is of version {}, the request of {}; the next \
                 heartbeat brings it",
                subscription.version, header.sub_version
            ),
        )
        .into());
    }
    check_expression_type(subscription.is_tag)?;
    Ok(subscription.filter.clone())
}

fn check_expression_type(is_tag: bool) -> Result<(), Denied> {
    if is_tag {
        return Ok(());
    }
    let remark = "this broker does not support consumers that filter messages with SQL92; \
                  subscribe with tags";
    Err(Refusal::new(response::SYSTEM_ERROR, remark).into())
}

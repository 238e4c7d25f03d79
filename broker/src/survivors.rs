//! Members of groups that outlive a crash of the broker and are ahead of what it left.
//!
//! A crash may take messages that members have got already, and the progress that they committed
//! last. They go on at the positions in their memory, and new messages get the offsets of those
//! that are gone: whoever comes back when these have passed its position would skip those before
//! it, and nothing would show that. So after such a start the log notes how far it has *given* each
//! queue to each member: the end that the start found, and where an answer to a pull went on. A
//! position behind that, and behind the progress of the group, is from before: a commit of it is
//! dropped, a pull from it is moved back, by a reset (`logs/progress.rs`).
//!
//! Members of one group are told from each other by their hosts, as several hold one queue for a
//! moment: the first that is back is alone in the group, begins in all queues, and gives most of
//! them up when the others come, which may be ahead there. What it has not consumed by then is
//! skipped by nobody. Connections do not tell them: members lose theirs and go on with the next.
//! Progress counts for all, since it comes only from members that were given what lies before it,
//! or from an administrator.
//!
//! A group without progress asks for the end of a queue, or for an offset by time, in requests that
//! do not name it. What these answer is given to *any group* on that host that has none.
//!
//! What it costs until then: a pull that brings progress along looks up its queue in the log three
//! times and the member, in two steps, three times; it allocates when the member begins in a queue
//! (`tests/allocations.rs`). Otherwise it costs a comparison each.
//!
//! Members come back within seconds, so this ends after [`GIVEN_WITHIN`], or with [`GIVEN_MAX`]
//! entries, or with the next start. What it does not do:
//!
//! - Commits of a tool that sets progress by UPDATE_CONSUMER_OFFSET (older ones do, and Apache's
//!   mqadmin for a group that is not online), behind what the group was given, are answered SUCCESS
//!   and dropped, as they look like those of a member. INVOKE_BROKER_TO_RESET_OFFSET sets it.
//! - A client that seeks behind what it was given is moved back, and gets messages twice. So does a
//!   member that goes on with positions of another host, or comes by another address.
//! - A pull in the name of a group, ahead of its progress, from a host that was given nothing there
//!   (a dashboard that peeks, say), looks like that of a member: the whole group is moved back to
//!   its saved progress, and gets what it consumed since its last commit twice. That ends with this
//!   time.
//! - Members of a group on one host, or behind one address, that hold one queue at once (those of a
//!   broadcasting group always do) are not told from each other: one that comes when others were
//!   given what lies before its position skips it.
//! - A start within that time forgets who has not come yet; when it is after a crash, too, it finds
//!   a later end.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::random::HashMap;
use ringmq_store::{Log, QueueOffset, offsets};

use crate::subscription_groups;

/// Groups without progress; no group has this name.
pub(crate) const ANY_GROUP: &str = "";

/// How long after a start members come back.
const GIVEN_WITHIN: Duration = Duration::from_secs(600);

/// Queues of members that were given new messages: some 35 MB, 70 MB with the longest names.
const GIVEN_MAX: usize = 100_000;

/// A queue as a member has it.
#[derive(Clone, Copy, Debug)]
pub struct MemberQueue<'n> {
    /// Where the member runs.
    pub host: IpAddr,
    /// Its group.
    pub group: &'n str,
    /// The topic.
    pub topic: &'n str,
    /// The queue of the topic.
    pub queue_id: i32,
}

/// What one log has given since its start, while survivors are looked for.
#[derive(Default)]
pub(crate) struct Survivors(RefCell<Option<Given>>);

impl Survivors {
    /// Begins: nothing is given yet behind the ends that the start found.
    pub(crate) fn look_for(&self, now: Instant) {
        self.0.replace(Some(Given::new(now)));
    }

    /// The queue was given to the member up to here.
    pub(crate) fn give(&self, log: &Log, of: MemberQueue<'_>, to: QueueOffset) {
        let mut given = self.0.borrow_mut();
        let Some(known) = still(&mut given) else { return };
        if to <= log.offset_at_start(of.topic, of.queue_id) {
            return;
        }
        known.raise(of, to);
        if known.count >= GIVEN_MAX {
            *given = None;
            tracing::warn!(
                log = %log.id(),
                "members that are ahead of what the crash left are not looked for any more: there \
                 are {GIVEN_MAX} queues of members"
            );
        }
    }

    /// Whether the member can be at a position since the start. Tools look at any.
    pub(crate) fn has(&self, log: &Log, of: MemberQueue<'_>, at: QueueOffset) -> bool {
        let mut given = self.0.borrow_mut();
        let Some(given) = still(&mut given) else { return true };
        at <= log.offset_at_start(of.topic, of.queue_id)
            || given.to(of).is_some_and(|to| at <= to)
            || subscription_groups::is_system(of.group)
    }
}

/// Nothing, nearly always.
fn still(given: &mut Option<Given>) -> Option<&mut Given> {
    if given.as_ref().is_some_and(|given| given.is_over(Instant::now())) {
        *given = None;
    }
    given.as_mut()
}

/// How far queues were given to members, where that is behind the end at the start.
struct Given {
    started: Instant,
    /// By [`offsets::key`], then by queue and host.
    groups: HashMap<String, HashMap<(i32, IpAddr), QueueOffset>>,
    count: usize,
    key: String,
}

impl Given {
    fn new(started: Instant) -> Self {
        Self { started, groups: HashMap::default(), count: 0, key: String::new() }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_since(self.started) >= GIVEN_WITHIN
    }

    fn raise(&mut self, of: MemberQueue<'_>, to: QueueOffset) {
        offsets::set_key(&mut self.key, of.group, of.topic);
        let queues = match self.groups.get_mut(&self.key) {
            Some(queues) => queues,
            None => self.groups.entry(self.key.clone()).or_default(),
        };
        let before = queues.len();
        let given = queues.entry((of.queue_id, of.host)).or_insert(to);
        *given = to.max(*given);
        self.count += queues.len() - before;
    }

    fn to(&mut self, of: MemberQueue<'_>) -> Option<QueueOffset> {
        offsets::set_key(&mut self.key, of.group, of.topic);
        self.groups.get(&self.key)?.get(&(of.queue_id, of.host)).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ringmq_runtime::sim::World;
    use ringmq_store::{LogId, LogOptions};

    use super::*;

    fn queue(host: u32, group: &'static str, topic: &'static str) -> MemberQueue<'static> {
        MemberQueue { host: Ipv4Addr::from(host).into(), group, topic, queue_id: 1 }
    }

    #[test]
    fn what_was_given_last_may_lie_before_what_was_given_first() {
        let start = Instant::from_nanos(7);
        let mut given = Given::new(start);
        let first = queue(0, "g", "t");
        let queue_0 = MemberQueue { queue_id: 0, ..first };
        let queues = [first, queue_0, queue(1, "g", "t"), queue(0, "h", "t"), queue(0, "g", "u")];
        for (number, of) in (3..).zip(queues) {
            assert_eq!(given.to(of), None);
            for to in [number, number + 1, 1] {
                given.raise(of, QueueOffset(to));
            }
            assert_eq!(given.to(of), Some(QueueOffset(number + 1)), "{of:?}");
        }
        assert_eq!(given.count, queues.len());
        assert!(!given.is_over(start) && given.is_over(start + GIVEN_WITHIN));
    }

    #[test]
    fn beyond_the_limit_of_queues_nobody_is_looked_for() {
        let world = World::new(1);
        let disk = world.disk(0);
        world.run(async {
            let opened = Log::open(&disk, "log", LogId(0), LogOptions::default()).await;
            let (log, _) = opened.expect("a new log");
            let survivors = Survivors::default();
            let (ahead, one) = (queue(0, "ahead", "t"), QueueOffset(1));
            assert!(survivors.has(&log, ahead, one), "none is looked for");
            survivors.look_for(Instant::now());
            assert!(!survivors.has(&log, ahead, one) && survivors.has(&log, ahead, QueueOffset(0)));
            for host in 1..=GIVEN_MAX as u32 {
                assert!(!survivors.has(&log, ahead, one), "{host}");
                // The end of a queue at the start takes no place.
                survivors.give(&log, queue(host, "i", "t"), QueueOffset(0));
                survivors.give(&log, queue(host, "h", "t"), one);
            }
            assert!(survivors.has(&log, ahead, one), "also who was not seen is let through");
            log.close().await.expect("closed");
        });
    }
}

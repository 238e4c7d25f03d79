//! Changes of groups' progress, on all shards and on their disks.

use std::rc::Rc;
use std::sync::Arc;

use ringmq_store::QueueOffset;

use super::all_shards::Progress;
use crate::router::HashedQueue;
use crate::services::pull;
use crate::shard::DataPlane;

/// Why progress was not set.
pub(super) enum NotSet {
    /// The topic of that name is gone, or about to be.
    NoTopic(String),
    /// A table had no room for some of it.
    NoRoom,
    /// What the disk said; in memory it is set.
    NotSaved(String),
}

/// Sets the progress of groups, also on disk: a crash must not bring the old one back.
///
/// # Errors
/// See [`NotSet`].
pub(super) async fn set(data: &Rc<DataPlane>, targets: Vec<Progress>) -> Result<(), NotSet> {
    let targets = Arc::new(targets);
    let set = data.on_all_shards(move |data| {
        let targets = Arc::clone(&targets);
        async move { set_of_shard(&data, &targets).await }
    });
    set.await.into_iter().collect()
}

async fn set_of_shard(data: &Rc<DataPlane>, targets: &[Progress]) -> Result<(), NotSet> {
    let mut is_all = true;
    for target in targets {
        let Ok(offset) = u64::try_from(target.offset) else { continue };
        if let Some(owned) = data.local.log_of(&target.topic, target.queue_id) {
            let (group, topic) = (&target.group, &target.topic);
            // A deletion that began meanwhile is past it, and the next topic would have it.
            if data.local.view().topic(topic).is_none() {
                return Err(NotSet::NoTopic(topic.clone()));
            }
            is_all &= owned.reset(group, topic, target.queue_id, QueueOffset(offset));
            pull::held::disturb(data, HashedQueue::new(topic, target.queue_id));
        }
    }
    data.save_progress().await.map_err(NotSet::NotSaved)?;
    if is_all { Ok(()) } else { Err(NotSet::NoRoom) }
}

/// Forgets how far a group is, everywhere, and on disk: a crash must not bring it back.
///
/// # Errors
/// What the disk refused; in memory it is forgotten.
pub(super) async fn delete(data: &Rc<DataPlane>, group: &str) -> Result<(), String> {
    let group = group.to_owned();
    let deleted = data.on_all_shards(move |data| {
        let group = group.clone();
        async move {
            for owned in data.local.logs() {
                owned.delete_group(&group).await;
            }
            data.save_progress().await
        }
    });
    deleted.await.into_iter().collect()
}

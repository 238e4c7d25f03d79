//! Consumer groups for tools: create and change (200, 225), delete (207), list (201), show (352),
//! forbid (353).

use std::rc::Rc;

use ringmq_protocol::Command;
use ringmq_protocol::bodies::group::{
    GroupForbidden, SubscriptionGroupConfig, SubscriptionGroupList, SubscriptionGroupTable,
};
use ringmq_protocol::headers::admin::{
    AllGroupConfigRequest, DeleteGroupRequest, GroupForbiddenRequest, GroupRequest,
};
use ringmq_protocol::names::retry_topic;

use super::super::control::{Answer, Reaction, decode, json_answer, read_list};
use super::{Parts, change_progress};
use crate::outcome::Refusal;

pub(super) fn update(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Reaction, Refusal> {
    let (group, bytes): (SubscriptionGroupConfig, _) = read_list(command)?;
    Ok(update_all(parts, vec![group], bytes))
}

pub(super) fn update_list(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Reaction, Refusal> {
    let (list, bytes): (SubscriptionGroupList, _) = read_list(command)?;
    Ok(update_all(parts, list.group_config_list, bytes))
}

fn update_all(parts: &Rc<Parts>, groups: Vec<SubscriptionGroupConfig>, bytes: usize) -> Reaction {
    let parts = Rc::clone(parts);
    Reaction::list(bytes, async move {
        parts.directory.update_groups(groups).await?;
        Ok(Answer::default())
    })
}

/// Deletes a group and, when asked, its progress. Nothing looks the group up afterwards, so that it
/// stays deleted also with `autoCreateSubscriptionGroup` (Apache 5.5.0 creates it again).
pub(super) fn delete(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Reaction, Refusal> {
    let request: DeleteGroupRequest<'_> = decode(command)?;
    let (group, clean_offset) = (request.group_name.to_owned(), request.clean_offset);
    let parts = Rc::clone(parts);
    Ok(Reaction::later(async move {
        parts.directory.delete_group(&group).await?;
        if clean_offset {
            let _turn = parts.forgetting_turn.enter().await;
            change_progress::delete(&parts.data, &group).await.map_err(Refusal::failed)?;
        }
        let topic = retry_topic(&group);
        if parts.directory.settings().auto_create_subscription_group {
            return Ok(Answer::default());
        }
        // Without auto-creation nothing makes the topic again: it goes with its group.
        parts.directory.delete_topic(&topic).await?;
        Ok(Answer::default())
    }))
}

pub(super) fn all(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Answer, Refusal> {
    let request: AllGroupConfigRequest<'_> = decode(command)?;
    let all = parts.directory.groups();
    let table = all.lent();
    let Some(first) = request.group_seq else { return json_answer(&table) };
    let total = table.subscription_group_table.len();
    let page = super::page::page(first, request.max_group_num, total);
    let groups = table.subscription_group_table.into_iter().skip(page.start).take(page.len());
    let page = SubscriptionGroupTable { subscription_group_table: groups.collect(), ..table };
    Ok(json_answer(&page)?.field("totalGroupNum", total))
}

pub(super) fn one(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Answer, Refusal> {
    let request: GroupRequest<'_> = decode(command)?;
    let groups = parts.directory.groups();
    let group = groups.get(request.group).ok_or_else(|| no_group(request.group))?;
    json_answer(&**group)
}

pub(super) fn forbidden(parts: &Rc<Parts>, command: &Command<'_>) -> Result<Reaction, Refusal> {
    let request: GroupForbiddenRequest<'_> = decode(command)?;
    let (group, topic) = (request.group.to_owned(), request.topic.to_owned());
    let (parts, readable) = (Rc::clone(parts), request.readable);
    Ok(Reaction::later(async move {
        if let Some(readable) = readable {
            let set = parts.directory.set_readable(&group, &topic, readable);
            set.await?;
        }
        let forbidden = parts.directory.groups().forbidden_topics(&group);
        let readable = !forbidden.contains(&topic);
        json_answer(&GroupForbidden { group, readable, topic })
    }))
}

pub(super) fn no_group(group: &str) -> Refusal {
    Refusal::unknown_group(format!("No group in this broker. group: {group}"))
}

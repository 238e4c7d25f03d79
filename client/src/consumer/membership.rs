//! The handle of a member of a group, on which consumers' handles stand.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use ringmq_runtime::task;

use super::consumption::Consumption;
use super::member::Member;
use super::subscription::Filter;
use crate::client::Client;
use crate::config::{ConsumerConfig, MessageModel};
use crate::error::ClientError;
use crate::instance::Instance;

/// A client as a member of one group; the [`Member`] itself lives in the executor.
#[derive(Clone)]
pub(super) struct Membership {
    client: Client,
    group: Arc<str>,
    /// [`Member::id`]: this client may have left the group and joined it again.
    member_id: u64,
}

impl Membership {
    /// Joins a group, to consume in the way that `consumption` makes there.
    pub(super) async fn join(
        client: Client,
        config: ConsumerConfig,
        consumption: impl FnOnce() -> Result<Consumption, ClientError> + Send + 'static,
    ) -> Result<Self, ClientError> {
        let group = config.group.as_str().into();
        let join = move |instance| async move { join(instance, config, consumption()?).await };
        let member_id = client.run(join).await?;
        Ok(Self { client, group, member_id })
    }

    /// Runs `work` with the member.
    pub(super) async fn run<T, F>(
        &self,
        work: impl FnOnce(Rc<Member>) -> F + Send + 'static,
    ) -> Result<T, ClientError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ClientError>> + 'static,
    {
        let (group, id) = (self.group.clone(), self.member_id);
        let find = move |instance: Rc<Instance>| async move {
            let member = instance.member(&group).filter(|member| member.id == id);
            work(member.ok_or(ClientError::ShutDown)?).await
        };
        self.client.run(find).await
    }

    /// Leaves the group.
    pub(super) async fn leave(&self) {
        let stop = |member: Rc<Member>| async move {
            member.stop().await;
            Ok(())
        };
        // The only error is that it is down already.
        let _ = self.run(stop).await;
    }
}

/// Makes this client a member of a group and starts the group's loops; returns [`Member::id`].
async fn join(
    instance: Rc<Instance>,
    config: ConsumerConfig,
    consumption: Consumption,
) -> Result<u64, ClientError> {
    if config.group.is_empty() {
        return Err(ClientError::invalid("a consumer needs the name of its group"));
    }
    let member = Member::new(instance.clone(), config, consumption);
    instance.add_member(&member)?;
    if member.config.model == MessageModel::Broadcasting {
        // The client's address is part of the file's name: have it settled by a connection.
        let joined = async {
            instance.reach_name_server().await?;
            member.load_local_offsets().await
        };
        if let Err(error) = joined.await {
            instance.remove_member(&member.config.group);
            return Err(error);
        }
    } else if !member.consumption.is_polled() {
        member.subscribe(&member.retry_topic(), Filter::all()).await;
    }
    task::spawn("rebalance", member.clone().rebalance_loop()).detach();
    match &member.consumption {
        Consumption::Concurrent(_) => {
            task::spawn("outcomes", member.clone().outcome_loop()).detach();
        }
        Consumption::Orderly(_) => task::spawn("locks", member.clone().lock_loop()).detach(),
        Consumption::Polled(_) => task::spawn("returns", member.clone().return_loop()).detach(),
    }
    Ok(member.id)
}

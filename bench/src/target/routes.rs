//! Topics of a cluster: found through a name server, created where they are missing.

use std::collections::BTreeMap;
use std::time::Duration;

use ringmq_protocol::Command;
use ringmq_protocol::bodies::route::{ClusterInfo, QueueData, TopicRouteData};
use ringmq_protocol::bodies::topic::{TopicConfig, TopicConfigList};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::admin::CreateTopicRequest;
use ringmq_protocol::headers::namesrv::RouteRequest;
use ringmq_protocol::json;
use ringmq_protocol::names::{MASTER_ID, TEMPLATE_TOPIC, perm};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::task;

use crate::error::BenchError;
use crate::target::caller::Caller;
use crate::wire::describe;

/// How long a new topic may take to appear in the routes, or a broker to register again.
const ROUTE_LIMIT: Duration = Duration::from_secs(40);

/// Time between two looks at the route.
const ROUTE_POLL: Duration = Duration::from_millis(20);

/// Topics of one request that creates a list of them: its body stays below 256 KiB.
const TOPICS_OF_LIST: usize = 1_000;

/// The queues of a topic on one master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterQueues {
    /// Where the master listens.
    pub addr: String,
    /// Its queues have the ids from 0 to here; at least one.
    pub queues: u32,
}

/// Looks topics up, and creates them.
pub struct Routes {
    namesrv: Caller,
    /// Connections to masters, once they were needed.
    masters: BTreeMap<String, Caller>,
}

impl Routes {
    /// Asks the first of the name servers at `addrs` that takes a connection; `;` is between them.
    ///
    /// # Errors
    /// None can be reached.
    pub async fn connect(addrs: &str) -> Result<Self, BenchError> {
        let (others, last) = addrs.rsplit_once(';').map_or((None, addrs), |(o, l)| (Some(o), l));
        for addr in others.into_iter().flat_map(|others| others.split(';')) {
            match Caller::connect(addr).await {
                Ok(namesrv) => return Ok(Self { namesrv, masters: BTreeMap::new() }),
                Err(error) => eprintln!("{error}; trying the next name server"),
            }
        }
        let namesrv = Caller::connect(last).await.map_err(|error| match error {
            BenchError::Connect { addr, error } => BenchError::NoNameServer { addr, error },
            other => other,
        })?;
        Ok(Self { namesrv, masters: BTreeMap::new() })
    }

    /// The masters that have registered; at least one.
    ///
    /// # Errors
    /// The name server does not answer, or a master cannot be reached, or there is none.
    pub async fn masters(&mut self) -> Result<Vec<String>, BenchError> {
        self.connect_masters().await?;
        let addrs: Vec<_> = self.masters.keys().cloned().collect();
        match addrs.is_empty() {
            true => Err(BenchError::NoMaster(self.namesrv.who().to_owned())),
            false => Ok(addrs),
        }
    }

    /// Creates those of many topics that are unknown with `queues` queues on all masters, as far as
    /// these take lists of topics: brokers do since 5.3, and [`Routes::find`] creates what is still
    /// missing. One by one, Apache's broker would write and send its whole table each time.
    ///
    /// # Errors
    /// A master cannot be reached, or does not answer in time.
    pub async fn create_many(&mut self, topics: &[String], queues: u32) -> Result<(), BenchError> {
        let deadline = Instant::now() + ROUTE_LIMIT;
        while self.masters.is_empty() && Instant::now() < deadline {
            self.connect_masters().await?;
            task::sleep(ROUTE_POLL).await;
        }
        let queues = i32::try_from(queues).expect("checked by the command line");
        let config = |name: &String| TopicConfig {
            topic_name: name.clone(),
            read_queue_nums: queues,
            write_queue_nums: queues,
            ..TopicConfig::default()
        };
        let mut unknown = Vec::new();
        for topic in topics {
            if self.look_up(topic).await?.is_empty() {
                unknown.push(config(topic));
            }
        }
        for some in unknown.chunks(TOPICS_OF_LIST) {
            let list = TopicConfigList { topic_config_list: some.to_vec() };
            let body = json::to_vec(&list);
            for master in self.masters.values_mut() {
                let code = request::UPDATE_AND_CREATE_TOPIC_LIST;
                let taken = |answer: &Command<'_>| answer.code == response::SUCCESS;
                if !master.ask_with_body(code, &(), &body, taken).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The masters that have a topic; creates it with `queues` queues on all masters when it is
    /// unknown.
    ///
    /// # Errors
    /// It cannot be created, or does not appear in time.
    pub async fn find(
        &mut self,
        topic: &str,
        queues: u32,
    ) -> Result<Vec<MasterQueues>, BenchError> {
        let mut created = false;
        let deadline = Instant::now() + ROUTE_LIMIT;
        while Instant::now() < deadline {
            let found = self.look_up(topic).await?;
            if !found.is_empty() {
                return Ok(found);
            }
            if !created {
                created = self.create(topic, queues).await?;
            }
            if !created || self.look_up(topic).await?.is_empty() {
                task::sleep(ROUTE_POLL).await;
            }
        }
        let namesrv = self.namesrv.who().to_owned();
        Err(match created {
            true => BenchError::NoRoute { topic: topic.to_owned(), namesrv, waited: ROUTE_LIMIT },
            false => BenchError::NoMaster(namesrv),
        })
    }

    async fn look_up(&mut self, topic: &str) -> Result<Vec<MasterQueues>, BenchError> {
        let header = RouteRequest {
            topic,
            accept_standard_json_only: Some(true),
            zone_mode: None,
            zone_name: None,
        };
        let take = |command: &Command<'_>| {
            (command.code == response::SUCCESS).then(|| command.body.to_vec())
        };
        let body = self.namesrv.ask(request::GET_ROUTEINFO_BY_TOPIC, &header, take).await?;
        let Some(body) = body else { return Ok(Vec::new()) };
        let route = json::from_slice(&body)
            .map_err(|error| BenchError::protocol(self.namesrv.who(), error))?;
        Ok(masters(&route))
    }

    /// Creates the topic on every master; false when no broker has registered yet.
    async fn create(&mut self, topic: &str, queues: u32) -> Result<bool, BenchError> {
        let queues = i32::try_from(queues).expect("checked by the command line");
        let header = CreateTopicRequest {
            topic,
            default_topic: TEMPLATE_TOPIC,
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: perm::READ_WRITE,
            topic_filter_type: "SINGLE_TAG",
            topic_sys_flag: Some(0),
            order: false,
            attributes: None,
            force: None,
        };
        self.connect_masters().await?;
        for master in self.masters.values_mut() {
            let code = request::UPDATE_AND_CREATE_TOPIC;
            master.expect("create topic", code, &header, |_| ()).await?;
        }
        Ok(!self.masters.is_empty())
    }

    async fn connect_masters(&mut self) -> Result<(), BenchError> {
        if !self.masters.is_empty() {
            return Ok(());
        }
        let code = request::GET_BROKER_CLUSTER_INFO;
        let answer = self.namesrv.ask(code, &(), |answer| match answer.code {
            response::SUCCESS => Ok(answer.body.to_vec()),
            response::REQUEST_CODE_NOT_SUPPORTED => Err(None),
            _ => Err(Some(describe(answer))),
        });
        let body = answer.await?.map_err(|answer| {
            let who = self.namesrv.who().to_owned();
            match answer {
                None => BenchError::NotANameServer(who),
                Some(answer) => BenchError::Refused { asked: "cluster", who, answer },
            }
        })?;
        let cluster: ClusterInfo = json::from_slice(&body)
            .map_err(|error| BenchError::protocol(self.namesrv.who(), error))?;
        for data in cluster.broker_addr_table.values() {
            let Some(addr) = data.broker_addrs.get(&MASTER_ID) else { continue };
            self.masters.insert(addr.clone(), Caller::connect(addr).await?);
        }
        Ok(())
    }
}

/// The masters of a route that take messages, in the order of their names.
fn masters(route: &TopicRouteData) -> Vec<MasterQueues> {
    let addrs: BTreeMap<_, _> = route
        .broker_datas
        .iter()
        .filter_map(|data| Some((&data.broker_name, data.broker_addrs.get(&MASTER_ID)?)))
        .collect();
    let master = |queues: &QueueData| {
        let addr = (*addrs.get(&queues.broker_name)?).clone();
        let queues = u32::try_from(queues.write_queue_nums).ok().filter(|&queues| queues > 0)?;
        Some(MasterQueues { addr, queues })
    };
    route.queue_datas.iter().filter_map(master).collect()
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::shards;

    use super::*;
    use crate::target::fake::Fake;

    #[test]
    fn a_name_server_without_a_broker_has_not_broken_the_protocol() {
        shards::block_on(async {
            let address = Fake::start().address.clone();
            let mut routes = Routes::connect(&address).await.unwrap();
            let error = routes.masters().await.unwrap_err().to_string();
            assert!(error.starts_with("expected a master that has registered"), "{error}");
            assert!(
                error.contains(&format!("start a broker with namesrvAddr={address}")),
                "{error}"
            );
        });
    }
}

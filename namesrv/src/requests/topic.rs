//! What clients and tools ask about topics.

use ringmq_protocol::bodies::route::TopicRouteData;
use ringmq_protocol::codes::response;
use ringmq_protocol::headers::namesrv::{
    DeleteTopicInNamesrvRequest, RegisterTopicRequest, RouteRequest, TopicsByClusterRequest,
};
use ringmq_protocol::json;
use ringmq_protocol::names::ORDER_TOPIC_CONFIG;
use ringmq_runtime::clock::Instant;

use crate::outcome::Refusal;
use crate::service::{Handled, NameServer, Request};
use crate::views::{UnitTopics, keep_zone};

impl NameServer {
    /// The one request that every client repeats every 30 s. Names are always quoted, which the
    /// readers of all releases take, whatever the request says about standard JSON.
    pub(crate) fn route(&self, request: Request<'_, '_>) -> Handled {
        let header: RouteRequest<'_> = request.header()?;
        if Instant::now() < self.started_at + self.config.borrow().silent_time() {
            return Err(Refusal::error("name server not ready"));
        }
        let route = self.table.borrow().route(header.topic);
        let Some(mut route) = route else {
            return Err(Refusal::new(
                response::TOPIC_NOT_EXIST,
                format_args!("no route for topic {}: no broker has registered it", header.topic),
            ));
        };
        if self.config.borrow().order_message_enable {
            let kv = self.kv.borrow();
            route.order_topic_conf = kv.get(ORDER_TOPIC_CONFIG, header.topic).map(str::to_owned);
        }
        if header.zone_mode == Some(true)
            && let Some(zone) = header.zone_name.filter(|zone| !zone.trim().is_empty())
        {
            keep_zone(&mut route, zone);
        }
        request.reply_json(&route)
    }

    pub(crate) fn all_topics(&self, request: Request<'_, '_>) -> Handled {
        if !self.config.borrow().enable_all_topic_list {
            return Err(Refusal::error("disable: enableAllTopicList is false"));
        }
        request.reply_json(&self.table.borrow().all_topics())
    }

    pub(crate) fn topics_of_cluster(&self, request: Request<'_, '_>) -> Handled {
        self.check_topic_list()?;
        let header: TopicsByClusterRequest<'_> = request.header()?;
        request.reply_json(&self.table.borrow().topics_of_cluster(header.cluster))
    }

    pub(crate) fn unit_topics(&self, request: Request<'_, '_>, which: UnitTopics) -> Handled {
        self.check_topic_list()?;
        request.reply_json(&self.table.borrow().unit_topics(which))
    }

    fn check_topic_list(&self) -> Handled {
        match self.config.borrow().enable_topic_list {
            true => Ok(()),
            false => Err(Refusal::error("disable: enableTopicList is false")),
        }
    }

    pub(crate) fn register_topic(&self, request: Request<'_, '_>) -> Handled {
        let header: RegisterTopicRequest<'_> = request.header()?;
        let body = request.body_within(self.registration_max_bytes)?;
        let route: TopicRouteData = json::from_slice(body).map_err(Refusal::error)?;
        let registered = self.table.borrow_mut().register_topic(header.topic, &route.queue_datas);
        registered.map_err(Refusal::error)?;
        request.reply(&(), &[])
    }

    pub(crate) fn delete_topic(&self, request: Request<'_, '_>) -> Handled {
        let header: DeleteTopicInNamesrvRequest<'_> = request.header()?;
        let cluster = header.cluster_name.filter(|cluster| !cluster.is_empty());
        self.table.borrow_mut().delete_topic(header.topic, cluster);
        request.reply(&(), &[])
    }
}

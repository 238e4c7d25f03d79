//! Where topics and brokers are, as far as this client knows.

use std::rc::Rc;

use ringmq_protocol::bodies::route::TopicRouteData;
use ringmq_protocol::codes::response;

use super::{Instance, Server};
use crate::error::{ClientError, Fault};
use crate::queue::MessageQueue;
use crate::routes::TopicRoute;

impl Instance {
    /// The route to consume `topic`, asked for if it is not known: what a producer assumes of a
    /// topic that it has yet to create does not count.
    pub(crate) async fn route(&self, topic: &str) -> Result<Rc<TopicRoute>, ClientError> {
        if let Some(route) = self.known_route(topic)
            && !route.subscribe.is_empty()
        {
            return Ok(route);
        }
        self.refresh_route(topic).await
    }

    /// The route of `topic` if it was asked for before.
    pub(crate) fn known_route(&self, topic: &str) -> Option<Rc<TopicRoute>> {
        self.routes.borrow().get(topic).cloned()
    }

    /// Asks for the route of `topic`.
    ///
    /// # Errors
    /// `Failed` with code 17: the name servers do not know the topic. A route that was known stays.
    pub(crate) async fn refresh_route(&self, topic: &str) -> Result<Rc<TopicRoute>, ClientError> {
        let data = self.route_data(topic).await?;
        let route = TopicRoute::new(topic, &data)
            .map_err(|error| ClientError::invalid(error.to_string()))?;
        Ok(self.learn(topic, route))
    }

    /// The route to publish to `topic`, which the first send may have to create from the topic
    /// `template` with `queues_max` queues per broker.
    pub(crate) async fn publish_route(
        &self,
        topic: &str,
        template: &str,
        queues_max: i32,
    ) -> Result<Rc<TopicRoute>, ClientError> {
        if let Some(route) = self.known_route(topic)
            && !route.publish.is_empty()
        {
            return Ok(route);
        }
        let missing = match self.refresh_route(topic).await {
            Err(error) if error.code() == Some(response::TOPIC_NOT_EXIST) => error,
            known => return known,
        };
        let data = self.route_data(template).await.map_err(|_| missing)?;
        let route = TopicRoute::of_topic_to_create(topic, &data, queues_max)
            .map_err(|error| ClientError::invalid(error.to_string()))?;
        Ok(self.learn(topic, route))
    }

    fn learn(&self, topic: &str, route: TopicRoute) -> Rc<TopicRoute> {
        if self.brokers.borrow_mut().learn(&route) {
            // A new broker must know our groups before it lets them consume.
            self.heartbeat_soon();
        }
        let mut routes = self.routes.borrow_mut();
        if let Some(known) = routes.get(topic)
            && **known == route
        {
            return known.clone();
        }
        tracing::debug!(topic, queues = route.subscribe.len(), "route changed");
        let route = Rc::new(route);
        routes.insert(topic.to_owned(), route.clone());
        route
    }

    pub(crate) async fn route_data(&self, topic: &str) -> Result<TopicRouteData, ClientError> {
        self.names.route(self, topic).await
    }

    /// The route of `topic` failed in use: it is asked for again soon.
    pub(crate) fn route_is_suspect(&self, topic: &str) {
        if self.suspects.borrow_mut().insert(topic.to_owned()) {
            self.route_now.notify_one();
        }
    }

    /// The master of the queue's broker set.
    ///
    /// # Errors
    /// `Unreachable`: no known route names it.
    pub(crate) fn master(&self, broker_name: &str) -> Result<Server, Fault> {
        let brokers = self.brokers.borrow();
        let unknown = || format!("no address of a master of {broker_name} is known");
        let address = brokers.master(broker_name).ok_or_else(|| Fault::silence(unknown()))?;
        Ok(Server::new(broker_name, address))
    }

    /// Where to read `queue` from, and whether that is a slave.
    pub(crate) fn reader(
        &self,
        queue: &MessageQueue,
        preferred: i64,
    ) -> Result<(Server, bool), Fault> {
        let brokers = self.brokers.borrow();
        let found = brokers.reader(&queue.broker_name, preferred);
        let unknown = || format!("no address of {} is known", queue.broker_name);
        let found = found.ok_or_else(|| Fault::silence(unknown()))?;
        Ok((Server::new(&queue.broker_name, &found.address), found.is_slave))
    }

    /// Every known broker with its id.
    pub(crate) fn all_brokers(&self) -> Vec<(Server, i64)> {
        let brokers = self.brokers.borrow();
        brokers.all().map(|(name, id, address)| (Server::new(name, address), id)).collect()
    }
}

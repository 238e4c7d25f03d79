//! What the client does by the clock: routes, heartbeats, offsets.

use std::rc::Rc;

use ringmq_protocol::codes::response;
use ringmq_runtime::task;

use super::Instance;

/// Frees what the groups of an instance hold when the instance's executor ends.
struct AtTheEnd<'a>(&'a Instance);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Instance {
    /// Starts the loops; they end when the client stops.
    pub(crate) fn start_timers(self: &Rc<Self>) {
        task::spawn("routes", self.clone().route_loop()).detach();
        task::spawn("heartbeats", self.clone().heartbeat_loop()).detach();
        task::spawn("offsets", self.clone().persist_loop()).detach();
    }

    async fn route_loop(self: Rc<Self>) {
        // Dropped with the executor, if not before.
        let _end = AtTheEnd(&self);
        while !self.is_stopping() {
            let early = task::timeout(self.config.route_refresh, self.route_now.notified()).await;
            let suspects = self.suspects.take();
            let topics = match early {
                Ok(()) => suspects.into_iter().collect(),
                Err(_) => self.topics_in_use(),
            };
            for topic in topics {
                self.refresh_in_background(&topic).await;
            }
            if early.is_err() {
                self.brokers
                    .borrow_mut()
                    .keep_only(self.routes.borrow().values().map(|route| &**route));
            }
        }
    }

    fn topics_in_use(&self) -> Vec<String> {
        self.routes.borrow().keys().cloned().collect()
    }

    async fn refresh_in_background(&self, topic: &str) {
        let before = self.known_route(topic);
        match self.refresh_route(topic).await {
            Ok(route) => {
                let is_changed = before.is_none_or(|before| before.subscribe != route.subscribe);
                if is_changed {
                    self.members().iter().for_each(|member| member.rebalance_now.notify_one());
                }
            }
            // The route of a topic that the first message has yet to create.
            Err(error) if error.code() == Some(response::TOPIC_NOT_EXIST) => {}
            Err(error) => tracing::warn!(topic, %error, "route not refreshed"),
        }
    }

    async fn heartbeat_loop(self: Rc<Self>) {
        while !self.is_stopping() {
            for group in self.forget_producers() {
                self.unregister_producer(&group).await;
            }
            self.heartbeat().await;
            let pause = self.config.heartbeat;
            let _ = task::timeout(pause, self.heartbeat_now.notified()).await;
        }
    }

    async fn persist_loop(self: Rc<Self>) {
        while !self.is_stopping() {
            task::sleep(self.config.offset_persist).await;
            for member in self.members() {
                member.persist().await;
            }
        }
    }
}

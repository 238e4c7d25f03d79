//! The part of a producer that lives in the executor: route, choice of queue, attempts.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::send::SendResponse;
use ringmq_protocol::{Command, Header};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::random::HashMap;
use ringmq_runtime::{clock, random, task};

use super::send::{Outgoing, Payload, Prepared, Target};
use super::{Decision, Ending, RoundRobin, SendResult, SendStatus};
use crate::config::ProducerConfig;
use crate::error::{Attempt, ClientError, Fault};
use crate::instance::{Instance, Server, malformed, refusal};
use crate::message::Message;
use crate::permits::Permits;
use crate::queue::MessageQueue;
use crate::routes::TopicRoute;

/// One producer.
pub(crate) struct ProducerCore {
    instance: Rc<Instance>,
    pub(crate) config: ProducerConfig,
    /// Gone when the last handle is: the next heartbeat forgets this producer.
    handles: Weak<ProducerConfig>,
    in_flight: Permits,
    walks: RefCell<HashMap<String, Rc<RoundRobin>>>,
}

/// The answer to a send, read from the wire.
pub(crate) struct SendAnswer {
    pub(crate) status: SendStatus,
    pub(crate) offset_message_id: String,
    pub(crate) queue_id: i32,
    pub(crate) queue_offset: i64,
}

impl ProducerCore {
    /// A producer without handles, for the client's own use.
    pub(crate) fn new(instance: Rc<Instance>, config: ProducerConfig) -> Self {
        let in_flight = Permits::new(config.in_flight_max);
        Self { instance, config, handles: Weak::new(), in_flight, walks: RefCell::default() }
    }

    /// Makes a producer for a handle and returns the number by which it is found.
    pub(crate) async fn join(
        instance: Rc<Instance>,
        config: Arc<ProducerConfig>,
    ) -> Result<u64, ClientError> {
        if config.group.is_empty() {
            return Err(ClientError::invalid("a producer needs the name of its group"));
        }
        let handles = Arc::downgrade(&config);
        let core = Self { handles, ..Self::new(instance.clone(), (*config).clone()) };
        Ok(instance.add_producer(Rc::new(core)))
    }

    /// The producer with this number.
    pub(crate) fn find(instance: &Instance, id: u64) -> Result<Rc<Self>, ClientError> {
        instance.producer(id).ok_or(ClientError::ShutDown)
    }

    /// Whether a handle of this producer exists.
    pub(crate) fn is_wanted(&self) -> bool {
        self.handles.strong_count() > 0
    }

    /// Sends with all attempts; waits first while too many sends are in flight.
    pub(crate) async fn send(&self, outgoing: Outgoing) -> Result<SendResult, ClientError> {
        let _permit = self.in_flight.acquire().await;
        let deadline = Instant::now() + self.config.send_timeout;
        let action = format!("send to topic {}", outgoing.topic());
        let Outgoing { payload, target } = outgoing;
        let topic = payload.topic().to_owned();
        let route = self.route_until(&topic, deadline).await?;
        let identity = self.instance.identity();
        let prepared = Prepared::new(payload, &self.config, identity, clock::unix_ms())?;
        let fixed = self.fixed_queue(target, &route)?;
        let mut tried = Tried::default();
        for number in 0.. {
            let queue = match &fixed {
                Some(queue) => queue.clone(),
                None => self.next_queue(&topic, &route, tried.last.as_ref())?,
            };
            let outcome = self.attempt(&prepared, &queue, time_left(deadline)).await;
            let ending = match &outcome {
                Ok(result) => Ending::Taken(result.status),
                Err(failed) => failed.fault.code().map_or(Ending::Unreachable, Ending::Refused),
            };
            let time_left_ms = u64::try_from(time_left(deadline).as_millis()).unwrap_or(u64::MAX);
            let decision = match fixed {
                Some(_) => Decision::Finish,
                None => self.config.retry.decide(number, time_left_ms, ending),
            };
            tried.note(queue, outcome);
            if decision == Decision::Finish {
                return tried.result(action);
            }
        }
        unreachable!("attempts end when the policy says so")
    }

    /// Hands a message to a connection.
    pub(crate) async fn send_oneway(&self, message: Message) -> Result<(), ClientError> {
        let _permit = self.in_flight.acquire().await;
        let action = format!("one-way send to topic {}", message.topic);
        let route = self.route(&message.topic).await?;
        let (identity, now_ms) = (self.instance.identity(), clock::unix_ms());
        let prepared = Prepared::new(Payload::Single(message), &self.config, identity, now_ms)?;
        let queue = self.next_queue(&prepared.topic, &route, None)?;
        let server =
            self.server(&queue).map_err(|attempt| ClientError::failed(&action, attempt))?;
        let header = prepared.header(&queue, &self.config);
        let code = request::SEND_MESSAGE_V2;
        let told = self.instance.tell(&server, code, &header, &prepared.body).await;
        told.map_err(|fault| server.failed(&action, fault))
    }

    /// The queues that this producer may send a topic's messages to.
    pub(crate) async fn route(&self, topic: &str) -> Result<Rc<TopicRoute>, ClientError> {
        let config = &self.config;
        let route = self
            .instance
            .publish_route(topic, &config.create_topic_key, config.default_topic_queues)
            .await?;
        if route.publish.is_empty() {
            let names: Vec<&str> = route.brokers.iter().map(|set| &*set.name).collect();
            let answer = format!("brokers {}, with no queue to write to", names.join(", "));
            return Err(ClientError::no_route(topic, "writable", answer));
        }
        Ok(route)
    }

    async fn route_until(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<Rc<TopicRoute>, ClientError> {
        if let Some(route) = self.instance.known_route(topic)
            && !route.publish.is_empty()
        {
            return Ok(route);
        }
        crate::message::check_topic(topic)?;
        let left = time_left(deadline);
        let found = task::timeout(left, self.route(topic)).await;
        found.unwrap_or_else(|_| {
            let answer = format!("nothing within {} ms", left.as_millis());
            Err(ClientError::no_route(topic, "writable", answer))
        })
    }

    fn fixed_queue(
        &self,
        target: Target,
        route: &TopicRoute,
    ) -> Result<Option<MessageQueue>, ClientError> {
        match target {
            Target::Any => Ok(None),
            Target::Queue(queue) if self.instance.master(&queue.broker_name).is_err() => {
                Err(ClientError::invalid(format!("the broker of queue {queue} is not known")))
            }
            Target::Queue(queue) => Ok(Some(queue)),
            Target::Selected(select) => {
                let index = select(&route.publish) % route.publish.len();
                Ok(Some(route.publish[index].clone()))
            }
        }
    }

    fn next_queue(
        &self,
        topic: &str,
        route: &TopicRoute,
        last: Option<&MessageQueue>,
    ) -> Result<MessageQueue, ClientError> {
        let walk = self.walk(topic);
        let chosen = walk.choose(&route.publish, last.map(|queue| &*queue.broker_name));
        chosen.cloned().ok_or_else(|| ClientError::no_route(topic, "writable", "no queue"))
    }

    fn walk(&self, topic: &str) -> Rc<RoundRobin> {
        let mut walks = self.walks.borrow_mut();
        if let Some(walk) = walks.get(topic) {
            return walk.clone();
        }
        let start = usize::try_from(random::seed_u64() >> 32).unwrap_or(0);
        let walk = Rc::new(RoundRobin::starting_at(start));
        walks.insert(topic.to_owned(), walk.clone());
        walk
    }

    fn server(&self, queue: &MessageQueue) -> Result<Server, Attempt> {
        let unknown = |fault| Server::unknown(&queue.broker_name).attempt(fault);
        let server = self.instance.master(&queue.broker_name).map_err(unknown)?;
        Ok(if self.instance.config.vip_channel { server.vip() } else { server })
    }

    async fn attempt(
        &self,
        prepared: &Prepared,
        queue: &MessageQueue,
        timeout: Duration,
    ) -> Result<SendResult, Attempt> {
        let server = self.server(queue)?;
        let header = prepared.header(queue, &self.config);
        let code = match prepared.is_batch {
            true => request::SEND_BATCH_MESSAGE,
            false => request::SEND_MESSAGE_V2,
        };
        let body = &prepared.body;
        let call = self.instance.call(&server, code, &header, body, timeout, read_send_answer);
        let answer = if self.instance.is_connected(&server) {
            // The call itself ends in time.
            call.await
        } else {
            let no_answer = |_| Fault::silence(format!("nothing in {timeout:?}"));
            task::timeout(timeout, call).await.map_err(no_answer).flatten()
        };
        match answer {
            Ok(answer) => Ok(SendResult {
                status: answer.status,
                message_id: prepared.message_id.clone(),
                offset_message_id: answer.offset_message_id,
                queue: MessageQueue { queue_id: answer.queue_id, ..queue.clone() },
                queue_offset: answer.queue_offset,
            }),
            Err(fault) => {
                if fault.code().is_none_or(|code| code == response::TOPIC_NOT_EXIST) {
                    self.instance.route_is_suspect(&prepared.topic);
                }
                Err(server.attempt(fault))
            }
        }
    }
}

/// What the attempts of one send came to so far.
#[derive(Default)]
struct Tried {
    taken: Option<SendResult>,
    failed: Vec<Attempt>,
    last: Option<MessageQueue>,
}

impl Tried {
    fn note(&mut self, queue: MessageQueue, outcome: Result<SendResult, Attempt>) {
        match outcome {
            Ok(result) => self.taken = Some(result),
            Err(failed) => {
                tracing::debug!(%queue, %failed, "send attempt failed");
                self.failed.push(failed);
            }
        }
        self.last = Some(queue);
    }

    /// A message that one broker took is sent, even if another attempt, made for want of a flush,
    /// failed.
    fn result(self, action: String) -> Result<SendResult, ClientError> {
        self.taken.ok_or(ClientError::Failed { action, attempts: self.failed })
    }
}

fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_since(Instant::now())
}

/// Reads the answer to a send.
pub(crate) fn read_send_answer(answer: &Command<'_>) -> Result<SendAnswer, Fault> {
    let status = SendStatus::from_code(answer.code).ok_or_else(|| refusal(answer))?;
    let header = SendResponse::decode(&answer.fields).map_err(malformed)?;
    Ok(SendAnswer {
        status,
        offset_message_id: header.msg_id.to_owned(),
        queue_id: header.queue_id,
        queue_offset: header.queue_offset,
    })
}

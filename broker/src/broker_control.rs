//! The control plane: hands each request of shard 0 to its service, and does what is due by the
//! clock.
//!
//! It holds no state of its own. What lasts is the [`Directory`]'s, who is connected the
//! [`Clients`]', who knows of us the [`Registrar`]'s; services get the ones they use.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::Command;
use ringmq_protocol::codes::request;
use ringmq_remoting::ReplyTo;
use ringmq_runtime::task::{self, LocalFuture};

use crate::clients::Clients;
use crate::control::{ControlPlane, TopicWanted};
use crate::directory::Directory;
use crate::link::ConnectionKey;
use crate::outcome::Refusal;
use crate::peer::Peer;
use crate::register::Registrar;
use crate::services::admin::Admin;
use crate::services::control::{Reaction, Unanswered};
use crate::services::heartbeat::Heartbeats;
use crate::services::lock::Locks;
use crate::services::send_back::SendBacks;
use crate::topics::Wanted;

/// Time between two looks for clients that fell silent (Apache's `ClientHousekeepingService`).
const EXPIRY_SCAN: Duration = Duration::from_secs(10);

/// Longest time that the success line waits for the name servers, so that clients that are started
/// after it find the broker there.
const FIRST_REGISTRATION_WAIT: Duration = Duration::from_secs(2);

/// Time that open requests to the name server of this process get when it stops.
const NAMESRV_DRAIN_TIME: Duration = Duration::from_millis(500);

/// The control plane of the broker.
pub struct BrokerControl {
    directory: Rc<Directory>,
    clients: Rc<Clients>,
    registrar: Rc<Registrar>,
    heartbeats: Heartbeats,
    locks: Locks,
    send_backs: SendBacks,
    admin: Admin,
    unanswered: Unanswered,
    /// Called once, when clients can connect.
    booted: Cell<Option<Booted>>,
    /// The name server of this process.
    namesrv: Cell<Option<ringmq_namesrv::Running>>,
}

/// What happens when the broker serves; gets a name server where clients find it, if there is one.
pub type Booted = Box<dyn FnOnce(Option<&str>)>;

impl BrokerControl {
    /// Puts the control plane together and starts what it does by the clock.
    pub fn start(
        directory: Rc<Directory>,
        clients: Rc<Clients>,
        registrar: Rc<Registrar>,
        admin: Admin,
        booted: Booted,
        namesrv: Option<ringmq_namesrv::Running>,
    ) -> Rc<Self> {
        let heartbeats = Heartbeats::new(Rc::clone(&directory), Rc::clone(&clients));
        let locks = Locks::new(Rc::clone(&directory), Rc::clone(&clients));
        let control = Rc::new(Self {
            directory,
            clients,
            registrar,
            heartbeats,
            locks,
            send_backs: SendBacks::default(),
            admin,
            unanswered: Unanswered::default(),
            booted: Cell::new(Some(booted)),
            namesrv: Cell::new(namesrv),
        });
        task::spawn("client expiry", Rc::clone(&control).expire_clients()).detach();
        control
    }

    async fn expire_clients(self: Rc<Self>) {
        loop {
            task::sleep(EXPIRY_SCAN).await;
            let limit_ms = self.directory.settings().channel_expired_timeout_ms;
            self.heartbeats.expire(Duration::from_millis(limit_ms)).await;
        }
    }

    fn react(&self, peer: &Peer, command: &Command<'_>) -> Reaction {
        match command.code {
            request::HEART_BEAT => self.heartbeats.register(peer, command).into(),
            request::UNREGISTER_CLIENT => self.heartbeats.unregister(peer, command).into(),
            request::GET_CONSUMER_LIST_BY_GROUP => self.heartbeats.consumer_list(command).into(),
            request::CHECK_CLIENT_CONFIG => self.heartbeats.check_client(command).into(),
            request::LOCK_BATCH_MQ => self.locks.lock(peer, command).into(),
            request::UNLOCK_BATCH_MQ => self.locks.unlock(command).into(),
            request::CONSUMER_SEND_MSG_BACK => self.send_backs.refuse(peer, command),
            _ => self.admin.react(peer, command),
        }
    }
}

impl ControlPlane for BrokerControl {
    fn on_request(&self, peer: &Peer, command: &Command<'_>) {
        let bytes = command.fields.text_bytes() + command.body.len();
        self.react(peer, command).send(&self.unanswered, peer, ReplyTo::of(command), bytes);
    }

    fn on_connection_closed(&self, connection: ConnectionKey) {
        let heartbeats = self.heartbeats.clone();
        let leave = async move { heartbeats.connection_closed(connection).await };
        task::spawn("clients leave", leave).detach();
    }

    fn topic_for_send(self: Rc<Self>, wanted: TopicWanted) -> LocalFuture<Result<(), Refusal>> {
        Box::pin(async move {
            let queues = i32::try_from(wanted.queues).unwrap_or(i32::MAX);
            let made = if wanted.template.is_empty() {
                self.directory.ensure_topic(&wanted.name, queues, wanted.sys_flag).await
            } else {
                let (topic, template) = (wanted.name.as_str(), wanted.template.as_str());
                let wanted = Wanted { topic, template, queues, sys_flag: wanted.sys_flag };
                self.directory.topic_from_template(&wanted).await
            };
            match &made {
                Ok(()) => tracing::info!("topic {} made for {}", wanted.name, wanted.wanted_by),
                Err(error) => tracing::info!("send of {}: {error}", wanted.wanted_by),
            }
            made.map_err(Refusal::from)
        })
    }

    fn group_for_pull(self: Rc<Self>, group: String) -> LocalFuture<Result<(), Refusal>> {
        Box::pin(async move {
            let made = self.directory.ensure_group(&group);
            made.map(drop).map_err(Refusal::from)
        })
    }

    fn subscription_is_old(&self, group: &str) {
        self.clients.want_full_heartbeats(group);
    }

    fn on_ready(&self) {
        self.registrar.start();
        let (registrar, booted) = (Rc::clone(&self.registrar), self.booted.take());
        let tell = async move {
            registrar.settled(FIRST_REGISTRATION_WAIT).await;
            booted.into_iter().for_each(|booted| booted(registrar.reached()));
        };
        task::spawn("boot message", tell).detach();
    }

    fn stop(self: Rc<Self>) -> LocalFuture<()> {
        Box::pin(async move {
            self.registrar.unregister().await;
            if let Err(error) = self.directory.settled().await {
                tracing::error!("{error}");
            }
            if let Some(namesrv) = self.namesrv.take() {
                namesrv.stop(NAMESRV_DRAIN_TIME).await;
            }
        })
    }
}

//! A broker in a process of its own, on free ports and a directory of its own.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ringmq_namesrv::{Config, Running};
use ringmq_protocol::codes::{request, response};
use ringmq_runtime::shards::usable_cores;
use ringmq_runtime::task;

use crate::support::child::{Child, Ended};
use crate::support::{Client, free_port, in_time, temp_dir};

/// Time between two looks for something that another process does.
const LOOK: Duration = Duration::from_millis(5);

/// Files and ports of one broker; it can be started on them again and again.
pub struct Node {
    pub port: u16,
    pub namesrv_port: u16,
    dir: tempfile::TempDir,
}

impl Node {
    /// With these lines in its file besides those that every test needs.
    pub fn new(lines: &str) -> Self {
        let node = Self { port: free_port(), namesrv_port: free_port(), dir: temp_dir() };
        node.configure(lines);
        node
    }

    /// Writes the file anew. Of two lines with one key the later counts.
    pub fn configure(&self, lines: &str) {
        let core = usable_cores()[0];
        let text = format!(
            "brokerName=node\nbrokerIP1=127.0.0.1\nbindAddress=127.0.0.1\nlistenPort={}\n\
             embeddedNamesrvPort={}\nstorePathRootDir={}\nmappedFileSizeCommitLog={}\n\
             shardCores={core}\n{lines}\n",
            self.port,
            self.namesrv_port,
            self.store().display(),
            8 << 20,
        );
        std::fs::write(self.file(), text).expect("the file is written");
    }

    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join("broker.conf")
    }

    /// `mqbroker -c FILE`.
    pub fn command(&self) -> Command {
        let mut command = mqbroker(self.dir.path());
        command.arg("-c").arg(self.file());
        command
    }

    /// Starts it and waits until it serves.
    pub async fn boot(&self) -> Child {
        let mut child = Child::start(&mut self.command());
        child.booted().await;
        child
    }

    /// Starts it and waits until it ends by itself.
    pub async fn refused(&self) -> Ended {
        Child::start(&mut self.command()).ended().await
    }

    pub async fn client(&self) -> Client {
        client(self.port).await
    }

    pub async fn namesrv(&self) -> Client {
        client(self.namesrv_port).await
    }
}

/// `mqbroker` in this working directory.
pub fn mqbroker(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqbroker"));
    command.current_dir(directory);
    command
}

pub async fn client(port: u16) -> Client {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Client::connect(address).await.expect("somebody listens")
}

/// A name server in this process.
pub async fn name_server(directory: &Path, port: u16) -> Running {
    let config = Config {
        listen_port: port,
        bind_address: [127, 0, 0, 1].into(),
        kv_config_path: directory.join(port.to_string()).to_string_lossy().into_owned(),
        ..Config::default()
    };
    ringmq_namesrv::start(config).await.expect("it starts")
}

/// What a name server says about a topic; none when it does not know it.
pub async fn route(namesrv: &Client, topic: &str) -> Option<String> {
    let answer = namesrv.call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)], &[]).await;
    let body = String::from_utf8(answer.body().to_vec()).expect("text");
    (answer.code() == response::SUCCESS).then_some(body)
}

/// Waits until the name server knows the topic, or knows it no more.
pub async fn wait_for_route(namesrv: &Client, topic: &str, is_known: bool) {
    let comes_true = async {
        while route(namesrv, topic).await.is_some() != is_known {
            task::sleep(LOOK).await;
        }
    };
    in_time("the name server learns", comes_true).await;
}

//! What the tests share: the program, and a broker with its name server in this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::rc::Rc;
use std::time::Duration;

use ringmq_broker::config::{EmbeddedNamesrv, Settings};
use ringmq_broker::setup::{self, Setup};
use ringmq_remoting::{Connection, ConnectionLimits, NoService, dial};
use ringmq_runtime::net::free_ports;
use ringmq_runtime::shards::{Cores, ShardsConfig};
use ringmq_runtime::task;
use serde_json::Value;

use crate::scenario::run_until;

pub const TIMEOUT: Duration = Duration::from_secs(20);

/// How a command ended.
pub struct Ended {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// What it printed; it did what it was asked for, without a word on standard error.
    pub fn text(&self) -> &str {
        assert_eq!((self.status, self.err.as_str()), (Some(0), ""), "{}", self.out);
        &self.out
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(self.text()).expect("one JSON value")
    }

    /// Why it failed; it printed nothing else.
    pub fn failure(&self, status: i32) -> &str {
        assert_eq!((self.status, self.out.as_str()), (Some(status), ""), "{}", self.err);
        &self.err
    }
}

/// Runs `mqadmin` for the name server on this port.
pub fn mqadmin(namesrv: u16, words: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqadmin"));
    command.args(words).arg("-n").arg(format!("127.0.0.1:{namesrv}"));
    ended(command.output().expect("mqadmin starts"))
}

/// Runs `mqadmin` as it is, without a name server.
pub fn mqadmin_alone(words: &[&str]) -> Ended {
    let done = Command::new(env!("CARGO_BIN_EXE_mqadmin")).args(words).output();
    ended(done.expect("mqadmin starts"))
}

fn ended(done: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended { status: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
}

/// Runs `scenario` with the port of a name server and the address of its broker "a" of
/// "DefaultCluster", which has registered.
pub fn check(scenario: impl FnOnce(u16, &str) + Send + 'static) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    run_with_broker(dir.path(), |namesrv| {
        let is_there = |ended: &Ended| ended.json().as_array().is_some_and(|all| !all.is_empty());
        let look = || mqadmin(namesrv, &["clusterList", "--json"]);
        let found = (0..500).map(|_| look()).find(is_there).expect("the broker registers").json();
        assert_eq!(found[0]["brokerName"], "a");
        scenario(namesrv, found[0]["addr"].as_str().expect("an address"));
    });
}

/// Runs `scenario` with the port of a name server beside a broker.
fn run_with_broker(dir: &Path, scenario: impl FnOnce(u16) + Send + 'static) {
    let [namesrv, port] = free_ports(2).expect("free ports")[..] else { unreachable!("two") };
    let settings = Settings {
        broker_name: "a".into(),
        bind_address: [127, 0, 0, 1].into(),
        broker_ip1: "127.0.0.1".into(),
        listen_port: port,
        embedded_namesrv: EmbeddedNamesrv::Yes,
        embedded_namesrv_port: namesrv,
        mapped_file_size_commit_log: 8 << 20,
        store_path_root_dir: dir.to_string_lossy().into_owned(),
        ..Settings::default()
    };
    let setup = Setup::new(settings, BTreeMap::new()).expect("good settings");
    let mut plan = setup.plan();
    plan.shards = ShardsConfig::new(Cores::Floating(1));
    let control = move |data| setup::control_plane(setup, data, Box::new(|_| ()));
    run_until(&plan, Box::new(control), move |_| async move {
        // The broker lives on this executor: commands run beside it.
        let run = task::blocking(move || scenario(namesrv));
        task::timeout(Duration::from_secs(60), run).await.expect("commands end");
    });
}

/// A connection to the name server on this port.
pub async fn connect(namesrv: u16) -> Rc<Connection> {
    let namesrv = SocketAddr::from(([127, 0, 0, 1], namesrv));
    let limits = ConnectionLimits::default();
    dial(namesrv, TIMEOUT, Rc::new(NoService), limits).await.expect("it listens")
}

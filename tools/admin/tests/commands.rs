//! The commands against a broker with its name server in this process.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringmq_broker::config::{EmbeddedNamesrv, Settings};
use ringmq_broker::server::{self, Setup};
use ringmq_broker::start;
use ringmq_runtime::net::{Listener, Reuse};
use ringmq_runtime::shards::{self, Cores, ShardsConfig};
use ringmq_runtime::task::{self, LocalFuture};
use serde_json::Value;

/// How a command ended.
struct Ended {
    ok: bool,
    out: String,
    err: String,
}

impl Ended {
    fn json(&self) -> Value {
        assert!(self.ok, "{}", self.err);
        serde_json::from_str(&self.out).expect("one JSON value")
    }
}

/// Runs `mqadmin` for the name server on this port.
fn mqadmin(namesrv: u16, words: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqadmin"));
    command.args(words).arg("-n").arg(format!("127.0.0.1:{namesrv}"));
    let done = command.output().expect("mqadmin starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended { ok: done.status.success(), out: text(done.stdout), err: text(done.stderr) }
}

/// Three ports in a row that are free: the broker's second, the name server's, the broker's.
fn free_ports() -> u16 {
    // Tests of one process run side by side: each looks elsewhere.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let of_process = 26_000 + (std::process::id() as u16 % 1_000) * 8;
    let is_free = |port: u16| {
        let bind = async { Listener::bind(([127, 0, 0, 1], port).into(), Reuse::No).is_ok() };
        shards::block_on(bind)
    };
    loop {
        let first = of_process + NEXT.fetch_add(1, Ordering::Relaxed) % 1_000 * 4;
        if (first..first + 3).all(is_free) {
            return first;
        }
    }
}

/// Runs `scenario` with the port of a name server that knows the broker "a" of "DefaultCluster".
fn check(dir: &Path, scenario: impl FnOnce(u16) + Send + 'static) {
    let ports = free_ports();
    let namesrv = ports + 1;
    let settings = Settings {
        broker_name: "a".into(),
        bind_address: [127, 0, 0, 1].into(),
        broker_ip1: "127.0.0.1".into(),
        listen_port: ports + 2,
        embedded_namesrv: EmbeddedNamesrv::Yes,
        embedded_namesrv_port: namesrv,
        mapped_file_size_commit_log: 8 << 20,
        store_path_root_dir: dir.to_string_lossy().into_owned(),
        ..Settings::default()
    };
    let setup = Setup::new(settings, BTreeMap::new()).expect("good settings");
    let mut plan = setup.plan();
    plan.shards = ShardsConfig::new(Cores::Floating(1));
    let control = move |data| server::control_plane(setup, data, Box::new(|| ()));
    let panicked = Arc::new(Mutex::new(None));
    let report = Arc::clone(&panicked);
    let until = move |_| {
        Box::pin(async move {
            // The broker lives on this executor: commands run beside it.
            let run = task::blocking(move || {
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scenario(namesrv)))
            });
            let ended = task::timeout(Duration::from_secs(60), run).await;
            *report.lock().expect("not poisoned") = ended.expect("commands end").err();
        }) as LocalFuture<()>
    };
    let ran = start::run(&plan, Box::new(control), Box::new(until));
    if let Some(panic) = panicked.lock().expect("not poisoned").take() {
        std::panic::resume_unwind(panic);
    }
    ran.expect("the broker starts and stops cleanly");
}

#[test]
fn a_topic_lives_from_update_topic_to_delete_topic() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    check(dir.path(), |namesrv| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        // Until the broker has registered.
        let is_there = |ended: &Ended| ended.json().as_array().is_some_and(|all| !all.is_empty());
        let found = (0..500).map(|_| run(&["clusterList", "--json"])).find(is_there);
        assert_eq!(found.expect("the broker registers").json()[0]["brokerName"], "a");

        let made = run(&["updatetopic", "-c", "DefaultCluster", "-t", "T", "-r", "2", "-w", "2"]);
        assert!(
            made.out.contains("create topic to") && made.out.contains("success"),
            "{}",
            made.out
        );
        let sent = run(&["sendMessage", "-t", "T", "-p", "hello", "-k", "k1", "--json"]).json();
        assert_eq!(sent[0]["sendResult"], "SEND_OK");
        let status = run(&["topicStatus", "-t", "T", "--json"]).json();
        let ends = status.as_array().expect("rows").iter().map(|row| row["maxOffset"].as_i64());
        assert_eq!(ends.flatten().sum::<i64>(), 1, "{status}");
        let by_key = run(&["queryMsgByKey", "-t", "T", "-k", "k1", "--json"]).json();
        assert_eq!(by_key[0]["body"], "hello");
        let id = by_key[0]["offsetId"].as_str().expect("an id");
        assert_eq!(run(&["queryMsgById", "-i", id, "--json"]).json()[0]["body"], "hello");

        let gone = run(&["deleteTopic", "-c", "DefaultCluster", "-t", "T"]);
        assert!(gone.out.contains("delete topic [T] from cluster [DefaultCluster] success."));
        let missing = run(&["topicRoute", "-t", "T"]);
        assert!(!missing.ok && missing.err.contains("code 17"), "{}", missing.err);
    });
}

#[test]
fn groups_and_settings_change_and_mistakes_are_told() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    check(dir.path(), |namesrv| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        let is_there = |ended: &Ended| ended.json().as_array().is_some_and(|all| !all.is_empty());
        let found = (0..500).map(|_| run(&["clusterList", "--json"])).find(is_there);
        let address = found.expect("the broker registers").json()[0]["addr"].clone();
        let address = address.as_str().expect("an address");

        let made = run(&["updateSubGroup", "-b", address, "-g", "g", "-r", "3"]);
        assert!(made.out.contains("create subscription group to") && made.out.contains("success"));
        let gone = run(&["deleteSubGroup", "-b", address, "-g", "g"]);
        assert!(gone.out.contains("delete subscription group [g] from broker"), "{}", gone.err);

        assert!(
            run(&["updateBrokerConfig", "-b", address, "-k", "brokerPermission", "-v", "4"]).ok
        );
        let all = run(&["getBrokerConfig", "-b", address, "--json"]).json();
        assert_eq!(all[address]["brokerPermission"], "4");
        let bad = run(&["updateBrokerConfig", "-b", address, "-k", "brokerPermission", "-v", "9"]);
        assert!(!bad.ok && bad.err.contains("0 to 7"), "{}", bad.err);
        assert!(!run(&["deleteTopic", "-c", "NoSuchCluster", "-t", "T"]).ok);
    });
}

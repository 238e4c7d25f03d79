//! The program `mqnamesrv`, as people and service managers start and stop it.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

// One helper for the processes of both servers; the broker's folder holds what they share.
#[path = "../../broker/tests/support/child.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod child;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use ringmq_namesrv::config::ROWS;
use ringmq_protocol::codes::{request, response};
use ringmq_remoting::{Connection, ConnectionLimits, NoService, dial};
use ringmq_runtime::net::free_ports;
use ringmq_runtime::shards::block_on;

use child::{Child, Ended};

const PATIENCE: Duration = Duration::from_secs(20);

/// A settings file in a directory of its own.
struct Place {
    dir: tempfile::TempDir,
    port: u16,
}

impl Place {
    fn new(lines: &str) -> Self {
        let place = Self {
            dir: tempfile::tempdir().expect("a directory"),
            port: free_ports(1).expect("a free port")[0],
        };
        let text = format!(
            "listenPort={}\nbindAddress=127.0.0.1\nkvConfigPath={}\n{lines}\n",
            place.port,
            place.dir.path().join("kvConfig.json").display()
        );
        std::fs::write(place.dir.path().join("namesrv.conf"), text).expect("written");
        place
    }

    fn command(&self) -> Command {
        let mut command = mqnamesrv(self.dir.path());
        command.args(["-c", "namesrv.conf"]);
        command
    }

    async fn refused(&self) -> Ended {
        Child::start(&mut self.command()).ended().await
    }

    async fn client(&self) -> Rc<Connection> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let limits = ConnectionLimits::default();
        dial(address, PATIENCE, Rc::new(NoService), limits).await.expect("it listens")
    }
}

fn mqnamesrv(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqnamesrv"));
    command.current_dir(directory);
    command
}

#[test]
fn a_file_on_the_command_line_is_obeyed_and_signals_stop_it() {
    block_on(async {
        let place = Place::new("orderMessageEnable=true");
        let order = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "T"), ("value", "b:4")];
        for (round, signal) in ["TERM", "INT", "HUP"].into_iter().enumerate() {
            let mut child = Child::start(&mut place.command());
            let line = child.booted().await;
            let address = format!("address 127.0.0.1:{}\n", place.port);
            assert!(line.starts_with("The Name Server boot success. serializeType=JSON"), "{line}");
            assert!(line.ends_with(&address), "{line}");
            let client = place.client().await;
            let kept = client.call(request::GET_KV_CONFIG, &order, &[], PATIENCE).await;
            let expected = [response::QUERY_NOT_FOUND, response::SUCCESS][round.min(1)];
            assert_eq!(kept.expect("answered").code(), expected, "what was put is kept");
            let put = client.call(request::PUT_KV_CONFIG, &order, &[], PATIENCE).await;
            assert_eq!(put.expect("answered").code(), response::SUCCESS);
            child.stop(signal).await;
        }
    });
}

#[test]
fn settings_are_printed_without_anything_being_started() {
    let output = Place::new("waitSecondsForService=7").command().arg("-p").output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    for row in ROWS {
        let start = format!("{}=", row.key);
        assert!(text.lines().any(|line| line.starts_with(&start)), "{} is missing", row.key);
    }
    assert!(text.lines().any(|line| line == "waitSecondsForService=7"), "{text}");
}

#[test]
fn help_has_examples_and_every_exit_status_and_the_version_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let said = |argument: &str| {
        let output = mqnamesrv(directory.path()).arg(argument).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let help = said("--help");
    for part in ["\nExamples:\n  mqnamesrv ", "\n  0  ", "\n  2  ", "\n  3  ", "\n  4  "] {
        assert!(help.contains(part), "{part:?} is missing in: {help}");
    }
    assert_eq!(said("--version"), format!("mqnamesrv {}\n", ringmq_version::VERSION));
}

#[test]
fn what_is_wrong_with_a_configuration_is_named_with_file_line_key_found_and_allowed() {
    block_on(async {
        let facts = ["namesrv.conf: line 4: listenPort = \"0\"", "from 1 to 65535"];
        Place::new("listenPort=0").refused().await.expect(3, &facts);
        let facts = ["namesrv.conf: line 4: bindAddress = \"here\": expected an IP address"];
        Place::new("bindAddress=here").refused().await.expect(3, &facts);
        let place = Place::new("");
        let command = &mut mqnamesrv(place.dir.path());
        let missing = Child::start(command.args(["-c", "nope.conf"])).ended().await;
        missing.expect(3, &["mqnamesrv: nope.conf: No such file", "fix: give -c the path"]);
        let wrong = Child::start(mqnamesrv(place.dir.path()).arg("--port")).ended().await;
        wrong.expect(2, &["--port", "--help"]);
    });
}

#[test]
fn what_the_machine_does_not_give_is_named_with_the_way_to_get_it() {
    block_on(async {
        let place = Place::new("");
        let mut child = Child::start(&mut place.command());
        child.booted().await;
        let addr = format!("cannot listen on 127.0.0.1:{}: Address already in use", place.port);
        place.refused().await.expect(4, &[&addr, "or set listenPort"]);
        child.stop("TERM").await;

        let facts = ["192.0.2.1 is no address of this machine: set bindAddress"];
        Place::new("bindAddress=192.0.2.1").refused().await.expect(4, &facts);
        std::fs::write(place.dir.path().join("kvConfig.json"), "{\"configTable\":[").expect("made");
        place.refused().await.expect(4, &["kvConfig.json", "repair it or move it away"]);
    });
}

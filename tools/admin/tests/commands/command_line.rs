//! What a person is told whose command line, or whose network, is wrong; and the help.

use ringmq_runtime::net::free_ports;

use crate::cluster::{check, mqadmin, mqadmin_alone};

#[test]
fn a_wrong_address_is_told_with_what_is_expected_there() {
    check(|namesrv, broker| {
        let told = |words: &[&str]| mqadmin_alone(words).failure(1).to_owned();
        for words in [["clusterList", "-n", "127.0.0.1"], ["brokerStatus", "-b", "127.0.0.1"]] {
            let told = told(&words);
            assert!(told.contains("\"127.0.0.1\": expected host:port, such as "), "{told}");
        }
        let namesrv = format!("127.0.0.1:{namesrv}");
        for words in [["clusterList", "-n", broker], ["brokerStatus", "-b", &namesrv]] {
            let told = told(&words);
            assert!(
                told.contains("(3): request type ") && told.contains("not supported"),
                "{told}"
            );
            assert!(told.contains("-n takes the address of a name server (by default "), "{told}");
        }
        let free = free_ports(1).expect("a port")[0];
        let refused = told(&["clusterList", "-n", &format!("127.0.0.1:{free}")]);
        assert!(refused.contains("Connection refused"), "{refused}");
        assert!(refused.contains("is a server running there? -n takes"), "{refused}");
    });
}

#[test]
fn help_has_examples_and_every_exit_status_and_the_version_is_told() {
    let said = |argument: &str| mqadmin_alone(&[argument]).text().to_owned();
    let help = said("--help");
    for part in ["\nExamples:\n  mqadmin ", "\n  0  ", "\n  1  ", "\n  2  "] {
        assert!(help.contains(part), "{part:?} is missing in: {help}");
    }
    for command in ["queryMsgByKey", "resetOffsetByTime", "sendMessage"] {
        let help = mqadmin_alone(&[command, "--help"]);
        let example = format!("\nExamples:\n  mqadmin {command} -");
        assert!(help.text().contains(&example), "{}", help.out);
    }
    assert_eq!(said("--version"), format!("mqadmin {}\n", ringmq_version::VERSION));
}

#[test]
fn who_cannot_be_reached_is_named_and_a_wrong_command_line_is_another_status() {
    let [nobody, nobody_either] = free_ports(2).expect("free ports")[..] else {
        unreachable!("two")
    };
    let silent = mqadmin(nobody, &["clusterList"]);
    assert!(silent.failure(1).contains(&format!("127.0.0.1:{nobody}")), "{}", silent.err);
    let broker = format!("127.0.0.1:{nobody_either}");
    let silent = mqadmin(nobody, &["brokerStatus", "-b", &broker]);
    assert!(silent.failure(1).contains(&broker), "{}", silent.err);
    for (address, hint) in [
        (broker.as_str(), "is a server running there?"),
        ("localhost", "an address is host:port"),
        ("localhost:x", "an address is host:port"),
    ] {
        let told = mqadmin_alone(&["clusterList", "-n", address]);
        assert!(told.failure(1).contains(hint), "{address}: {}", told.err);
        assert!(!told.err.contains("in time"), "no time has passed: {}", told.err);
    }
    let wrong = mqadmin(nobody, &["updateTopic", "-t", "T"]);
    assert!(wrong.failure(2).contains("--clusterName"), "{}", wrong.err);
    assert!(mqadmin(nobody, &["dance"]).failure(2).contains("dance"));
}

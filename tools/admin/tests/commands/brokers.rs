//! Brokers: their settings, figures and permissions.

use crate::cluster::{check, mqadmin};

#[test]
fn settings_change_and_mistakes_are_told() {
    check(|namesrv, address| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        run(&["updateBrokerConfig", "-b", address, "-k", "brokerPermission", "-v", "4"]).text();
        let all = run(&["getBrokerConfig", "-c", "DefaultCluster", "--json"]).json();
        assert_eq!(all[address]["brokerPermission"], "4");
        let bad = run(&["updateBrokerConfig", "-b", address, "-k", "brokerPermission", "-v", "9"]);
        assert!(bad.failure(1).contains("0 to 7"), "{}", bad.err);
        let unknown = run(&["updateBrokerConfig", "-b", address, "-k", "traceOm", "-v", "false"]);
        let told = unknown.failure(1);
        assert!(told.contains("unknown key traceOm, ignored; did you mean traceOn?"), "{told}");
        // One of Apache's that nothing follows from here is taken, and read back.
        let idle = ["updateBrokerConfig", "-b", address, "-k", "sendMessageThreadPoolNums"];
        run(&[&idle[..], &["-v", "9"]].concat()).text();
        let timers = ["updateBrokerConfig", "-b", address, "-k", "timerWheelEnable", "-v", "true"];
        let told = run(&timers);
        let note = "without effect, as this version lacks the feature: timerWheelEnable";
        assert!(told.text().contains(note), "{}", told.out);
    });
}

#[test]
fn figures_of_a_broker_and_stages_of_its_sends_are_shown() {
    check(|namesrv, address| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        let status = run(&["brokerStatus", "-b", address, "--json"]).json();
        assert!(status[address]["bootTimestamp"].is_string(), "{status}");
        assert!(run(&["brokerStatus", "-c", "DefaultCluster"]).text().contains("bootTimestamp"));
        let silent = run(&["sendStages", "-b", address]);
        assert!(silent.text().contains("-k sendStageTracing -v true"), "{}", silent.out);
        run(&["updateBrokerConfig", "-b", address, "-k", "sendStageTracing", "-v", "true"]).text();
        let stages = run(&["sendStages", "-c", "DefaultCluster", "--json"]).json();
        assert_eq!(stages[address][7]["stage"], "total");
        assert!(run(&["sendStages", "-b", address]).text().contains("#P999(us)"));
        assert!(run(&["clusterList", "-m"]).text().contains("#InTotalToday"));
    });
}

#[test]
fn the_permission_to_write_is_wiped_and_added() {
    check(|namesrv, _| {
        let run = |words: &[&str]| mqadmin(namesrv, words);
        let wiped = run(&["wipeWritePerm", "-b", "a"]);
        assert!(wiped.text().contains("wipe write perm of broker[a] in name server["));
        assert!(run(&["addWritePerm", "-b", "a"]).text().contains("add write perm of broker[a]"));
    });
}

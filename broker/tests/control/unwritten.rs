//! Topics whose table the disk refused for a while.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

use std::fs;
use std::time::Duration;

use ringmq_protocol::codes::{request, response};
use ringmq_runtime::task;

use crate::support::world::{Client, check, create, wait_for_route};
use crate::support::{TIMEOUT, temp_dir};

#[test]
fn a_topic_that_the_disk_refused_is_made_known_when_it_takes_it() {
    let dir = temp_dir();
    let in_the_way = dir.path().join("config/topics.json.tmp");
    check(1, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        let namesrv = Client::connect(at.namesrv).await;
        // Behind what the start writes.
        broker.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T0"), &[]).await;
        wait_for_route(&namesrv, "T0").await;
        let make =
            async || broker.call(request::UPDATE_AND_CREATE_TOPIC, &create("T1"), &[]).await.code();
        fs::create_dir(&in_the_way).expect("made");
        assert_ne!(make().await, response::SUCCESS);
        fs::remove_dir(&in_the_way).expect("removed");
        let made = async {
            while make().await != response::SUCCESS {
                task::sleep(Duration::from_millis(50)).await;
            }
        };
        task::timeout(TIMEOUT, made).await.expect("the disk takes it");
        // Sooner than the next registration that is due by the clock.
        wait_for_route(&namesrv, "T1").await;
    });
}

//! Requests that ask for more than one client may have, and changes that have to wait.

use ringmq_broker::groups::subscriptions::TOPICS_MAX;
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::json;

use crate::support::temp_dir;
use crate::world::{Client, beat, check};

#[test]
fn a_heartbeat_with_too_many_topics_is_refused_with_the_limit_and_others_go_on() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |world| async move {
        let client = Client::connect(world.broker).await;
        let names: Vec<_> = (0..=TOPICS_MAX).map(|number| format!("t{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let body = json::to_vec(&beat("c", &names));
        let refused = client.call(request::HEART_BEAT, &(), &body).await;
        assert_eq!(refused.code(), response::INVALID_PARAMETER);
        let remark = refused.command().remark().map(str::to_owned).unwrap_or_default();
        assert!(remark.contains(&TOPICS_MAX.to_string()), "{remark}");
        client.beat("c", &names[..TOPICS_MAX]).await;
        assert_eq!(client.members().await, ["c"]);
    });
}

//! Codes that nobody serves, and bodies that nobody can read.

use ringmq_broker::services::control::BODY_MAX_BYTES;
use ringmq_protocol::codes::{request, response};

use crate::support::temp_dir;
use crate::support::world::{Client, check};

#[test]
fn codes_that_nobody_serves_are_answered_and_never_left_hanging() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |at| async move {
        let broker = Client::connect(at.broker).await;
        for code in [1, 999, 200_070, 5001] {
            let answer = broker.call(code, &(), &[]).await;
            assert_eq!(answer.code(), response::REQUEST_CODE_NOT_SUPPORTED);
            let remark = answer.command().remark().map(str::to_owned);
            let remark = remark.expect("words for a person");
            assert!(remark.starts_with(&format!(" request type {code} ")), "{remark}");
            let says = |words: &str| remark.contains(words);
            match request::name(code) {
                Some(name) => assert!(says(&format!("({name}) ")) && says("Honest limits")),
                None => assert!(remark.ends_with(" not supported"), "{remark}"),
            }
        }
        let malformed = broker.call(request::HEART_BEAT, &(), b"not json").await;
        assert_eq!(malformed.code(), response::SYSTEM_ERROR);
        let huge = vec![b' '; BODY_MAX_BYTES + 1];
        for code in [request::HEART_BEAT, request::LOCK_BATCH_MQ, request::UPDATE_BROKER_CONFIG] {
            let refused = broker.call(code, &(), &huge).await;
            assert_eq!(refused.code(), response::INVALID_PARAMETER);
            let remark = refused.command().remark().map(str::to_owned).unwrap_or_default();
            assert!(remark.contains(&BODY_MAX_BYTES.to_string()), "{remark}");
        }
    });
}

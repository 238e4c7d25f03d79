//! Locks of queues.

use ringmq_protocol::bodies::MessageQueue;
use ringmq_protocol::bodies::lock::{LockBatchRequest, LockBatchResponse};
use ringmq_protocol::codes::request;
use ringmq_protocol::json;
use ringmq_remoting::OwnedCommand;

use crate::support::temp_dir;
use crate::support::world::{Client, check, create};

/// Body that locks or unlocks queue 0 of topic `T` for a client of group `g`.
pub fn lock(client_id: &str) -> Vec<u8> {
    json::to_vec(&LockBatchRequest {
        client_id: client_id.into(),
        consumer_group: "g".into(),
        mq_set: vec![MessageQueue {
            broker_name: "broker-a".into(),
            queue_id: 0,
            topic: "T".into(),
        }],
        only_this_broker: false,
    })
}

#[test]
fn a_queue_is_locked_for_one_client_until_it_unlocks() {
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        client.ask(request::UPDATE_AND_CREATE_TOPIC, &create("T"), &[]).await;
        let owned = |answer: OwnedCommand| {
            json::from_slice::<LockBatchResponse>(answer.body()).expect("locks").locked.len()
        };
        assert_eq!(owned(client.ask(request::LOCK_BATCH_MQ, &(), &lock("a")).await), 1);
        assert_eq!(owned(client.ask(request::LOCK_BATCH_MQ, &(), &lock("b")).await), 0);
        client.ask(request::UNLOCK_BATCH_MQ, &(), &lock("a")).await;
        assert_eq!(owned(client.ask(request::LOCK_BATCH_MQ, &(), &lock("b")).await), 1);
    });
}

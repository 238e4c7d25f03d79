//! Memory that requests take beside their answers.
//!
//! In a process of its own, so that nobody else's counts.

mod support;

use std::cell::Cell;
use std::time::Duration;

use futures_lite::future::zip;
use ringmq_protocol::codes::request;
use ringmq_runtime::{process, task};

use support::world::{Client, check};
use support::{raw, send_header, temp_dir};

#[test]
fn runtime_information_does_not_hold_the_oldest_message_for_each_who_asks() {
    const REQUESTS: usize = 200;
    const MESSAGE_BYTES: usize = 3 << 20;
    const GROWN_MAX_BYTES: u64 = 64 << 20;
    let dir = temp_dir();
    check(1, dir.path(), &[], |at| async move {
        let client = Client::connect(at.broker).await;
        let (header, body) = (send_header("T", 0, ""), vec![7; MESSAGE_BYTES]);
        // More than the tail has, so that the first is in its file alone.
        for _ in 0..32 {
            client.ask(request::SEND_MESSAGE_V2, &header, &body).await;
        }
        client.ask(request::GET_BROKER_RUNTIME_INFO, &(), &[]).await;
        let all = raw::requests(request::GET_BROKER_RUNTIME_INFO, &(), &[], REQUESTS);
        let mut peer = raw::RawClient::connect(at.broker).await;
        let before_bytes = process::rss_bytes();
        let (most_bytes, is_over) = (Cell::new(0), Cell::new(false));
        let watch = async {
            while !is_over.get() {
                most_bytes.set(process::rss_bytes().max(most_bytes.get()));
                task::sleep(Duration::from_millis(1)).await;
            }
        };
        let ask = async {
            peer.exchange(&all, REQUESTS).await;
            is_over.set(true);
        };
        zip(ask, watch).await;
        let grown_bytes = most_bytes.get().saturating_sub(before_bytes);
        println!("{} MiB for {REQUESTS} answers", grown_bytes >> 20);
        assert!(grown_bytes < GROWN_MAX_BYTES, "{} MiB", grown_bytes >> 20);
    });
}

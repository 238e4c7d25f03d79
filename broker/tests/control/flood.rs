//! A client that asks for much and takes nothing.

use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::request;
use ringmq_protocol::{RequestHead, SerializeType, write_request};
use ringmq_runtime::net::Stream;
use ringmq_runtime::{process, task};

use crate::support::temp_dir;
use crate::world::{Client, check};

const PEERS: usize = 8;

/// Bytes that all floods together ask for, and what of it may be kept. The requests of each take
/// more than the buffers of its socket.
const WANTED_BYTES: usize = 16 << 30;
const KEPT_MAX_BYTES: u64 = 384 << 20;

#[test]
fn floods_of_requests_neither_fill_the_memory_nor_stop_other_clients() {
    let dir = temp_dir();
    check(2, dir.path(), &[], |world| async move {
        let client = Client::connect(world.broker).await;
        let answer = client.ask(request::GET_BROKER_CONFIG, &(), &[]).await;
        let requests = WANTED_BYTES / PEERS / answer.body().len();
        let mut one = Vec::new();
        let serialize = SerializeType::Json;
        let code = request::GET_BROKER_CONFIG;
        let head = RequestHead { serialize, code, opaque: 1, oneway: false, remark: None };
        write_request(&mut one, head, &(), &[]);
        let all = Rc::new(one.repeat(requests));
        let before_bytes = process::rss_bytes();

        let mut floods = Vec::new();
        for _ in 0..PEERS {
            let all = Rc::clone(&all);
            floods.push(task::spawn("flood", async move {
                let stream = Stream::connect(world.broker, Duration::from_secs(20)).await;
                let (read, mut write) = stream.expect("the broker listens").split();
                // Writes as far as the broker reads, or until it closes the connection.
                let _ = write.write_all(&mut [IoSlice::new(&all)]).await;
                (read, write)
            }));
        }
        // Seconds; it was minutes behind all that the floods ask for.
        let asks = async {
            for _ in 0..50 {
                client.ask(request::GET_BROKER_CONFIG, &(), &[]).await;
            }
        };
        task::timeout(Duration::from_secs(60), asks).await.expect("others are served meanwhile");
        let are_read = floods.iter().filter(|flood| flood.is_finished()).count();
        assert_eq!(are_read, 0, "floods that the broker has read to their end, or closed");
        let grown_bytes = process::rss_bytes().saturating_sub(before_bytes);
        println!("{} MiB for answers that nobody takes", grown_bytes >> 20);
        assert!(grown_bytes < KEPT_MAX_BYTES, "{} MiB", grown_bytes >> 20);
    });
}

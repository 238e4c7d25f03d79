//! What goes wrong in the simulated network.

use std::collections::BTreeSet;
use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::disk::Access;
use ringmq_runtime::net::{Listener, Reuse, Stream};
use ringmq_runtime::sim::{Chance, World};
use ringmq_runtime::task;

const PORT: u16 = 10911;
const LIMIT: Duration = Duration::from_secs(5);

/// Sends everything back, on node 1.
fn start_echo(world: &World) {
    let serve = async {
        let addr = SocketAddr::from(([0, 0, 0, 0], PORT));
        let listener = Listener::bind(addr, Reuse::No).expect("bind");
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            let (mut read, mut write) = stream.split();
            let echo = async move {
                while let Ok(bytes) = read.read_with(<[u8]>::to_vec).await {
                    let mut pieces = [IoSlice::new(&bytes)];
                    if bytes.is_empty() || write.write_all(&mut pieces).await.is_err() {
                        break;
                    }
                }
            };
            task::spawn("echo", echo).detach();
        }
    };
    world.spawn_on(1, "server", serve).detach();
}

async fn connect(world: &World) -> Stream {
    loop {
        match Stream::connect(SocketAddr::new(world.ip(1), PORT), LIMIT).await {
            // The server may not have had its first turn.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => task::yield_now().await,
            stream => return stream.expect("connect"),
        }
    }
}

#[test]
fn streams_keep_their_bytes_in_order_however_they_are_cut() {
    let mut first_reads = BTreeSet::new();
    for seed in 0..50 {
        let world = World::new(seed);
        world.run(async {
            start_echo(&world);
            let (mut read, mut write) = connect(&world).await.split();
            let sent: Vec<u8> = (0..3000u32).map(|i| (i % 251).to_le_bytes()[0]).collect();
            let bytes = sent.clone();
            let writer = task::spawn("writer", async move {
                write.write_all(&mut [IoSlice::new(&bytes)]).await.expect("write");
                write
            });
            let mut got = Vec::new();
            while got.len() < sent.len() {
                let len = read.read_with(|bytes| {
                    got.extend_from_slice(bytes);
                    bytes.len()
                });
                assert!(len.await.expect("read") > 0);
                first_reads.insert(got.len());
            }
            assert_eq!(got, sent, "seed {seed}");
            drop(writer.await);
        });
    }
    assert!(first_reads.len() > 20, "reads are cut at many places: {}", first_reads.len());
}

#[test]
fn a_partition_delays_and_loses_nothing() {
    let world = World::new(1);
    world.run(async {
        start_echo(&world);
        let (mut read, write) = connect(&world).await.split();
        world.net_faults(|faults| faults.partitions.push((1, 0)));
        assert_eq!(write.try_write(&[IoSlice::new(b"x")]).expect("room"), 1);
        let early = task::timeout(Duration::from_secs(10), read.read_with(<[u8]>::len)).await;
        assert!(early.is_err(), "the answer came through a partition");
        world.net_faults(|faults| faults.partitions.clear());
        let answer = task::timeout(LIMIT, read.read_with(<[u8]>::to_vec)).await;
        assert_eq!(answer.expect("in time").expect("read"), b"x");
    });
}

#[test]
fn a_partition_lets_no_connection_through() {
    let world = World::new(1);
    world.run(async {
        start_echo(&world);
        drop(connect(&world).await);
        world.net_faults(|faults| faults.partitions.push((0, 1)));
        let error = Stream::connect(SocketAddr::new(world.ip(1), PORT), LIMIT).await;
        assert_eq!(error.expect_err("cut").kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn both_ends_see_a_reset() {
    let world = World::new(1);
    world.run(async {
        start_echo(&world);
        let (mut read, write) = connect(&world).await.split();
        world.net_faults(|faults| faults.reset = Chance::ALWAYS);
        let error = write.try_write(&[IoSlice::new(b"x")]).expect_err("injected");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let error = read.read_with(<[u8]>::len).await.expect_err("both directions");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn the_end_of_a_process_is_seen_soon_and_that_of_a_machine_later() {
    for (is_kill, seed) in [(true, 1), (true, 2), (false, 1), (false, 2)] {
        let world = World::new(seed);
        world.run(async {
            start_echo(&world);
            let (mut read, _write) = connect(&world).await.split();
            task::sleep(Duration::from_millis(10)).await;
            let start = Instant::now();
            if is_kill {
                world.kill(1)
            } else {
                world.crash(1)
            };
            let end = read.read_with(<[u8]>::len).await;
            let took = start.elapsed();
            if is_kill {
                assert_eq!(end.expect("a clean end"), 0);
                assert!(took < Duration::from_millis(1), "{took:?}");
            } else {
                assert_eq!(end.expect_err("no clean end").kind(), ErrorKind::ConnectionReset);
                assert!(took < Duration::from_secs(4), "{took:?}");
            }
            let again = Stream::connect(SocketAddr::new(world.ip(1), PORT), LIMIT).await;
            assert_eq!(again.expect_err("down").kind(), ErrorKind::ConnectionRefused);
        });
    }
}

#[test]
fn files_go_out_in_the_simulated_world_too() {
    let world = World::new(1);
    let disk = world.disk(0);
    world.run(async {
        start_echo(&world);
        disk.replace("log", b"0123456789").await.expect("create");
        let file = disk.open("log", Access::Read).await.expect("open");
        let (mut read, mut write) = connect(&world).await.split();
        write.send_file(&file.view(), 3, 5).await.expect("sent");
        let error = write.send_file(&file.view(), 8, 5).await.expect_err("too long");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let mut got = Vec::new();
        while got.len() < 7 {
            read.read_with(|bytes| got.extend_from_slice(bytes)).await.expect("read");
        }
        assert_eq!(got, b"3456789");
    });
}

//! Connections, in both worlds.

use std::cell::Cell;
use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::{poll_once, zip};
use ringmq_runtime::buffer::DmaBuffer;
use ringmq_runtime::disk::{Access, Disk};
use ringmq_runtime::net::{self, Listener, ReadHalf, Reuse, Stream, WriteHalf};
use ringmq_runtime::shards::block_on;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

/// Runs a test on real sockets, and in simulated networks.
fn in_both_worlds<F: Future<Output = ()>>(test: impl Fn() -> F) {
    block_on(test());
    for seed in 0..4 {
        World::new(seed).run(test());
    }
}

const LIMIT: Duration = Duration::from_secs(10);

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

async fn pair() -> (Stream, Stream) {
    let listener = Listener::bind(loopback(0), Reuse::No).expect("bind");
    let addr = listener.local_addr().expect("address");
    let (client, server) = zip(Stream::connect(addr, LIMIT), listener.accept()).await;
    (client.expect("connect"), server.expect("accept").0)
}

async fn read_exactly(read: &mut ReadHalf, len: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < len {
        let got = read.read_with(|bytes| {
            all.extend_from_slice(bytes);
            bytes.len()
        });
        let got = task::timeout(LIMIT, got).await.expect("in time").expect("read");
        assert!(got > 0, "the stream ended after {} of {len} bytes", all.len());
    }
    assert_eq!(all.len(), len);
    all
}

async fn at_end(read: &mut ReadHalf) -> bool {
    task::timeout(LIMIT, read.read_with(<[u8]>::is_empty)).await.expect("in time").expect("read")
}

async fn write_everything(write: &mut WriteHalf, bytes: &[u8]) {
    write.write_all(&mut [IoSlice::new(bytes)]).await.expect("write");
}

#[test]
fn bytes_go_both_ways_and_end() {
    in_both_worlds(|| async {
        let (client, server) = pair().await;
        assert_eq!(client.peer_addr(), server.local_addr());
        assert_eq!(client.local_addr(), server.peer_addr());
        let ((mut from_server, mut to_server), (mut from_client, mut to_client)) =
            (client.split(), server.split());
        write_everything(&mut to_server, b"ping").await;
        assert_eq!(read_exactly(&mut from_client, 4).await, b"ping");
        write_everything(&mut to_client, b"pong!").await;
        assert_eq!(read_exactly(&mut from_server, 5).await, b"pong!");
        drop((from_client, to_client));
        assert!(at_end(&mut from_server).await);
    });
}

#[test]
fn pieces_are_gathered_in_one_write() {
    block_on(async {
        let (client, server) = pair().await;
        let (_, to_server) = client.split();
        let (mut from_client, _to_client) = server.split();
        let pieces = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"body")];
        assert_eq!(to_server.try_write(&pieces).expect("room"), 8);
        let at_once = from_client.read_with(<[u8]>::to_vec).await.expect("read");
        assert_eq!(at_once, b"headbody");
    });
}

#[test]
fn a_slow_reader_gets_every_byte() {
    in_both_worlds(|| async {
        let (client, server) = pair().await;
        let (_, mut to_server) = client.split();
        let (mut from_client, _to_client) = server.split();
        // More than the kernel's buffers of both ends take.
        let sent: Vec<u8> = (0..8u32 << 20).map(|i| (i / 3).to_le_bytes()[0]).collect();
        let mut rest = &sent[..];
        let full = loop {
            match to_server.try_write(&[IoSlice::new(rest)]) {
                Ok(written) => rest = &rest[written..],
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let mut writing = Box::pin(write_everything(&mut to_server, rest));
        assert!(poll_once(writing.as_mut()).await.is_none(), "nobody has read");
        let ((), read) = zip(writing, read_exactly(&mut from_client, sent.len())).await;
        assert!(read == sent);
    });
}

#[test]
fn a_full_socket_says_so() {
    in_both_worlds(|| async {
        let (client, _server) = pair().await;
        let (_, to_server) = client.split();
        let chunk = vec![0; 1 << 20];
        let error = (0..100).find_map(|_| to_server.try_write(&[IoSlice::new(&chunk)]).err());
        assert_eq!(error.expect("full at some point").kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_reader_that_expects_many_bytes_gets_all_of_them() {
    const LEN: usize = 3 << 20;
    in_both_worlds(|| async {
        let (client, server) = pair().await;
        let (mut from_server, _to_server) = client.split();
        let (_from_client, mut to_client) = server.split();
        let sent: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
        let all = sent.clone();
        let writer = task::spawn("writer", async move {
            write_everything(&mut to_client, &all).await;
            to_client
        });
        let mut got = Vec::new();
        while got.len() < LEN {
            from_server.expect(LEN - got.len());
            let more = from_server.read_with(|bytes| got.extend_from_slice(bytes));
            task::timeout(LIMIT, more).await.expect("in time").expect("read");
        }
        assert!(got == sent);
        let _to_client = writer.await;
    });
}

#[test]
fn few_bytes_are_read_when_no_more_are_expected_and_so_is_the_end() {
    in_both_worlds(|| async {
        let (client, server) = pair().await;
        let (mut from_server, _to_server) = client.split();
        let (from_client, mut to_client) = server.split();
        for _ in 0..3 {
            from_server.expect(1 << 20);
            write_everything(&mut to_client, b"less than that").await;
            let mut got = Vec::new();
            let early = from_server.read_with(|bytes| got.extend_from_slice(bytes));
            // It may wait, and need not.
            let _ = poll_once(Box::pin(early)).await;
            from_server.expect(0);
            got.extend(read_exactly(&mut from_server, 14 - got.len()).await);
            assert_eq!(got, b"less than that");
        }
        from_server.expect(1 << 20);
        drop((from_client, to_client));
        assert!(at_end(&mut from_server).await, "the end is no matter of bytes");
    });
}

#[test]
fn shutdown_wakes_a_waiting_reader() {
    in_both_worlds(|| async {
        let (client, _server) = pair().await;
        let handle = client.clone();
        let (mut from_server, _to_server) = client.split();
        let reader = task::spawn("reader", async move { at_end(&mut from_server).await });
        task::yield_now().await;
        handle.shutdown();
        assert!(reader.await);
    });
}

#[test]
fn a_dropped_read_loses_nothing() {
    in_both_worlds(|| async {
        let (client, server) = pair().await;
        let (mut from_server, _to_server) = client.split();
        let (_from_client, mut to_client) = server.split();
        for _ in 0..10 {
            let mut read = Box::pin(from_server.read_with(<[u8]>::len));
            assert!(poll_once(read.as_mut()).await.is_none());
        }
        write_everything(&mut to_client, b"still here").await;
        assert_eq!(read_exactly(&mut from_server, 10).await, b"still here");
    });
}

#[test]
fn a_dropped_accept_loses_no_connection() {
    in_both_worlds(|| async {
        let listener = Listener::bind(loopback(0), Reuse::No).expect("bind");
        let addr = listener.local_addr().expect("address");
        let mut accepted = 0;
        let mut clients = Vec::new();
        for _ in 0..50 {
            // Dropped while it waits, with a connection on the way.
            let _ = poll_once(Box::pin(listener.accept())).await.map(|_| accepted += 1);
            clients.push(Stream::connect(addr, LIMIT).await.expect("connect"));
        }
        while accepted < clients.len() {
            task::timeout(LIMIT, listener.accept()).await.expect("in time").expect("accept");
            accepted += 1;
        }
    });
}

#[test]
fn listeners_share_a_port_only_when_asked_to() {
    in_both_worlds(|| async {
        let first = Listener::bind(loopback(0), Reuse::Port).expect("bind");
        let addr = first.local_addr().expect("address");
        let second = Listener::bind(addr, Reuse::Port).expect("bind again");
        let error = Listener::bind(addr, Reuse::No).expect_err("not shared");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        drop(second);
        let (client, server) = zip(Stream::connect(addr, LIMIT), first.accept()).await;
        drop((client.expect("connect"), server.expect("accept"), first));
        Listener::bind(addr, Reuse::No).expect("free after use");
    });
}

#[test]
fn a_refused_connection_is_reported() {
    in_both_worlds(|| async {
        let unused = Listener::bind(loopback(0), Reuse::No).expect("bind");
        let addr = unused.local_addr().expect("address");
        drop(unused);
        let error = Stream::connect(addr, LIMIT).await.expect_err("nobody there");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

/// Open file descriptors of this process, with one for the directory that counts them.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").count()
}

/// Alone in its process: the count is of the whole process.
#[test]
fn dropped_connections_leave_no_descriptor() {
    if std::env::var_os("RINGMQ_COUNT_FILES").is_none() {
        let status = std::process::Command::new(std::env::current_exe().expect("own path"))
            .args(["--exact", "dropped_connections_leave_no_descriptor"])
            .env("RINGMQ_COUNT_FILES", "1")
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.expect("started").success());
        return;
    }
    block_on(async {
        let warm_up = pair().await;
        let before = open_files();
        for round in 0..20 {
            let (client, server) = pair().await;
            let (mut from_server, to_server) = client.split();
            let reader = task::spawn("reader", async move {
                let _ = from_server.read_with(<[u8]>::len).await;
            });
            task::yield_now().await;
            drop(to_server);
            if round % 2 == 0 {
                drop(server);
                reader.await;
            } else {
                drop(reader);
            }
        }
        for _ in 0..500 {
            if open_files() <= before {
                return drop(warm_up);
            }
            task::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} files open, {before} before", open_files());
    });
}

async fn check_send_file(drop_cache: bool, pause: Duration) {
    const LEN: usize = 3 << 20;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("directory");
    let disk = Disk::live(directory.path()).expect("path");
    disk.create_zeroed("log", LEN as u64).await.expect("create");
    let file = disk.open("log", Access::ReadWrite).await.expect("open");
    let mut buffer = DmaBuffer::alloc(LEN);
    for (index, byte) in buffer.as_mut_slice().iter_mut().enumerate() {
        *byte = (index / 7).to_le_bytes()[0];
    }
    let buffer = file.write_at(0, buffer).await.expect("write");
    if !drop_cache {
        std::fs::read(directory.path().join("log")).expect("into the page cache");
    }

    let (client, server) = pair().await;
    let (mut from_server, _to_server) = client.split();
    let (_from_client, mut to_client) = server.split();
    let view = file.view();
    let (from, len) = (1000, LEN - 3000);
    let sender = task::spawn("sender", async move {
        to_client.send_file(&view, from as u64, len as u64).await.expect("send");
        let eof = to_client.send_file(&view, LEN as u64 - 10, 20).await.expect_err("too long");
        assert_eq!(eof.kind(), ErrorKind::UnexpectedEof);
    });
    task::sleep(pause).await;
    let got = read_exactly(&mut from_server, len + 10).await;
    assert!(got[..len] == buffer.as_slice()[from..from + len]);
    assert_eq!(got[len..], buffer.as_slice()[LEN - 10..]);
    sender.await;
}

#[test]
fn a_cached_file_arrives_whole() {
    block_on(check_send_file(false, Duration::ZERO));
}

#[test]
fn a_cold_file_arrives_whole() {
    block_on(check_send_file(true, Duration::ZERO));
}

#[test]
fn a_file_arrives_whole_at_a_slow_reader() {
    block_on(check_send_file(false, Duration::from_millis(50)));
    block_on(check_send_file(true, Duration::from_millis(50)));
}

#[test]
fn peers_that_are_gone_before_they_are_accepted_keep_nobody_waiting() {
    block_on(async {
        let listener = Listener::bind(loopback(0), Reuse::No).expect("bind");
        let addr = listener.local_addr().expect("address");
        for _ in 0..20 {
            let peer = std::net::TcpStream::connect(addr).expect("connect");
            // Closing resets, as some health checks do.
            socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("set");
        }
        let stays = std::net::TcpStream::connect(addr).expect("connect");
        let (_stream, peer) = listener.accept().await.expect("the one that stays");
        assert_eq!(peer, stays.local_addr().expect("address"));
    });
}

/// The reader makes room while a helper thread finds that there is none.
#[test]
fn a_long_cold_file_arrives_whole_at_a_reader_on_another_thread() {
    const LEN: usize = 48 << 20;
    block_on(async {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("directory");
        let disk = Disk::live(directory.path()).expect("path");
        disk.create_zeroed("log", LEN as u64).await.expect("create");
        let view = disk.open("log", Access::ReadWrite).await.expect("open").view();
        let listener = Listener::bind(loopback(0), Reuse::No).expect("bind");
        let addr = listener.local_addr().expect("address");
        let reader = std::thread::spawn(move || {
            let mut from_server = std::net::TcpStream::connect(addr).expect("connect");
            std::io::copy(&mut from_server, &mut std::io::sink()).expect("read")
        });
        let (server, _) = listener.accept().await.expect("accept");
        let (_, mut to_client) = server.split();
        let sending = to_client.send_file(&view, 0, LEN as u64);
        let sent = task::timeout(Duration::from_secs(60), sending).await;
        sent.expect("it never waits for what has happened").expect("send");
        drop(to_client);
        assert_eq!(reader.join().expect("it ended well"), LEN as u64);
    });
}

/// Under load the kernel may hand bytes over later, so not every time.
#[test]
fn who_lets_arrivals_have_their_turn_finds_them_read() {
    const TIMES: usize = 1000;
    block_on(async {
        let (client, server) = pair().await;
        let ((_, to_server), (mut from_client, _)) = (client.split(), server.split());
        let received = Rc::new(Cell::new(0));
        let counted = Rc::clone(&received);
        let reader = task::spawn("reader", async move {
            loop {
                let len = from_client.read_with(<[u8]>::len).await.expect("read");
                counted.set(counted.get() + len);
            }
        });
        let mut in_time = 0;
        for sent in 1..=TIMES {
            assert_eq!(to_server.try_write(&[IoSlice::new(b"x")]).expect("room"), 1);
            net::after_arrivals().await;
            in_time += usize::from(received.get() == sent);
        }
        assert!(in_time > TIMES / 2, "{in_time} of {TIMES}");
        drop(reader);
    });
}

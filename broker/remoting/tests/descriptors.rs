//! What is left of connections that are gone while somebody keeps them. One test, as it counts the
//! descriptors of its process.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that makes files and looks at them from outside"
)]

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::{Command, RequestHead, SerializeType, write_request};
use ringmq_remoting::{Connection, ReplyTo, ServerLimits, Service, serve};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::{Listener, Reuse, Stream};
use ringmq_runtime::{shards, task};

const CLIENTS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(10);

/// Answered with more than a socket takes; all other requests are not answered.
const LARGE: i32 = 3;

/// Keeps the connections of all requests, as those do that wait for messages.
#[derive(Default)]
struct Keeper {
    kept: RefCell<Vec<Rc<Connection>>>,
    closed: Cell<usize>,
}

impl Service for Keeper {
    fn on_request(&self, connection: &Rc<Connection>, command: &Command<'_>, _frame: &[u8]) {
        if command.code == LARGE {
            connection.reply(&ReplyTo::of(command), 0, None, &(), &vec![7; 4 << 20]);
        }
        self.kept.borrow_mut().push(Rc::clone(connection));
    }

    fn on_close(&self, _connection: &Rc<Connection>) {
        self.closed.set(self.closed.get() + 1);
    }
}

/// Open descriptors of this process, with one for the directory that counts them.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").count()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}; {} files open", open_files());
        task::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn connections_that_are_gone_have_no_descriptor_whoever_keeps_them() {
    shards::block_on(async {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(loopback, Reuse::No).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let service = Rc::<Keeper>::default();
        let server = serve(listener, Rc::clone(&service), ServerLimits::default());
        for code in [1, LARGE] {
            let before = open_files();
            let mut clients = Vec::new();
            for _ in 0..CLIENTS {
                let stream = Stream::connect(address, PATIENCE).await.expect("connected");
                let (reader, mut writer) = stream.split();
                let mut bytes = Vec::new();
                let serialize = SerializeType::Json;
                let head = RequestHead { serialize, code, opaque: 1, oneway: false, remark: None };
                write_request(&mut bytes, head, &(), &[]);
                writer.write_all(&mut [IoSlice::new(&bytes)]).await.expect("sent");
                clients.push((reader, writer));
            }
            until("all are kept", || service.kept.borrow().len() == CLIENTS).await;
            drop(clients);
            until("all are closed", || service.closed.get() == CLIENTS).await;
            until("their descriptors are closed", || open_files() <= before).await;
            assert_eq!(server.stats().connections, 0);
            service.closed.set(0);
            service.kept.borrow_mut().clear();
        }
    });
}

//! A peer of tests, which answers what bench asks for beside its load.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::rc::Rc;

use ringmq_protocol::codes::{request, response};
use ringmq_protocol::{Command, ResponseHead, SerializeType, write_response};
use ringmq_runtime::net::{Listener, Reuse, Stream};
use ringmq_runtime::task;

use crate::wire::Assembler;

/// The cluster of a name server where nobody has registered.
const NO_BROKER: &str = r#"{"brokerAddrTable":{},"clusterAddrTable":{}}"#;

/// A broker with one setting and a disk; asked as a name server, it knows no broker.
pub struct Fake {
    /// Where it listens.
    pub address: String,
    /// That of its setting: `k`, or of whatever name it is set by.
    pub value: RefCell<String>,
    /// The value that it does not take.
    pub refuses: Cell<&'static str>,
    /// Whether it hangs up in place of the next answer.
    pub hangs_up: Cell<bool>,
    /// Share of its disk that is used; it tells none below 0.
    pub disk_ratio: Cell<f64>,
}

impl Fake {
    /// Starts one whose setting has the value `own`.
    pub fn start() -> Rc<Self> {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Reuse::No).unwrap();
        let fake = Rc::new(Self {
            address: listener.local_addr().unwrap().to_string(),
            value: RefCell::new("own".to_owned()),
            refuses: Cell::default(),
            hangs_up: Cell::default(),
            disk_ratio: Cell::new(-1.0),
        });
        let here = Rc::clone(&fake);
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                task::spawn("fake connection", Rc::clone(&here).serve(stream)).detach();
            }
        };
        task::spawn("fake broker", accept).detach();
        fake
    }

    async fn serve(self: Rc<Self>, stream: Stream) {
        let (mut read, mut write) = stream.split();
        let mut assembler = Assembler::default();
        loop {
            let mut out = Vec::new();
            let fed = read.read_with(|bytes| {
                assembler.feed(bytes, |command| self.answer(command, &mut out)).unwrap();
                !bytes.is_empty()
            });
            if !fed.await.unwrap_or(false) || self.hangs_up.take() {
                return;
            }
            write.write_all(&mut [IoSlice::new(&out)]).await.unwrap();
        }
    }

    fn answer(&self, command: &Command<'_>, out: &mut Vec<u8>) {
        let mut code = response::SUCCESS;
        if command.code == request::UPDATE_BROKER_CONFIG {
            let text = String::from_utf8_lossy(command.body);
            let (_, value) = text.trim().split_once('=').unwrap();
            match value == self.refuses.get() {
                true => code = response::SYSTEM_ERROR,
                false => value.clone_into(&mut self.value.borrow_mut()),
            }
        }
        let (serialize, opaque) = (SerializeType::Json, command.opaque);
        let body = match command.code {
            request::GET_BROKER_CLUSTER_INFO => NO_BROKER.to_owned(),
            request::GET_BROKER_RUNTIME_INFO => self.runtime_information(),
            _ => format!("k={}\n", self.value.borrow()),
        };
        let head = ResponseHead { serialize, opaque, code, remark: None };
        write_response(out, head, &(), body.as_bytes());
    }

    fn runtime_information(&self) -> String {
        match self.disk_ratio.get() {
            0.0.. => format!(r#"{{"table":{{"commitLogDiskRatio":"{}"}}}}"#, self.disk_ratio.get()),
            _ => r#"{"table":{}}"#.to_owned(),
        }
    }
}

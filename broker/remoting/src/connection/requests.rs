//! Requests that this side makes: calls, which are answered or fail, and one-way ones.
//!
//! A call is *open* from the moment it is sent until one of these ends it: its answer, its timeout,
//! the end of the connection, or that nobody wants the answer any more. The table of open calls is
//! never borrowed while foreign code runs, so a callback may make the next call.

use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::{Command, RequestHead, SerializeType, WriteHeader};
use ringmq_runtime::clock::Instant;

use super::Connection;
use crate::calls::{Call, CallError};

impl Connection {
    /// Sends a request and gives the future of its answer; the request leaves soon, whether the
    /// future is polled or not. Dropping the future forgets the answer.
    pub fn call(
        self: &Rc<Self>,
        code: i32,
        header: &impl WriteHeader,
        body: &[u8],
        timeout: Duration,
    ) -> Call {
        let now = Instant::now();
        let opened = self.open_check().and_then(|()| self.calls.borrow_mut().open(now, timeout));
        match opened {
            Ok(opaque) => {
                self.send_request(code, opaque, false, header, body);
                self.timekeeper.watch_until(self, now + timeout);
                Call::open(Rc::clone(self), opaque)
            }
            Err(error) => Call::failed(error),
        }
    }

    /// Sends a request whose answer, or the lack of one, `callback` gets while the answer is still
    /// in the receive buffer: no task and no copy. It must not block.
    pub fn call_with(
        self: &Rc<Self>,
        code: i32,
        header: &impl WriteHeader,
        body: &[u8],
        timeout: Duration,
        callback: impl FnOnce(Result<&Command<'_>, CallError>) + 'static,
    ) {
        if let Err(error) = self.open_check().and_then(|()| self.calls.borrow().check_room()) {
            return callback(Err(error));
        }
        let now = Instant::now();
        let opaque = self.calls.borrow_mut().open_with(now, timeout, Box::new(callback));
        self.send_request(code, opaque, false, header, body);
        self.timekeeper.watch_until(self, now + timeout);
    }

    /// Sends a request that nobody answers. Nothing tells whether it arrives.
    pub fn send_oneway(&self, code: i32, header: &impl WriteHeader, body: &[u8]) {
        let opaque = self.calls.borrow_mut().next_oneway_opaque();
        self.send_request(code, opaque, true, header, body);
    }

    fn open_check(&self) -> Result<(), CallError> {
        self.closed.get().map_or(Ok(()), |reason| Err(CallError::Closed { reason }))
    }

    fn send_request(
        &self,
        code: i32,
        opaque: i32,
        oneway: bool,
        header: &impl WriteHeader,
        body: &[u8],
    ) {
        let serialize = SerializeType::Json;
        let head = RequestHead { serialize, code, opaque, oneway, remark: None };
        self.out(|out| {
            out.append(|out| ringmq_protocol::write_request(out, head, header, body));
        });
        self.flush_soon();
    }

    /// A call has come to its end: it may be the last one that a retired connection waits for.
    pub(crate) fn call_ended(&self) {
        if let Some(reason) = self.retired.get()
            && self.calls.borrow().are_answered()
        {
            self.close(reason);
        }
    }

    /// Ends a call without an answer. The borrow of the table ends before foreign code runs.
    pub(crate) fn fail_call(&self, opaque: i32, error: CallError) {
        let finished = self.calls.borrow_mut().finish(opaque, || Err(error.clone()));
        finished.run(Err(error));
        self.call_ended();
    }
}

//! Calls from shard to shard: a job runs there, and its value comes back.
//!
//! A call is *waiting* from [`Link::call`] on until [`Link::returned`] has its value. A caller that
//! goes away meanwhile leaves it waiting, so its number is not used twice before the value has
//! come.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use ringmq_runtime::sync::{Sender, oneshot};
use slab::Slab;

use super::message::Job;
use super::{Link, ShardMessage};
use crate::shard::DataPlane;

/// The callers of a shard that wait, by the number of their call.
#[derive(Default)]
pub(super) struct Calls(RefCell<Slab<Sender<Box<dyn Any + Send>>>>);

impl Link {
    /// Runs `job` on another shard and waits for what it returns.
    ///
    /// A call to a shard that has ended would wait for ever. Shards end when shard 0 tells them to
    /// (`start.rs`), all at once: each stays until its answer to that has left, so shard 0 has it,
    /// and the calls of the others end with their executors.
    pub async fn call<T, F, Fut>(&self, shard: usize, job: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(Rc<DataPlane>) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
    {
        let (sender, receiver) = oneshot();
        let call = self.calls.0.borrow_mut().insert(sender);
        let job: Job = Box::new(move |data| {
            Box::pin(async move { Box::new(job(data).await) as Box<dyn Any + Send> })
        });
        self.send(shard, ShardMessage::Run { call, job });
        let value = receiver.await.expect("its sender is in `calls` until the value comes");
        *value.downcast().expect("a job returns the type its caller asked for")
    }

    /// Hands a returned value to its caller.
    pub fn returned(&self, call: usize, value: Box<dyn Any + Send>) {
        let sender = self.calls.0.borrow_mut().remove(call);
        // The caller may have gone away meanwhile; then nobody wants the value.
        drop(sender.send(value));
    }
}

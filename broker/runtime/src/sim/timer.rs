//! A point in virtual time to wait for.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Core;

pub(crate) struct Timer {
    core: Rc<Core>,
    deadline_ns: u64,
    key: Option<(u64, u64)>,
}

impl Timer {
    pub(crate) fn after(core: Rc<Core>, duration: Duration) -> Self {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let deadline_ns = core.now_ns().saturating_add(ns);
        Self { core, deadline_ns, key: None }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.core.now_ns() >= this.deadline_ns {
            return Poll::Ready(());
        }
        this.core.set_timer(this.deadline_ns, &mut this.key, context.waker());
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.core.cancel_timer(key);
        }
    }
}

//! A scenario beside a broker: a panic of one is the test's, and does not end the process.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use futures_lite::FutureExt;
use ringmq_broker::shard::DataPlane;
use ringmq_broker::start::{self, MakeControl, Plan};
use ringmq_runtime::task::LocalFuture;

/// Runs a broker until `scenario` ends, which runs on shard 0.
pub fn run_until<F, Fut>(plan: &Plan, control: MakeControl, scenario: F)
where
    F: FnOnce(Rc<DataPlane>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let panicked = Arc::new(Mutex::new(None));
    let report = Arc::clone(&panicked);
    let until = move |data: Rc<DataPlane>| {
        let run = AssertUnwindSafe(async move { scenario(data).await }).catch_unwind();
        Box::pin(async move {
            *report.lock().expect("not poisoned") = run.await.err();
        }) as LocalFuture<()>
    };
    let ran = start::run(plan, control, Box::new(until));
    if let Some(panic) = panicked.lock().expect("not poisoned").take() {
        resume_unwind(panic);
    }
    ran.expect("the broker starts and stops cleanly");
}

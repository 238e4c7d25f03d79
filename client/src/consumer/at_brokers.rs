//! Work at several brokers at once, so that one that does not answer holds up no other's.

use std::future::Future;
use std::sync::Arc;

use ringmq_runtime::task;

use crate::queue::{MessageQueue, by_broker};

/// Begins `work` with what belongs to each broker, named first, and waits for all of it.
pub(super) async fn at_brokers<T, F>(
    name: &'static str,
    items: impl IntoIterator<Item = T>,
    queue: impl Fn(&T) -> &MessageQueue,
    work: impl Fn(Arc<str>, Vec<T>) -> F,
) -> Vec<F::Output>
where
    F: Future + 'static,
{
    let begin = |(broker_name, items)| task::spawn(name, work(broker_name, items));
    let begun: Vec<_> = by_broker(items, queue).into_iter().map(begin).collect();
    let mut done = Vec::with_capacity(begun.len());
    for at_broker in begun {
        done.push(at_broker.await);
    }
    done
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use ringmq_runtime::shards;
    use ringmq_runtime::sync::Notify;

    use super::*;

    #[test]
    fn work_at_one_broker_does_not_wait_for_that_at_another() {
        shards::block_on(async {
            let queues = ["a", "b", "a"].map(|broker| MessageQueue::new("T", broker, 0));
            let second_begun = Rc::new(Notify::new());
            let work = |broker_name: Arc<str>, queues: Vec<MessageQueue>| {
                let second_begun = second_begun.clone();
                async move {
                    match &*broker_name {
                        "a" => second_begun.notified().await,
                        _ => second_begun.notify_one(),
                    }
                    queues.len()
                }
            };
            let all = at_brokers("test", queues, |queue| queue, work);
            let done = task::timeout(Duration::from_secs(20), all).await;
            assert_eq!(done.expect("the second was begun"), [2, 1]);
        });
    }
}

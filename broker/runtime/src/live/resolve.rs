//! Look-ups of names, on a thread of their own.
//!
//! The C library's look-up takes as long as the name servers do, half a minute when they are dead:
//! on a helper thread the flushes of the log would wait for it.

use std::cell::OnceCell;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::helpers::Helpers;
use crate::{remote, task};

/// Look-ups that may wait for the one that is under way. Those who ask give up after [`LIMIT`], so
/// more have no chance.
const WAITING_MAX: usize = 64;

/// How long a look-up may take, with its time in the queue: two name servers that are asked twice
/// for 5 s each, as the C library does unless told otherwise, are given up in 20 s.
const LIMIT: Duration = Duration::from_secs(20);

thread_local! {
    /// Started by the first look-up: many an executor never makes one.
    static LOOKER: OnceCell<Helpers> = const { OnceCell::new() };
}

/// All addresses of `host:port`.
///
/// # Errors
/// As [`crate::net::resolve`].
pub(crate) async fn look_up(name: String) -> io::Result<Vec<SocketAddr>> {
    on_its_thread(move || Ok(name.to_socket_addrs()?.collect())).await
}

async fn on_its_thread<T: Send + 'static>(
    look_up: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = remote::oneshot();
    let job = move || {
        // Whoever asked may have given up in the queue.
        if !sender.is_closed() {
            sender.send(look_up());
        }
    };
    let is_begun = LOOKER.with(|looker| {
        if looker.get().is_none() {
            let _ = looker.set(Helpers::start("names", 1)?);
        }
        let looker = looker.get().expect("started above");
        Ok::<_, io::Error>(looker.add_below(WAITING_MAX, Box::new(job)))
    })?;
    if !is_begun {
        let message = format!("{WAITING_MAX} look-ups of names wait for the name service already");
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
    }
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the name service does not answer");
    let outcome = task::timeout(LIMIT, receiver).await.map_err(late)?;
    outcome.unwrap_or_else(|_| Err(io::Error::other("the look-up ended early")))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_lite::future::poll_once;

    use super::*;
    use crate::live::helpers;
    use crate::shards::block_on;

    #[test]
    fn a_dead_name_service_holds_up_no_helper_thread_and_a_bounded_number_of_askers() {
        block_on(async {
            let (release, held) = mpsc::channel::<()>();
            let (begin, begun) = remote::oneshot();
            let mut dead = Box::pin(on_its_thread(move || {
                begin.send(());
                Ok(held.recv())
            }));
            assert!(poll_once(&mut dead).await.is_none());
            begun.await.expect("it began");
            let mut waiting: Vec<_> = (0..WAITING_MAX)
                .map(|number| Box::pin(on_its_thread(move || Ok(number))))
                .collect();
            for waiter in &mut waiting {
                assert!(poll_once(waiter).await.is_none());
            }
            let refused = on_its_thread(|| Ok(())).await.expect_err("one too many");
            assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
            for _ in 0..10 {
                task::timeout(LIMIT, helpers::blocking(|| ())).await.expect("helpers are free");
            }
            release.send(()).expect("the first look-up waits");
            for (number, waiter) in waiting.into_iter().enumerate() {
                assert_eq!(waiter.await.expect("answered"), number);
            }
        });
    }
}

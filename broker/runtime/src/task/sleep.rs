//! Time to wait for, and limits of time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clock::Instant;
use crate::live;
#[cfg(feature = "sim")]
use crate::sim;

/// Waits for `duration`. The live timer is late by 5 to 150 us.
pub fn sleep(duration: Duration) -> Sleep {
    #[cfg(feature = "sim")]
    if let Some(world) = sim::current() {
        return Sleep(AnyTimer::Sim(sim::Timer::after(world, duration)));
    }
    Sleep(AnyTimer::Live(live::timers::Timer::new(duration)))
}

/// Waits until `deadline`.
pub fn sleep_until(deadline: Instant) -> Sleep {
    sleep(deadline.saturating_since(Instant::now()))
}

/// The future of [`sleep`] and [`sleep_until`].
#[must_use = "a sleep does nothing unless awaited"]
pub struct Sleep(AnyTimer);

enum AnyTimer {
    Live(live::timers::Timer),
    #[cfg(feature = "sim")]
    Sim(sim::Timer),
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            AnyTimer::Live(timer) => Pin::new(timer).poll(context),
            #[cfg(feature = "sim")]
            AnyTimer::Sim(timer) => Pin::new(timer).poll(context),
        }
    }
}

/// The time given to [`timeout`] was not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time limit passed")]
pub struct Elapsed;

/// Runs `future` for at most `limit`, then drops it. If both are ready the value wins.
///
/// # Errors
/// [`Elapsed`] if the time was over first.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let value = async { Ok(future.await) };
    let over = async {
        sleep(limit).await;
        Err(Elapsed)
    };
    futures_lite::future::or(value, over).await
}

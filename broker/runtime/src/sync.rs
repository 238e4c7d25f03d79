//! Waiting for each other inside one shard. Nothing here crosses threads: that is `mesh`.

mod notify;
mod oneshot;
mod turn;

pub use self::notify::{Notified, Notify};
pub use self::oneshot::{Closed, Receiver, Sender, oneshot};
pub use self::turn::{Entered, Turn};

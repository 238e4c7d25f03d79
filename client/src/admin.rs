//! Administration and look-ups.

mod broker;
mod lookup;

pub use broker::{BrokerTarget, TopicSettings};
pub use lookup::QueueOffsets;

use crate::client::Client;

/// Looks up and changes what name servers and brokers hold. Cheap to clone, usable from any thread
/// or runtime.
#[derive(Clone)]
pub struct Admin {
    client: Client,
}

impl Admin {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }
}

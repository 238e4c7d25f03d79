//! Typed JSON bodies, one file per family.
//!
//! Read them with [`crate::json::from_slice`], write them with [`crate::json::to_vec`]. Members
//! that are missing read as their defaults, members with no value are left out when written, as in
//! Java. Members stand in alphabetical order, the order of Java's writer.

pub mod connection;
pub mod group;
pub mod heartbeat;
pub mod lock;
pub mod offset;
pub mod register;
pub mod route;
pub mod running;
pub mod send_stage;
pub mod stats;
pub mod topic;

use serde::{Deserialize, Serialize};

/// A queue as bodies name it; also the key of several maps.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueue {
    /// Broker name.
    pub broker_name: String,
    /// Queue of the topic; -1 is any queue.
    pub queue_id: i32,
    /// Topic.
    pub topic: String,
}

/// Defines an enum that travels by name and is also read by its number, as C++ and Go send it.
///
/// Names that we do not know read as the default: they must not fail a heartbeat.
macro_rules! wire_enum {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $wire:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub enum $name {
            $($(#[$doc])* #[doc = concat!(" `", $wire, "`")] $variant,)*
        }

        impl $name {
            const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $wire),)*];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                Self::ALL[self as usize].1
            }

            /// The value of a name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().find(|(_, known)| *known == name).map(|(value, _)| *value)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use $crate::bodies::NameOrNumber;
                let value = match NameOrNumber::deserialize(deserializer)? {
                    NameOrNumber::Name(name) => Self::from_name(&name),
                    NameOrNumber::Number(number) => usize::try_from(number)
                        .ok()
                        .and_then(|number| Self::ALL.get(number))
                        .map(|(value, _)| *value),
                    NameOrNumber::Other(_) => None,
                };
                Ok(value.unwrap_or_default())
            }
        }
    };
}
use wire_enum;

/// How an enum arrives.
#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrNumber {
    Number(i64),
    Name(String),
    Other(serde::de::IgnoredAny),
}

//! Types of configuration values: how each is read from text and written back.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::properties::{Entry, ValueError};

/// What a key accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Any text, also none.
    Text,
    /// A path of this machine.
    Path,
    /// An IP address.
    Address,
    /// `true` or `false`.
    Flag,
    /// A whole number in this inclusive range.
    Number {
        /// Smallest accepted value.
        min: i64,
        /// Largest accepted value.
        max: i64,
        /// What it counts, for people: `ms`, `bytes`, `messages`, ...
        unit: &'static str,
    },
    /// One of these words.
    Words(&'static [&'static str]),
    /// `auto`, or cores such as `0,1` and `0-3`.
    Cores,
}

impl Allowed {
    /// A whole number from `min` to `max` of what `unit` says.
    pub const fn number(min: i64, max: i64, unit: &'static str) -> Self {
        Self::Number { min, max, unit }
    }

    /// The type for a person, as the sample file shows it: `number, ms, 0 to 1000`.
    pub fn describe(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Address => "an IP address such as 0.0.0.0 or ::".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Number { min, max, unit } if *max == i64::MAX || *max == i64::from(i32::MAX) => {
                format!("number, {unit}, {min} or more")
            }
            Self::Number { min, max, unit } => format!("number, {unit}, {min} to {max}"),
            Self::Words(words) => format!("one of {}", words.join(", ")),
            Self::Cores => "auto, or cores such as 0,1 or 0-3".to_owned(),
        }
    }
}

/// A Rust type that a configuration value can have.
pub trait Value: Sized {
    /// Reads the text of `entry`.
    ///
    /// # Errors
    /// The value is not what `allowed` says.
    fn read(entry: &Entry, allowed: &Allowed) -> Result<Self, ValueError>;

    /// The text that [`Value::read`] reads back as the same value.
    fn write(&self) -> String;
}

impl Value for String {
    fn read(entry: &Entry, allowed: &Allowed) -> Result<Self, ValueError> {
        match entry.value.trim() {
            "" if *allowed == Allowed::Path => Err(entry.refused(allowed.describe())),
            text => Ok(text.to_owned()),
        }
    }

    fn write(&self) -> String {
        self.clone()
    }
}

impl Value for IpAddr {
    fn read(entry: &Entry, allowed: &Allowed) -> Result<Self, ValueError> {
        entry.value.trim().parse().map_err(|_| entry.refused(allowed.describe()))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    fn read(entry: &Entry, _: &Allowed) -> Result<Self, ValueError> {
        entry.boolean()
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// Numbers of any width: the row's range is checked against the type's by a test.
macro_rules! number_value {
    ($($type:ty),*) => { $(
        impl Value for $type {
            fn read(entry: &Entry, allowed: &Allowed) -> Result<Self, ValueError> {
                let Allowed::Number { min, max, .. } = *allowed else {
                    unreachable!("the row of a number states its range");
                };
                let number = entry.number(min..=max)?;
                <$type>::try_from(number).map_err(|_| entry.refused(allowed.describe()))
            }

            fn write(&self) -> String {
                self.to_string()
            }
        }
    )* };
}
number_value!(u8, u16, u32, u64, i32, i64);

/// An enumeration whose values are words.
#[macro_export]
macro_rules! word_value {
    ($(#[$doc:meta])* $name:ident {
        $( $(#[$variant_doc:meta])* $variant:ident = $word:literal, )*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[$variant_doc])* $variant, )* }

        impl $name {
            /// The words of this setting, as files spell them.
            pub const WORDS: &'static [&'static str] = &[$($word,)*];

            /// The word for this value.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }

        impl $crate::Value for $name {
            fn read(
                entry: &$crate::Entry,
                allowed: &$crate::Allowed,
            ) -> Result<Self, $crate::ValueError> {
                let word = entry.value.trim();
                $( if word.eq_ignore_ascii_case($word) { return Ok(Self::$variant); } )*
                Err(entry.refused(allowed.describe()))
            }

            fn write(&self) -> String {
                self.name().to_owned()
            }
        }
    };
}

/// Which cores run shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardCores {
    /// All cores this process may use, one shard each.
    Auto,
    /// Exactly these, one shard each, in this order.
    List(Vec<usize>),
}

impl Value for ShardCores {
    fn read(entry: &Entry, allowed: &Allowed) -> Result<Self, ValueError> {
        let text = entry.value.trim();
        if text.eq_ignore_ascii_case("auto") || text.is_empty() {
            return Ok(Self::Auto);
        }
        parse_cores(text).map(Self::List).ok_or_else(|| entry.refused(allowed.describe()))
    }

    fn write(&self) -> String {
        let Self::List(cores) = self else { return "auto".to_owned() };
        let mut text = String::new();
        for core in cores {
            let comma = if text.is_empty() { "" } else { "," };
            let _ = write!(text, "{comma}{core}");
        }
        text
    }
}

/// `0,2-3` as `[0, 2, 3]`; none when malformed, empty, repeated or beyond [`CORE_MAX`].
fn parse_cores(text: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().ok()?;
        let last: usize = last.trim().parse().ok()?;
        if last > CORE_MAX || first > last {
            return None;
        }
        cores.extend(first..=last);
    }
    let mut sorted = cores.clone();
    sorted.sort_unstable();
    sorted.dedup();
    (sorted.len() == cores.len()).then_some(cores)
}

/// Highest core number accepted in a list; Linux itself stops at 8192.
const CORE_MAX: usize = 8191;

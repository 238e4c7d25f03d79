//! Why settings were refused.

use crate::properties::ValueError;

/// Refused settings of one file or request that are named; beyond that they are counted.
pub(crate) const REFUSED_NAMED_MAX: usize = 16;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// A value does not fit its key.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// Values that fit their keys but not each other.
    #[error("{0}")]
    Combination(String),
    /// Several of these, so that a person mends all of them at once.
    #[error("{}", self.lines().join("; "))]
    Several {
        /// The first 16.
        named: Vec<ConfigError>,
        /// How many there are besides.
        more: usize,
    },
}

impl ConfigError {
    /// One error for all that is wrong.
    ///
    /// # Errors
    /// Anything is.
    pub(crate) fn of(mut found: Vec<Self>) -> Result<(), Self> {
        let more = found.len().saturating_sub(REFUSED_NAMED_MAX);
        found.truncate(REFUSED_NAMED_MAX);
        match found.pop() {
            None => Ok(()),
            Some(only) if found.is_empty() => Err(only),
            Some(last) => {
                found.push(last);
                Err(Self::Several { named: found, more })
            }
        }
    }

    /// A sentence for each refused setting.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Several { named, more } => {
                let more = (*more > 0).then(|| format!("{more} more"));
                named.iter().map(Self::to_string).chain(more).collect()
            }
            only => vec![only.to_string()],
        }
    }
}

/// Why a change at run time was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UpdateError {
    /// The key must not be changed through the network.
    #[error(
        "the key {0} cannot be changed by a request; a start takes it from the configuration file"
    )]
    Forbidden(String),
    /// The value does not fit.
    #[error(transparent)]
    Invalid(#[from] ConfigError),
}

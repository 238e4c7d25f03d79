//! Tables of keys: what is known of each, and its value.

use std::collections::BTreeMap;

use crate::properties::{Entry, ValueError};
use crate::value::Allowed;

/// When a change of a key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// At once, also through a request.
    Live,
    /// At the next start.
    Restart,
}

/// One key: what the file format, the sample file and the answer to a request know about it.
#[derive(Debug)]
pub struct Row {
    /// Heading under which the sample file lists it.
    pub section: &'static str,
    /// The key, in Apache's spelling where Apache has it.
    pub key: &'static str,
    /// Type, unit and range.
    pub allowed: Allowed,
    /// Whether a change takes effect while the server runs.
    pub scope: Scope,
    /// Whether the short listing has it.
    pub important: bool,
    /// What it does, one sentence.
    pub sentence: &'static str,
}

/// Values by key: what [`settings!`](crate::settings) makes of the rows.
pub trait Table: Clone {
    /// Every key that is acted on, in the order of the sample file.
    fn rows() -> &'static [Row];

    /// Sets the key of `entry`; false when no row has it.
    ///
    /// # Errors
    /// The value is not allowed.
    fn assign(&mut self, entry: &Entry) -> Result<bool, ValueError>;

    /// The present value of a key as text.
    fn text(&self, key: &str) -> Option<String>;

    /// Keys of Apache's that were given and have nothing to configure here, so that a tool that
    /// set one reads it back.
    fn without_effect(&self) -> &BTreeMap<String, String>;

    /// As [`Table::without_effect`], for one more.
    fn without_effect_mut(&mut self) -> &mut BTreeMap<String, String>;
}

/// Turns rows into a struct of typed values, the table `ROWS`, and the struct's [`Table`].
///
/// A row is `field: Type = default, "key", allowed, scope, important, "sentence";`, below the
/// `["section"]` that it belongs to.
#[macro_export]
macro_rules! settings {
    ($(#[$doc:meta])* $name:ident { $( [$section:literal] $(
        $field:ident: $type:ty = $default:expr, $key:literal, $allowed:expr,
        $scope:ident, $important:literal, $sentence:literal;
    )* )* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($( #[doc = concat!("`", $key, "`: ", $sentence)] pub $field: $type, )*)*
            /// See [`Table::without_effect`]($crate::Table::without_effect).
            pub without_effect: ::std::collections::BTreeMap<String, String>,
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($( $field: $default, )*)* without_effect: Default::default() }
            }
        }

        /// Every key that is acted on, in the order of the sample file.
        pub static ROWS: &[$crate::Row] = &[ $($( $crate::Row {
            section: $section,
            key: $key,
            allowed: $allowed,
            scope: $crate::Scope::$scope,
            important: $important,
            sentence: $sentence,
        }, )*)* ];

        impl $crate::Table for $name {
            fn rows() -> &'static [$crate::Row] {
                ROWS
            }

            fn assign(&mut self, entry: &$crate::Entry) -> Result<bool, $crate::ValueError> {
                match entry.key.as_str() {
                    $($( $key => self.$field = $crate::Value::read(entry, &$allowed)?, )*)*
                    _ => return Ok(false),
                }
                Ok(true)
            }

            fn text(&self, key: &str) -> Option<String> {
                match key {
                    $($( $key => Some($crate::Value::write(&self.$field)), )*)*
                    _ => None,
                }
            }

            fn without_effect(&self) -> &::std::collections::BTreeMap<String, String> {
                &self.without_effect
            }

            fn without_effect_mut(
                &mut self,
            ) -> &mut ::std::collections::BTreeMap<String, String> {
                &mut self.without_effect
            }
        }
    };
}

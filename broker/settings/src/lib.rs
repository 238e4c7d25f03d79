//! Settings of a server: one row per key, a Java properties file, and what may change while it
//! runs.
//!
//! A server lists its keys once, with [`settings!`]; the typed struct, the sample file, `-p` and
//! the answer to a request for the settings all come from those rows. What the keys mean together,
//! and which of Apache's keys are accepted without one, it says with [`Rules`], and gets in return
//! how a file, the changes of an earlier run and a request are applied.
//!
//! A key is one of four things: a row (applied), a key of Apache's that has nothing to configure
//! here (accepted in silence), a key of Apache's whose feature this version lacks (accepted, named
//! in an informational line; refused when it would break a promise), or unknown (a warning with the
//! nearest known name). A value that a row does not allow is refused with its key and line, what
//! was found and what is allowed, together with all others that are: a server that guesses is worse
//! than one that does not start.

#![forbid(unsafe_code)]

pub mod error;
pub mod properties;
pub mod rules;
pub mod table;
pub mod template;
pub mod tls;
pub mod value;

pub use error::{ConfigError, UpdateError};
pub use properties::{Entry, Properties, ValueError};
pub use rules::{Clash, Class, Notes, Rules};
pub use table::{Row, Scope, Table};
pub use value::{Allowed, Value};

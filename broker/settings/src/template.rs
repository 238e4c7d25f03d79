//! Texts made from the rows: the sample file, and the listings of `-p` and `-m`.

use std::fmt::Write as _;

use crate::properties::write_entry;
use crate::rules::Rules;
use crate::table::{Row, Scope, Table};

/// The whole sample file: `head`, and every key as a comment with its default.
pub fn sample<T: Table>(head: &str, defaults: &T) -> String {
    let mut out = head.to_owned();
    let mut section = "";
    for row in T::rows() {
        if row.section != section {
            section = row.section;
            let _ = writeln!(out, "\n#### {section}");
        }
        describe(&mut out, row, defaults);
    }
    out
}

fn describe<T: Table>(out: &mut String, row: &Row, defaults: &T) {
    let when = if row.scope == Scope::Live { "; live" } else { "" };
    let _ = writeln!(out, "\n# {}\n# ({}{when})", row.sentence, row.allowed.describe());
    out.push('#');
    write_entry(out, row.key, &defaults.text(row.key).unwrap_or_default());
}

/// The listing of `-p` (all) and `-m` (important keys only), sorted by key.
pub fn listing<T: Rules>(settings: &T, important_only: bool) -> String {
    let is_listed =
        |key: &str| !important_only || T::rows().iter().any(|row| row.important && row.key == key);
    let mut out = String::new();
    for (key, value) in settings.entries() {
        if is_listed(&key) {
            let _ = writeln!(out, "{key}={value}");
        }
    }
    out
}

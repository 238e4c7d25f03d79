//! Which build a program is. A crate of its own, so that a new commit builds only those again that
//! say so.

/// The version, and where git could tell it the commit that was checked out when it was built, such
/// as `0.1.0 (0123456789)`. Changes that were in no commit are not told.
pub const VERSION: &str = env!("RINGMQ_VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_workspace_and_then_a_commit() {
        let rest = VERSION.strip_prefix(env!("CARGO_PKG_VERSION")).expect("it comes first");
        if !rest.is_empty() {
            let commit = rest.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')'));
            let commit = commit.expect("it stands in brackets");
            assert!(commit.len() >= 10 && commit.chars().all(|c| c.is_ascii_hexdigit()), "{rest}");
        }
    }
}

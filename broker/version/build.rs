//! Looks up which commit is checked out, if git can tell.
//!
//! Without git, or outside of a clone, the version stands alone. The reflog of HEAD grows with
//! every commit and checkout: only then this is looked at again, and the crates that name the
//! version are built again.

use std::env;
use std::path::Path;
use std::process::Command;

/// Digits of a commit: enough for some hundred thousand of them.
const DIGITS: &str = "--short=10";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    let version = match commit() {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    println!("cargo::rustc-env=RINGMQ_VERSION={version}");
}

fn commit() -> Option<String> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").ok()?).join("../..");
    // A tree that was unpacked inside somebody else's clone is none of its commits.
    if !root.join(".git").exists() {
        return None;
    }
    let log = root.join(git(&root, &["rev-parse", "--git-path", "logs/HEAD"])?);
    // What is not there would count as changed each time.
    if log.exists() {
        println!("cargo::rerun-if-changed={}", log.display());
    }
    git(&root, &["rev-parse", DIGITS, "HEAD"])
}

fn git(root: &Path, words: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(words).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

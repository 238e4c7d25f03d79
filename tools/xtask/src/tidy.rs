//! Rules that neither the compiler nor clippy checks: `cargo xtask tidy`.
//!
//! Width, size of files and functions, order of imports, words left behind, paths of machines,
//! paths named in the architecture page, files that a map leaves out, request codes without a
//! handler. Sizes above a limit are allowed only for the names in `ratchet.txt`, and only up to the
//! number written there.

mod codes;
mod imports;
mod maps;
mod paths;
mod size;
mod words;

use std::path::Path;
use std::process::Command;

use crate::process;
use crate::workspace::{Outcome, at, root};

/// A file of the tree with its text.
pub struct Source {
    /// Relative to the root, with slashes.
    pub path: String,
    pub text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Checks all files that git knows, and prints `N passed, N failed` for the rules.
///
/// # Errors
/// A rule is broken.
pub fn run() -> Outcome {
    let sources = sources(&root())?;
    let rules: [(&str, Vec<String>); 8] = [
        ("width", size::too_wide(&sources)),
        ("size", size::too_large(&sources, include_str!("tidy/ratchet.txt"))),
        ("imports", imports::ungrouped(&sources)),
        ("words", words::left_behind(&sources)),
        ("machines", words::names_machines(&sources)),
        ("paths", paths::missing(&sources, &root())),
        ("maps", maps::left_out(&sources)),
        ("codes", codes::without_handler(&sources, include_str!("tidy/unsupported.txt"))),
    ];
    let mut failed = 0;
    for (rule, faults) in &rules {
        faults.iter().for_each(|fault| println!("tidy: {rule}: {fault}"));
        failed += usize::from(!faults.is_empty());
    }
    println!("tidy: {} passed, {failed} failed", rules.len() - failed);
    if failed == 0 { Ok(()) } else { Err("the tree is not tidy, see above".into()) }
}

/// Text files that git tracks or would track.
fn sources(root: &Path) -> Outcome<Vec<Source>> {
    let listed = process::output(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(root),
    )?;
    let mut sources = Vec::new();
    for path in listed.lines() {
        let file = root.join(path);
        // Deleted but not yet committed.
        if !file.exists() {
            continue;
        }
        let bytes = std::fs::read(&file).map_err(at(&file))?;
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source { path: path.to_owned(), text });
        }
    }
    Ok(sources)
}

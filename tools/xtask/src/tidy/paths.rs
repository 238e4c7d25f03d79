//! Paths that the documentation names.

use std::path::Path;

use super::Source;

/// Pages whose paths must exist.
const PAGES: [&str; 2] = ["broker/ARCHITECTURE.md", "README.md"];

/// Paths in backticks that begin with a folder of the tree and do not exist.
pub fn missing(sources: &[Source], root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for page in sources.iter().filter(|source| PAGES.contains(&source.path.as_str())) {
        for (number, line) in page.text.lines().enumerate() {
            for path in named(line).filter(|path| !root.join(path).exists()) {
                faults.push(format!("{}:{} names {path}", page.path, number + 1));
            }
        }
    }
    faults
}

/// The tokens between backticks that look like paths of the tree.
fn named(line: &str) -> impl Iterator<Item = &str> {
    const FOLDERS: [&str; 6] = ["broker/", "namesrv/", "client/", "bench/", "tools/", "conf/"];
    line.split('`').skip(1).step_by(2).filter(|token| {
        FOLDERS.iter().any(|folder| token.starts_with(folder)) && !token.contains([' ', '*', '{'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_in_backticks_are_looked_at() {
        let line = "the `broker/src` of broker/none, `cargo run`, `tools/compat`, `conf/*.conf`";
        assert_eq!(named(line).collect::<Vec<_>>(), ["broker/src", "tools/compat"]);
    }
}

//! Maps of the files of a crate, at the head of its `lib.rs`.

use std::collections::BTreeSet;

use super::Source;

/// Crates with so many files that their first page has a map of them.
const MAPPED: [&str; 1] = ["broker/store/src/lib.rs"];

/// Modules that the map of their crate leaves out.
pub fn left_out(sources: &[Source]) -> Vec<String> {
    let mapped = sources.iter().filter(|source| MAPPED.contains(&source.path.as_str()));
    mapped.flat_map(|source| left_out_of(&source.path, &source.text)).collect()
}

fn left_out_of(path: &str, text: &str) -> Vec<String> {
    let map = text.lines().skip_while(|line| *line != "//! ```text").skip(1);
    // Files stand in the last column, two blanks or more behind what they are about.
    let columns = map.take_while(|line| *line != "//! ```").map(|line| line.rsplit("  ").next());
    let named: BTreeSet<&str> =
        columns.flat_map(|column| column.unwrap_or_default().split(' ')).collect();
    let modules = text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    let left_out = modules.filter(|module| !named.contains(module));
    left_out.map(|module| format!("{path}: its map leaves out {module}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_stands_in_the_last_column_of_the_map() {
        let text = "//! ```text\n//! read    of the cache      read\n//! ```\nmod cache;\nmod read;\n\
                    pub mod keys;\n";
        let left_out = ["lib.rs: its map leaves out cache", "lib.rs: its map leaves out keys"];
        assert_eq!(left_out_of("lib.rs", text), left_out);
    }
}

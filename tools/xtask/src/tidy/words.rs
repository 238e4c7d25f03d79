//! Words that must not stay in the tree.

use super::Source;

/// Notes to oneself. Spelled in two halves, so that this file passes its own rule.
const LEFT_BEHIND: [&str; 5] = [
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X:"),
    concat!("dbg", "!("),
    concat!("todo", "!("),
];

/// Where somebody's machine keeps its files.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/home", "/"), concat!("/root", "/"), concat!("/Users", "/"), concat!("/work", "/")];

/// Notes that were left behind.
pub fn left_behind(sources: &[Source]) -> Vec<String> {
    find(sources, &LEFT_BEHIND)
}

/// Absolute paths of somebody's machine.
pub fn names_machines(sources: &[Source]) -> Vec<String> {
    find(sources, &MACHINE_PATHS)
}

fn find(sources: &[Source], words: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        for (number, line) in source.text.lines().enumerate() {
            for word in words.iter().filter(|word| has_word(line, word)) {
                faults.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
    }
    faults
}

/// Whether the word stands there by itself and not inside of another.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let ends_in_letter = word.ends_with(char::is_alphanumeric);
        !(joins(before) || ends_in_letter && joins(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_only_by_itself() {
        let word = LEFT_BEHIND[1];
        assert!(has_word(&format!("// {word}: later"), word));
        assert!(!has_word(&format!("MAS{word}N"), word));
        assert!(has_word(
            &format!("open({:?})", format!("{}me", MACHINE_PATHS[0])),
            MACHINE_PATHS[0]
        ));
    }
}

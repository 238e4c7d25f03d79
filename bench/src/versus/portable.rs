//! A document that may leave the machine on which it was written, and stand in a repository: paths
//! keep their last part, which is all of them that says something elsewhere, and errors do not name
//! the machine.

use serde::Serialize;
use serde_json::Value;

use crate::environment::fact;

/// Keys of sentences in which programs may name the machine. Anywhere else its name may be a word
/// of ours, such as that of a contestant.
const SENTENCES: [&str; 3] = ["error", "lost", "reason"];

/// Stands for the name of the machine.
const MACHINE: &str = "MACHINE";

/// Names that a machine has before anybody gives it one, or that mean whichever machine it is.
const NO_NAMES: [&str; 2] = ["", "localhost"];

/// The document of `contents` without places and names of this machine.
pub async fn document(contents: &impl Serialize) -> Value {
    let machine = fact("proc/sys/kernel/hostname").await;
    let mut document = serde_json::to_value(contents).expect("what is kept is plain data");
    strip(&mut document, &machine, false);
    document
}

fn strip(value: &mut Value, machine: &str, is_sentence: bool) {
    match value {
        Value::String(found) => {
            *found = text(found);
            if is_sentence && !NO_NAMES.contains(&machine) {
                *found = without_word(found, machine);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|it| strip(it, machine, is_sentence)),
        Value::Object(fields) => fields
            .iter_mut()
            .for_each(|(key, it)| strip(it, machine, SENTENCES.contains(&key.as_str()))),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The text with the last part of each absolute path in its place; URLs and relative paths stay.
pub fn text(text: &str) -> String {
    let mut portable = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('/') {
        let (before, path) = rest.split_at(at);
        portable.push_str(before);
        let len = path.find(|c: char| !is_of_path(c)).unwrap_or(path.len());
        let is_relative = portable.ends_with(|c| is_of_path(c) || c == '~');
        let is_url = portable.ends_with(':') && path.starts_with("//");
        let parts = || path[..len].split('/').rev();
        portable.push_str(match is_relative || is_url {
            false => parts().find(|part| !part.is_empty()).unwrap_or("/"),
            true => &path[..len],
        });
        rest = &path[len..];
    }
    portable + rest
}

/// Others end a path in a sentence, in a list of paths and behind a key.
fn is_of_path(c: char) -> bool {
    c.is_alphanumeric() || "/.-_+@%#".contains(c)
}

fn without_word(text: &str, word: &str) -> String {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "-_".contains(c));
    let mut without = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, behind) = (&rest[..at], &rest[at + word.len()..]);
        let last = before.chars().next_back().or(without.chars().next_back());
        let is_whole = !joins(last) && !joins(behind.chars().next());
        without.push_str(before);
        without.push_str(if is_whole { MACHINE } else { word });
        rest = behind;
    }
    without + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absolute_paths_keep_their_last_part() {
        for (found, expected) in [
            ("/srv/race/data", "data"),
            ("storePathRootDir=/srv/race/bench-x/store\n", "storePathRootDir=store\n"),
            ("-cp /m2/a.jar:/m2/b.jar Main", "-cp a.jar:b.jar Main"),
            (
                "bench versus --ours '/opt/mq/mqbroker' -o /tmp/",
                "bench versus --ours 'mqbroker' -o tmp",
            ),
            ("/dev/mapper/a-b", "a-b"),
            ("/srv/d\u{e4}ten: no space", "d\u{e4}ten: no space"),
        ] {
            assert_eq!(text(found), expected);
        }
        let kept = ["./mqbroker", "data/x", "../x/y", "1/2", "3 / 4", "http://a.b/c/d", "~/x", ""];
        kept.iter().for_each(|it| assert_eq!(text(it), **it));
    }

    #[test]
    fn only_sentences_lose_the_name_of_the_machine() {
        let mut found = json!({
            "rival": "ours",
            "runs": [{"contestant": "ours", "error": "ours: ours-2 and (ours) in /srv/ours/log"}],
        });
        strip(&mut found, "ours", false);
        let error = "MACHINE: ours-2 and (MACHINE) in log";
        let runs = json!([{"contestant": "ours", "error": error}]);
        assert_eq!(found, json!({"rival": "ours", "runs": runs}));
        let mut unnamed = json!({"error": "localhost:1 refused"});
        strip(&mut unnamed, "localhost", false);
        assert_eq!(unnamed["error"], "localhost:1 refused");
    }
}

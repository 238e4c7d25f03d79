//! Every request code has a handler, or is listed as one that we do not support.

use super::Source;
use std::collections::BTreeSet;

/// Where the codes are declared.
const DECLARED: &str = "broker/protocol/src/codes/request.rs";
/// Where a handler names its code: of servers, and of clients for what brokers ask them.
const HANDLED: [&str; 3] = ["broker/src/", "namesrv/src/", "client/src/"];

/// Codes without a handler that are not listed, and listed ones that have one now.
pub fn without_handler(sources: &[Source], unsupported: &str) -> Vec<String> {
    let declared = declared(sources);
    let handled: BTreeSet<&str> = sources
        .iter()
        .filter(|source| HANDLED.iter().any(|folder| source.path.starts_with(folder)))
        .flat_map(|source| named(&source.text))
        .collect();
    let listed: BTreeSet<&str> = unsupported
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|name| !name.is_empty())
        .collect();
    let mut faults = Vec::new();
    for name in &declared {
        match (handled.contains(name), listed.contains(name)) {
            (false, false) => faults.push(format!("{name} has no handler and is not listed")),
            (true, true) => faults.push(format!("{name} has a handler: take it off the list")),
            _ => {}
        }
    }
    let unknown = listed.iter().filter(|name| !declared.contains(*name));
    faults.extend(unknown.map(|name| format!("{name} is listed but not declared")));
    faults
}

/// Names before ` = NUMBER`.
fn declared(sources: &[Source]) -> BTreeSet<&str> {
    sources
        .iter()
        .filter(|source| source.path == DECLARED)
        .flat_map(|source| source.text.lines())
        .filter_map(|line| {
            let (name, number) = line.trim().trim_end_matches(',').split_once(" = ")?;
            number.parse::<i32>().is_ok().then_some(name)
        })
        .collect()
}

/// Names behind `request::`, one by one or in braces.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.split("request::").skip(1).flat_map(|rest| {
        let inside = rest.strip_prefix('{').and_then(|list| list.split('}').next());
        inside.unwrap_or(rest).split(',').take(if inside.is_some() { usize::MAX } else { 1 }).map(
            |name| {
                let name = name.trim_start();
                let end =
                    name.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
                &name[..end.unwrap_or(name.len())]
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(handled: &str, unsupported: &str) -> Vec<String> {
        let declared = "codes! {\n    PULL_MESSAGE = 11,\n    POP_MESSAGE = 200050,\n}\n";
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
        let sources = [source(DECLARED, declared), source("broker/src/router.rs", handled)];
        without_handler(&sources, unsupported)
    }

    #[test]
    fn a_code_is_handled_or_listed_but_not_both() {
        assert!(check("request::PULL_MESSAGE => pull()", "POP_MESSAGE # later").is_empty());
        assert!(check("use request::{PULL_MESSAGE, POP_MESSAGE};", "").is_empty());
        assert_eq!(check("request::PULL_MESSAGE", "").len(), 1);
        assert_eq!(check("request::PULL_MESSAGE", "POP_MESSAGE\nPULL_MESSAGE").len(), 1);
        assert_eq!(check("request::PULL_MESSAGE", "POP_MESSAGE\nNONE").len(), 1);
    }
}

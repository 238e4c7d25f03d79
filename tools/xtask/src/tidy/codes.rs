//! Every request code has a handler, or is listed as one that we do not support.

use std::collections::BTreeSet;

use syn::visit::Visit;

use super::Source;

/// Where the codes are declared.
const DECLARED: &str = "broker/protocol/src/codes/request.rs";
/// Where requests are answered: by servers, and by clients what brokers ask them.
const HANDLED: [&str; 3] = ["broker/src/", "namesrv/src/", "client/src/"];

/// Codes without a handler that are not listed, and listed ones that have one now.
pub fn without_handler(sources: &[Source], unsupported: &str) -> Vec<String> {
    let declared = declared(sources);
    let handled: BTreeSet<String> = sources
        .iter()
        .filter(|source| HANDLED.iter().any(|folder| source.path.starts_with(folder)))
        .flat_map(|source| answered(&source.text))
        .collect();
    let listed: BTreeSet<&str> = unsupported
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|name| !name.is_empty())
        .collect();
    let mut faults = Vec::new();
    for name in &declared {
        match (handled.contains(*name), listed.contains(name)) {
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

/// Names behind `request::` in the patterns of match arms: who sends a request only names its code.
fn answered(text: &str) -> BTreeSet<String> {
    let mut arms = Arms::default();
    if let Ok(file) = syn::parse_file(text) {
        arms.visit_file(&file);
    }
    arms.codes
}

#[derive(Default)]
struct Arms {
    codes: BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Arms {
    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let mut patterns = Patterns { codes: &mut self.codes };
        patterns.visit_pat(&arm.pat);
        syn::visit::visit_arm(self, arm);
    }
}

struct Patterns<'a> {
    codes: &'a mut BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Patterns<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut backwards = path.segments.iter().rev();
        let last = backwards.next();
        if let (Some(code), true) = (last, backwards.next().is_some_and(|of| of.ident == "request"))
        {
            self.codes.insert(code.ident.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, unsupported: &str) -> Vec<String> {
        let declared = "codes! {\n    PULL_MESSAGE = 11,\n    POP_MESSAGE = 200050,\n}\n";
        let source = |path: &str, text: String| Source { path: path.into(), text };
        let function = format!("fn react(code: i32) {{ {body} }}");
        let sources = [source(DECLARED, declared.into()), source("broker/src/router.rs", function)];
        without_handler(&sources, unsupported)
    }

    #[test]
    fn a_code_is_answered_or_listed_but_not_both() {
        let one = "match code { request::PULL_MESSAGE => pull(), _ => {} }";
        let both = "match code { codes::request::PULL_MESSAGE | request::POP_MESSAGE => pull(), \
                    _ => {} }";
        assert!(check(one, "POP_MESSAGE # not yet").is_empty());
        assert!(check(both, "").is_empty());
        assert_eq!(check(one, "").len(), 1);
        assert_eq!(check(one, "POP_MESSAGE\nPULL_MESSAGE").len(), 1);
        assert_eq!(check(one, "POP_MESSAGE\nNONE").len(), 1);
    }

    #[test]
    fn to_send_a_code_is_not_to_answer_it() {
        let one = "match code { request::PULL_MESSAGE => call(request::POP_MESSAGE), _ => {} }";
        assert_eq!(check(one, ""), ["POP_MESSAGE has no handler and is not listed"]);
    }
}

//! Width of lines, length of files and functions.

use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::visit::Visit;

use super::Source;

/// As in `.rustfmt.toml`; rustfmt itself leaves long texts and comments alone.
const WIDTH_MAX: usize = 100;
/// A file tells one story in 100 to 300 lines of code and becomes two at 500.
const FILE_LINES_MAX: usize = 500;
/// 30 lines as a habit, 70 as the limit.
const FUNCTION_LINES_MAX: usize = 70;

/// Lines of Rust that are too wide. A line with a text may be: texts are not broken.
pub fn too_wide(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        for (number, line) in source.text.lines().enumerate() {
            let width = line.chars().count();
            let has_text = is_code(line) && line.contains('"');
            if width > WIDTH_MAX && !has_text {
                let path = &source.path;
                faults.push(format!("{path}:{} has {width} columns of {WIDTH_MAX}", number + 1));
            }
        }
    }
    faults
}

/// Files and functions above their limit, and entries of the ratchet list that are not needed any
/// more.
pub fn too_large(sources: &[Source], ratchet: &str) -> Vec<String> {
    let mut allowed = match parse_ratchet(ratchet) {
        Ok(allowed) => allowed,
        Err(fault) => return vec![fault],
    };
    let mut faults = Vec::new();
    for (name, lines, limit) in sources.iter().filter(|s| s.is_rust()).flat_map(measure) {
        if lines <= limit {
            continue;
        }
        match allowed.remove(&name) {
            Some(most) if lines <= most => {}
            Some(most) => faults.push(format!("{name} has grown to {lines} lines, {most} allowed")),
            None => faults.push(format!("{name} has {lines} lines of {limit}")),
        }
    }
    faults
        .extend(allowed.keys().map(|name| format!("{name} is small now: take it off the ratchet")));
    faults
}

/// Lines of the form `NAME LINES`; `#` begins a comment.
fn parse_ratchet(text: &str) -> Result<BTreeMap<String, usize>, String> {
    let mut allowed = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (name, lines) = line
            .rsplit_once(' ')
            .and_then(|(name, lines)| Some((name, lines.parse().ok()?)))
            .ok_or_else(|| format!("ratchet.txt: expected NAME LINES, found {line}"))?;
        allowed.insert(name.to_owned(), lines);
    }
    Ok(allowed)
}

/// Name, lines of code and limit of a file and of its functions.
fn measure(source: &Source) -> Vec<(String, usize, usize)> {
    let code: Vec<bool> = source.text.lines().map(is_code).collect();
    let mut found =
        vec![(source.path.clone(), code.iter().filter(|is| **is).count(), FILE_LINES_MAX)];
    if let Ok(parsed) = syn::parse_file(&source.text) {
        let mut functions = Functions { path: &source.path, code: &code, found: Vec::new() };
        functions.visit_file(&parsed);
        found.append(&mut functions.found);
    }
    found
}

fn is_code(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with("//")
}

struct Functions<'a> {
    path: &'a str,
    code: &'a [bool],
    found: Vec<(String, usize, usize)>,
}

impl Functions<'_> {
    fn add(&mut self, name: &syn::Ident, block: &syn::Block) {
        let span = block.span();
        let lines = span.start().line - 1..span.end().line.min(self.code.len());
        let count = self.code[lines].iter().filter(|is| **is).count();
        self.found.push((format!("{} fn {name}", self.path), count, FUNCTION_LINES_MAX));
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig.ident, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig.ident, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(lines: usize) -> Vec<Source> {
        let text = format!("fn long() {{\n{}}}\n", "    work();\n    // why\n\n".repeat(lines));
        vec![Source { path: "a.rs".into(), text }]
    }

    #[test]
    fn comments_and_empty_lines_are_no_code() {
        assert!(too_large(&source(FUNCTION_LINES_MAX - 2), "").is_empty());
        let faults = too_large(&source(FUNCTION_LINES_MAX), "");
        assert_eq!(faults, ["a.rs fn long has 72 lines of 70"]);
    }

    #[test]
    fn a_name_on_the_ratchet_may_shrink_but_not_grow() {
        assert!(too_large(&source(80), "a.rs fn long 82").is_empty());
        assert_eq!(too_large(&source(80), "a.rs fn long 81").len(), 1);
        assert_eq!(too_large(&source(8), "a.rs fn long 82").len(), 1);
    }

    #[test]
    fn columns_are_counted_in_characters() {
        let check = |text: String| too_wide(&[Source { path: "a.rs".into(), text }]).len();
        assert_eq!(check("\u{e9}".repeat(WIDTH_MAX)), 0);
        assert_eq!(check("e".repeat(WIDTH_MAX + 1)), 1);
        assert_eq!(check(format!("call({:?})", "e".repeat(WIDTH_MAX))), 0);
    }
}

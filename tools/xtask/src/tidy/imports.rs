//! Imports: the standard library, others, this crate's own, each a paragraph of its own.
//!
//! Only the nightly rustfmt could group them; the stable one sorts within a paragraph.

use std::collections::BTreeSet;

use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{Item, ItemUse, UseTree, Visibility};

use super::Source;

/// Whose the imported names are, in the order in which they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Std,
    Others,
    OwnCrate,
}

/// Paragraphs with imports of two origins, and ones out of order. What a module hands on (`pub
/// use`) may stand before or behind its other imports.
pub fn ungrouped(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        if let Ok(parsed) = syn::parse_file(&source.text) {
            let mut modules = Modules { path: &source.path, faults: &mut faults };
            modules.check(&parsed.items);
            modules.visit_file(&parsed);
        }
    }
    faults
}

struct Modules<'a> {
    path: &'a str,
    faults: &'a mut Vec<String>,
}

impl<'ast> Visit<'ast> for Modules<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if let Some((_, items)) = &module.content {
            self.check(items);
        }
        syn::visit::visit_item_mod(self, module);
    }
}

impl Modules<'_> {
    /// Compares each import with the item before it.
    fn check(&mut self, items: &[Item]) {
        let declared = declared(items);
        for pair in items.windows(2) {
            let (Item::Use(before), Item::Use(import)) = (&pair[0], &pair[1]) else { continue };
            let line = import.span().start().line;
            let same_paragraph = line == before.span().end().line + 1;
            let handed_on = is_handed_on(before) || is_handed_on(import);
            let (last, this) = (origin(before, &declared), origin(import, &declared));
            if same_paragraph && last != this {
                self.fault(line, "needs an empty line before it");
            } else if !same_paragraph && !handed_on && last >= this {
                self.fault(line, "is out of order: std, then others, then this crate's own");
            }
        }
    }

    fn fault(&mut self, line: usize, what: &str) {
        self.faults.push(format!("{}:{line}: this import {what}", self.path));
    }
}

fn is_handed_on(import: &ItemUse) -> bool {
    !matches!(import.vis, Visibility::Inherited)
}

/// Modules declared here: an import may begin with one of them.
fn declared(items: &[Item]) -> BTreeSet<String> {
    let modules = items.iter().filter_map(|item| match item {
        Item::Mod(module) => Some(module.ident.to_string()),
        _ => None,
    });
    modules.collect()
}

fn origin(import: &ItemUse, declared: &BTreeSet<String>) -> Origin {
    let first = match &import.tree {
        UseTree::Path(path) => path.ident.to_string(),
        UseTree::Name(name) => name.ident.to_string(),
        UseTree::Rename(rename) => rename.ident.to_string(),
        UseTree::Glob(_) | UseTree::Group(_) => return Origin::Others,
    };
    match first.as_str() {
        "std" | "core" | "alloc" => Origin::Std,
        "crate" | "self" | "super" => Origin::OwnCrate,
        name if declared.contains(name) => Origin::OwnCrate,
        _ => Origin::Others,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Vec<String> {
        ungrouped(&[Source { path: "a.rs".into(), text: text.into() }])
    }

    #[test]
    fn each_origin_has_a_paragraph_in_this_order() {
        let grouped = "mod read;\n\nuse std::io;\nuse std::rc::Rc;\n\nuse slab::Slab;\n\n\
                       use crate::log;\nuse read::Read;\n";
        assert!(check(grouped).is_empty());
        let apart = "a.rs:2: this import needs an empty line before it";
        assert_eq!(check("use std::io;\nuse slab::Slab;\n"), [apart]);
        let order = "a.rs:3: this import is out of order: std, then others, then this crate's own";
        assert_eq!(check("use slab::Slab;\n\nuse std::io;\n"), [order]);
        assert_eq!(check("use std::io;\n\nuse std::rc::Rc;\n"), [order]);
    }

    #[test]
    fn what_is_handed_on_stands_anywhere() {
        assert!(check("pub use self::log::Log;\n\nuse std::io;\n").is_empty());
        assert_eq!(check("pub use self::log::Log;\nuse std::io;\n").len(), 1);
    }

    #[test]
    fn modules_within_a_file_are_looked_at() {
        assert_eq!(check("mod tests {\n    use super::*;\n    use std::io;\n}\n").len(), 1);
    }
}

//! fastjson's references: `{"$ref":"$.table.b1"}` stands for a part that was written before.
//!
//! They are followed where a value is read, so what nobody reads costs nothing.

use std::borrow::Cow;

use super::JsonError;
use super::budget::Budget;
use super::tree::{Kind, Tree};

/// The member name that stands for "the same as over there".
const REFERENCE: &str = "$ref";

/// Most references that lead to references; writers never chain them.
const HOPS_MAX: usize = 8;

/// Longest path that is followed: a few names of topics and brokers.
const PATH_MAX_BYTES: usize = 4096;

/// What a look at a member counts for: some 20 ns.
pub(super) const MEMBER_COST: usize = 16;

/// A value with the way to it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub at: usize,
    /// The container it stands in; none for the root and for what a reference names.
    pub parent: Option<usize>,
    /// References that were followed to it.
    pub hops: usize,
}

impl Place {
    pub const ROOT: Self = Self { at: 0, parent: None, hops: 0 };

    /// A value in the container at this place.
    pub fn inside(self, at: usize) -> Self {
        Self { at, parent: Some(self.at), hops: self.hops }
    }

    /// The value that is meant: this one, or what it refers to.
    pub fn followed(mut self, tree: &Tree<'_>, budget: &Budget) -> Result<Self, JsonError> {
        while let Some(path) = path_of(tree, self.at) {
            let target = find(tree, budget, path, self.parent)?;
            if self.hops == HOPS_MAX {
                return Err(JsonError::TooDeep);
            }
            self = Self { at: target, parent: None, hops: self.hops + 1 };
        }
        Ok(self)
    }
}

/// The path of an object that is nothing but a reference.
fn path_of<'t>(tree: &'t Tree<'_>, at: usize) -> Option<&'t str> {
    if tree.kind(at) != Kind::Object {
        return None;
    }
    let mut members = tree.inside(at);
    let (name, value) = members.member()?;
    if name != REFERENCE || members.next().is_some() {
        return None;
    }
    tree.string(value)
}

fn find(
    tree: &Tree<'_>,
    budget: &Budget,
    path: &str,
    parent: Option<usize>,
) -> Result<usize, JsonError> {
    budget.spend(MEMBER_COST + path.len())?;
    let rest = match path {
        // The container of the object that stands in for the reference.
        ".." => return parent.ok_or(JsonError::DanglingReference),
        _ if path.len() > PATH_MAX_BYTES => None,
        _ => path.strip_prefix('$'),
    };
    walk(tree, budget, rest.ok_or(JsonError::DanglingReference)?)
}

/// Follows `.name`, `[index]` and `["name"]` steps from the root; a backslash in a name escapes the
/// next character.
fn walk(tree: &Tree<'_>, budget: &Budget, mut path: &str) -> Result<usize, JsonError> {
    let mut at = 0;
    while !path.is_empty() {
        let (step, rest) = first_step(path).ok_or(JsonError::DanglingReference)?;
        path = rest;
        let next = match tree.kind(at) {
            Kind::Array => item(tree, budget, at, &step)?,
            Kind::Object => member(tree, budget, at, &step)?,
            _ => None,
        };
        at = next.ok_or(JsonError::DanglingReference)?;
    }
    Ok(at)
}

fn item(
    tree: &Tree<'_>,
    budget: &Budget,
    array: usize,
    step: &str,
) -> Result<Option<usize>, JsonError> {
    let Ok(index) = step.parse::<usize>() else { return Ok(None) };
    budget.spend(index.min(tree.end(array) - array))?;
    Ok(tree.inside(array).nth(index))
}

/// The last member of the name counts.
fn member(
    tree: &Tree<'_>,
    budget: &Budget,
    object: usize,
    step: &str,
) -> Result<Option<usize>, JsonError> {
    let mut members = tree.inside(object);
    let mut found = None;
    while let Some((name, value)) = members.member() {
        let is_compared = name.len() == step.len();
        budget.spend(if is_compared { MEMBER_COST + step.len() } else { MEMBER_COST })?;
        if is_compared && name == step {
            found = Some(value);
        }
    }
    Ok(found)
}

fn first_step(path: &str) -> Option<(Cow<'_, str>, &str)> {
    match path.as_bytes()[0] {
        b'.' => Some(name_step(&path[1..])),
        b'[' => {
            let end = path.find(']')?;
            Some((path[1..end].trim_matches(['"', '\'']).into(), &path[end + 1..]))
        }
        _ => None,
    }
}

fn name_step(path: &str) -> (Cow<'_, str>, &str) {
    let mut name = String::new();
    let mut characters = path.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '.' | '[' => return (name.into(), &path[at..]),
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => name.push(character),
        }
    }
    (name.into(), "")
}

//! fastjson's references: `{"$ref":"$.table.b1"}` stands for a part that was written before.

use serde_json::{Map, Value};

use super::JsonError;
use super::lenient::{REFERENCE, VALUES_MAX};

/// Most references that lead to references; writers never chain them.
const HOPS_MAX: usize = 8;

/// Longest path that is followed: a few names of topics and brokers.
const PATH_MAX_BYTES: usize = 4096;

/// Most bytes of text in the resolved tree: four times the largest body.
const TEXT_MAX_BYTES: usize = 64 << 20;

/// Replaces every reference by a copy of what it names.
pub(super) fn resolve(root: Value) -> Result<Value, JsonError> {
    let mut resolver = Resolver { root: &root, copied: 0, text_bytes: 0 };
    resolver.copy(&root, &mut Vec::new(), 0)
}

struct Resolver<'a> {
    root: &'a Value,
    copied: usize,
    /// Bytes of names and strings copied so far.
    text_bytes: usize,
}

impl<'a> Resolver<'a> {
    /// `parents` are the containers around `value`, outermost first.
    fn copy(
        &mut self,
        value: &'a Value,
        parents: &mut Vec<&'a Value>,
        hops: usize,
    ) -> Result<Value, JsonError> {
        self.copied += 1;
        if self.copied > VALUES_MAX {
            return Err(JsonError::TooManyValues);
        }
        if let Some(path) = reference_of(value) {
            let target = self.find(path, parents).ok_or(JsonError::DanglingReference)?;
            if hops == HOPS_MAX {
                return Err(JsonError::TooDeep);
            }
            return self.copy(target, &mut Vec::new(), hops + 1);
        }
        parents.push(value);
        self.take_text(value.as_str().map_or(0, str::len))?;
        let copy = match value {
            Value::Array(items) => {
                let items = items.iter().map(|item| self.copy(item, parents, hops));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let mut copies = Map::new();
                for (key, member) in members {
                    self.take_text(key.len())?;
                    copies.insert(key.clone(), self.copy(member, parents, hops)?);
                }
                Value::Object(copies)
            }
            plain => plain.clone(),
        };
        parents.pop();
        Ok(copy)
    }

    fn take_text(&mut self, bytes: usize) -> Result<(), JsonError> {
        self.text_bytes += bytes;
        if self.text_bytes > TEXT_MAX_BYTES { Err(JsonError::TooMuchText) } else { Ok(()) }
    }

    fn find(&self, path: &str, parents: &[&'a Value]) -> Option<&'a Value> {
        match path {
            // The container of the object that stands in for the reference.
            ".." => parents.last().copied(),
            "$" => Some(self.root),
            _ if path.len() > PATH_MAX_BYTES => None,
            _ => walk(self.root, path.strip_prefix('$')?),
        }
    }
}

/// The path of an object that is nothing but a reference.
fn reference_of(value: &Value) -> Option<&str> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.get(REFERENCE)?.as_str()
}

/// Follows `.name`, `[index]` and `["name"]` steps; a backslash in a name escapes the next
/// character.
fn walk<'a>(mut value: &'a Value, mut path: &str) -> Option<&'a Value> {
    while !path.is_empty() {
        let (step, rest) = match path.as_bytes()[0] {
            b'.' => name_step(&path[1..]),
            b'[' => {
                let end = path.find(']')?;
                let inside = path[1..end].trim_matches(['"', '\'']);
                (inside.to_owned(), &path[end + 1..])
            }
            _ => return None,
        };
        path = rest;
        value = match value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
            Value::Object(members) => members.get(&step)?,
            _ => return None,
        };
    }
    Some(value)
}

fn name_step(path: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = path.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '.' | '[' => return (name, &path[at..]),
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => name.push(character),
        }
    }
    (name, "")
}

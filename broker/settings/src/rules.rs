//! How a file, the changes of an earlier run and a request change what a table holds.

use std::collections::BTreeMap;

use crate::error::{ConfigError, UpdateError};
use crate::properties::{Entry, Properties, ValueError, at_line, write_entry};
use crate::table::{Row, Scope, Table};

/// Unknown keys of one file or request that are named in warnings; beyond that they are counted.
const UNKNOWN_NAMED_MAX: usize = 16;

/// Longest unknown key that is shown and for which a known one that looks alike is sought: twice
/// Apache's longest.
const UNKNOWN_SHOWN_MAX_BYTES: usize = 128;

/// What a key without a row means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It tunes machinery that does not exist here.
    NothingToConfigure,
    /// It configures a feature that this version lacks.
    FeatureMissing,
    /// A switch that promises protection or another way of running, which this version lacks: to
    /// start with it on would break that promise. With these words it is off; no other is taken.
    Promise(&'static [&'static str]),
}

/// What reading a set of entries had to say besides the values.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Lines for a person that asks for attention: unknown keys, values without effect that matter.
    pub warnings: Vec<String>,
    /// Keys of Apache's that were accepted and whose feature is missing.
    pub without_effect: Vec<String>,
    /// How many keys are unknown. The first 16 have a warning each.
    pub unknown: usize,
}

/// Values that fit their keys but not each other, or not what this version can do.
#[derive(Debug)]
pub struct Clash {
    /// The keys that it is about: where one has a value that was refused, nothing is known of it.
    pub keys: &'static [&'static str],
    /// What was expected and what was found.
    pub text: String,
}

/// What a server says about its keys besides the rows; how entries are applied follows from it.
pub trait Rules: Table {
    /// Keys of Apache's that are accepted without a row.
    fn accepted() -> impl Iterator<Item = &'static str>;

    /// The class of such a key; none for keys that Apache does not know either.
    fn class(key: &str) -> Option<Class>;

    /// Whether no request may change the key.
    fn is_forbidden(&self, key: &str) -> bool;

    /// What breaks a rule that joins several keys, or is more than a row can say of one.
    fn clashes(&self) -> Vec<Clash> {
        Vec::new()
    }

    /// That there is none of these.
    ///
    /// # Errors
    /// Values that do not go together, all of them.
    fn check(&self) -> Result<(), ConfigError> {
        let texts = self.clashes().into_iter().map(|clash| clash.text);
        ConfigError::of(texts.map(ConfigError::Combination).collect())
    }

    /// What is allowed and asks for a person's attention.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Applies every entry of a file in order, then checks the values against each other.
    ///
    /// # Errors
    /// All values that are refused, with their keys and lines, and all that do not go together.
    fn apply(&mut self, properties: &Properties, notes: &mut Notes) -> Result<(), ConfigError> {
        let mut refused = Vec::new();
        for entry in properties.entries() {
            refused.extend(apply_entry(self, entry, notes).err());
        }
        if let Some(more) = notes.unknown.checked_sub(UNKNOWN_NAMED_MAX).filter(|more| *more > 0) {
            notes.warnings.push(format!("{more} more unknown keys, ignored"));
        }
        notes.warnings.extend(self.warnings());
        let is_refused = |key: &&str| refused.iter().any(|error| error.key == **key);
        let clashes = self.clashes().into_iter().filter(|it| !it.keys.iter().any(is_refused));
        let clashes = clashes.map(|clash| ConfigError::Combination(clash.text)).collect::<Vec<_>>();
        ConfigError::of(refused.into_iter().map(ConfigError::from).chain(clashes).collect())
    }

    /// Applies changes of an earlier run, by key. One that this version refuses as a value is left
    /// out with a warning; one that nobody may make by request is forgotten as well.
    fn apply_overrides(&mut self, overrides: &mut BTreeMap<String, String>, notes: &mut Notes) {
        overrides.retain(|key, value| {
            if self.is_forbidden(key) {
                let error = UpdateError::Forbidden(key.clone());
                notes.warnings.push(format!("a change of an earlier run: {key}={value}: {error}"));
                return false;
            }
            true
        });
        for (key, value) in overrides {
            let entry = Entry { key: key.clone(), value: value.clone(), line: 0 };
            let mut changed = self.clone();
            let applied = apply_entry(&mut changed, &entry, notes).map_err(ConfigError::from);
            match applied.and_then(|()| changed.check()) {
                Ok(()) => *self = changed,
                Err(error) => notes.warnings.push(format!("a change of an earlier run: {error}")),
            }
        }
    }

    /// Applies a change that came by request and returns the keys that need a restart to take
    /// effect. `self` is what runs, where such keys keep their values; `next` is what the next
    /// start will find, and gets everything. On an error neither is changed.
    ///
    /// # Errors
    /// A forbidden key, a refused value, or values that do not go together, now or after the next
    /// start. Unknown keys are ignored, as Apache does; they are in `notes`.
    fn update(
        &mut self,
        next: &mut Self,
        properties: &Properties,
        notes: &mut Notes,
    ) -> Result<Vec<&'static str>, UpdateError> {
        let mut keys = properties.entries().iter().map(|entry| &entry.key);
        if let Some(key) = keys.find(|key| self.is_forbidden(key)) {
            return Err(UpdateError::Forbidden(key.clone()));
        }
        let is_named = |row: &Row| properties.entries().iter().any(|entry| entry.key == row.key);
        let (mut changed, mut running) = (next.clone(), self.clone());
        changed.apply(properties, notes)?;
        let mut needs_restart = Vec::new();
        for row in Self::rows().iter().filter(|row| is_named(row)) {
            let value = changed.text(row.key).expect("every row has a value");
            match row.scope {
                Scope::Live => {
                    let entry = Entry { key: row.key.to_owned(), value, line: 0 };
                    running.assign(&entry).map_err(ConfigError::from)?;
                }
                Scope::Restart if running.text(row.key) != Some(value) => {
                    needs_restart.push(row.key);
                }
                Scope::Restart => {}
            }
        }
        running.without_effect_mut().clone_from(changed.without_effect());
        running.check()?;
        (*self, *next) = (running, changed);
        Ok(needs_restart)
    }

    /// Every key with its present value, sorted by key.
    fn entries(&self) -> Vec<(String, String)> {
        let rows = Self::rows().iter();
        let rows = rows.filter_map(|row| Some((row.key.to_owned(), self.text(row.key)?)));
        let kept = self.without_effect().iter().map(|(key, value)| (key.clone(), value.clone()));
        let mut entries: Vec<_> = rows.chain(kept).collect();
        entries.sort();
        entries
    }

    /// [`Rules::entries`] as a text that can be read back: the answer to a request for them.
    fn to_properties(&self) -> String {
        let mut text = String::new();
        for (key, value) in self.entries() {
            write_entry(&mut text, &key, &value);
        }
        text
    }

    /// Whether a key means anything, here or in Apache's server.
    fn is_known(key: &str) -> bool {
        Self::rows().iter().any(|row| row.key == key) || Self::class(key).is_some()
    }
}

fn apply_entry<T: Rules>(
    table: &mut T,
    entry: &Entry,
    notes: &mut Notes,
) -> Result<(), ValueError> {
    if table.assign(entry)? {
        return Ok(());
    }
    match T::class(&entry.key) {
        None => {
            notes.unknown += 1;
            if notes.unknown <= UNKNOWN_NAMED_MAX {
                notes.warnings.push(unknown_key::<T>(entry));
            }
            return Ok(());
        }
        Some(Class::NothingToConfigure) => {}
        Some(Class::FeatureMissing) => notes.without_effect.push(entry.key.clone()),
        Some(Class::Promise(off)) => {
            if !off.iter().any(|word| entry.value.trim().eq_ignore_ascii_case(word)) {
                let expected = format!("{}: this version does not have it", off.join(" or "));
                return Err(entry.refused(expected));
            }
        }
    }
    table.without_effect_mut().insert(entry.key.clone(), entry.value.clone());
    Ok(())
}

fn unknown_key<T: Rules>(entry: &Entry) -> String {
    let (at, key) = (at_line(entry.line), &entry.key);
    if key.len() > UNKNOWN_SHOWN_MAX_BYTES {
        return format!("{at}unknown key of {} bytes, ignored", key.len());
    }
    let known = T::rows().iter().map(|row| row.key).chain(T::accepted());
    match nearest(key, known, strsim::damerau_levenshtein) {
        Some(known) => format!("{at}unknown key {key}, ignored; did you mean {known}?"),
        None => format!("{at}unknown key {key}, ignored"),
    }
}

/// The known key that looks most like an unknown one, if any does.
///
/// Words are at least as far apart as their lengths; where that alone is too far, they are not
/// compared: with all 500 of Apache's a key of 128 bytes would take milliseconds, in which a server
/// does nothing else.
fn nearest<'k>(
    key: &str,
    known: impl Iterator<Item = &'k str>,
    distance: impl Fn(&str, &str) -> usize,
) -> Option<&'k str> {
    // A distance above a third of the word is another word.
    let is_near = |distance: usize, known: &str| distance * 3 <= known.len();
    let len = key.chars().count();
    let alike = known.filter(|known| is_near(known.len().abs_diff(len), known));
    let nearest = alike.map(|known| (distance(known, key), known)).min();
    nearest.filter(|(distance, known)| is_near(*distance, known)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests;

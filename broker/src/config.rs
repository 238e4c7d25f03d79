//! Configuration of the broker: one row per key, a Java properties file, and what may change while
//! it runs.
//!
//! Order, later wins: the defaults of the rows, the file given with `-c`, changes made while
//! running (`UPDATE_BROKER_CONFIG`, kept in `<store>/config/overrides.json`), the command line. The
//! user's own file is read and never written.
//!
//! A key is one of four things: a row of ours (applied), a key of Apache's that has nothing to
//! configure here (accepted in silence), a key of Apache's whose feature this version lacks
//! (accepted, named in an informational line), or unknown (a warning with the nearest known name).
//! A value that a row does not allow is refused with its key and line, what was found and what is
//! allowed: a broker that guesses is worse than one that does not start.

pub mod accepted;
pub mod cli;
pub mod rows;
pub mod template;
pub mod value;

pub use rows::{ROWS, Settings};
pub use value::{Allowed, BrokerRole, EmbeddedNamesrv, FlushDiskType, Scope, ShardCores};

use ringmq_namesrv::properties::{Entry, Properties, ValueError};
use std::collections::BTreeMap;
use std::path::Path;

/// One key: what the file format, `--help`, `conf/broker.conf` and `GET_BROKER_CONFIG` know about
/// it.
#[derive(Debug)]
pub struct Row {
    /// Heading under which the sample file lists it.
    pub section: &'static str,
    /// The key, in Apache's spelling where Apache has it.
    pub key: &'static str,
    /// Type, unit and range.
    pub allowed: Allowed,
    /// Whether a change takes effect while the broker runs.
    pub scope: Scope,
    /// Whether `-m` lists it.
    pub important: bool,
    /// What it does, one sentence.
    pub sentence: &'static str,
}

/// What reading a set of entries had to say besides the values.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Lines for a person that asks for attention: unknown keys, values without effect that matter.
    pub warnings: Vec<String>,
    /// Keys of Apache's that were accepted and have no effect here.
    pub without_effect: Vec<String>,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// A value does not fit its key.
    #[error("{0}")]
    Value(#[from] ValueError),
    /// Values that fit their keys but not each other.
    #[error("{0}")]
    Combination(String),
}

/// Why a change at run time was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UpdateError {
    /// The key must not be changed through the network.
    #[error("the key {0} can not be changed by a request")]
    Forbidden(String),
    /// The value does not fit.
    #[error("{0}")]
    Invalid(#[from] ConfigError),
}

/// Keys that a request may never change: they name files of this machine.
const FORBIDDEN_BY_REQUEST: &[&str] = &["configBlackList", "brokerConfigPath", "rocketmqHome"];

/// Switches that promise protection or another way of running: to start without would break that
/// promise.
const UNSAFE_WHEN_IGNORED: &[&str] = &[
    "aclEnable",
    "authenticationEnabled",
    "authorizationEnabled",
    "enableControllerMode",
    "enableDLegerCommitLog",
    "enableSlaveActingMaster",
];

impl Settings {
    /// Applies every entry of a file in order, then checks the values against each other.
    ///
    /// # Errors
    /// The first value that is refused, with its key and line.
    pub fn apply(&mut self, properties: &Properties, notes: &mut Notes) -> Result<(), ConfigError> {
        for entry in properties.entries() {
            self.apply_entry(entry, notes)?;
        }
        if self.broker_role == BrokerRole::SyncMaster {
            let text = "brokerRole=SYNC_MASTER: this version has no slaves to wait for";
            notes.warnings.push(text.to_owned());
        }
        self.check()
    }

    fn apply_entry(&mut self, entry: &Entry, notes: &mut Notes) -> Result<(), ConfigError> {
        if self.assign(entry)? {
            return Ok(());
        }
        match accepted::class(&entry.key) {
            Some(accepted::Class::NothingToConfigure) => {
                self.without_effect.insert(entry.key.clone(), entry.value.clone());
            }
            Some(accepted::Class::FeatureMissing) => {
                self.without_effect.insert(entry.key.clone(), entry.value.clone());
                notes.without_effect.push(entry.key.clone());
            }
            None => notes.warnings.push(unknown_key(entry)),
        }
        Ok(())
    }

    /// Applies changes of an earlier run, by key. One that this version refuses is left out with a
    /// warning.
    pub fn apply_overrides(&mut self, overrides: &BTreeMap<String, String>, notes: &mut Notes) {
        for (key, value) in overrides {
            let entry = Entry { key: key.clone(), value: value.clone(), line: 0 };
            let mut changed = self.clone();
            match changed.apply_entry(&entry, notes).and_then(|()| changed.check()) {
                Ok(()) => *self = changed,
                Err(error) => notes.warnings.push(format!("a change of an earlier run: {error}")),
            }
        }
    }

    /// Applies a change that came by request and returns the keys that need a restart to take
    /// effect. On an error nothing is changed.
    ///
    /// # Errors
    /// A forbidden key or a refused value. Unknown keys are ignored, as Apache does; they are in
    /// `notes`.
    pub fn update(
        &mut self,
        properties: &Properties,
        notes: &mut Notes,
    ) -> Result<Vec<&'static str>, UpdateError> {
        for entry in properties.entries() {
            if FORBIDDEN_BY_REQUEST.contains(&entry.key.as_str()) {
                return Err(UpdateError::Forbidden(entry.key.clone()));
            }
        }
        let mut changed = self.clone();
        changed.apply(properties, notes)?;
        let needs_restart = ROWS
            .iter()
            .filter(|row| {
                row.scope == Scope::Restart && changed.text(row.key) != self.text(row.key)
            })
            .map(|row| row.key)
            .collect();
        *self = changed;
        Ok(needs_restart)
    }

    /// Every key with its present value, sorted by key: the answer to `GET_BROKER_CONFIG` and `-p`.
    pub fn entries(&self) -> Vec<(String, String)> {
        let rows = ROWS.iter().filter_map(|row| Some((row.key.to_owned(), self.text(row.key)?)));
        let kept = self.without_effect.iter().map(|(key, value)| (key.clone(), value.clone()));
        let mut entries: Vec<_> = rows.chain(kept).collect();
        entries.sort();
        entries
    }

    /// Rules that join several keys.
    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |text: String| Err(ConfigError::Combination(text));
        if self.broker_role == BrokerRole::Slave || self.broker_id != 0 {
            return refuse(format!(
                "brokerRole={}, brokerId={}: this version runs as a master only (brokerId 0); \
                 replication to slaves is not part of it",
                self.broker_role.name(),
                self.broker_id
            ));
        }
        for key in UNSAFE_WHEN_IGNORED {
            if self
                .without_effect
                .get(*key)
                .is_some_and(|on| on.trim().eq_ignore_ascii_case("true"))
            {
                return refuse(format!(
                    "{key}=true: this version does not have it; remove the key"
                ));
            }
        }
        let log_dir = self.without_effect.get("storePathCommitLog");
        let expected = Path::new(&self.store_path_root_dir).join("commitlog");
        if log_dir.is_some_and(|dir| !dir.trim().is_empty() && Path::new(dir.trim()) != expected) {
            return refuse(format!(
                "storePathCommitLog={}: the message log lies in commitlog under storePathRootDir, \
                 that is {}; remove the key or set storePathRootDir",
                log_dir.map_or("", String::as_str),
                expected.display()
            ));
        }
        if !is_name(&self.broker_cluster_name) {
            return refuse(bad_name("brokerClusterName", &self.broker_cluster_name));
        }
        if !self.broker_name.is_empty() && !is_name(&self.broker_name) {
            return refuse(bad_name("brokerName", &self.broker_name));
        }
        Ok(())
    }
}

/// Cluster and broker names are topics too, and file names of the store.
fn is_name(name: &str) -> bool {
    const NAME_LENGTH_MAX: usize = 127;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '%' | '|');
    !name.is_empty() && name.len() <= NAME_LENGTH_MAX && name.chars().all(allowed)
}

fn bad_name(key: &str, found: &str) -> String {
    format!("{key} = \"{found}\": expected 1 to 127 letters, digits, '_', '-', '.', '%' or '|'")
}

/// Whether a key means anything, here or in Apache's broker.
pub fn is_known(key: &str) -> bool {
    ROWS.iter().any(|row| row.key == key) || accepted::class(key).is_some()
}

fn unknown_key(entry: &Entry) -> String {
    let known = ROWS.iter().map(|row| row.key).chain(accepted::all());
    // A distance above a third of the word is another word.
    let nearest = known
        .map(|key| (strsim::damerau_levenshtein(key, &entry.key), key))
        .min()
        .filter(|(distance, key)| distance * 3 <= key.len());
    match nearest {
        Some((_, key)) => {
            format!("line {}: unknown key {}; did you mean {key}?", entry.line, entry.key)
        }
        None => format!("line {}: unknown key {}, ignored", entry.line, entry.key),
    }
}

#[cfg(test)]
mod tests;

//! Settings that change while the broker runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringmq_protocol::bodies::topic::DataVersion;
use ringmq_runtime::clock;
use ringmq_settings::Properties;
use ringmq_settings::properties::PROPERTIES_SIZE_MAX_BYTES;

use super::Directory;
use crate::config::{ConfigError, Notes, Rules as _, Settings, UpdateError};
use crate::documents;
use crate::next_start;
use crate::topics::system;
use crate::view::Change;

impl Directory {
    /// Applies settings that came by request, keeps them for the next start, and returns what the
    /// requester should know: unknown keys, keys of features that this version lacks, and keys that
    /// take effect only then.
    ///
    /// # Errors
    /// A key or value that is refused, also because the next start would fail with it; nothing is
    /// changed then.
    pub fn update_settings(&self, text: &[u8]) -> Result<Vec<String>, UpdateError> {
        let properties = Properties::of_request(text)
            .map_err(|error| ConfigError::Combination(error.to_string()))?;
        let overrides = self.overrides_with(&properties)?;
        let mut notes = Notes::default();
        let mut settings = Settings::clone(&self.settings());
        let mut next = self.next_settings.borrow().clone();
        let needs_restart = settings.update(&mut next, &properties, &mut notes)?;
        let problem = next_start::problem(&self.settings(), &self.next_settings.borrow(), &next);
        if let Some(problem) = problem.or_else(|| self.problem_of_names(&next)) {
            return Err(ConfigError::Combination(problem).into());
        }
        self.next_settings.replace(next);
        let mut told = notes.warnings;
        if !notes.without_effect.is_empty() {
            let keys = notes.without_effect.join(", ");
            told.push(format!("without effect, as this version lacks the feature: {keys}"));
        }
        if !needs_restart.is_empty() {
            told.push(format!("in force after the next start: {}", needs_restart.join(", ")));
        }
        for line in &told {
            tracing::warn!("configuration change: {line}");
        }
        let settings = Arc::new(settings);
        let before = self.settings.replace(Arc::clone(&settings));
        let mut version = self.settings_version.get();
        documents::advance(&mut version, clock::unix_ms());
        self.settings_version.set(version);
        self.tables.overrides.replace(overrides);
        self.writers.overrides.changed();
        self.data.publish(Change::Settings(Arc::clone(&settings)));
        self.after_update(&before, &settings);
        Ok(told)
    }

    /// The changes that are kept once these are, too.
    ///
    /// # Errors
    /// They take more than a request may have: the settings hold them as well, are copied whole by
    /// each change, and shown in one answer.
    fn overrides_with(
        &self,
        properties: &Properties,
    ) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut overrides = self.tables.overrides.borrow().clone();
        let before = bytes_of(&overrides);
        let known = properties.entries().iter().filter(|entry| Settings::is_known(&entry.key));
        overrides.extend(known.map(|entry| (entry.key.clone(), entry.value.clone())));
        let bytes = bytes_of(&overrides);
        // What an earlier version kept may be more, and can become less.
        if bytes > PROPERTIES_SIZE_MAX_BYTES && bytes > before {
            return Err(ConfigError::Combination(format!(
                "the changes of settings would have {bytes} bytes, at most \
                 {PROPERTIES_SIZE_MAX_BYTES} are kept: give shorter values"
            )));
        }
        Ok(overrides)
    }

    /// Why cluster and broker cannot have the names of `next`, which the system has topics by.
    fn problem_of_names(&self, next: &Settings) -> Option<String> {
        let before = self.next_settings.borrow();
        let names = [
            ("brokerClusterName", &before.broker_cluster_name, &next.broker_cluster_name),
            ("brokerName", &before.broker_name, &next.broker_name),
        ];
        let (settings, broker, topics) = (self.settings(), &self.identity.name, self.topics());
        let is_taken =
            |name: &str| topics.get(name).is_some() && !system::is_system(name, &settings, broker);
        let (key, _, name) =
            names.into_iter().find(|(_, before, next)| before != next && is_taken(next))?;
        Some(format!(
            "{key}={name}: there is a topic {name}, which would become one of the system; choose \
             another name, or delete that topic first"
        ))
    }

    /// Identifies the state of the settings.
    pub fn settings_version(&self) -> DataVersion {
        self.settings_version.get()
    }

    /// What follows from a change besides its publication.
    fn after_update(&self, before: &Settings, settings: &Settings) {
        let now_ms = clock::unix_ms();
        let template = self.tables.topics.borrow_mut().add_template(settings, now_ms);
        if let Some(template) = template {
            self.writers.topics.changed();
            self.publish_topic(&template.topic_name);
            self.registrations_due.add(&template.topic_name);
        }
        if before.broker_permission != settings.broker_permission {
            // Topics are registered with no more than the broker's permission, so every route
            // changes.
            for topic in self.topics().iter() {
                self.registrations_due.add(&topic.topic_name);
            }
        }
    }
}

fn bytes_of(overrides: &BTreeMap<String, String>) -> usize {
    overrides.iter().map(|(key, value)| key.len() + value.len()).sum()
}

//! Key-value configuration by namespace, in Apache's file format.

use std::collections::BTreeMap;

use ringmq_protocol::bodies::topic::KvTable;
use serde::{Deserialize, Serialize};

/// Bytes of names and values that are kept at most.
const CONTENT_SIZE_MAX_BYTES: usize = 8 << 20;

/// Largest file that is read: JSON writes a control character in six bytes.
pub(crate) const FILE_SIZE_MAX_BYTES: usize = 6 * CONTENT_SIZE_MAX_BYTES;

/// All namespaces with their keys.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KvConfig {
    config_table: BTreeMap<String, BTreeMap<String, String>>,
    /// Bytes of all names and values.
    #[serde(skip)]
    size_bytes: usize,
}

/// The store is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{CONTENT_SIZE_MAX_BYTES} bytes of configuration are stored at most")]
pub struct KvFull;

/// Bytes of JSON around one entry: indentation, quotes, colon, comma, line break.
const ENTRY_OVERHEAD_BYTES: usize = 16;

impl KvConfig {
    /// Reads the file of this name server or of Apache's. It is strict JSON, and its owner bounds
    /// its size: the budget of a peer's body is not for it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_slice(contents: &[u8]) -> Result<Self, serde_json::Error> {
        let mut config: Self = serde_json::from_slice(contents)?;
        let tables = config.config_table.iter();
        let sizes = tables.flat_map(|(namespace, table)| {
            table.iter().map(move |(key, value)| entry_size(namespace, key, value))
        });
        config.size_bytes = sizes.sum();
        Ok(config)
    }

    /// The file's new contents.
    pub fn to_vec(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("maps of text are JSON")
    }

    /// Sets a value.
    ///
    /// # Errors
    /// It would not fit; nothing has changed then.
    pub fn put(&mut self, namespace: &str, key: &str, value: &str) -> Result<(), KvFull> {
        let old = self.get(namespace, key).map_or(0, |old| entry_size(namespace, key, old));
        let size_bytes = self.size_bytes - old + entry_size(namespace, key, value);
        if size_bytes > CONTENT_SIZE_MAX_BYTES {
            return Err(KvFull);
        }
        self.size_bytes = size_bytes;
        let table = self.config_table.entry(namespace.to_owned()).or_default();
        table.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    /// A value.
    pub fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        self.config_table.get(namespace)?.get(key).map(String::as_str)
    }

    /// Removes a value; the namespace goes with its last one.
    pub fn delete(&mut self, namespace: &str, key: &str) {
        let Some(table) = self.config_table.get_mut(namespace) else { return };
        if let Some(old) = table.remove(key) {
            self.size_bytes -= entry_size(namespace, key, &old);
        }
        if table.is_empty() {
            self.config_table.remove(namespace);
        }
    }

    /// All values of a namespace.
    pub fn list(&self, namespace: &str) -> Option<KvTable> {
        self.config_table.get(namespace).map(|table| KvTable { table: table.clone() })
    }
}

fn entry_size(namespace: &str, key: &str, value: &str) -> usize {
    namespace.len() + key.len() + value.len() + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use ringmq_protocol::names::ORDER_TOPIC_CONFIG;

    use super::*;

    #[test]
    fn values_are_kept_by_namespace_and_read_back_from_the_file() {
        let mut config = KvConfig::default();
        config.put(ORDER_TOPIC_CONFIG, "T1", "b1:4").expect("room");
        config.put(ORDER_TOPIC_CONFIG, "T1", "b1:8").expect("room");
        config.put("other", "k", "\"v\"\n").expect("room");
        assert_eq!(config.get(ORDER_TOPIC_CONFIG, "T1"), Some("b1:8"));
        assert_eq!(config.get("other", "T1"), None);
        let again = KvConfig::from_slice(&config.to_vec()).expect("readable");
        assert_eq!(again, config);
        config.delete("other", "k");
        config.delete("other", "k");
        assert_eq!(config.list("other"), None);
    }

    #[test]
    fn the_file_of_apache_is_read() {
        let text = b"{\n\t\"configTable\":{\"ORDER_TOPIC_CONFIG\":{\"T\":\"a:1;b:2\"}}\n}";
        let config = KvConfig::from_slice(text).expect("readable");
        assert_eq!(config.get(ORDER_TOPIC_CONFIG, "T"), Some("a:1;b:2"));
    }

    #[test]
    fn many_small_namespaces_are_read_back() {
        let mut config = KvConfig::default();
        (0..20_000).for_each(|n| config.put(&n.to_string(), "k", "v").expect("room"));
        assert_eq!(KvConfig::from_slice(&config.to_vec()).expect("readable"), config);
    }

    #[test]
    fn a_full_store_refuses_more_and_keeps_what_it_has() {
        let mut config = KvConfig::default();
        let large = "x".repeat(CONTENT_SIZE_MAX_BYTES - 100);
        config.put("n", "large", &large).expect("room");
        assert_eq!(config.put("n", "more", &large), Err(KvFull));
        assert_eq!(config.get("n", "more"), None);
        config.delete("n", "large");
        assert_eq!(config.put("n", "more", &large), Ok(()));
    }
}

//! Named entries under one version, which tells their states apart.
//!
//! Topics and consumer groups are such tables. They go to disk as a whole and to the shards entry
//! by entry, and tools compare versions to learn whether they have the newest. So the version moves
//! in the same step as an entry, and with nothing else but what its owner says belongs to the
//! table. An entry is never changed in place: whoever holds one keeps what it was. The limit holds
//! for new names only; a table that is over it, since it was lowered, can still change and shrink.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringmq_protocol::bodies::topic::DataVersion;
use ringmq_runtime::random::HashMap;

use crate::documents;

/// There is no room for another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Entries in the table.
    pub have: usize,
    /// How many there may be.
    pub limit: usize,
}

/// A table of `T` by name.
#[derive(Debug)]
pub struct VersionedTable<T> {
    entries: HashMap<String, Arc<T>>,
    version: DataVersion,
}

impl<T: Clone> VersionedTable<T> {
    /// The table of an earlier run.
    pub fn new(entries: BTreeMap<String, T>, version: DataVersion) -> Self {
        let entries = entries.into_iter().map(|(name, entry)| (name, Arc::new(entry))).collect();
        Self { entries, version }
    }

    /// What `of` makes of each entry, as a document has them.
    pub fn to_map<'a, C>(&'a self, of: impl Fn(&'a T) -> C) -> BTreeMap<String, C> {
        self.entries.iter().map(|(name, entry)| (name.clone(), of(entry))).collect()
    }

    /// The entry of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<T>> {
        self.entries.get(name)
    }

    /// Whether there is an entry of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.entries.values()
    }

    /// Identifies this state of the table.
    pub fn version(&self) -> DataVersion {
        self.version
    }

    /// Gives the table a version that it never had, for a change of what belongs to it.
    pub fn advance(&mut self, now_ms: i64) {
        documents::advance(&mut self.version, now_ms);
    }

    /// Puts in what every such table has, whatever the limit: of each wanted entry what `merged`
    /// makes of the known one and it, `None` where the known one stays. All are one change.
    pub fn complete(
        &mut self,
        wanted: impl IntoIterator<Item = (String, T)>,
        merged: impl Fn(Option<&T>, T) -> Option<T>,
        now_ms: i64,
    ) {
        let mut is_changed = false;
        for (name, entry) in wanted {
            let known = self.entries.get(&name).map(|known| &**known);
            if let Some(entry) = merged(known, entry) {
                self.entries.insert(name, Arc::new(entry));
                is_changed = true;
            }
        }
        if is_changed {
            self.advance(now_ms);
        }
    }

    /// Adds an entry, or replaces the one of that name.
    ///
    /// # Errors
    /// The name is a new one, and there are `limit` already.
    pub fn insert(
        &mut self,
        name: String,
        entry: T,
        limit: usize,
        now_ms: i64,
    ) -> Result<Arc<T>, Full> {
        let have = self.entries.len();
        if have >= limit && !self.contains(&name) {
            return Err(Full { have, limit });
        }
        let entry = Arc::new(entry);
        self.entries.insert(name, Arc::clone(&entry));
        self.advance(now_ms);
        Ok(entry)
    }

    /// Removes an entry; `None`, and no change, when there is none of that name.
    pub fn remove(&mut self, name: &str, now_ms: i64) -> Option<Arc<T>> {
        let removed = self.entries.remove(name)?;
        self.advance(now_ms);
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn table(names: &[&str]) -> VersionedTable<u32> {
        let entries = names.iter().map(|name| ((*name).to_owned(), 1)).collect();
        VersionedTable::new(entries, DataVersion::default())
    }

    fn changes(table: &VersionedTable<u32>) -> i64 {
        table.version().counter
    }

    #[test]
    fn every_change_and_nothing_else_has_a_version() {
        let mut table = table(&["a"]);
        assert_eq!(changes(&table), 0);
        assert!(table.insert("b".into(), 2, 2, NOW).is_ok());
        assert_eq!((changes(&table), table.version().timestamp), (1, NOW));
        assert_eq!(table.insert("c".into(), 3, 2, NOW), Err(Full { have: 2, limit: 2 }));
        assert_eq!(table.remove("c", NOW), None);
        assert_eq!(changes(&table), 1);
        assert_eq!(table.remove("b", NOW).as_deref(), Some(&2));
        assert_eq!(changes(&table), 2);
    }

    #[test]
    fn a_table_above_its_limit_changes_and_shrinks() {
        let mut table = table(&["a", "b", "c"]);
        assert!(table.insert("a".into(), 2, 1, NOW).is_ok());
        assert!(table.remove("b", NOW).is_some());
        assert_eq!(table.insert("b".into(), 1, 1, NOW), Err(Full { have: 2, limit: 1 }));
    }

    #[test]
    fn what_every_table_has_is_one_change_or_none() {
        let mut table = table(&["a"]);
        let wanted = || ["a", "b", "c"].map(|name| (name.to_owned(), 5));
        let missing = |known: Option<&u32>, entry| known.is_none().then_some(entry);
        table.complete(wanted(), missing, NOW);
        assert_eq!(changes(&table), 1);
        let expected = [("a", 1), ("b", 5), ("c", 5)].map(|(name, entry)| (name.to_owned(), entry));
        assert_eq!(table.to_map(u32::clone), expected.into());
        table.complete(wanted(), missing, NOW);
        assert_eq!(changes(&table), 1);
    }
}

//! Maps whose keys are objects, such as queue → offset.
//!
//! fastjson writes `{{"brokerName":"b","queueId":0,"topic":"t"}:12}`, which is no JSON; readers of
//! all RocketMQ versions take it. Reading also takes the key as escaped text and Go's list of pairs
//! `[[{...},12]]`. Use as `#[serde(with = "object_keys")]`.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};

/// Tells the writer that a key is an object: a noncharacter, which Unicode keeps for use inside a
/// process. Text that begins with `{` may well be an ordinary key.
pub(super) const OBJECT_KEY_MARK: char = '\u{FDD0}';

/// Writes a map with objects as keys; the writer of [`super::to_vec`] leaves such keys unquoted.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S, K, V>(map: &BTreeMap<K, V>, serializer: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
    K: Serialize,
    V: Serialize,
{
    let mut entries = serializer.serialize_map(Some(map.len()))?;
    for (key, value) in map {
        let object = serde_json::to_string(key).map_err(S::Error::custom)?;
        entries.serialize_entry(&format!("{OBJECT_KEY_MARK}{object}"), value)?;
    }
    entries.end()
}

/// Reads a map with objects as keys in any of its forms.
///
/// # Errors
/// Those of the deserializer.
pub fn deserialize<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    deserializer.deserialize_any(Entries(PhantomData))
}

struct Entries<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map with objects as keys, or a list of pairs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            map.insert(key, value);
        }
        Ok(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = pairs.next_element()? {
            map.insert(key, value);
        }
        Ok(map)
    }
}

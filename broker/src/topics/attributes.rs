//! Attributes of a topic and the edits that tools send: `+key=value` sets, `-key` removes.

use std::collections::BTreeMap;

/// A known attribute.
struct Attribute {
    key: &'static str,
    values: Values,
    is_mutable: bool,
}

enum Values {
    Words(&'static [&'static str]),
    Number { min: i64 },
}

/// Apache 5.5's attributes. They are kept and shown; nothing here acts on `queue.type` or
/// `cleanup.policy`.
const KNOWN: &[Attribute] = &[
    Attribute {
        key: "queue.type",
        values: Values::Words(&["SimpleCQ", "BatchCQ", "RocksDBCQ"]),
        is_mutable: false,
    },
    Attribute {
        key: "cleanup.policy",
        values: Values::Words(&["DELETE", "COMPACTION"]),
        is_mutable: false,
    },
    Attribute {
        key: "message.type",
        values: Values::Words(&[
            "NORMAL",
            "FIFO",
            "DELAY",
            "TRANSACTION",
            "PRIORITY",
            "LITE",
            "MIXED",
            "UNSPECIFIED",
        ]),
        is_mutable: true,
    },
    Attribute { key: "reserve.time", values: Values::Number { min: -1 }, is_mutable: true },
    Attribute {
        key: "lite.topic.expiration",
        values: Values::Number { min: -1 },
        is_mutable: true,
    },
];

/// `before` with the edits applied: comma-separated `+key=value` and `-key`, nothing for no change.
///
/// # Errors
/// A text for the person who sent the edit.
pub fn apply(
    before: &BTreeMap<String, String>,
    edits: &str,
    is_new_topic: bool,
) -> Result<BTreeMap<String, String>, String> {
    let mut after = before.clone();
    for edit in edits.split(',').map(str::trim).filter(|edit| !edit.is_empty()) {
        if let Some(assignment) = edit.strip_prefix('+') {
            let Some((key, value)) = assignment.split_once('=') else {
                return Err(format!("attribute edit \"{edit}\": expected +key=value"));
            };
            let (key, value) = (key.trim(), value.trim());
            check_assignment(key, value, before, is_new_topic)?;
            after.insert(key.to_owned(), value.to_owned());
        } else if let Some(key) = edit.strip_prefix('-') {
            let attribute = find(key.trim())?;
            if !attribute.is_mutable {
                return Err(format!("the attribute {} cannot be removed", attribute.key));
            }
            if after.remove(attribute.key).is_none() {
                return Err(format!("the attribute {} is not set", attribute.key));
            }
        } else {
            return Err(format!("attribute edit \"{edit}\": expected +key=value or -key"));
        }
    }
    Ok(after)
}

fn find(key: &str) -> Result<&'static Attribute, String> {
    KNOWN.iter().find(|attribute| attribute.key == key).ok_or_else(|| {
        let known: Vec<_> = KNOWN.iter().map(|attribute| attribute.key).collect();
        format!("unsupported key: {key}; known are {}", known.join(", "))
    })
}

fn check_assignment(
    key: &str,
    value: &str,
    before: &BTreeMap<String, String>,
    is_new_topic: bool,
) -> Result<(), String> {
    let attribute = find(key)?;
    let is_changed = before.get(key).is_none_or(|known| known != value);
    if !attribute.is_mutable && !is_new_topic && is_changed {
        return Err(format!("the attribute {key} cannot be changed after the topic was made"));
    }
    match attribute.values {
        Values::Words(words) if words.contains(&value) => Ok(()),
        Values::Words(words) => {
            Err(format!("{key}=\"{value}\": expected one of {}", words.join(", ")))
        }
        Values::Number { min } if value.parse::<i64>().is_ok_and(|number| number >= min) => Ok(()),
        Values::Number { min } => Err(format!("{key}=\"{value}\": expected a number from {min}")),
    }
}

//! Requests that failed, by code.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most kinds of failures that are told apart: a broker answers with fewer codes, and whatever else
/// comes over the wire must not fill the memory.
const KINDS_MAX: usize = 64;

/// What all further kinds are counted as.
const OTHERS: &str = "others";

/// Longest example that is kept, in characters: a line or two.
const EXAMPLE_MAX_CHARS: usize = 200;

/// Failed requests by their kind: the code of the answer, or what else went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// How many of each kind.
    #[serde(rename = "errors")]
    counts: BTreeMap<String, u64>,
    /// What the first of a kind said besides; remarks name sizes and times, so each may differ.
    #[serde(rename = "error_examples", default, skip_serializing_if = "BTreeMap::is_empty")]
    examples: BTreeMap<String, String>,
}

impl Failures {
    /// Counts one failure. `what` is its kind and, behind the first colon, what it said besides.
    pub fn count(&mut self, what: &str) {
        let (kind, example) = what.split_once(": ").unwrap_or((what, ""));
        self.add_kind(kind, 1, example);
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        for (kind, count) in &other.counts {
            self.add_kind(kind, *count, other.example(kind));
        }
    }

    fn add_kind(&mut self, kind: &str, count: u64, example: &str) {
        let is_told_apart = self.counts.len() < KINDS_MAX || self.counts.contains_key(kind);
        let kind = if is_told_apart { kind } else { OTHERS };
        if let Some(known) = self.counts.get_mut(kind) {
            *known += count;
            return;
        }
        self.counts.insert(kind.to_owned(), count);
        if !example.is_empty() {
            let example = example.chars().take(EXAMPLE_MAX_CHARS).collect();
            self.examples.insert(kind.to_owned(), example);
        }
    }

    /// Each kind, how many, and what the first of them said besides; empty if it said nothing.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, u64, &str)> {
        self.counts.iter().map(|(kind, count)| (kind.as_str(), *count, self.example(kind)))
    }

    fn example(&self, kind: &str) -> &str {
        self.examples.get(kind).map_or("", String::as_str)
    }

    /// All failures.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// A line for each kind.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.kinds().map(|(kind, count, example)| match example {
            "" => format!("failed: {count} x {kind}"),
            example => format!("failed: {count} x {kind}, such as: {example}"),
        })
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts.clear();
        self.examples.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_code_whatever_their_remarks_say() {
        let mut failures = Failures::default();
        for bytes in 1..=3 {
            failures.count(&format!("MESSAGE_ILLEGAL (13): the body has {bytes} bytes"));
        }
        failures.count("connection closed");
        let mut sum = failures.clone();
        sum.add(&failures);
        assert_eq!((failures.total(), sum.total()), (4, 8));
        assert_eq!(
            sum.lines().collect::<Vec<_>>(),
            [
                "failed: 6 x MESSAGE_ILLEGAL (13), such as: the body has 1 bytes",
                "failed: 2 x connection closed"
            ]
        );
        let json = serde_json::to_value(&sum).unwrap();
        assert_eq!(json["errors"]["MESSAGE_ILLEGAL (13)"], 6);
        assert_eq!(serde_json::from_value::<Failures>(json).unwrap(), sum);
    }

    #[test]
    fn a_peer_cannot_fill_the_memory_with_codes_and_remarks() {
        let mut failures = Failures::default();
        for code in 0..10_000 {
            failures.count(&format!("{code}: {}", "x".repeat(10_000)));
        }
        assert_eq!((failures.total(), failures.kinds().count()), (10_000, KINDS_MAX + 1));
        assert!(failures.kinds().all(|(.., example)| example.len() <= EXAMPLE_MAX_CHARS));
    }
}

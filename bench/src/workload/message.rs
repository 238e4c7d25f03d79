//! The messages of a run: sizes, contents, keys and tags.

use rand::RngExt;
use rand::rngs::SmallRng;
use ringmq_protocol::properties::{ENTRY_SEPARATOR, NAME_VALUE_SEPARATOR, keys};

use crate::workload::payload::{self, Identity, Stamp};

/// Body sizes, drawn uniformly from `min..=max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Smallest.
    pub min: usize,
    /// Largest.
    pub max: usize,
}

/// What all messages of a run have in common.
#[derive(Clone, Debug)]
pub struct MessagePlan {
    /// Bytes of a body.
    pub sizes: Sizes,
    /// Percent of a body that a compressor gets away.
    pub compressible: u8,
    /// How many keys there are, of which each message has one; none: no key.
    pub keys: Option<u64>,
    /// Tags, taken in turn; empty: no tag.
    pub tags: Vec<String>,
}

impl MessagePlan {
    /// Makes `body` the next message that `identity` names; returns its size.
    pub fn fill(
        &self,
        identity: Identity,
        stamp: Stamp,
        random: &mut SmallRng,
        body: &mut Vec<u8>,
    ) -> usize {
        let size = match self.sizes {
            Sizes { min, max } if min == max => min,
            Sizes { min, max } => random.random_range(min..=max),
        };
        body.resize(size, 0);
        payload::fill(identity, stamp, self.compressible, body);
        size
    }

    /// Replaces `text` with the properties of message `sequence` of `lane`.
    pub fn properties<'t>(
        &self,
        lane: u32,
        sequence: u64,
        random: &mut SmallRng,
        text: &'t mut Vec<u8>,
    ) -> &'t str {
        text.clear();
        if let Some(keys) = self.keys {
            let mut digits = [0; 20];
            push(text, keys::KEYS, decimal(random.random_range(0..keys), &mut digits));
        }
        if !self.tags.is_empty() {
            let turn = sequence % self.tags.len() as u64;
            push(text, keys::TAGS, self.tags[turn as usize].as_bytes());
        }
        push(text, keys::UNIQUE_KEY, &unique_key(lane, sequence));
        std::str::from_utf8(text).expect("names, tags and digits are UTF-8")
    }
}

fn push(text: &mut Vec<u8>, name: &str, value: &[u8]) {
    text.extend_from_slice(name.as_bytes());
    text.push(NAME_VALUE_SEPARATOR);
    text.extend_from_slice(value);
    text.push(ENTRY_SEPARATOR);
}

/// 32 hexadecimal digits, as a client's unique keys have.
fn unique_key(lane: u32, sequence: u64) -> [u8; 32] {
    let number = u128::from(lane) << 64 | u128::from(sequence);
    std::array::from_fn(|index| {
        let nibble = (number >> (4 * (31 - index))) & 15;
        b"0123456789ABCDEF"[nibble as usize]
    })
}

/// The digits of `number`, without an allocation.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use ringmq_protocol::properties::Properties;

    use super::*;

    fn plan() -> MessagePlan {
        MessagePlan {
            sizes: Sizes { min: 100, max: 200 },
            compressible: 0,
            keys: Some(3),
            tags: vec!["A".into(), "B".into()],
        }
    }

    #[test]
    fn bodies_have_sizes_of_the_whole_range() {
        let mut random = SmallRng::seed_from_u64(1);
        let mut body = Vec::new();
        let mut seen = [0; 101];
        for sequence in 0..5_000 {
            let identity = Identity { run: 1, lane: 0, sequence };
            let size = plan().fill(identity, Stamp::default(), &mut random, &mut body);
            assert_eq!(payload::check(&body), Ok(identity));
            seen[size - 100] += 1;
        }
        assert!(seen.iter().all(|&count| count > 0));
    }

    #[test]
    fn messages_carry_unique_keys_tags_in_turn_and_keys_of_the_set() {
        let mut random = SmallRng::seed_from_u64(1);
        let mut text = Vec::new();
        let mut keys_seen = std::collections::BTreeSet::new();
        for sequence in 0..50 {
            let properties =
                Properties::new(plan().properties(0xAB, sequence, &mut random, &mut text));
            let expected = format!("00000000000000AB{sequence:016X}");
            assert_eq!(properties.get(keys::UNIQUE_KEY), Some(expected.as_str()));
            assert_eq!(properties.get(keys::TAGS), Some(["A", "B"][sequence as usize % 2]));
            keys_seen.insert(properties.get(keys::KEYS).unwrap().to_owned());
        }
        assert_eq!(keys_seen.into_iter().collect::<Vec<_>>(), ["0", "1", "2"]);
    }
}

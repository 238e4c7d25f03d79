//! What a name server is sent of the topic table: in portions, and with the broker's permission.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringmq_protocol::bodies::register::RegisterBrokerBody;
use ringmq_protocol::bodies::topic::{DataVersion, TopicConfig, TopicConfigTable};
use ringmq_protocol::names::perm;

/// Topics of one registration. A larger table goes out in portions: a name server reads 16 MiB at
/// most, which 50,000 topics exceed, and 2,000 are written as JSON (400 KB) in about 1 ms.
const TOPICS_PER_REQUEST: usize = 2_000;

/// A topic as clients may use it: with no more than the broker's own permission.
pub(super) fn masked(topic: &Arc<TopicConfig>, allowed: i32) -> Arc<TopicConfig> {
    if allowed & perm::READ_WRITE == perm::READ_WRITE {
        return Arc::clone(topic);
    }
    Arc::new(TopicConfig { perm: topic.perm & allowed, ..TopicConfig::clone(topic) })
}

/// Cuts a table into registrations, each with its version; an empty table is one, too.
///
/// A name server passes over a table whose version it has. So only the last portion carries the
/// table's, and the others one that no table has: what breaks off on the way is not taken for the
/// whole.
pub(super) fn portions(
    topics: &[Arc<TopicConfig>],
    version: DataVersion,
) -> Vec<(&[Arc<TopicConfig>], DataVersion)> {
    let mut portions: Vec<_> = topics.chunks(TOPICS_PER_REQUEST).collect();
    let last = portions.pop().unwrap_or_default();
    let unfinished = (1..).map(|number: i64| DataVersion { counter: -number, ..version });
    let unfinished = portions.into_iter().zip(unfinished);
    unfinished.chain([(last, version)]).collect()
}

/// What a portion says, as name servers read it.
pub(super) fn registration_body(
    topics: &[Arc<TopicConfig>],
    version: DataVersion,
) -> RegisterBrokerBody {
    let table = topics.iter().map(|topic| (topic.topic_name.clone(), TopicConfig::clone(topic)));
    RegisterBrokerBody {
        filter_server_list: Vec::new(),
        topic_config_serialize_wrapper: TopicConfigTable {
            data_version: version,
            mapping_data_version: Some(DataVersion::default()),
            topic_config_table: table.collect(),
            topic_queue_mapping_detail_map: Some(BTreeMap::new()),
            topic_queue_mapping_info_map: Some(BTreeMap::new()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_table_is_cut_and_only_its_last_portion_has_its_version() {
        let version = DataVersion { state_version: 0, timestamp: 7, counter: 3 };
        let counters_of = |topics: usize| -> Vec<_> {
            let topic = Arc::new(TopicConfig::default());
            let topics = vec![topic; topics];
            let portions = portions(&topics, version);
            assert_eq!(portions.iter().map(|(part, _)| part.len()).sum::<usize>(), topics.len());
            let is_sized = |part: &[_]| part.len() <= TOPICS_PER_REQUEST;
            assert!(portions.iter().all(|(part, _)| is_sized(part)));
            portions.into_iter().map(|(_, version)| version.counter).collect()
        };
        assert_eq!(counters_of(0), [3]);
        assert_eq!(counters_of(TOPICS_PER_REQUEST), [3]);
        assert_eq!(counters_of(2 * TOPICS_PER_REQUEST + 1), [-1, -2, 3]);
    }
}

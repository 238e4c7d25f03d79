//! Registration of a broker at a name server (103), plain and compressed.
//!
//! The compressed form is a zlib stream of: `i32+n` data version as JSON, `i32` topic count and per
//! topic `i32+n` text `name read write perm filterType attributes` (the attributes as JSON, or
//! nothing), `i32+n` filter servers as JSON, and from 5.0 on `i32` count and per static topic
//! `i32+n` its mapping as JSON. Order flag and topicSysFlag of topics are not in it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::topic::{
    DataVersion, TopicConfig, TopicConfigTable, TopicFilterType, TopicQueueMappingInfo,
};
use crate::compression::{self, Compression, CompressionError};
use crate::error::LayoutError;
use crate::json::{self, Budget, JsonError};
use crate::names::perm;
use crate::reader::Reader;

/// First release whose compressed form ends with the mappings of static topics (5.0.0).
pub const MAPPINGS_SINCE_VERSION: i32 = 413;

/// First release that sends [`RegisterBrokerBody`]; older ones send a bare [`TopicConfigTable`].
pub const BODY_SINCE_VERSION: i32 = 37;

/// Most bytes of a registration that anybody reads, those that a compressed one unfolds to: 64 MiB,
/// 700,000 topics.
pub const REGISTER_SIZE_MAX_BYTES: usize = 64 << 20;

/// A registration may have one topic for this many bytes of its limit: a million topics where that
/// is [`REGISTER_SIZE_MAX_BYTES`]. The largest clusters have some 100,000, of 50 bytes and more.
/// The shortest line has 13 bytes, so that 64 MiB hold five million, and a topic takes 250 when it
/// is read.
const BYTES_PER_TOPIC: usize = 64;

/// Body of REGISTER_BROKER (103).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBrokerBody {
    /// Addresses of filter servers.
    pub filter_server_list: Vec<String>,
    /// The broker's topics.
    pub topic_config_serialize_wrapper: TopicConfigTable,
}

/// A registration that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegisterError {
    /// Longer than its reader wants.
    #[error("{len} bytes, at most {max} are read")]
    TooLong {
        /// Bytes of the plain form.
        len: usize,
        /// Most bytes allowed.
        max: usize,
    },
    /// More topics, or mappings of static ones, than its reader wants.
    #[error("{found} topics, at most {max} are read")]
    TooManyTopics {
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// The compression is broken or unfolds to too much.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// The layout inside is broken.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A JSON part is broken.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A topic's line lacks parts.
    #[error("topic line `{0}`, expected `name read write perm filterType [attributes]`")]
    TopicLine(String),
}

impl RegisterBrokerBody {
    /// Reads a body of at most `max_len` bytes, unfolded, and as many topics as go with that;
    /// `version` is the sender's release number.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn from_slice(
        body: &[u8],
        compressed: bool,
        version: i32,
        max_len: usize,
    ) -> Result<Self, RegisterError> {
        if compressed {
            let plain = compression::decompress(Compression::Zlib, body, max_len)?;
            return Self::from_unpacked(&plain, version, max_len / BYTES_PER_TOPIC);
        }
        if body.len() > max_len {
            return Err(RegisterError::TooLong { len: body.len(), max: max_len });
        }
        let read = Self::from_json(body, version)?;
        let table = &read.topic_config_serialize_wrapper;
        let mappings = table.topic_queue_mapping_info_map.as_ref().map_or(0, BTreeMap::len);
        check_count(table.topic_config_table.len().max(mappings), max_len / BYTES_PER_TOPIC)?;
        Ok(read)
    }

    fn from_json(body: &[u8], version: i32) -> Result<Self, JsonError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        if version < BODY_SINCE_VERSION {
            let topic_config_serialize_wrapper = json::from_slice(body)?;
            return Ok(Self { topic_config_serialize_wrapper, ..Self::default() });
        }
        json::from_slice(body)
    }

    fn from_unpacked(plain: &[u8], version: i32, topics_max: usize) -> Result<Self, RegisterError> {
        let (mut reader, budget) = (Reader::new(plain), Budget::of(plain.len()));
        let mut table = TopicConfigTable {
            data_version: json_part::<DataVersion>(&mut reader, &budget, "data version")?,
            ..TopicConfigTable::default()
        };
        for _ in 0..check_count(reader.len_i32("topic count")?, topics_max)? {
            let len = reader.len_i32("topic length")?;
            let topic = topic_from_line(reader.text(len, "topic")?, &budget)?;
            table.topic_config_table.insert(topic.topic_name.clone(), topic);
        }
        let filter_server_list = json_part(&mut reader, &budget, "filter servers")?;
        if version >= MAPPINGS_SINCE_VERSION && !reader.rest().is_empty() {
            let count = check_count(reader.len_i32("mapping count")?, topics_max)?;
            table.topic_queue_mapping_info_map = Some(mappings(&mut reader, &budget, count)?);
        }
        Ok(Self { filter_server_list, topic_config_serialize_wrapper: table })
    }

    /// Writes the compressed form with the mappings of static topics.
    pub fn to_compressed(&self) -> Vec<u8> {
        let table = &self.topic_config_serialize_wrapper;
        let mut plain = Vec::new();
        push_part(&mut plain, &json::to_vec(&table.data_version));
        push_count(&mut plain, table.topic_config_table.len());
        for topic in table.topic_config_table.values() {
            push_part(&mut plain, topic_to_line(topic).as_bytes());
        }
        push_part(&mut plain, &json::to_vec(&self.filter_server_list));
        let mappings = table.topic_queue_mapping_info_map.iter().flatten();
        push_count(&mut plain, mappings.clone().count());
        for (_, mapping) in mappings {
            push_part(&mut plain, &json::to_vec(mapping));
        }
        compression::compress(Compression::Zlib, &plain)
    }
}

/// As many topics, or mappings, as there are, unless these are too many.
fn check_count(found: usize, max: usize) -> Result<usize, RegisterError> {
    if found > max { Err(RegisterError::TooManyTopics { found, max }) } else { Ok(found) }
}

fn mappings(
    reader: &mut Reader<'_>,
    budget: &Budget,
    count: usize,
) -> Result<BTreeMap<String, TopicQueueMappingInfo>, RegisterError> {
    let mut map = BTreeMap::new();
    for _ in 0..count {
        let mapping: TopicQueueMappingInfo = json_part(reader, budget, "mapping")?;
        map.insert(mapping.topic.clone().unwrap_or_default(), mapping);
    }
    Ok(map)
}

fn json_part<T: DeserializeOwned>(
    reader: &mut Reader<'_>,
    budget: &Budget,
    field: &'static str,
) -> Result<T, RegisterError> {
    let len = reader.len_i32(field)?;
    Ok(json::from_part(reader.take(len, field)?, budget)?)
}

fn topic_to_line(topic: &TopicConfig) -> String {
    let attributes = String::from_utf8(json::to_vec(&topic.attributes));
    format!(
        "{} {} {} {} {} {}",
        topic.topic_name,
        topic.read_queue_nums,
        topic.write_queue_nums,
        topic.perm,
        topic.topic_filter_type.name(),
        attributes.expect("JSON is UTF-8"),
    )
}

fn topic_from_line(line: &str, budget: &Budget) -> Result<TopicConfig, RegisterError> {
    let broken = || RegisterError::TopicLine(line.chars().take(200).collect());
    // The attributes may hold blanks, so they are all the rest.
    let mut parts = line.splitn(6, ' ');
    let mut next = || parts.next().ok_or_else(broken);
    let number = |text: &str| text.parse::<i32>().map_err(|_| broken());
    let topic_name = next()?.to_owned();
    let read_queue_nums = number(next()?)?;
    let write_queue_nums = number(next()?)?;
    let perm = number(next()?)? & perm::ALL;
    let topic_filter_type = TopicFilterType::from_name(next()?).unwrap_or_default();
    let attributes = match parts.next().map(str::trim) {
        None | Some("" | "null") => BTreeMap::new(),
        Some(text) => json::from_part(text.as_bytes(), budget)?,
    };
    Ok(TopicConfig {
        attributes,
        perm,
        read_queue_nums,
        topic_filter_type,
        topic_name,
        write_queue_nums,
        ..TopicConfig::default()
    })
}

fn push_part(out: &mut Vec<u8>, part: &[u8]) {
    push_count(out, part.len());
    out.extend_from_slice(part);
}

fn push_count(out: &mut Vec<u8>, count: usize) {
    let count = i32::try_from(count).expect("a registration is shorter than 2 GiB");
    out.extend_from_slice(&count.to_be_bytes());
}

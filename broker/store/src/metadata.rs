//! Small files of JSON: topics, groups, offsets, the store's own facts.
//!
//! A file holds `{"crc32":"xxxxxxxx","data":...}`, the checksum being over the exact text of
//! `data`; what has no such head is read as plain JSON, so files of Apache's broker and of people's
//! editors are understood. A save keeps the previous version as `.bak` and replaces the file whole;
//! a load falls back to it.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use ringmq_runtime::disk::Disk;
use ringmq_runtime::task;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest file that is read.
const DOCUMENT_MAX_BYTES: usize = 256 << 20;

const HEAD: &str = "{\"crc32\":\"";
const MIDDLE: &str = "\",\"data\":";
const TAIL: &str = "}\n";

/// A JSON file with a checksum and its previous version.
#[derive(Debug)]
pub struct Document<T> {
    disk: Disk,
    path: PathBuf,
    content: PhantomData<fn(T) -> T>,
}

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Neither the file nor its previous version can be understood.
    #[error("{path} and its previous version are damaged: {problem}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with the newer one.
        problem: String,
    },
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Document<T> {
    /// The document at `path` of `disk`. Its directory has to exist.
    pub fn new(disk: &Disk, path: impl AsRef<Path>) -> Self {
        Self { disk: disk.clone(), path: path.as_ref().to_owned(), content: PhantomData }
    }

    /// Reads the newest version that is sound; `None` when there never was one.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub async fn load(&self) -> Result<Option<T>, DocumentError> {
        let backup = self.backup();
        let problem = match self.load_file(&self.path).await? {
            Some(Ok(content)) => return Ok(Some(content)),
            Some(Err(problem)) => Some(problem),
            None => None,
        };
        match self.load_file(&backup).await? {
            Some(Ok(content)) => {
                let reason = problem.as_deref().unwrap_or("the file is missing");
                tracing::warn!("{}: {reason}; the previous version is used", self.path.display());
                Ok(Some(content))
            }
            Some(Err(older)) => {
                let problem = problem.unwrap_or(older);
                Err(DocumentError::Damaged { path: self.path.display().to_string(), problem })
            }
            None => match problem {
                Some(problem) => {
                    let path = self.path.display().to_string();
                    Err(DocumentError::Damaged { path, problem })
                }
                None => Ok(None),
            },
        }
    }

    /// Replaces the file, durably, and keeps what it held as the previous version.
    ///
    /// The text is made and checked on a helper thread: a table of 64 MiB takes tenths of a second,
    /// in which its shard has others to serve.
    ///
    /// # Errors
    /// `FileTooLarge` for what [`Document::load`] would not read; else as the file system says. The
    /// file then holds its old or its new content, whole.
    pub async fn save(&self, content: T) -> io::Result<()> {
        let text = task::long_work(move || text_of(&content)).await?;
        if let Ok(current) = self.disk.read_all(&self.path, DOCUMENT_MAX_BYTES).await {
            let checked = move || is_sound::<T>(&current).then_some(current);
            if let Some(sound) = task::long_work(checked).await {
                self.disk.replace(self.backup(), sound).await?;
            }
        }
        self.disk.replace(&self.path, text).await
    }

    fn backup(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".bak");
        self.path.with_file_name(name)
    }

    async fn load_file(&self, path: &Path) -> Result<Option<Result<T, String>>, DocumentError> {
        match self.disk.read_all(path, DOCUMENT_MAX_BYTES).await {
            Ok(bytes) => Ok(Some(parse(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DocumentError::Io { path: path.display().to_string(), source }),
        }
    }
}

/// What the file of `content` holds.
fn text_of(content: &impl Serialize) -> io::Result<String> {
    let text = compose(&serde_json::to_string_pretty(content)?);
    if text.len() > DOCUMENT_MAX_BYTES {
        let message = format!("{} bytes, of which {DOCUMENT_MAX_BYTES} are read", text.len());
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

fn compose(data: &str) -> String {
    format!("{HEAD}{:08x}{MIDDLE}{data}{TAIL}", crc32fast::hash(data.as_bytes()))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let data = match text.strip_prefix(HEAD) {
        Some(rest) => checked_data(rest)?,
        None => text,
    };
    serde_json::from_str(data).map_err(|error| error.to_string())
}

/// Whether a load would take these bytes. Of what we wrote the checksum tells it: progress is saved
/// every few seconds, and to make values of a large table takes longer than to write it.
fn is_sound<T: DeserializeOwned>(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes).map(|text| text.strip_prefix(HEAD)) {
        Ok(Some(rest)) => checked_data(rest).is_ok(),
        Ok(None) => parse::<T>(bytes).is_ok(),
        Err(_) => false,
    }
}

fn checked_data(rest: &str) -> Result<&str, String> {
    let (crc, rest) = rest.split_at_checked(8).ok_or("the file ends early")?;
    let crc = u32::from_str_radix(crc, 16).map_err(|_| "the checksum is no number")?;
    let data = rest.strip_prefix(MIDDLE).ok_or("the head is damaged")?;
    let data = data.strip_suffix(TAIL).ok_or("the file ends early")?;
    if crc32fast::hash(data.as_bytes()) != crc {
        return Err("the checksum does not match".to_owned());
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Content = BTreeMap<String, u32>;

    fn content() -> Content {
        [("a".to_owned(), 1), ("b".to_owned(), 2)].into()
    }

    #[test]
    fn a_document_is_json_that_anybody_can_read() {
        let text = compose(&serde_json::to_string(&content()).expect("json"));
        let value: serde_json::Value = serde_json::from_str(&text).expect("json");
        assert_eq!(value["data"]["b"], 2);
        assert_eq!(parse::<Content>(text.as_bytes()), Ok(content()));
        assert_eq!(parse::<Content>(b"{\"a\":1,\"b\":2}"), Ok(content()));
        for sound in [text.as_bytes(), b"{\"a\":1,\"b\":2}"] {
            assert!(is_sound::<Content>(sound));
        }
        assert!(!is_sound::<Content>(b"{\"a\":"));
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_noticed() {
        let text = compose(&serde_json::to_string(&content()).expect("json"));
        for len in 0..text.len() {
            assert!(parse::<Content>(&text.as_bytes()[..len]).is_err(), "{len} bytes");
        }
        for at in HEAD.len()..text.len() - 1 {
            let mut broken = text.clone().into_bytes();
            broken[at] ^= 1;
            assert!(parse::<Content>(&broken).is_err(), "byte {at}");
            assert!(!is_sound::<Content>(&broken), "byte {at}");
        }
    }
}

//! Replaces whole files, piece by piece.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::disk::sync_parent;
use super::helpers::long_work;
use crate::disk::temporary_name;

/// Written and flushed as one piece of long work: 40 ms of a device that writes 200 MB/s. Other
/// work takes its turn between two of them; documents are mostly a piece.
const PIECE_BYTES: usize = 8 << 20;

/// Makes `contents` the file `path`, durably; until then it has its old contents. One at a time of
/// each file. What takes more than a piece ends early if nobody waits for it any more, and leaves
/// its temporary file to the next.
pub(super) async fn replace(path: PathBuf, contents: Vec<u8>) -> io::Result<()> {
    let mut rest = Some(Replacement { path, contents, written: 0, file: None });
    while let Some(replacement) = rest.take() {
        rest = long_work(move || replacement.go_on()).await?;
    }
    Ok(())
}

/// A replacement on its way; nothing of it is written before there is a file.
struct Replacement {
    path: PathBuf,
    contents: Vec<u8>,
    written: usize,
    file: Option<fs::File>,
}

impl Replacement {
    /// Writes the next piece; what is left to do, or `None` when the file has its name.
    fn go_on(self) -> io::Result<Option<Self>> {
        let temporary = temporary_name(&self.path);
        let done = self.write_piece(&temporary);
        if done.is_err() {
            // Best effort: its space may be the last, the error is the news.
            let _ = fs::remove_file(&temporary);
        }
        done
    }

    fn write_piece(mut self, temporary: &Path) -> io::Result<Option<Self>> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => fs::File::create(temporary)?,
        };
        let end = self.contents.len().min(self.written + PIECE_BYTES);
        file.write_all(&self.contents[self.written..end])?;
        if end < self.contents.len() {
            // Or the last piece would wait for all of them.
            file.sync_data()?;
            return Ok(Some(Self { written: end, file: Some(file), ..self }));
        }
        file.sync_all()?;
        fs::rename(temporary, &self.path)?;
        sync_parent(&self.path)?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_lite::future::zip;

    use super::*;
    use crate::shards::block_on;

    #[test]
    fn other_long_work_is_done_between_the_pieces_of_a_large_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("large");
        let contents: Vec<u8> = (0..3 * PIECE_BYTES + 1).map(|at| (at % 251) as u8).collect();
        block_on(async {
            let is_replaced = Cell::new(false);
            let replacing = async {
                replace(path.clone(), contents.clone()).await.expect("written");
                is_replaced.set(true);
            };
            let other = async {
                long_work(|| ()).await;
                assert!(!is_replaced.get(), "it came second and waited for the whole file");
            };
            zip(replacing, other).await;
        });
        assert!(fs::read(&path).expect("there") == contents, "whole and in order");
        assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 1, "nothing beside it");
    }
}

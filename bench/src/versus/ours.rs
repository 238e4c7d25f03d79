//! Which program plays ours: another build of it would be another contestant.

use std::path::Path;

use md5::{Digest, Md5};
use ringmq_runtime::task;
use ringmq_version::VERSION;

use crate::args::versus::VersusArgs;
use crate::error::BenchError;
use crate::files;
use crate::program;

/// Largest program that is read: one of a debug build has 70 MB.
const PROGRAM_MAX_BYTES: usize = 1 << 30;

/// Its name and version, and the sum that `md5sum` tells of it: what is the same of a program
/// wherever it lies and whenever it was copied there.
///
/// # Errors
/// There is no such program, or it does not tell its version.
pub async fn describe(args: &VersusArgs) -> Result<String, BenchError> {
    let (version, sum) = match &args.ours {
        Some(named) => {
            let path =
                std::path::absolute(named).map_err(|error| BenchError::file(named, error))?;
            let sum = sum_of(&path).await?;
            let program = path.display().to_string();
            (program::version_of(&program, "--version", "--ours takes an mqbroker")?, sum)
        }
        None => {
            let path = std::env::current_exe().map_err(BenchError::Child)?;
            (format!("bench {VERSION}"), sum_of(&path).await?)
        }
    };
    Ok(format!("{version}, MD5 {sum}"))
}

async fn sum_of(path: &Path) -> Result<String, BenchError> {
    let read = files::read(path, PROGRAM_MAX_BYTES).await;
    let bytes = read.map_err(|error| BenchError::file(path, error))?;
    let digest = task::blocking(move || Md5::digest(&bytes)).await;
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

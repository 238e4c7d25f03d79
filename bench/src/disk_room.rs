//! How full the file system of a broker may get under a load. Above a limit brokers delete their
//! oldest files by force, which takes CPU time and the device from what is measured: figures from
//! there on mean nothing.

use std::path::Path;

use crate::error::BenchError;
use crate::files;

/// The limit of a broker that says nothing else, ours and Apache's: `diskSpaceCleanForciblyRatio`.
pub const LIMIT_DEFAULT: f64 = 0.85;

/// So far below the limit nothing is measured any more: brokers make files before they write to
/// them, and others write to that file system, too.
const MARGIN: f64 = 0.02;

/// Share of a file system that may be used, with this limit of its broker.
pub fn most(limit: f64) -> f64 {
    limit - MARGIN
}

/// What was expected of a file system and what was found; `whose` says whose it is.
pub fn nearly_full(whose: &str, used: f64, limit: f64) -> String {
    format!(
        "expected at most {:.1} % of {whose} to be used, since above {:.0} % a broker deletes files \
         by force and its figures mean nothing, and found {:.1} %",
        100.0 * most(limit),
        100.0 * limit,
        100.0 * used
    )
}

/// Refuses a directory for the stores of brokers that know no other limit, before a load or, while
/// its store is there, behind one.
///
/// # Errors
/// Its file system is nearly full, or does not tell.
pub async fn check(directory: &Path) -> Result<(), BenchError> {
    checked(directory, files::used_share(directory).await?)
}

fn checked(directory: &Path, used: f64) -> Result<(), BenchError> {
    if used <= most(LIMIT_DEFAULT) {
        return Ok(());
    }
    let whose = format!("the file system of {}", directory.display());
    let found = nearly_full(&whose, used, LIMIT_DEFAULT);
    let what_to_do = "free some, name another --directory, or shorten --duration and the warm-ups";
    Err(BenchError::DiskFull(format!("{found}; {what_to_do}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_on_a_disk_that_is_nearly_full_is_refused() {
        let check = |used| checked(Path::new("data"), used).map_err(|error| error.to_string());
        assert_eq!(check(0.82), Ok(()));
        let said = check(0.84).unwrap_err();
        for part in [
            "expected at most 83.0 % of the file system of data to be used",
            "found 84.0 %; free some, name another --directory",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

//! The directory of a store: where its parts lie, who uses it, and what was fixed when it was made.
//!
//! ```text
//! ringmq.lock            held while a broker runs
//! ringmq.json            number of logs, fixed when the store was made; are their places made
//! commitlog/ queueindex/ log 0, where Apache's broker keeps its only one
//! logs/1/commitlog/ ...  log 1 and so on
//! config/                topics, groups, consumers' progress
//! ```

use std::fmt::Display;
use std::io;
use std::path::PathBuf;

use ringmq_runtime::disk::{Disk, Lock};
use serde::{Deserialize, Serialize};

/// Locked while a broker runs.
pub const LOCK_FILE: &str = "ringmq.lock";
const FACTS_FILE: &str = "ringmq.json";

/// Where log 0 keeps its messages.
const COMMIT_LOG_DIR: &str = "commitlog";

/// Where the other logs are.
const OTHER_LOGS_DIR: &str = "logs";

/// Largest size of [`FACTS_FILE`].
const FACTS_MAX_BYTES: usize = 64 << 10;

/// Most logs of a store: a physical offset has 8 bits for the log.
pub const LOGS_MAX: usize = 256;

/// Version of this layout.
const VERSION: u32 = 1;

/// A store that belongs to this process.
pub struct Claim {
    /// Number of its logs.
    pub logs: usize,
    _lock: Lock,
}

/// What was fixed when the store was made.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    version: u32,
    logs: usize,
    /// Every log has its directory: one that is missing later holds messages elsewhere. Stores of
    /// earlier versions do not say so, and get it with their next start.
    #[serde(default)]
    directories_made: bool,
}

/// Locks a store and learns how many logs it has; makes a new store with `logs_wanted` logs, or
/// with one per shard when that is 0.
///
/// # Errors
/// Another process uses it, it cannot be read or made, or it has another number of logs than is
/// asked for.
pub async fn claim(disk: &Disk, logs_wanted: usize, shards: usize) -> Result<Claim, String> {
    for dir in ["", "config"] {
        let made = disk.create_dir_all(dir).await;
        made.map_err(failed(disk, "cannot be created"))?;
    }
    let lock = lock(disk).await?;
    let mut facts = match load_facts(disk).await? {
        Some(facts) => facts,
        None => make_facts(disk, logs_wanted, shards).await?,
    };
    if logs_wanted != 0 && logs_wanted != facts.logs {
        return Err(format!(
            "store {} was made with commitLogCount={}, which cannot change; the configuration \
             says {logs_wanted}. Set it to {} or 0, or use a new storePathRootDir",
            disk.root().display(),
            facts.logs,
            facts.logs
        ));
    }
    if facts.directories_made {
        compare_with_directories(disk, &facts).await?;
    } else {
        make_directories(disk, &mut facts).await?;
    }
    Ok(Claim { logs: facts.logs, _lock: lock })
}

/// Why a store cannot be used, with its name.
fn problem(disk: &Disk, problem: &str) -> String {
    format!("store {}: {problem}", disk.root().display())
}

/// Puts the store and what was tried before the error of a file system.
fn failed(disk: &Disk, what: impl Display) -> impl Fn(io::Error) -> String {
    move |error| problem(disk, &format!("{what}: {error}"))
}

async fn lock(disk: &Disk) -> Result<Lock, String> {
    disk.lock(LOCK_FILE).await.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            problem(disk, "another broker uses it; stop that one, or set another storePathRootDir")
        }
        _ => failed(disk, "cannot be locked")(error),
    })
}

/// What an earlier run wrote down; none in a new store, or in one of Apache's.
async fn load_facts(disk: &Disk) -> Result<Option<Facts>, String> {
    if !disk.exists(FACTS_FILE).await.map_err(failed(disk, FACTS_FILE))? {
        return Ok(None);
    }
    let bytes =
        disk.read_all(FACTS_FILE, FACTS_MAX_BYTES).await.map_err(failed(disk, FACTS_FILE))?;
    let facts = read_facts(&bytes);
    facts.map(Some).map_err(|error| problem(disk, &format!("{FACTS_FILE}: {error}")))
}

/// Holds the number of logs against the directories that are there: with a wrong one messages would
/// be looked for in other logs, and a log whose device is not mounted would begin anew.
async fn compare_with_directories(disk: &Disk, facts: &Facts) -> Result<(), String> {
    let exists =
        async |path: PathBuf| disk.exists(&path).await.map_err(failed(disk, path.display()));
    if facts.logs < LOGS_MAX && exists(log_dir(facts.logs)).await? {
        let text = format!(
            "{FACTS_FILE} says that there are {} logs, and {} is there; restore {FACTS_FILE}",
            facts.logs,
            log_dir(facts.logs).display()
        );
        return Err(problem(disk, &text));
    }
    for log in 0..facts.logs {
        let dir = log_dir(log).join(COMMIT_LOG_DIR);
        if !exists(dir.clone()).await? {
            let text = format!(
                "{} is missing, one of {} logs: is its device mounted? To give up its messages, \
                 make that directory and start again",
                dir.display(),
                facts.logs
            );
            return Err(problem(disk, &text));
        }
    }
    Ok(())
}

/// Makes the directories of all logs, and writes down that they are there.
async fn make_directories(disk: &Disk, facts: &mut Facts) -> Result<(), String> {
    for log in 0..facts.logs {
        let made = disk.create_dir_all(log_dir(log).join(COMMIT_LOG_DIR)).await;
        made.map_err(failed(disk, "cannot be created"))?;
    }
    facts.directories_made = true;
    save_facts(disk, facts).await
}

async fn save_facts(disk: &Disk, facts: &Facts) -> Result<(), String> {
    let text = serde_json::to_vec_pretty(facts).expect("plain values can be written");
    disk.replace(FACTS_FILE, text).await.map_err(failed(disk, FACTS_FILE))
}

/// Decides what is fixed from now on, and writes it down.
async fn make_facts(disk: &Disk, logs_wanted: usize, shards: usize) -> Result<Facts, String> {
    let has_other_logs = disk.exists(OTHER_LOGS_DIR).await;
    if has_other_logs.map_err(failed(disk, OTHER_LOGS_DIR))? {
        return Err(problem(
            disk,
            &format!(
                "{FACTS_FILE} is missing, and {OTHER_LOGS_DIR} shows that there is more than one \
                 log; restore that file, or write {{\"version\":{VERSION},\"logs\":N}} into it, \
                 where N is one more than the highest number in {OTHER_LOGS_DIR}"
            ),
        ));
    }
    let is_apaches = disk.exists(COMMIT_LOG_DIR).await;
    let is_apaches = is_apaches.map_err(failed(disk, COMMIT_LOG_DIR))?;
    let logs = match (is_apaches, logs_wanted) {
        // Apache's broker wrote this store: it has one log.
        (true, _) => 1,
        (false, 0) => shards.min(LOGS_MAX),
        (false, logs_wanted) => logs_wanted.min(LOGS_MAX),
    };
    let facts = Facts { version: VERSION, logs, directories_made: false };
    save_facts(disk, &facts).await?;
    Ok(facts)
}

fn read_facts(bytes: &[u8]) -> Result<Facts, String> {
    let facts: Facts = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if facts.version != VERSION {
        return Err(format!("layout version {}, this broker reads {VERSION}", facts.version));
    }
    if facts.logs == 0 || facts.logs > LOGS_MAX {
        return Err(format!("{} logs, expected 1 to {LOGS_MAX}", facts.logs));
    }
    Ok(facts)
}

/// The directory of a log.
pub fn log_dir(log: usize) -> PathBuf {
    match log {
        0 => PathBuf::new(),
        log => PathBuf::from(OTHER_LOGS_DIR).join(log.to_string()),
    }
}

/// The file of a log's consumers' progress.
pub fn offsets_file(log: usize) -> PathBuf {
    match log {
        0 => PathBuf::from("config/consumerOffset.json"),
        log => PathBuf::from(format!("config/consumerOffset.{log}.json")),
    }
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::sim::World;

    use super::*;

    #[test]
    fn a_store_of_several_logs_is_not_taken_for_apaches_when_its_facts_are_lost() {
        let world = World::new(1);
        let disk = world.disk(0);
        world.run(async {
            assert_eq!(claim(&disk, 3, 1).await.map(|claim| claim.logs), Ok(3));
            for log in 0..3 {
                disk.create_dir_all(log_dir(log).join(COMMIT_LOG_DIR)).await.expect("made");
            }
            disk.remove_file(FACTS_FILE).await.expect("removed");
            let refused = claim(&disk, 0, 1).await.map(|claim| claim.logs);
            assert!(refused.is_err_and(|problem| problem.contains(FACTS_FILE)));
        });
    }

    #[test]
    fn a_number_of_logs_that_the_directories_contradict_is_refused() {
        let world = World::new(1);
        let disk = world.disk(0);
        world.run(async {
            assert_eq!(claim(&disk, 2, 1).await.map(|claim| claim.logs), Ok(2));
            let claimed = async |logs| {
                let facts = Facts { version: VERSION, logs, directories_made: true };
                save_facts(&disk, &facts).await.expect("written");
                claim(&disk, 0, 1).await.map(|claim| claim.logs)
            };
            assert_eq!(claimed(2).await, Ok(2));
            let fewer = claimed(1).await.expect_err("there are two");
            assert!(fewer.contains("logs/1") && fewer.contains(FACTS_FILE), "{fewer}");
            let more = claimed(3).await.expect_err("there are two");
            assert!(more.contains("logs/2/commitlog") && more.contains("mounted"), "{more}");
        });
    }

    #[test]
    fn a_first_start_that_was_cut_off_goes_on_whatever_else_is_in_the_store() {
        let world = World::new(1);
        let disk = world.disk(0);
        world.run(async {
            disk.create_dir_all("config").await.expect("made");
            disk.replace("config/topics.json", b"{}".to_vec()).await.expect("written");
            // Also what an earlier version wrote.
            disk.replace(FACTS_FILE, br#"{"version":1,"logs":2}"#.to_vec()).await.expect("written");
            for _ in 0..2 {
                assert_eq!(claim(&disk, 0, 1).await.map(|claim| claim.logs), Ok(2));
            }
        });
    }

    #[test]
    fn facts_that_make_no_sense_are_refused() {
        assert_eq!(read_facts(br#"{"version":1,"logs":3}"#).map(|facts| facts.logs), Ok(3));
        for text in ["", "{}", r#"{"version":2,"logs":3}"#, r#"{"version":1,"logs":0}"#] {
            assert!(read_facts(text.as_bytes()).is_err(), "{text}");
        }
    }
}

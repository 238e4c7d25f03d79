//! What must not stay where bench panics: the processes that it started, and stores that nobody
//! asked to keep.
//!
//! A release build ends where it panics, and drops nothing. So whoever owns such a thing also has
//! an entry here, and the panic hook goes through them. A bench that is killed has no say: the
//! kernel ends its processes ([`ringmq_runtime::process::ends_with_this`]), and its stores stay.

use std::collections::BTreeMap;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::abort;
use std::sync::{Mutex, PoisonError};

use ringmq_runtime::process;

/// Those of this process.
static LEFTOVERS: Leftovers = Leftovers(Mutex::new(Entries { next: 0, all: BTreeMap::new() }));

/// Something that would stay.
#[derive(Clone, Debug)]
enum Leftover {
    /// The number of a child, which leads a group of processes.
    Process(u32),
    Directory(PathBuf),
}

/// Entries by their numbers.
#[derive(Debug)]
struct Entries {
    next: u64,
    all: BTreeMap<u64, Leftover>,
}

#[derive(Debug)]
struct Leftovers(Mutex<Entries>);

impl Leftovers {
    fn add(&'static self, leftover: Leftover) -> Entry {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = entries.next;
        entries.next += 1;
        entries.all.insert(number, leftover);
        Entry { number, of: self }
    }

    /// Ends all processes, and then removes the directories, to which nobody writes any more. Where
    /// the thread that panics holds the lock there is nothing to be done.
    fn clear(&self) {
        let Ok(entries) = self.0.try_lock() else { return };
        for leftover in entries.all.values() {
            if let Leftover::Process(pid) = leftover {
                // Already gone is as good.
                let _ = process::kill_group(*pid);
            }
        }
        for leftover in entries.all.values() {
            if let Leftover::Directory(path) = leftover {
                let _ = process::remove_dir_all(path);
            }
        }
    }
}

/// Dropping it takes the entry away: its owner has seen to it, or wants it to stay.
#[derive(Debug)]
pub struct Entry {
    number: u64,
    of: &'static Leftovers,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut entries = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.all.remove(&self.number);
    }
}

/// An entry for a child that leads a group of processes.
pub fn process(pid: u32) -> Entry {
    LEFTOVERS.add(Leftover::Process(pid))
}

/// An entry for a directory.
pub fn directory(path: &Path) -> Entry {
    LEFTOVERS.add(Leftover::Directory(path.to_owned()))
}

/// From now on a panic of any thread says what it was, clears all this up, and ends the process.
pub fn clear_at_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        tell(info);
        LEFTOVERS.clear();
        // As a release build does anyway.
        abort();
    }));
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests that make files and look at them from outside"
)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn processes_are_ended_and_directories_removed_but_for_those_whose_owner_saw_to_it() {
        let own: &'static Leftovers =
            Box::leak(Box::new(Leftovers(Mutex::new(Entries { next: 0, all: BTreeMap::new() }))));
        let sleeper = || Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [store, kept] = ["store", "kept"].map(|name| folder.path().join(name));
        std::fs::create_dir(&store).unwrap();
        std::fs::create_dir(&kept).unwrap();
        let (mut ended, mut other) = (sleeper(), sleeper());
        let entries =
            [own.add(Leftover::Process(ended.id())), own.add(Leftover::Directory(store.clone()))];
        drop([own.add(Leftover::Process(other.id())), own.add(Leftover::Directory(kept.clone()))]);
        own.clear();
        assert_eq!(ended.wait().unwrap().signal(), Some(9));
        assert!(other.try_wait().unwrap().is_none() && kept.exists() && !store.exists());
        other.kill().and_then(|()| other.wait()).unwrap();
        drop(entries);
        assert!(own.0.lock().unwrap().all.is_empty());
    }

    #[test]
    fn all_of_a_group_end_with_its_leader() {
        let mut leader = Command::new("sh")
            .args(["-c", "sleep 600 & echo $!; wait"])
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = std::io::BufReader::new(leader.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        process::kill_group(leader.id()).unwrap();
        // The pipe has its end when nobody holds the other side any more: neither of the two.
        std::io::Read::read_to_string(&mut output, &mut line).unwrap();
        assert_eq!(leader.wait().unwrap().signal(), Some(9));
        assert!(process::kill_group(leader.id()).is_err(), "there is nobody any more");
    }
}

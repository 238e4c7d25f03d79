//! A broker of our own, in a process of its own: bench runs itself again with `serve-broker`.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ringmq_broker::layout::LOCK_FILE;
use ringmq_runtime::disk::Disk;
use ringmq_runtime::{net, process};

use crate::args::target::{BrokerArgs, Flush};
use crate::error::BenchError;
use crate::files;
use crate::stages;
use crate::target::child::OwnProcess;
use crate::target::rest;
use crate::target::scratch::{Scratch, make_directory};

/// What brokers, ours and Apache's, print when they take requests.
pub const BOOT_SUCCESS: &str = "boot success";

/// Where brokers without a directory of their own keep their files.
const SCRATCH_PARENT: &str = "data";

/// Longest end of a broker that writes what it has in memory.
const END_LIMIT: Duration = Duration::from_secs(60);

/// Its configuration, in the directory of its files.
const CONFIG_NAME: &str = "bench-broker.conf";

/// Its store, in the same directory.
const STORE_NAME: &str = "store";

/// Largest limit of a broker's answers in bytes: with its header one still fits a frame.
const ANSWER_MAX_BYTES: usize = 15 << 20;

/// What a broker's answers hold where nobody says otherwise: 32 messages of what is in memory and 8
/// of what is not (`maxTransferCountOnMessageInMemory`, `maxTransferCountOnMessageInDisk`).
const PULL_BATCH_DEFAULT: u32 = 32;

/// Bytes of a stored message besides its body: header, topic, keys and tags.
const MESSAGE_OVERHEAD_BYTES: usize = 1 << 10;

/// The largest pulls of a run.
#[derive(Clone, Copy, Debug)]
pub struct Pulls {
    /// Most messages of one.
    pub batch: u32,
    /// Largest body of a message.
    pub body_max_bytes: usize,
}

impl Pulls {
    /// The keys of a broker whose answers are to hold as much; none for those that hold it anyway.
    fn keys(self) -> String {
        if self.batch <= PULL_BATCH_DEFAULT {
            return String::new();
        }
        let bytes = (self.body_max_bytes + MESSAGE_OVERHEAD_BYTES) * self.batch as usize;
        let bytes = bytes.min(ANSWER_MAX_BYTES);
        let of_place = |place: &str| {
            format!(
                "maxTransferCountOnMessageIn{place}={}\nmaxTransferBytesOnMessageIn{place}={bytes}\n",
                self.batch
            )
        };
        ["Memory", "Disk"].map(of_place).concat()
    }
}

/// A running broker with an embedded name server. Dropping it ends the process first, and then its
/// scratch directory, if that is to go: fields go in their order.
#[derive(Debug)]
pub struct Embedded {
    process: OwnProcess,
    store: PathBuf,
    /// The same directory, when nobody named it and so nobody looks for it after a good run.
    scratch: RefCell<Option<Scratch>>,
    namesrv: String,
    cores: Range<usize>,
}

impl Embedded {
    /// Starts a broker on free ports, which answers `pulls` in full if there are any, and waits
    /// until it takes requests.
    ///
    /// # Errors
    /// The directory cannot be written, or the broker stops before it is ready; its own words have
    /// gone to standard error by then.
    pub async fn start(args: &BrokerArgs, pulls: Option<Pulls>) -> Result<Self, BenchError> {
        let scratch = match args.store {
            Some(_) => None,
            None => Some(Scratch::new_in(Path::new(SCRATCH_PARENT)).await?),
        };
        let store = match (&args.store, &scratch) {
            (Some(store), _) => store.clone(),
            (None, Some(scratch)) => scratch.path().to_owned(),
            (None, None) => unreachable!("made above"),
        };
        if args.store.is_some() {
            refuse_store_in_use(&store).await?;
        }
        eprintln!("starting a broker: {}, files in {}", args.flush.key(), store.display());
        let ports = net::free_ports(2).map_err(BenchError::NoPorts)?;
        let (namesrv, listen) = (ports[0], ports[1]);
        let text = configuration(args, &store, namesrv, listen)
            + &pulls.map_or_else(String::new, Pulls::keys);
        make_directory(&store).await?;
        let config = store.join(CONFIG_NAME);
        files::replace(&config, text.as_bytes()).await?;
        let process = spawn(&config)?;
        let (scratch, cores) = (RefCell::new(scratch), args.cores());
        Ok(Self { process, store, scratch, namesrv: format!("127.0.0.1:{namesrv}"), cores })
    }

    /// Address of the name server.
    pub fn namesrv(&self) -> &str {
        &self.namesrv
    }

    /// The cores that it is bound to.
    pub fn cores(&self) -> Range<usize> {
        self.cores.clone()
    }

    /// Waits until it writes nothing for a moment: one that has just started makes zeros.
    pub async fn rest(&self) {
        rest::until_still(self.process.id()).await;
    }

    /// Directory of its files.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// Removes the files when the broker has ended, if nobody named their directory: a run that
    /// proved what it should leaves no gigabytes behind.
    pub fn remove_at_end(&self) {
        if let Some(scratch) = self.scratch.borrow_mut().as_mut() {
            scratch.remove_at_end();
        }
    }

    /// Number of the process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What the process has used so far; none when it is gone.
    pub fn usage(&self) -> Option<process::Usage> {
        self.process.usage()
    }

    /// Ends the process with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// The process cannot be signalled.
    pub fn kill(&mut self) -> Result<(), BenchError> {
        self.process.kill()
    }

    /// Ends the process as a service manager does.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn end(&mut self) -> Result<(), BenchError> {
        self.process.terminate(END_LIMIT).await
    }

    /// Starts the broker again on the same ports and files.
    ///
    /// # Errors
    /// As for [`Embedded::start`].
    pub fn restart(&mut self) -> Result<(), BenchError> {
        self.process = spawn(&self.store.join(CONFIG_NAME))?;
        Ok(())
    }
}

/// A broker may have its store in the directory itself, and ours have it one below.
async fn refuse_store_in_use(directory: &Path) -> Result<(), BenchError> {
    for store in [directory, &directory.join(STORE_NAME)] {
        match try_lock(store).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(BenchError::StoreInUse(store.to_owned()));
            }
            // What else is wrong with it shows when it is used.
            _ => {}
        }
    }
    Ok(())
}

/// Locks the store for a moment, if there is one.
async fn try_lock(store: &Path) -> io::Result<()> {
    let disk = Disk::live(store)?;
    // To lock what is not there would make it.
    match disk.exists(LOCK_FILE).await? {
        true => disk.lock(LOCK_FILE).await.map(drop),
        false => Ok(()),
    }
}

/// The `broker.conf` of a broker on these ports, with an embedded name server and its files in
/// `store`.
pub fn configuration(args: &BrokerArgs, store: &Path, namesrv: u16, listen: u16) -> String {
    let cores: Vec<String> = args.cores().map(|core| core.to_string()).collect();
    format!(
        "brokerName=bench\nbrokerIP1=127.0.0.1\nbindAddress=127.0.0.1\nlistenPort={listen}\n\
         embeddedNamesrv=true\nembeddedNamesrvPort={namesrv}\nstorePathRootDir={}\n\
         flushDiskType={}\nshardCores={}\ncommitLogCount={}\n",
        store.join(STORE_NAME).display(),
        args.flush.key(),
        cores.join(","),
        args.logs,
    )
}

/// Whether bench itself says what a broker has for `key`.
pub fn sets(key: &str) -> bool {
    let args = BrokerArgs { flush: Flush::Async, shards: 1, logs: 1, store: None };
    let text = configuration(&args, Path::new("/"), 0, 0);
    let mut keys = text.lines().filter_map(|line| line.split_once('='));
    key == stages::SETTING || keys.any(|(set, _)| set == key)
}

fn spawn(config: &Path) -> Result<OwnProcess, BenchError> {
    let words = ["serve-broker".as_ref(), config.as_os_str()];
    OwnProcess::start(&words, BOOT_SUCCESS).map(|(process, _)| process)
}

/// Is the broker that [`Embedded::start`] runs in a child process.
pub fn serve(config: &Path) -> ExitCode {
    ringmq_broker::command::main(["mqbroker".into(), "-c".into(), config.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_pulls_are_answered_in_full_and_small_ones_as_users_have_them() {
        let keys = |batch, body_max_bytes| Pulls { batch, body_max_bytes }.keys();
        assert_eq!(keys(32, 1 << 10), "");
        let large = keys(1_024, 1 << 10);
        for key in [
            "maxTransferCountOnMessageInMemory=1024\n",
            "maxTransferBytesOnMessageInMemory=2097152\n",
            "maxTransferCountOnMessageInDisk=1024\n",
            "maxTransferBytesOnMessageInDisk=2097152\n",
        ] {
            assert!(large.contains(key), "{key}: {large}");
        }
        assert!(keys(1_024, 4 << 20).contains("InMemory=15728640\n"), "within a frame");
    }
}

//! A broker of our own, in a child process: bench runs itself again with `serve-broker`, so that a
//! fresh clone needs no other binary, the broker's CPU time is told apart, and it can be killed.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use ringmq_runtime::disk::Disk;
use ringmq_runtime::{net, process};
use tempfile::TempDir;

use crate::args::BrokerArgs;
use crate::error::BenchError;

/// What the broker prints when it takes requests.
const BOOT_SUCCESS: &str = "boot success";

/// Where brokers without a directory of their own keep their files.
const SCRATCH_PARENT: &str = "data";

/// Its configuration, in the directory of its files.
const CONFIG_NAME: &str = "bench-broker.conf";

/// A running broker with an embedded name server. Dropping it ends the process.
#[derive(Debug)]
pub struct Embedded {
    child: Child,
    store: PathBuf,
    /// The same directory, when nobody named it and so nobody looks for it after a good run.
    scratch: RefCell<Option<TempDir>>,
    namesrv: String,
}

impl Embedded {
    /// Starts a broker on free ports and waits until it takes requests.
    ///
    /// # Errors
    /// The directory cannot be written, or the broker stops before it is ready; its own words have
    /// gone to standard error by then.
    pub async fn start(args: &BrokerArgs) -> Result<Self, BenchError> {
        let scratch = match args.store {
            Some(_) => None,
            None => Some(scratch_directory().await?),
        };
        let store = match (&args.store, &scratch) {
            (Some(store), _) => store.clone(),
            (None, Some(scratch)) => scratch.path().to_owned(),
            (None, None) => unreachable!("made above"),
        };
        eprintln!("starting a broker: {}, files in {}", args.flush.key(), store.display());
        let ports = net::free_ports(2).map_err(BenchError::NoPorts)?;
        let (namesrv, listen) = (ports[0], ports[1]);
        let text = configuration(args, &store, namesrv, listen);
        make_directory(&store).await?;
        let written = match Disk::live(&store) {
            Ok(disk) => disk.replace(CONFIG_NAME, text.as_bytes()).await,
            Err(error) => Err(error),
        };
        written.map_err(|error| BenchError::file(&store, error))?;
        let child = spawn(&store.join(CONFIG_NAME))?;
        let scratch = RefCell::new(scratch);
        Ok(Self { child, store, scratch, namesrv: format!("127.0.0.1:{namesrv}") })
    }

    /// Address of the name server.
    pub fn namesrv(&self) -> &str {
        &self.namesrv
    }

    /// Directory of its files.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// Removes the files when the broker has ended, if nobody named their directory: a run that
    /// proved what it should leaves no gigabytes behind.
    pub fn remove_at_end(&self) {
        if let Some(scratch) = self.scratch.borrow_mut().as_mut() {
            scratch.disable_cleanup(false);
        }
    }

    /// What the process has used so far; none when it is gone.
    pub fn usage(&self) -> Option<process::Usage> {
        process::usage_of(self.child.id()).ok()
    }

    /// Ends the process with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// The process cannot be signalled.
    pub fn kill(&mut self) -> Result<(), BenchError> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(BenchError::Child)?;
        Ok(())
    }

    /// Starts the broker again on the same ports and files.
    ///
    /// # Errors
    /// As for [`Embedded::start`].
    pub fn restart(&mut self) -> Result<(), BenchError> {
        self.child = spawn(&self.store.join(CONFIG_NAME))?;
        Ok(())
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // Already gone is as good; anything else is told by the next start on this store. The
        // scratch directory, a field, goes after this.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory that no other run has; it stays unless [`Embedded::remove_at_end`] is called.
async fn scratch_directory() -> Result<TempDir, BenchError> {
    let parent = Path::new(SCRATCH_PARENT);
    make_directory(parent).await?;
    let mut scratch = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(parent)
        .map_err(|error| BenchError::file(parent, error))?;
    scratch.disable_cleanup(true);
    Ok(scratch)
}

async fn make_directory(path: &Path) -> Result<(), BenchError> {
    let made = match Disk::live(".") {
        Ok(disk) => disk.create_dir_all(path).await,
        Err(error) => Err(error),
    };
    made.map_err(|error| BenchError::file(path, error))
}

fn configuration(args: &BrokerArgs, store: &Path, namesrv: u16, listen: u16) -> String {
    let cores: Vec<String> = (0..args.shards).map(|core| core.to_string()).collect();
    format!(
        "brokerName=bench\nbrokerIP1=127.0.0.1\nbindAddress=127.0.0.1\nlistenPort={listen}\n\
         embeddedNamesrv=true\nembeddedNamesrvPort={namesrv}\nstorePathRootDir={}\n\
         flushDiskType={}\nshardCores={}\ncommitLogCount={}\n",
        store.join("store").display(),
        args.flush.key(),
        cores.join(","),
        args.logs,
    )
}

fn spawn(config: &Path) -> Result<Child, BenchError> {
    let program = std::env::current_exe().map_err(BenchError::Child)?;
    let mut child = Command::new(program)
        .arg("serve-broker")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(BenchError::Child)?;
    let output = child.stdout.take().expect("standard output was asked for");
    for line in BufReader::new(output).lines() {
        if line.map_err(BenchError::Child)?.contains(BOOT_SUCCESS) {
            return Ok(child);
        }
    }
    let status = child.wait().map_err(BenchError::Child)?;
    Err(BenchError::BrokerStopped(status.to_string()))
}

/// Is the broker that [`Embedded::start`] runs in a child process.
pub fn serve(config: &Path) -> ExitCode {
    ringmq_broker::command::main(["mqbroker".into(), "-c".into(), config.into()])
}

//! A broker of our own, in a child process: bench runs itself again with `serve-broker`, so that a
//! fresh clone needs no other binary, the broker's CPU time is told apart, and it can be killed.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use ringmq_runtime::{net, process};

use crate::args::Flush;
use crate::error::BenchError;

/// What the broker prints when it takes requests.
const BOOT_SUCCESS: &str = "boot success";

/// How a broker is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// When it acknowledges.
    pub flush: Flush,
    /// Cores it runs on, counted from 0.
    pub shards: u32,
    /// Commit logs of a store that it creates.
    pub logs: u32,
    /// Its files.
    pub store: PathBuf,
    /// Nobody named the directory, so nobody looks for the files after a good run.
    pub is_scratch: bool,
}

/// A running broker with an embedded name server. Dropping it ends the process.
#[derive(Debug)]
pub struct Embedded {
    child: Child,
    /// What is removed when the broker is not needed any more.
    scratch: RefCell<Option<PathBuf>>,
    config: PathBuf,
    namesrv: String,
}

impl Embedded {
    /// Starts a broker on free ports and waits until it takes requests.
    ///
    /// # Errors
    /// The directory cannot be written, or the broker stops before it is ready; its own words have
    /// gone to standard error by then.
    pub fn start(setup: &Setup) -> Result<Self, BenchError> {
        std::fs::create_dir_all(&setup.store)
            .map_err(|error| BenchError::file(&setup.store, error))?;
        let namesrv_port = net::free_port()?;
        let config = setup.store.join("bench-broker.conf");
        std::fs::write(&config, configuration(setup, namesrv_port, net::free_port()?))
            .map_err(|error| BenchError::file(&config, error))?;
        let child = spawn(&config)?;
        let scratch = RefCell::default();
        Ok(Self { child, scratch, config, namesrv: format!("127.0.0.1:{namesrv_port}") })
    }

    /// Address of the name server.
    pub fn namesrv(&self) -> &str {
        &self.namesrv
    }

    /// Removes `directory` when the broker has ended: a run that proved what it should leaves no
    /// gigabytes behind.
    pub fn remove_at_end(&self, directory: PathBuf) {
        *self.scratch.borrow_mut() = Some(directory);
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
        self.child = spawn(&self.config)?;
        Ok(())
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // Already gone is as good; anything else is told by the next start on this store.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(directory) = self.scratch.take()
            && let Err(error) = std::fs::remove_dir_all(&directory)
        {
            eprintln!("bench: {} is left behind: {error}", directory.display());
        }
    }
}

fn configuration(setup: &Setup, namesrv_port: u16, listen_port: u16) -> String {
    let cores: Vec<String> = (0..setup.shards).map(|core| core.to_string()).collect();
    format!(
        "brokerName=bench\nbrokerIP1=127.0.0.1\nbindAddress=127.0.0.1\nlistenPort={listen_port}\n\
         embeddedNamesrv=true\nembeddedNamesrvPort={namesrv_port}\nstorePathRootDir={}\n\
         flushDiskType={}\nshardCores={}\ncommitLogCount={}\n",
        setup.store.join("store").display(),
        setup.flush.key(),
        cores.join(","),
        setup.logs,
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

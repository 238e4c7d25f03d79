//! Why a run could not be done.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringmq_runtime::start::StartError;
use thiserror::Error;

use crate::documents::WrongFile;

/// A run that failed; the text tells what was tried.
#[derive(Debug, Error)]
pub enum BenchError {
    /// A file or directory of bench.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A process of our own.
    #[error("a process of bench could not be controlled: {0}")]
    Child(io::Error),
    /// A thread of the client side cannot be had.
    #[error("--client-cores: {0}")]
    ClientCores(StartError),
    /// Another thread of the client side cannot be had.
    #[error("a thread for readers: {0}")]
    ClientThread(StartError),
    /// A broker ended before it took requests.
    #[error("the broker stopped before it was ready ({0}); its reason is above")]
    BrokerStopped(String),
    /// A connection cannot be made.
    #[error("cannot connect to {addr}: {error}")]
    Connect {
        /// Where to.
        addr: String,
        /// What the system said.
        error: io::Error,
    },
    /// A process that shall be watched is not there.
    #[error("--broker-pid {pid}: {error}")]
    NoProcess {
        /// Its number.
        pid: u32,
        /// What the system said.
        error: io::Error,
    },
    /// None of the name servers takes a connection.
    #[error(
        "no name server at {addr}: {error}; start one (mqnamesrv), name another (-n HOST:PORT, by \
         default port 9876), or leave -n out: then bench starts a broker of its own"
    )]
    NoNameServer {
        /// The last of them.
        addr: String,
        /// What the system said.
        error: io::Error,
    },
    /// Who answers knows no cluster: most likely a broker.
    #[error(
        "{0} answers, and is no name server: -n takes the address of one (by default port 9876), \
         and not that of a broker (10911)"
    )]
    NotANameServer(String),
    /// A name server with which no master has registered.
    #[error(
        "expected a master that has registered with the name server at {0}, found none: start a \
         broker with namesrvAddr={0}, or name another name server (-n HOST:PORT)"
    )]
    NoMaster(String),
    /// A topic that was created does not appear in the routes.
    #[error(
        "topic {topic} was created, and after {waited:?} the name server at {namesrv} has no route \
         to it: see whether its brokers still register there (mqadmin clusterList)"
    )]
    NoRoute {
        /// Which.
        topic: String,
        /// Who was asked.
        namesrv: String,
        /// How long.
        waited: Duration,
    },
    /// A peer that is connected and silent.
    #[error("{who} has not answered {asked} in {waited:?}: see whether it runs, and its log")]
    NoAnswer {
        /// The peer.
        who: String,
        /// The request code by its name, or its number.
        asked: String,
        /// How long was waited.
        waited: Duration,
    },
    /// A connection that was made has failed.
    #[error("connection to {addr} lost: {error}")]
    Network {
        /// Who was at the other end.
        addr: String,
        /// What the system said.
        error: io::Error,
    },
    /// A broker of our own needs ports.
    #[error("no free ports on 127.0.0.1 for a broker: {0}")]
    NoPorts(io::Error),
    /// A directory for a broker of our own has the store of another in it, which runs.
    #[error(
        "--store {0}: a broker runs on the files there; take another directory, or leave it out"
    )]
    StoreInUse(PathBuf),
    /// There is nothing to read.
    #[error("topic {0} has no messages: fill it with `--fill 500k`, or produce first")]
    EmptyTopic(String),
    /// A peer answered with an error.
    #[error("{asked}: {who} answered {answer}")]
    Refused {
        /// What was asked.
        asked: &'static str,
        /// The peer.
        who: String,
        /// Name of the response code, and its remark.
        answer: String,
    },
    /// A broker has not got back the value that it had before it was measured.
    #[error(
        "the broker at {who} may have kept a value of bench switch: set {setting} there \
         (mqadmin updateBrokerConfig); {error}"
    )]
    NotRestored {
        /// Its address.
        who: String,
        /// What it was.
        setting: String,
        /// Why.
        error: Box<BenchError>,
    },
    /// A peer answered something that is not the protocol.
    #[error("{who} broke the protocol: {what}")]
    Protocol {
        /// The peer.
        who: String,
        /// What was wrong.
        what: String,
    },
    /// A scenario file that says nothing sensible.
    #[error("{place}: {what}")]
    Scenario {
        /// The file, and the line where it is about one.
        place: String,
        /// The key, what was found and what is allowed.
        what: String,
    },
    /// A file that is not what a command reads.
    #[error("{0}")]
    WrongFile(Box<WrongFile>),
    /// Two results that say nothing about each other.
    #[error("cannot compare: {0}")]
    NotComparable(String),
    /// No rate was good.
    #[error("no rate keeps {0}")]
    NoKnee(String),
    /// A program or a server that bench needs beside the broker.
    #[error("{program}: {what}")]
    Program {
        /// Its name.
        program: String,
        /// What came of it, and what helps.
        what: String,
    },
    /// A race, or a run of it, that cannot go on.
    #[error("race: {0}")]
    Race(String),
    /// What should come from the device would come from memory.
    #[error(
        "expected what is to be read cold in no cache, found {0:.1} % of it in the page cache: end \
         what else reads or copies those files, and run again"
    )]
    NotCold(f64),
    /// A process of ours that goes on.
    #[error("the broker was asked to end and had not after {0:?}: it is killed, its files stay")]
    DoesNotEnd(Duration),
    /// A disk on which nothing can be measured.
    #[error("{0}")]
    DiskFull(String),
    /// More acknowledgements than a proof can hold.
    #[error("more than {0} acknowledged messages cannot be verified in one run: shorten it")]
    TooManyToVerify(usize),
}

impl BenchError {
    /// An error of a file.
    pub fn file(path: &Path, error: io::Error) -> Self {
        Self::File { path: path.to_owned(), error }
    }

    /// Trouble with a program or a server that bench needs beside the broker.
    pub fn program(program: &str, what: impl ToString) -> Self {
        Self::Program { program: program.to_owned(), what: what.to_string() }
    }

    /// A breach of the protocol.
    pub fn protocol(who: &str, what: impl ToString) -> Self {
        Self::Protocol { who: who.to_owned(), what: what.to_string() }
    }
}

//! Which code of a broker its CPU time goes to: a flame graph of a part of the counted time, by
//! `perf`. Samples cost the broker some percent, so figures of such a run are for no comparison.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferno::collapse::Collapse;
use inferno::collapse::perf::Folder;
use inferno::flamegraph::{self, Options};
use ringmq_runtime::task::{self, Task};

use crate::args::load::LoadArgs;
use crate::driver::Timing;
use crate::error::BenchError;
use crate::files;
use crate::program::{Program, version_of};
use crate::stop;
use crate::target::Target;
use crate::target::scratch::Scratch;

/// How `perf` records: the clock that virtual machines have as well, at a rate that beats with no
/// timer; stacks are unwound from copies, since our builds have no frame pointers.
const RECORD: [&str; 8] =
    ["perf", "record", "-e", "cpu-clock", "-F", "199", "--call-graph", "dwarf,16384"];

/// How often perf is started: 6.1 was seen to end at once with 255, without a word and a sample, in
/// one of some ten recordings on a busy machine.
const ATTEMPTS: u32 = 5;

/// Longest part of the counted time that is recorded: 6 MB of stacks a second on two busy cores.
const RECORD_MAX: Duration = Duration::from_secs(10);

/// How much longer than the recording `perf` may take to write, and to unwind all stacks.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
const UNWIND_LIMIT: Duration = Duration::from_secs(300);

/// Largest list of stacks: 4,000 samples of 100 frames have 30 MB.
const STACKS_MAX_BYTES: usize = 1 << 30;

/// How a file ends that gets a line per stack, for other tools, instead of a picture.
const FOLDED: &str = "folded";

/// What a command was asked for: one of its load, or none.
pub struct Profile(Option<Recorder>);

impl Profile {
    /// Prepares it, before a broker is started or anything is measured.
    ///
    /// # Errors
    /// It was asked for, and `perf` is missing, or nobody has said which processes the broker has.
    pub async fn prepare(load: &LoadArgs) -> Result<Self, BenchError> {
        let Some(file) = &load.output.profile else { return Ok(Self(None)) };
        if load.target.namesrv.is_some() && load.target.broker_pid.is_empty() {
            return Err(BenchError::program(
                "--profile",
                "name the processes of the broker with --broker-pid",
            ));
        }
        Ok(Self(Some(Recorder::prepare(file).await?)))
    }

    /// Records from the end of the warm-up on of a load that begins now; of several the first.
    pub fn record(&self, target: &Target, timing: Timing) {
        if let Some(recorder) = &self.0 {
            recorder.record(target, timing);
        }
    }

    /// Waits for the recording and draws it; not for somebody who stops the run.
    ///
    /// # Errors
    /// `perf` fails: mostly it may not look at the broker. Or the file cannot be written.
    pub async fn finish(self) -> Result<(), BenchError> {
        match self.0 {
            Some(recorder) => stop::or_dropped(recorder.finish()).await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }
}

/// A profile that was asked for.
struct Recorder {
    file: PathBuf,
    /// Before its directory, in which it writes until it is dropped.
    recording: RefCell<Option<Task<Result<String, BenchError>>>>,
    scratch: Scratch,
}

impl Recorder {
    async fn prepare(file: &Path) -> Result<Self, BenchError> {
        let fix = "--profile needs it: install linux-perf, or linux-tools for this kernel";
        version_of("perf", "--version", fix)?;
        let mut scratch = Scratch::new_in(files::split(file).0).await?;
        scratch.remove_at_end();
        Ok(Self { file: file.to_owned(), scratch, recording: RefCell::default() })
    }

    fn record(&self, target: &Target, timing: Timing) {
        if self.recording.borrow().is_some() {
            return;
        }
        let length = timing.duration.min(RECORD_MAX);
        let data = self.scratch.path().join("perf.data");
        let (data, seconds) = (data.display().to_string(), length.as_secs_f64().to_string());
        let pids = target.pids().iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let mut words = RECORD.map(str::to_owned).to_vec();
        words.extend(["-p", &pids, "-o", &data, "--", "sleep", &seconds].map(str::to_owned));
        let log = self.scratch.path().join("record.log");
        let recording = async move {
            task::sleep(timing.warm_up).await;
            let run = || Program::start("perf record", &words, &log);
            for _ in 1..ATTEMPTS {
                if let Ok(output) = run()?.wait(length + WRITE_LIMIT).await {
                    return Ok(output);
                }
            }
            run()?.wait(length + WRITE_LIMIT).await
        };
        *self.recording.borrow_mut() = Some(task::spawn("bench perf", recording));
    }

    async fn finish(self) -> Result<(), BenchError> {
        let recording = self.recording.take();
        let Some(recording) = recording else { return Ok(()) };
        recording.await?;
        let data = self.scratch.path().join("perf.data");
        let data = data.display().to_string();
        let words = ["perf", "script", "--no-inline", "-i", &data];
        let log = self.scratch.path().join("stacks");
        Program::start("perf script", &words, &log)?.end(UNWIND_LIMIT).await?;
        let stacks = files::read(&log, STACKS_MAX_BYTES).await;
        let is_folded = self.file.extension().is_some_and(|it| it == FOLDED);
        let drawn = stacks.and_then(|stacks| drawn(&stacks, is_folded));
        let drawn = drawn.map_err(|error| BenchError::file(&self.file, error))?;
        files::replace(&self.file, &drawn).await?;
        eprintln!("profile: {}", self.file.display());
        Ok(())
    }
}

/// The stacks of `perf script` as a picture, or as lines with their counts.
fn drawn(stacks: &[u8], is_folded: bool) -> io::Result<Vec<u8>> {
    let mut folded = Vec::new();
    Folder::default().collapse(stacks, &mut folded)?;
    if is_folded {
        return Ok(folded);
    }
    let mut options = Options::default();
    options.title = "CPU time of the broker".to_owned();
    // A sample counts for the time since the one before.
    options.count_name = "ns".to_owned();
    let mut picture = Vec::new();
    flamegraph::from_reader(&mut options, &folded[..], &mut picture)?;
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACKS: &str = "mqbroker 7 [001] 1.5: 5025125 cpu-clock:ppp: \n\
        \t55d0 append+0x10 (/bin/mqbroker)\n\t55c0 turn+0x20 (/bin/mqbroker)\n\n\
        mqbroker 7 [001] 1.6: 5025125 cpu-clock:ppp: \n\t55c0 turn+0x20 (/bin/mqbroker)\n\n";

    #[test]
    fn stacks_become_lines_and_a_picture() {
        let folded = String::from_utf8(drawn(STACKS.as_bytes(), true).unwrap()).unwrap();
        assert_eq!(folded, "mqbroker;turn 5025125\nmqbroker;turn;append 5025125\n");
        let picture = String::from_utf8(drawn(STACKS.as_bytes(), false).unwrap()).unwrap();
        assert!(picture.contains("<svg") && picture.contains("append"), "{picture}");
    }

    #[test]
    fn a_profile_without_samples_is_an_error() {
        assert!(drawn(b"", false).is_err());
    }
}

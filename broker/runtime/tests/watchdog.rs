//! What the watchdog tells of an executor that is held up. In a process of its own: its thread logs
//! to the subscriber of the process.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ringmq_runtime::clock::Instant;
use ringmq_runtime::shards::block_on;
use ringmq_runtime::task;
use tracing_subscriber::fmt::MakeWriter;

/// Far longer than it takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// The lines that have these words.
    fn with(&self, words: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().expect("lines").clone()).expect("text");
        text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lines").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn an_executor_that_is_held_up_is_told_with_its_cause_and_its_end() {
    let lines = Lines::default();
    let log = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    tracing::subscriber::set_global_default(log).expect("the only one");
    let (release, released) = mpsc::channel::<()>();
    let seen = lines.clone();
    let waits = |line: &String| line.contains("thread=\"state S");
    // Lets the executor go on when its silence has been told; the first line may be of a thread
    // that has no core yet.
    let watcher = std::thread::spawn(move || {
        let deadline = Instant::now() + TIMEOUT;
        while !seen.with("no sign of life").iter().any(waits) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(release);
    });
    let held = lines.clone();
    block_on(async move {
        task::spawn("held up", async move { released.recv().is_err() }).await;
        let deadline = Instant::now() + TIMEOUT;
        while held.with("shows life again").is_empty() && Instant::now() < deadline {
            task::sleep(Duration::from_millis(10)).await;
        }
    });
    watcher.join().expect("it ended well");
    let silent = lines.with("no sign of life");
    assert!(silent.iter().any(waits), "{silent:?}");
    let again = lines.with("shows life again");
    let Some(again) = again.first() else { panic!("no line ends it: {silent:?}") };
    let (_, length) = again.split_once("silent_ms=").expect("how long it was");
    let length: String = length.chars().take_while(char::is_ascii_digit).collect();
    assert!(length.parse::<u64>().expect("a number") > 1_000, "{again}");
}

//! The histograms that `bench` writes, read by HdrHistogram's own program.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process;
use crate::workspace::{Outcome, at, compat_target};

/// The release that reads them.
const VERSION: &str = "2.2.2";

/// Its values in microseconds, as those of our `.hgrm` are.
const NS_OF_VALUE_UNIT: &str = "1000";

/// What the lines of the log are tagged with: each distribution has a `.hgrm` of that name.
const TAGS: [&str; 2] = ["response", "service"];

/// Checks the files in `folder` of a run whose files begin with `prefix`: what the program makes of
/// each tag of the log, and the `.hgrm` that bench has written, both have the count and the largest
/// value of the report. (Their percentiles may differ by a value where one falls between two.)
///
/// # Errors
/// Maven or Java is missing, the program cannot read the log, or reads something else in it.
pub fn check(folder: &Path, prefix: &str, report: &Value) -> Outcome {
    let jar = fetch()?;
    for tag in TAGS {
        process::quiet(
            Command::new("java")
                .arg("-cp")
                .arg(&jar)
                .args(["org.HdrHistogram.HistogramLogProcessor", "-i", &format!("{prefix}.hlog")])
                .args(["-tag", tag, "-outputValueUnitRatio", NS_OF_VALUE_UNIT])
                .args(["-o", &format!("java.{tag}")])
                .current_dir(folder),
        )?;
        let summary = summary(&report[tag]).ok_or(format!("no {tag} in {report}"))?;
        for by in ["java", prefix] {
            let path = folder.join(format!("{by}.{tag}.hgrm"));
            let text = std::fs::read_to_string(&path).map_err(at(&path))?;
            if !text.lines().any(|line| line == summary) {
                return Err(format!("no {summary} in {}:\n{text}", path.display()));
            }
        }
    }
    println!("HdrHistogram {VERSION} reads in {prefix}.hlog what bench tells");
    Ok(())
}

/// The line of a `.hgrm` with the count and the largest of a report's latencies.
fn summary(latencies: &Value) -> Option<String> {
    let (max_us, count) = (latencies["max_us"].as_f64()?, latencies["count"].as_u64()?);
    Some(format!("#[Max     = {max_us:>12.3}, Total count    = {count:>12}]"))
}

/// The program, which Maven fetches unless it is there. What was fetched in part does not count.
fn fetch() -> Outcome<PathBuf> {
    let (folder, name) =
        (compat_target().join("hdrhistogram"), format!("HdrHistogram-{VERSION}.jar"));
    let (jar, arriving) = (folder.join(&name), folder.join("arriving"));
    if !jar.exists() {
        println!("fetching HdrHistogram {VERSION}");
        process::quiet(
            Command::new("mvn")
                .args(["-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"])
                .arg(format!("-Dartifact=org.hdrhistogram:HdrHistogram:{VERSION}"))
                .arg(format!("-DoutputDirectory={}", arriving.display())),
        )?;
        std::fs::rename(arriving.join(&name), &jar).map_err(at(&jar))?;
    }
    Ok(jar)
}

//! The saved results of a run: JSON, CSV, and the two formats of HdrHistogram's own tools.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::BenchError;
use crate::files::{replace, with_extension};
use crate::measure::Measured;
use crate::record::latencies::Latencies;
use crate::record::tally::Second;
use crate::record::window::Window;
use crate::report::Report;

/// Steps per halving of the distance to 100 % in a percentile file, as HdrHistogram's tools write.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// What HdrHistogram calls so, of a histogram with 3 digits: the power of two above 2 x 10^3.
const SUB_BUCKETS: u32 = 2_048;

/// Nanoseconds in the unit of a percentile file, which is microseconds.
const VALUE_UNIT_NS: f64 = 1e3;

/// Writes all files of a run; returns their names.
///
/// # Errors
/// The directory of `prefix` is not there or cannot be written.
pub async fn write(
    prefix: &Path,
    report: &Report,
    runs: &[Measured],
) -> Result<Vec<PathBuf>, BenchError> {
    let mut total = Window::default();
    runs.iter().for_each(|run| total.add(&run.tally.total));
    let files = [
        ("json", report.to_json().into_bytes()),
        ("csv", csv(runs)),
        ("response.hgrm", percentiles(&total.response).into_bytes()),
        ("service.hgrm", percentiles(&total.service).into_bytes()),
        ("hlog", interval_log(runs)),
    ];
    let mut written = Vec::new();
    for (extension, contents) in files {
        let path = with_extension(prefix, extension);
        replace(&path, &contents).await?;
        written.push(path);
    }
    Ok(written)
}

/// A row of the CSV file.
#[derive(Serialize)]
struct Row {
    repetition: usize,
    from_s: f64,
    seconds: f64,
    messages: u64,
    bytes: u64,
    empty: u64,
    errors: u64,
    backlog: u64,
    /// Empty where no value lies beyond a percentile.
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    p999_us: Option<f64>,
    max_us: f64,
    /// Requests per second that were due, of a list of rates.
    rate: Option<f64>,
}

/// A row per counted second; the percentiles are those of the response time.
fn csv(runs: &[Measured]) -> Vec<u8> {
    seconds(runs.iter().map(|run| &run.tally.seconds[..]))
}

/// The same of the seconds of each repetition.
pub fn seconds<'a>(repetitions: impl Iterator<Item = &'a [Second]>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (number, seconds) in (1..).zip(repetitions) {
        for second in seconds {
            writer.serialize(row(number, second)).expect("numbers are written to memory");
        }
    }
    writer.into_inner().expect("memory takes everything")
}

fn row(repetition: usize, second: &Second) -> Row {
    Row {
        repetition,
        from_s: second.from_s,
        seconds: second.seconds,
        messages: second.messages,
        bytes: second.bytes,
        empty: second.empty,
        errors: second.errors,
        backlog: second.backlog,
        p50_us: second.p50_us,
        p99_us: second.p99_us,
        p999_us: second.p999_us,
        max_us: second.max_us,
        rate: second.rate,
    }
}

/// The percentile distribution in the layout that HdrHistogram's plotters read, in microseconds.
fn percentiles(latencies: &Latencies) -> String {
    let histogram = latencies.histogram();
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut below = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        below += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / VALUE_UNIT_NS;
        let quantile = step.quantile_iterated_to();
        let _ = write!(text, "{value:>12.3} {quantile:2.12} {below:>10}");
        let _ = match quantile < 1.0 {
            true => writeln!(text, " {:>14.2}", 1.0 / (1.0 - quantile)),
            false => writeln!(text),
        };
    }
    let in_unit = |ns: f64| ns / VALUE_UNIT_NS;
    let _ = writeln!(
        text,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]",
        in_unit(histogram.mean()),
        in_unit(histogram.stdev()),
    );
    let _ = writeln!(
        text,
        "#[Max     = {:>12.3}, Total count    = {:>12}]",
        in_unit(histogram.max() as f64),
        histogram.len(),
    );
    let _ = writeln!(
        text,
        "#[Buckets = {:>12}, SubBuckets     = {:>12}]",
        histogram.buckets(),
        SUB_BUCKETS,
    );
    text
}

/// All interval histograms, response and service time of each second under a tag of that name.
/// Times count in seconds from the base time, at which the first repetition began.
fn interval_log(runs: &[Measured]) -> Vec<u8> {
    let base_unix_ms = runs.iter().find_map(|run| run.tally.log_base_unix_ms());
    let base_s = base_unix_ms.unwrap_or(0) as f64 / 1e3;
    let mut log = format!(
        "#[Histogram log format version 1.3]\n\
         #[Values in nanoseconds, response time from the intended time]\n\
         #[StartTime: {base_s:.3} (seconds since epoch)]\n\
         #[BaseTime: {base_s:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\
         \"Interval_Compressed_Histogram\"\n"
    )
    .into_bytes();
    for run in runs {
        log.extend_from_slice(run.tally.interval_log());
    }
    log
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::record::tally::{LogTime, Tally};

    fn runs() -> Vec<Measured> {
        let began = LogTime { base_unix_ms: 1_700_000_000_500, offset: Duration::from_secs(100) };
        let mut tally = Tally::with_interval_log(began);
        let mut window = Window::default();
        for us in 1..=1_000 {
            let latency = Duration::from_micros(us);
            window.success(latency, latency, 1, 10);
        }
        tally.add(&window, Duration::from_secs(2), Duration::from_secs(1), 3);
        vec![Measured::of(tally)]
    }

    #[test]
    fn the_interval_log_is_read_by_the_library_again() {
        let log = interval_log(&runs());
        let mut tags = Vec::new();
        for entry in IntervalLogIterator::new(&log) {
            let interval = match entry.unwrap() {
                LogEntry::Interval(interval) => interval,
                LogEntry::StartTime(time) | LogEntry::BaseTime(time) => {
                    assert_eq!(time.as_millis(), 1_700_000_000_500);
                    continue;
                }
            };
            let engine = base64::engine::general_purpose::STANDARD;
            let bytes = base64::Engine::decode(&engine, interval.encoded_histogram()).unwrap();
            let histogram: hdrhistogram::Histogram<u64> =
                Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            assert_eq!((histogram.len(), interval.start_timestamp().as_secs()), (1_000, 102));
            tags.push(interval.tag().unwrap().as_str().to_owned());
        }
        assert_eq!(tags, ["response", "service"]);
    }

    #[test]
    fn the_percentile_file_ends_at_the_maximum_with_all_values() {
        let runs = runs();
        let text = percentiles(&runs[0].tally.total.response);
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        let median = rows.iter().find(|row| row[1] >= 0.5).unwrap();
        assert!((median[0] - 500.0).abs() < 1.0 && median[3] == 2.0, "{median:?}");
        let last = rows.last().unwrap();
        assert!((last[0] - 1_000.0).abs() < 1.0 && last[1] == 1.0 && last[2] == 1_000.0);
    }

    #[test]
    fn the_csv_file_has_a_row_per_second() {
        let text = String::from_utf8(csv(&runs())).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[0].starts_with("repetition,from_s,seconds,messages,bytes,empty,errors,backlog")
        );
        assert!(lines[1].starts_with("1,2.0,1.0,1000,10000,0,0,3,500"), "{}", lines[1]);
        assert_eq!(lines.len(), 2);
        let mut window = Window::default();
        window.response.record_many(Duration::from_micros(7), 50);
        let mut tally = Tally::default();
        tally.add(&window, Duration::ZERO, Duration::from_secs(1), 0);
        let few = csv(&[Measured::of(tally)]);
        let few = String::from_utf8(few).unwrap();
        assert!(few.ends_with(",7.003,,,7.003,\n"), "{few}");
    }
}

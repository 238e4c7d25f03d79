//! Flags that would be taken and not heeded: refused, with what to do instead.
//!
//! They are looked at when a whole command line is known, so that defaults count as not given, and
//! what a scenario and the flags behind it say together.

use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use ringmq_protocol::frame::FRAME_SIZE_MAX_BYTES;

use crate::workload::message::Sizes;

/// A flag that a command heeds only sometimes.
struct Rule {
    /// The commands; empty: all that have the flag.
    commands: &'static [&'static str],
    /// Flags of which any is given.
    flags: &'static [&'static str],
    /// When they are not heeded.
    when: When,
    /// What to do instead.
    instead: &'static str,
}

impl Rule {
    fn is_of(&self, command: &str) -> bool {
        self.commands.is_empty() || self.commands.contains(&command)
    }
}

/// When a flag is not heeded.
enum When {
    /// Never heeded by these commands.
    Always,
    /// With any of these others.
    With(&'static [&'static str]),
    /// Without this other.
    Without(&'static str),
    /// While this other has this value, be it the default.
    Has(&'static str, &'static str),
}

/// Where the broker is somebody else's.
const ELSEWHERE: &[&str] = &["namesrv", "broker"];

const RULES: &[Rule] = &[
    Rule {
        commands: &["knee"],
        flags: &["rate"],
        when: When::Always,
        instead: "knee looks for the rate itself, from --start up to --max",
    },
    Rule {
        commands: &["knee"],
        flags: &["repeat"],
        when: When::Always,
        instead: "knee tries a rate that is too much once more by itself",
    },
    Rule {
        commands: &["knee"],
        flags: &["messages"],
        when: When::Always,
        instead: "a trial that they end has never many enough for its percentile: say how long it \
                  counts at least, --duration",
    },
    Rule {
        commands: &["knee"],
        flags: &["profile"],
        when: When::Always,
        instead: "each trial is another load: profile one of them, `bench produce --rate`",
    },
    Rule {
        commands: &["switch"],
        flags: &["duration", "messages", "repeat"],
        when: When::Always,
        instead: "the slices say how long it takes: --pairs, --slice, --settle",
    },
    Rule {
        commands: &["limits"],
        flags: &["repeat"],
        when: When::Always,
        instead: "limits are measured once; run it again",
    },
    Rule {
        commands: &["limits"],
        flags: &[
            "directory",
            "core",
            "client_cores",
            "connections",
            "depth",
            "rate",
            "arrivals",
            "warm_up",
            "duration",
            "messages",
            "header",
        ],
        when: When::With(ELSEWHERE),
        instead: "of a broker elsewhere only the way there is measured: leave out either",
    },
    Rule {
        commands: &["produce", "consume", "end-to-end", "mixed", "switch", "limits"],
        flags: &["arrivals"],
        when: When::Without("rate"),
        instead: "a closed loop has no arrivals: add --rate",
    },
    Rule {
        commands: &[],
        flags: &["flush", "shards", "logs", "store"],
        when: When::With(&["namesrv"]),
        instead: "they are of a broker that bench starts: set that broker's own keys, or leave out \
                  --namesrv",
    },
    Rule {
        commands: &[],
        flags: &["spread"],
        when: When::Without("topics"),
        instead: "one topic gets all messages: add --topics",
    },
    Rule {
        commands: &["consume"],
        flags: &["produce"],
        when: When::Has("from", "first"),
        instead: "nothing is sent to consumers that read from the first message: add --from last, \
                  or use `bench mixed`",
    },
];

/// What is wrong with a whole command line, if anything.
pub fn fault(matches: &ArgMatches) -> Option<(ErrorKind, String)> {
    let (command, matches) = matches.subcommand()?;
    let ignored = RULES.iter().filter(|rule| rule.is_of(command)).find_map(|rule| {
        let flag = *rule.flags.iter().find(|flag| is_given(matches, flag))?;
        let found = match rule.when {
            When::Always => Some((ErrorKind::ArgumentConflict, String::new())),
            When::With(others) => {
                let other = others.iter().find(|other| is_given(matches, other))?;
                Some((ErrorKind::ArgumentConflict, format!(" with {}", long(other))))
            }
            When::Without(other) if is_given(matches, other) => None,
            // Of a scenario each line is also looked at alone, where others are missing.
            When::Without(other) => {
                Some((ErrorKind::MissingRequiredArgument, format!(" without {}", long(other))))
            }
            When::Has(other, value) => (text(matches, other).as_deref() == Some(value))
                .then(|| (ErrorKind::MissingRequiredArgument, String::new())),
        };
        let (kind, how) = found?;
        Some((kind, format!("{} has no meaning{how}: {}", long(flag), rule.instead)))
    });
    ignored
        .or_else(|| Some((ErrorKind::ArgumentConflict, batch_fault(matches)?)))
        .or_else(|| Some((ErrorKind::MissingRequiredArgument, lowest_fault(matches)?)))
}

/// The flags that a command has and never heeds.
pub fn never_heeded(command: &str) -> impl Iterator<Item = &'static str> {
    let rules = RULES.iter().filter(move |rule| rule.is_of(command));
    rules.filter(|rule| matches!(rule.when, When::Always)).flat_map(|rule| rule.flags).copied()
}

/// Room for the header of a send.
const HEADER_BYTES: usize = 64 << 10;

/// Bytes of an item of a batch besides its body and its tag.
const ITEM_BYTES: usize = 128;

/// A batch that fits no frame, which nobody would take.
fn batch_fault(matches: &ArgMatches) -> Option<String> {
    let batch = *matches.try_get_one::<u32>("batch").ok()?? as usize;
    let size = matches.try_get_one::<Sizes>("size").ok()??.max;
    let tags = matches.try_get_many::<String>("tags").ok()?.into_iter().flatten();
    let tag = tags.map(String::len).max().unwrap_or(0);
    let bytes = batch * (size + tag + ITEM_BYTES) + HEADER_BYTES;
    (batch > 1 && bytes > FRAME_SIZE_MAX_BYTES).then(|| {
        format!(
            "--batch: {batch} messages of {size} bytes do not fit a frame of 16 MiB: take fewer, \
             or smaller ones (--size)"
        )
    })
}

/// A lowest rate above the one that a search begins with.
fn lowest_fault(matches: &ArgMatches) -> Option<String> {
    let rate = |id: &str| matches.try_get_one::<f64>(id).ok().flatten().copied();
    let (lowest, first) = (rate("min")?, rate("start")?.min(rate("max")?));
    (lowest > first).then(|| {
        format!(
            "--min: {lowest}/s is above the first rate, {first}/s: lower it, or raise --start and \
             --max"
        )
    })
}

/// Given on the command line, and not by default; false where the command has no such flag.
fn is_given(matches: &ArgMatches, id: &str) -> bool {
    let has = matches.try_contains_id(id).unwrap_or(false);
    has && matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// The first value of a flag as it was written.
fn text(matches: &ArgMatches, id: &str) -> Option<String> {
    let mut values = matches.try_get_raw(id).ok()??;
    Some(values.next()?.to_string_lossy().into_owned())
}

fn long(id: &str) -> String {
    format!("--{}", id.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use crate::args::Cli;

    fn check(line: &str, expected: &[&str]) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match Cli::from_words(&words) {
            Ok(_) => assert!(expected.is_empty(), "{line:?} was taken"),
            Err(error) => {
                let text = error.to_string();
                assert!(!expected.is_empty(), "{line:?}: {text}");
                assert_eq!(error.exit_code(), 2);
                expected.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));
            }
        }
    }

    #[test]
    fn flags_that_would_not_be_heeded_are_refused_with_what_to_do() {
        check("produce --arrivals poisson", &["--arrivals", "without --rate", "add --rate"]);
        check("produce --spread zipf", &["--spread", "add --topics"]);
        for flag in ["--flush sync", "--shards 2", "--logs 2", "--store x"] {
            check(&format!("produce -n h:1 {flag}"), &["with --namesrv", "that bench starts"]);
        }
        check("knee --rate 5k", &["--rate", "--start up to --max"]);
        check("knee --repeat 2", &["--repeat"]);
        check("knee --messages 100", &["--messages", "never many enough"]);
        check("knee --profile flame.svg", &["--profile", "`bench produce --rate`"]);
        check("knee --min 2k", &["--min", "2000/s is above the first rate, 1000/s"]);
        check("knee --min 2k --start 8k --max 1500", &["--min", "the first rate, 1500/s"]);
        check("switch a=1,2 --duration 5", &["--duration", "--pairs, --slice, --settle"]);
        check("limits --repeat 2", &["--repeat", "run it again"]);
        check("limits -n h:1 --directory d", &["--directory", "with --namesrv"]);
        check("limits --broker h:1 --core 1", &["--core", "with --broker"]);
        check("limits -n h:1 --client-cores 1", &["--client-cores", "with --namesrv"]);
        check("versus --show a.json --quick", &["--show", "--quick", "cannot be used"]);
        check("versus --show a.json --json", &[]);
        check("consume --produce 5k", &["--produce", "add --from last"]);
        check("consume --produce 5k --from first", &["add --from last"]);
    }

    #[test]
    fn a_refusal_ends_with_the_usage_of_its_command() {
        check("knee --rate 5k", &["Usage: bench knee [OPTIONS]"]);
    }

    #[test]
    fn the_same_flags_are_taken_where_they_mean_something() {
        for line in [
            "produce --arrivals poisson --rate 5k",
            "knee --arrivals poisson",
            "knee --min 500",
            "knee --min 2k --start 2k",
            "produce --spread zipf --topics 9",
            "produce -n h:1",
            "idle -n h:1",
            "produce --flush sync --store x",
            "limits --directory d --core 1",
            "limits -n h:1 --size 100",
            "consume --produce 5k --from last",
            "crash --flush async",
        ] {
            check(line, &[]);
        }
    }

    #[test]
    fn what_would_measure_nothing_is_refused() {
        check("produce --duration 0", &["--duration", "more than 0"]);
        check("produce --messages 0", &["--messages", "1 or more"]);
        check("idle --duration 0s", &["more than 0"]);
        check("produce --warm-up 0", &[]);
    }

    #[test]
    fn what_fits_no_frame_is_refused_before_anything_runs() {
        check("produce --batch 1024 --size 1MiB", &["--batch", "16 MiB"]);
        check("produce --batch 15 --size 1MiB", &[]);
        let tag = "x".repeat(33_000);
        check(&format!("produce --batch 2 --tags {tag}"), &["--tags", "32000 bytes"]);
    }

    #[test]
    fn name_servers_are_named_with_their_ports() {
        check("produce -n a:9876;b:9876", &[]);
        check("produce -n [::1]:9876", &[]);
        for address in ["host", "a:9876;", "a:9876;b", ":9876", "a:port", "a:9876,b:9876"] {
            check(&format!("produce -n {address}"), &["host:port", "127.0.0.1:9876"]);
        }
    }
}

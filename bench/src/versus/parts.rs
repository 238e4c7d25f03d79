//! A race may be run in parts: one command after another goes on with what is in their directory.
//! All of them are kept, with the machine as each found it: a figure is that of its part.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::documents::{self, Found, Wanted};
use crate::environment::Environment;
use crate::error::BenchError;
use crate::report::environment;
use crate::versus::race::DOCUMENT;
use crate::versus::results::{Kept, Results};

/// Of the conditions, those in which parts of one race may differ: how much of it was asked.
const FREE_CONDITIONS: [&str; 2] = ["seed", "blocks"];

/// The condition that a part without Apache does not know.
pub const JAVA: &str = "java";

/// A part of a race before the last one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Part {
    /// Number of its last run: the next part begins behind it.
    pub until: usize,
    /// Its command, and the machine and the disk of the stores when it began.
    pub environment: Environment,
}

impl Results {
    /// Begins a part. One that has run nothing gives way to it.
    pub fn begin_part(&mut self, environment: Environment) {
        let before = std::mem::replace(&mut self.environment, environment);
        let (known, until) = (self.earlier.last().map_or(0, |part| part.until), self.runs.len());
        if known < until {
            self.earlier.push(Part { until, environment: before });
        }
    }

    /// The command of each part and its runs, and the machine where it was not that of the part
    /// before. Of a race without parts only its command and machine.
    pub fn describe_parts(&self) -> String {
        let last = (self.runs.len(), &self.environment);
        let parts = self.earlier.iter().map(|part| (part.until, &part.environment)).chain([last]);
        let mut text = String::new();
        let (mut first, mut before) = (1, None);
        for (until, of_part) in parts {
            text.push_str(&environment::place_after(of_part, before));
            text.push('\n');
            if !self.earlier.is_empty() {
                text.push_str(&runs(first, until, of_part));
            }
            (first, before) = (until + 1, Some(of_part));
        }
        text
    }
}

/// The runs of a part, in words: the last one may have none yet.
fn runs(first: usize, until: usize, of_part: &Environment) -> String {
    let (began, load) = (environment::time(of_part.unix_ms), &of_part.load_average);
    match first > until {
        true => format!("no run; began {began}, load {load}\n"),
        false => format!("runs {first} to {until}; began {began}, load {load}\n"),
    }
}

/// The race whose data are in a directory, if there is one.
///
/// # Errors
/// What is there cannot be read, or is no race.
pub async fn kept(output: &Path) -> Result<Option<Kept>, BenchError> {
    let document = output.join(DOCUMENT);
    match documents::read::<Kept>(&document, Wanted::Race).await {
        Ok(kept) => Ok(Some(kept)),
        Err(BenchError::WrongFile(it)) if matches!(it.found, Found::Nothing) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The race as far as it is; what comes now must be of the same kind. Only the version of Java may
/// be unknown to one of the two, in a part without Apache, and is the other's then.
///
/// # Errors
/// It is not: the sentence says in what.
pub fn go_on(mut kept: Kept, now: Value) -> Result<Results, BenchError> {
    let (Value::Object(before), Value::Object(now)) = (&mut kept.conditions, now) else {
        return Err(BenchError::Race(format!(
            "{DOCUMENT} has no conditions: name another --output"
        )));
    };
    for (key, value) in now {
        let known = before.get(&key).unwrap_or(&Value::Null);
        let is_free = FREE_CONDITIONS.contains(&key.as_str());
        let may_be_unknown = key == JAVA;
        if is_free || (may_be_unknown && known.is_null()) {
            before.insert(key, value);
        } else if !(may_be_unknown && value.is_null()) && *known != value {
            return Err(BenchError::Race(format!(
                "the race in --output has {key} {known} and not {value}: name another --output, \
                 or ask for the same"
            )));
        }
    }
    Ok(Results::of(kept))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::versus::results::tests::race;

    fn check(now: Value) -> Result<Results, BenchError> {
        let before = json!({"seed": 1, "blocks": 2, "duration_s": 4.0, "java": null, "our_program": "bench"});
        let kept = json!({"conditions": before, "runs": []});
        go_on(serde_json::from_value(kept).unwrap(), now)
    }

    fn machine(command: &str, kernel: &str) -> Environment {
        let [command, kernel] = [command, kernel].map(str::to_owned);
        Environment {
            command,
            kernel,
            load_average: "0.10 0.20 0.30".to_owned(),
            ..Environment::default()
        }
    }

    /// A race of two runs each by these commands.
    fn in_parts(commands: &[(&str, &str)]) -> Results {
        let mut results = Results::new(Value::Null);
        for (command, kernel) in commands {
            results.begin_part(machine(command, kernel));
            results.runs.extend(race("sync-1x1", 1, 1.0).runs.drain(..2));
        }
        results
    }

    #[test]
    fn a_race_tells_each_of_its_commands_with_its_runs_and_what_was_new_of_the_machine() {
        let results =
            in_parts(&[("bench one", "6.1"), ("bench two", "6.1"), ("bench three", "6.2")]);
        let kept: Kept = serde_json::from_str(&results.to_json()).unwrap();
        let text = Results::of(kept).describe_parts();
        let of = |word: &str| text.lines().filter(|line| line.contains(word)).count();
        assert_eq!(
            (of(": bench one"), of(": bench two"), of(": bench three")),
            (1, 1, 1),
            "{text}"
        );
        assert_eq!((of("Linux 6.1"), of("Linux 6.2")), (1, 1), "{text}");
        let began = "; began 1970-01-01T00:00:00Z, load 0.10 0.20 0.30\n";
        for runs in ["runs 1 to 2", "runs 3 to 4", "runs 5 to 6"] {
            assert!(text.contains(&format!("{runs}{began}")), "{text}");
        }
    }

    #[test]
    fn a_race_of_one_command_tells_it_and_no_runs() {
        let results = in_parts(&[("bench one", "6.1")]);
        assert!(results.earlier.is_empty());
        assert_eq!(results.describe_parts(), environment::place(&results.environment) + "\n");
    }

    #[test]
    fn a_command_that_ran_nothing_leaves_no_part() {
        let mut results = in_parts(&[("bench one", "6.1")]);
        results.begin_part(machine("bench nothing", "6.1"));
        assert!(results.describe_parts().contains("no run; began "));
        results.begin_part(machine("bench two", "6.1"));
        let text = results.describe_parts();
        assert!(text.contains("bench one") && !text.contains("bench nothing"), "{text}");
        assert_eq!((results.earlier.len(), results.earlier[0].until), (1, 2));
    }

    #[test]
    fn a_race_goes_on_only_under_its_conditions() {
        let now = json!({"seed": 2, "blocks": 4, "duration_s": 4.0, "java": "17"});
        let results = check(now).unwrap();
        assert_eq!(
            (&results.conditions["java"], &results.conditions["blocks"]),
            (&json!("17"), &json!(4))
        );
        assert!(check(json!({"our_program": "mqbroker"})).is_err(), "before, bench played it");
        let error = check(json!({"duration_s": 20.0})).unwrap_err().to_string();
        assert!(error.contains("duration_s 4.0 and not 20.0"), "{error}");
    }
}

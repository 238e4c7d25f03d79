//! A race may be run in parts: one command after another goes on with what is in their directory.

use std::path::Path;

use serde_json::Value;

use crate::documents::{self, Found, Wanted};
use crate::error::BenchError;
use crate::versus::race::DOCUMENT;
use crate::versus::results::{Kept, Results};

/// Of the conditions, those in which parts of one race may differ: how much of it was asked.
const FREE_CONDITIONS: [&str; 2] = ["seed", "blocks"];

/// The condition that a part without Apache does not know.
pub const JAVA: &str = "java";

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
    use crate::environment::Environment;

    fn check(now: Value) -> Result<Results, BenchError> {
        let before = json!({"seed": 1, "blocks": 2, "duration_s": 4.0, "java": null, "our_program": "bench"});
        go_on(
            Kept { conditions: before, environment: Environment::default(), runs: Vec::new() },
            now,
        )
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

//! The setting at the brokers: changed by request, and given back whatever comes of the run.

use crate::error::BenchError;
use crate::target::caller::Caller;

/// One setting at all brokers.
pub struct Switches {
    key: String,
    /// Those that a change was sent to and that may have taken it.
    changed: Vec<Switch>,
}

/// The setting at one broker.
struct Switch {
    caller: Caller,
    /// What it was before.
    before: String,
}

/// Lets `part` change a setting, and gives every broker its own value back, whatever came of it.
///
/// # Errors
/// The first that there was; of `part`, or of a broker that did not take its value back. Those
/// behind it are told here.
pub async fn restored<T>(
    key: &str,
    part: impl AsyncFnOnce(&mut Switches) -> Result<T, BenchError>,
) -> Result<T, BenchError> {
    let mut switches = Switches { key: key.to_owned(), changed: Vec::new() };
    let mut outcome = part(&mut switches).await;
    for switch in &switches.changed {
        let Err(error) = switch.restore(key).await else { continue };
        match outcome {
            Ok(_) => outcome = Err(error),
            Err(_) => eprintln!("bench: {error}"),
        }
    }
    outcome
}

impl Switches {
    /// Has all brokers take a value, and sees that they do: a setting of the next start is taken,
    /// and nothing comes of it before.
    ///
    /// # Errors
    /// A broker cannot be reached, has no such setting, or goes on with the value that it had.
    pub async fn take(&mut self, addresses: &[&str], value: &str) -> Result<(), BenchError> {
        for address in addresses {
            let mut caller = Caller::connect(address).await?;
            let before = value_at(&mut caller, &self.key).await?;
            let changed = caller.change_setting(&self.key, value).await;
            // A refusal has changed nothing; an answer that was lost may stand for a change.
            if !matches!(changed, Err(BenchError::Refused { .. })) {
                self.changed.push(Switch { caller, before });
            }
            changed?;
            self.see_taken(value).await?;
        }
        Ok(())
    }

    /// Changes the setting at all brokers.
    ///
    /// # Errors
    /// A broker cannot be reached, or refuses.
    pub async fn set(&mut self, value: &str) -> Result<(), BenchError> {
        for switch in &mut self.changed {
            switch.caller.change_setting(&self.key, value).await?;
        }
        Ok(())
    }

    /// That the last broker has the value.
    async fn see_taken(&mut self, value: &str) -> Result<(), BenchError> {
        let (key, last) = (&self.key, self.changed.last_mut().expect("one was asked"));
        let found = value_at(&mut last.caller, key).await?;
        match found == value {
            true => Ok(()),
            false => Err(BenchError::NotComparable(format!(
                "{key}={value} was asked for, and it is still {found}: bench switch takes \
                 settings that a broker changes while it runs, and values as it writes them itself"
            ))),
        }
    }
}

impl Switch {
    /// Over a connection of its own: the other may be what the run ended of.
    async fn restore(&self, key: &str) -> Result<(), BenchError> {
        let (who, before) = (self.caller.who(), &self.before);
        let restored = async { Caller::connect(who).await?.change_setting(key, before).await };
        restored.await.map_err(|error| BenchError::NotRestored {
            who: who.to_owned(),
            setting: format!("{key}={before}"),
            error: Box::new(error),
        })
    }
}

async fn value_at(caller: &mut Caller, key: &str) -> Result<String, BenchError> {
    caller.configuration().await?.remove(key).ok_or_else(|| {
        let text = format!(
            "the broker at {} has no setting {key}: mqadmin getBrokerConfig lists all",
            caller.who()
        );
        BenchError::NotComparable(text)
    })
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use ringmq_runtime::shards;

    use super::*;
    use crate::target::fake::Fake;

    /// Two brokers with a setting `k` of the value `own`.
    type Brokers = [Rc<Fake>; 2];

    /// The error of a run of `part`, and what the brokers have then.
    fn check<F>(part: F, error: &str, values: [&str; 2])
    where
        F: AsyncFnOnce(&Brokers, &mut Switches) -> Result<(), BenchError> + 'static,
    {
        let (found, left) = shards::block_on(async move {
            let brokers = [Fake::start(), Fake::start()];
            let run = async |switches: &mut Switches| part(&brokers, switches).await;
            let found = restored("k", run).await.unwrap_err().to_string();
            (found, brokers.map(|broker| broker.value.borrow().clone()))
        });
        assert!(found.contains(error), "{error}: {found}");
        assert_eq!(left, values, "{found}");
    }

    async fn take(brokers: &Brokers, switches: &mut Switches) -> Result<(), BenchError> {
        let addresses = [&brokers[0], &brokers[1]].map(|broker| broker.address.as_str());
        switches.take(&addresses, "second").await?;
        assert_eq!([0, 1].map(|it| brokers[it].value.borrow().clone()), ["second", "second"]);
        Ok(())
    }

    fn lost() -> BenchError {
        BenchError::Race("the run failed".to_owned())
    }

    #[test]
    fn a_run_that_fails_behind_the_switch_gives_all_brokers_their_values_back() {
        let part = async |brokers: &Brokers, switches: &mut Switches| {
            take(brokers, switches).await?;
            Err(lost())
        };
        check(part, "the run failed", ["own", "own"]);
    }

    #[test]
    fn a_broker_that_refuses_gives_those_before_it_their_values_back() {
        let part = async |brokers: &Brokers, switches: &mut Switches| {
            brokers[1].refuses.set("second");
            take(brokers, switches).await
        };
        check(part, "change of a setting: ", ["own", "own"]);
    }

    #[test]
    fn a_broker_whose_answer_was_lost_gets_its_value_back() {
        let part = async |brokers: &Brokers, switches: &mut Switches| {
            take(brokers, switches).await?;
            brokers[0].hangs_up.set(true);
            switches.set("first").await
        };
        check(part, "closed the connection", ["own", "own"]);
    }

    #[test]
    fn a_broker_that_keeps_a_value_is_told_and_the_next_has_its_own_back() {
        let kept = async |brokers: &Brokers, switches: &mut Switches| {
            take(brokers, switches).await?;
            brokers[0].refuses.set("own");
            Ok(())
        };
        check(kept, "may have kept a value of bench switch: set k=own there", ["second", "own"]);
        let both = async |brokers: &Brokers, switches: &mut Switches| {
            take(brokers, switches).await?;
            brokers[0].refuses.set("own");
            Err(lost())
        };
        check(both, "the run failed", ["second", "own"]);
    }
}

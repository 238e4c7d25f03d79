//! The disks of the brokers, which a load fills: a run ends before one of them is so full that its
//! broker does more than it is asked.

use std::collections::BTreeMap;

use crate::disk_room::{LIMIT_DEFAULT, most, nearly_full};
use crate::error::BenchError;
use crate::target::caller::Caller;

/// The key of a broker for the used share of its file system, ours and Apache's.
const RATIO_KEY: &str = "commitLogDiskRatio";

/// The key for the percent above which it deletes files by force; Apache's broker does not tell it.
const LIMIT_KEY: &str = "diskSpaceCleanForciblyRatio";

/// What helps a broker that bench started.
const OURS_TO_DO: &str = "ask for fewer --pairs or a shorter --slice, lower the load, or take a \
                          larger disk (--store)";

/// What helps a broker whose disk is not for bench to choose.
const THEIRS_TO_DO: &str = "ask for fewer --pairs or a shorter --slice, lower the load, or make \
                            room on that disk";

/// Those of all brokers that tell how full they are.
pub struct Disks {
    disks: Vec<Disk>,
    /// What the user can do when one of them is too full.
    what_to_do: &'static str,
}

/// The disk of a broker, in shares of its size.
struct Disk {
    /// Address of the broker.
    broker: String,
    limit: f64,
    /// Used when the first pair began.
    first: f64,
    used: f64,
    /// The most that a pair has taken.
    largest: f64,
}

impl Disks {
    /// Looks at the disks before anything is put on them; `are_ours` says that bench started their
    /// brokers.
    ///
    /// # Errors
    /// A broker does not answer, or one of the disks is too full for anything to be measured.
    pub async fn of(brokers: &[&str], are_ours: bool) -> Result<Self, BenchError> {
        let what_to_do = if are_ours { OURS_TO_DO } else { THEIRS_TO_DO };
        let mut disks = Vec::new();
        for broker in brokers {
            let mut caller = Caller::connect(broker).await?;
            match ratio(&caller.runtime_information().await?) {
                Some(used) => disks.push(Disk::new(broker, &caller.configuration().await?, used)),
                None => eprintln!(
                    "the broker at {broker} does not tell how full its disk is: nobody sees when \
                     the load fills it"
                ),
            }
        }
        match disks.iter().find(|disk| !disk.has_room()) {
            Some(full) => Err(BenchError::DiskFull(format!("{}; {what_to_do}", full.describe()))),
            None => Ok(Self { disks, what_to_do }),
        }
    }

    /// Runs up to `pairs`, each while all disks have room for one like those before it, and
    /// until `pair` says that it was the last; why not all, if a disk was the reason. What all of
    /// them would take is told as soon as it is known not to fit.
    ///
    /// # Errors
    /// Those of `pair`, and a broker that does not answer.
    pub async fn while_they_have_room(
        &mut self,
        pairs: u32,
        mut pair: impl AsyncFnMut(u32) -> Result<bool, BenchError>,
    ) -> Result<Option<String>, BenchError> {
        let mut is_told = false;
        for number in 1..=pairs {
            let done = number - 1;
            self.look(done).await?;
            if let Some(full) = self.disks.iter().find(|disk| !disk.has_room()) {
                let ended = full.ended(done, pairs);
                return Ok(Some(format!("{ended}; {}", self.what_to_do)));
            }
            let short = self.disks.iter().find_map(|disk| disk.too_small_for(done, pairs));
            if let Some(short) = short.filter(|_| !is_told) {
                eprintln!("{short}; {}", self.what_to_do);
                is_told = true;
            }
            if !pair(number).await? {
                break;
            }
        }
        Ok(None)
    }

    /// Looks again, after `done` pairs.
    async fn look(&mut self, done: u32) -> Result<(), BenchError> {
        for disk in &mut self.disks {
            let mut caller = Caller::connect(&disk.broker).await?;
            let used = ratio(&caller.runtime_information().await?).unwrap_or(disk.used);
            match done {
                0 => disk.first = used,
                _ => disk.largest = disk.largest.max(used - disk.used),
            }
            disk.used = used;
        }
        Ok(())
    }
}

impl Disk {
    fn new(broker: &str, configuration: &BTreeMap<String, String>, used: f64) -> Self {
        let percent = configuration.get(LIMIT_KEY).and_then(|text| text.parse::<f64>().ok());
        let limit = percent.map_or(LIMIT_DEFAULT, |percent| percent / 100.0);
        Self { broker: broker.to_owned(), limit, first: used, used, largest: 0.0 }
    }

    /// Whether a pair may follow that takes as much as the largest before it.
    fn has_room(&self) -> bool {
        self.used + self.largest <= most(self.limit)
    }

    fn whose(&self) -> String {
        format!("the disk of the broker at {}", self.broker)
    }

    fn describe(&self) -> String {
        nearly_full(&self.whose(), self.used, self.limit)
    }

    fn ended(&self, done: u32, pairs: u32) -> String {
        format!(
            "ended after {done} of {pairs} pairs: {} before a pair that may take {:.2} %",
            self.describe(),
            100.0 * self.largest
        )
    }

    /// How many pairs fit, if that is less than all, by what those so far have taken on average.
    fn too_small_for(&self, done: u32, pairs: u32) -> Option<String> {
        let of_a_pair = (self.used - self.first) / f64::from(done);
        let fit = f64::from(done) + (most(self.limit) - self.used) / of_a_pair;
        // Before the first, and where nothing is taken, it is no number.
        let is_too_small = of_a_pair > 0.0 && fit < f64::from(pairs);
        is_too_small.then(|| {
            format!(
                "expected room for {pairs} pairs, and found room for some {:.0}: a pair takes \
                 {:.2} % of {}, of which {:.1} % is used, and the run ends before {:.1} %",
                fit.floor(),
                100.0 * of_a_pair,
                self.whose(),
                100.0 * self.used,
                100.0 * most(self.limit)
            )
        })
    }
}

/// The used share that a broker tells; Apache's tells a negative one where it knows none.
fn ratio(information: &BTreeMap<String, String>) -> Option<f64> {
    let ratio = information.get(RATIO_KEY)?.parse::<f64>().ok()?;
    (ratio > 0.0 && ratio <= 1.0).then_some(ratio)
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::shards;

    use super::*;
    use crate::target::fake::Fake;

    /// How many of 40 pairs are run, and what is said at the end, on a disk of which `used` is
    /// taken at the start and `of_a_pair` by each pair; `are_ours` as for [`Disks::of`].
    fn run(are_ours: bool, used: f64, of_a_pair: f64) -> (u32, Result<Option<String>, String>) {
        shards::block_on(async move {
            let fake = Fake::start();
            fake.disk_ratio.set(used);
            let mut disks = match Disks::of(&[&fake.address], are_ours).await {
                Ok(disks) => disks,
                Err(error) => return (0, Err(error.to_string())),
            };
            let mut done = 0;
            let pair = async |number| {
                done = number;
                fake.disk_ratio.set(fake.disk_ratio.get() + of_a_pair);
                Ok(true)
            };
            let said = disks.while_they_have_room(40, pair).await.unwrap();
            (done, Ok(said))
        })
    }

    #[test]
    fn a_run_ends_before_its_broker_deletes_files_by_force() {
        let (done, said) = run(true, 0.701, 0.01);
        assert_eq!(done, 12, "to 82.1 %, and the next would go beyond 83 %");
        let said = said.unwrap().unwrap();
        for part in [
            "ended after 12 of 40 pairs: expected at most 83.0 % of the disk of the broker at ",
            "above 85 % a broker deletes files by force",
            "found 82.1 % before a pair that may take 1.00 %; ask for fewer --pairs",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(run(true, 0.40, 0.01), (40, Ok(None)), "all fit");
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_refused_before_anything_is_sent() {
        let (done, said) = run(true, 0.84, 0.01);
        let said = said.unwrap_err();
        assert!(done == 0 && said.contains("found 84.0 %; ask for fewer --pairs"), "{said}");
    }

    #[test]
    fn a_larger_disk_is_advised_only_for_brokers_that_bench_starts() {
        for (are_ours, advice) in [(true, "larger disk (--store)"), (false, "room on that disk")] {
            let ended = run(are_ours, 0.701, 0.01).1.unwrap().unwrap();
            let refused = run(are_ours, 0.84, 0.01).1.unwrap_err();
            for said in [ended, refused] {
                assert!(said.ends_with(advice), "{advice}: {said}");
            }
        }
    }

    #[test]
    fn a_broker_that_tells_nothing_of_its_disk_is_not_watched() {
        assert_eq!(run(true, -1.0, 0.0), (40, Ok(None)));
    }

    #[test]
    fn pairs_that_do_not_fit_are_told_after_the_first() {
        let configuration = [(LIMIT_KEY.to_owned(), "80".to_owned())].into();
        let mut disk = Disk::new("a:1", &configuration, 0.3);
        assert_eq!(disk.too_small_for(0, 40), None, "nothing is known of a pair");
        assert_eq!(disk.too_small_for(1, 40), None, "it took nothing");
        disk.used = 0.325;
        let said = disk.too_small_for(1, 40).unwrap();
        let parts = "expected room for 40 pairs, and found room for some 19: a pair takes 2.50 % \
                     of the disk of the broker at a:1, of which 32.5 % is used, and the run ends \
                     before 78.0 %";
        assert!(said.starts_with(parts), "{said}");
        assert_eq!(disk.too_small_for(1, 19), None);
    }
}

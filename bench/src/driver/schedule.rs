//! When requests are meant to be sent.
//!
//! Closed loop: a request is due as soon as a slot is free, so a stall of the broker also stalls
//! the load; the figure that counts is throughput. Open loop: request *k* has a due time that was
//! fixed before the run, whatever the broker does, and latency counts from there, so a stall is
//! charged to every request that should have been sent meanwhile.
//!
//! A schedule is a unit process (evenly spaced, Poisson, or bursts, one arrival per unit on
//! average) whose units are stretched over time by the rate of each step: the integral of the rate
//! up to the due time of an arrival is the arrival's position in units.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Exp1};

/// How arrivals lie between each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly spaced.
    Constant,
    /// As of many independent users: exponential gaps.
    Poisson,
    /// So many at the same moment, bursts evenly spaced.
    Bursts(u32),
}

/// A time with one rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// How long; the last step never ends.
    pub length: Duration,
    /// Requests per second, positive.
    pub rate: f64,
}

/// Which arrivals are those of one of several threads: arrival *k* is for connection *k* modulo
/// `lanes`, and connection *l* is driven by thread *l* modulo `threads`. All parts together are the
/// whole schedule, whatever its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which thread, from 0.
    pub thread: u64,
    /// How many there are; at most as many as lanes.
    pub threads: u64,
    /// Connections in all.
    pub lanes: u64,
}

impl Part {
    fn has(self, arrival: u64) -> bool {
        arrival % self.lanes % self.threads == self.thread
    }
}

/// The due times of an open loop, one after the other.
#[derive(Clone, Debug)]
pub struct Schedule {
    steps: Vec<Step>,
    arrivals: Arrivals,
    random: SmallRng,
    /// Arrivals so far, those of other parts included.
    arrived: u64,
    /// Arrivals taken.
    taken: u64,
    /// Of all arrivals only these; none: all.
    part: Option<Part>,
    /// Position of the next arrival, in units; Poisson sums its gaps here.
    position: f64,
    /// The step in which the next arrival lies, its start in seconds and in units.
    step: usize,
    step_start_s: f64,
    step_start_units: f64,
}

impl Schedule {
    /// Due times for `steps` (at least one); `seed` decides the gaps of Poisson arrivals.
    pub fn new(steps: Vec<Step>, arrivals: Arrivals, seed: u64) -> Self {
        assert!(!steps.is_empty(), "a schedule has at least one step");
        assert!(steps.iter().all(|step| step.rate > 0.0), "rates are positive: {steps:?}");
        Self {
            steps,
            arrivals,
            random: SmallRng::seed_from_u64(seed),
            arrived: 0,
            taken: 0,
            part: None,
            position: 0.0,
            step: 0,
            step_start_s: 0.0,
            step_start_units: 0.0,
        }
    }

    /// Time from the start of the run to the next arrival.
    pub fn next_due(&self) -> Duration {
        let units = self.position - self.step_start_units;
        Duration::from_secs_f64(self.step_start_s + units / self.steps[self.step].rate)
    }

    /// Leaves all arrivals out that are not of `part`. Only before the first is taken.
    pub fn keep_only(&mut self, part: Part) {
        assert!(self.arrived == 0, "{} arrivals were handed out before", self.arrived);
        assert!(part.thread < part.threads && part.threads <= part.lanes, "{part:?} has arrivals");
        self.part = Some(part);
        self.skip_other_parts();
    }

    /// Takes the next arrival.
    pub fn advance(&mut self) {
        self.taken += 1;
        self.step_on();
        self.skip_other_parts();
    }

    fn skip_other_parts(&mut self) {
        while self.part.is_some_and(|part| !part.has(self.arrived)) {
            self.step_on();
        }
    }

    /// Goes on to the next arrival of whatever part.
    fn step_on(&mut self) {
        self.arrived += 1;
        self.position = match self.arrivals {
            Arrivals::Constant => self.arrived as f64,
            Arrivals::Poisson => {
                let gap: f64 = Exp1.sample(&mut self.random);
                self.position + gap
            }
            Arrivals::Bursts(size) => (self.arrived - self.arrived % u64::from(size)) as f64,
        };
        while self.step + 1 < self.steps.len() {
            let Step { length, rate } = self.steps[self.step];
            let end_units = self.step_start_units + length.as_secs_f64() * rate;
            if self.position < end_units {
                break;
            }
            self.step_start_s += length.as_secs_f64();
            self.step_start_units = end_units;
            self.step += 1;
        }
    }
}

/// A schedule at work: what has been handed out, and what should have been.
#[derive(Clone, Debug)]
pub struct Pacer {
    handed_out: Schedule,
    /// Runs ahead to count what is due, however long nothing could be sent.
    due: Schedule,
}

impl Pacer {
    /// A pacer at the start of `schedule`.
    pub fn new(schedule: Schedule) -> Self {
        Self { handed_out: schedule.clone(), due: schedule }
    }

    /// Leaves all requests out that are not of `part`. Only before the first is taken.
    pub fn keep_only(&mut self, part: Part) {
        self.handed_out.keep_only(part);
        self.due.keep_only(part);
    }

    /// The intended time of the next request.
    pub fn next_due(&self) -> Duration {
        self.handed_out.next_due()
    }

    /// Takes the next request if it is due by `elapsed`; its intended time.
    pub fn take(&mut self, elapsed: Duration) -> Option<Duration> {
        let due = self.handed_out.next_due();
        (due <= elapsed).then(|| {
            self.handed_out.advance();
            due
        })
    }

    /// Requests that are due by `elapsed` and were not taken.
    pub fn backlog(&mut self, elapsed: Duration) -> u64 {
        while self.due.next_due() <= elapsed {
            self.due.advance();
        }
        self.due.taken - self.handed_out.taken.min(self.due.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rates: &[f64], arrivals: Arrivals) -> Schedule {
        let step = |&rate: &f64| Step { length: Duration::from_secs(1), rate };
        Schedule::new(rates.iter().map(step).collect(), arrivals, 7)
    }

    fn dues(mut schedule: Schedule, count: usize) -> Vec<Duration> {
        let mut take = || {
            let due = schedule.next_due();
            schedule.advance();
            due
        };
        (0..count).map(|_| take()).collect()
    }

    #[test]
    fn constant_arrivals_are_evenly_spaced_however_long_the_run() {
        let dues = dues(schedule(&[1_000.0], Arrivals::Constant), 1_000_001);
        assert_eq!(dues[0], Duration::ZERO);
        assert_eq!(dues[999], Duration::from_millis(999));
        assert_eq!(dues[1_000_000], Duration::from_secs(1_000));
    }

    #[test]
    fn steps_change_the_rate_at_their_time() {
        let dues = dues(schedule(&[10.0, 20.0, 5.0], Arrivals::Constant), 36);
        assert_eq!(dues[9], Duration::from_millis(900));
        assert_eq!(dues[10..13], [1_000, 1_050, 1_100].map(Duration::from_millis));
        assert_eq!(dues[30..33], [2_000, 2_200, 2_400].map(Duration::from_millis));
        assert_eq!(dues[35], Duration::from_millis(3_000), "the last step never ends");
    }

    #[test]
    fn bursts_come_together_and_keep_the_rate() {
        let dues = dues(schedule(&[100.0], Arrivals::Bursts(50)), 101);
        assert!(dues[..50].iter().all(|&due| due == Duration::ZERO));
        assert!(dues[50..100].iter().all(|&due| due == Duration::from_millis(500)));
        assert_eq!(dues[100], Duration::from_secs(1));
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_their_rate() {
        let dues = dues(schedule(&[1_000.0], Arrivals::Poisson), 100_000);
        let gaps: Vec<f64> =
            dues.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1e3).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((0.98..1.02).contains(&mean), "mean {mean} ms");
        assert!((0.95..1.05).contains(&variance), "an exponential's variance is its mean squared");
    }

    #[test]
    fn the_parts_of_a_schedule_are_the_whole_of_it() {
        for arrivals in [Arrivals::Constant, Arrivals::Poisson, Arrivals::Bursts(7)] {
            let whole = schedule(&[100.0, 300.0], arrivals);
            let mut parts = Vec::new();
            for (thread, share) in [(0, 3), (1, 2)] {
                // Five connections: three on the first thread, two on the other.
                let mut part = whole.clone();
                part.keep_only(Part { thread, threads: 2, lanes: 5 });
                parts.extend(dues(part, 100 * share));
            }
            parts.sort_unstable();
            assert_eq!(parts, dues(whole, 500), "{arrivals:?}");
        }
    }

    #[test]
    fn the_backlog_of_a_part_is_its_own() {
        let mut pacer = Pacer::new(schedule(&[10.0], Arrivals::Constant));
        pacer.keep_only(Part { thread: 1, threads: 2, lanes: 2 });
        assert_eq!(pacer.backlog(Duration::from_millis(550)), 3, "at 100, 300 and 500 ms");
        assert_eq!(pacer.take(Duration::from_millis(550)), Some(Duration::from_millis(100)));
        assert_eq!(pacer.backlog(Duration::from_millis(550)), 2);
    }

    #[test]
    fn a_pacer_hands_out_what_is_due_and_counts_what_waits() {
        let mut pacer = Pacer::new(schedule(&[10.0], Arrivals::Constant));
        assert_eq!(pacer.take(Duration::from_millis(250)), Some(Duration::ZERO));
        assert_eq!(pacer.backlog(Duration::from_millis(250)), 2);
        assert_eq!(pacer.take(Duration::from_millis(250)), Some(Duration::from_millis(100)));
        assert_eq!(pacer.take(Duration::from_millis(250)), Some(Duration::from_millis(200)));
        assert_eq!(pacer.take(Duration::from_millis(250)), None);
        assert_eq!(pacer.backlog(Duration::from_millis(250)), 0);
        assert_eq!(pacer.next_due(), Duration::from_millis(300));
    }
}

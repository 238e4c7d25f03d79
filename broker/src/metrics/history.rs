//! Totals over time, and the rates between them.

use std::collections::VecDeque;

use super::Totals;

/// Time between two samples.
pub const SAMPLE_PERIOD_MS: u64 = 10_000;

/// Samples kept: ten minutes and the one before.
const SAMPLES_KEPT: usize = 61;

/// Samples of the whole broker's totals, newest last.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<(u64, Totals)>,
}

impl History {
    /// Takes a sample; times are monotonic milliseconds.
    pub fn sample(&mut self, clock_ms: u64, totals: Totals) {
        if self.samples.len() == SAMPLES_KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back((clock_ms, totals));
    }

    /// Rates per second over 10 s, 60 s and 600 s as `a b c`: always three numbers, because tools
    /// split them.
    pub fn rates(&self, value: impl Fn(&Totals) -> u64) -> String {
        let over = |samples| self.rate(samples, &value);
        format!("{:?} {:?} {:?}", over(1), over(6), over(60))
    }

    /// The rate per second over the last `samples` periods, or as many as there are.
    pub fn rate(&self, samples: usize, value: impl Fn(&Totals) -> u64) -> f64 {
        let Some((now, last)) = self.samples.back() else { return 0.0 };
        let first = self.samples.len().saturating_sub(samples + 1);
        let (then, base) = &self.samples[first];
        let elapsed_ms = now.saturating_sub(*then);
        if elapsed_ms == 0 {
            return 0.0;
        }
        value(last).saturating_sub(value(base)) as f64 * 1_000.0 / elapsed_ms as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_three_numbers_from_the_first_moment() {
        let mut history = History::default();
        let at = |messages_in| Totals { messages_in, ..Totals::default() };
        assert_eq!(history.rates(|totals| totals.messages_in), "0.0 0.0 0.0");
        history.sample(0, at(0));
        history.sample(10_000, at(100));
        history.sample(20_000, at(300));
        assert_eq!(history.rates(|totals| totals.messages_in), "20.0 15.0 15.0");
        for step in 3..200 {
            history.sample(step * 10_000, at(300));
        }
        assert_eq!(history.rates(|totals| totals.messages_in), "0.0 0.0 0.0");
    }
}

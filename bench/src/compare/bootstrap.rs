//! How sure a ratio of means is: the bootstrap (Efron, 1979), with blocks where samples hang
//! together.

use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::Serialize;

/// Resamples of one interval: the ends of a 95 % interval then move by less than 1 % of its width.
const RESAMPLES: usize = 10_000;

/// Every comparison of the same files gives the same interval.
const SEED: u64 = 1979;

/// A ratio, and between which values it lies with the asked confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// The ratio of the samples as they are.
    pub ratio: f64,
    /// Upper end.
    pub high: f64,
}

/// The ratio of the means of `b` and `a` (both not empty, `a` with a positive mean).
///
/// Samples are drawn in blocks of `block` neighbours: 1 for independent ones such as repetitions,
/// more for the seconds of one run, which hang together. `confidence` lies in 0..1.
pub fn ratio_of_means(a: &[f64], b: &[f64], block: usize, confidence: f64) -> Interval {
    let resample =
        |random: &mut SmallRng| resampled_mean(b, block, random) / resampled_mean(a, block, random);
    interval(mean(b) / mean(a), confidence, resample)
}

/// The interval around `ratio` that so large a share of the resamples lies in.
fn interval(
    ratio: f64,
    confidence: f64,
    mut resample: impl FnMut(&mut SmallRng) -> f64,
) -> Interval {
    let mut random = SmallRng::seed_from_u64(SEED);
    let mut ratios: Vec<f64> = (0..RESAMPLES).map(|_| resample(&mut random)).collect();
    ratios.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    let at = |share: f64| ratios[((RESAMPLES - 1) as f64 * share).round() as usize];
    Interval { low: at(tail), ratio, high: at(1.0 - tail) }
}

/// The arithmetic mean of samples (not empty).
pub fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

/// The mean of as many samples as there are, drawn in circular blocks.
fn resampled_mean(samples: &[f64], block: usize, random: &mut SmallRng) -> f64 {
    let len = samples.len();
    let mut sum = 0.0;
    let mut drawn = 0;
    while drawn < len {
        let start = random.random_range(0..len);
        for index in 0..block.min(len - drawn) {
            sum += samples[(start + index) % len];
        }
        drawn += block.min(len - drawn);
    }
    sum / len as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_distr::{Distribution, Normal};

    fn normal(mean: f64, spread: f64, count: usize, seed: u64) -> Vec<f64> {
        let mut random = SmallRng::seed_from_u64(seed);
        let normal = Normal::new(mean, spread).unwrap();
        (0..count).map(|_| normal.sample(&mut random)).collect()
    }

    #[test]
    fn equal_constants_have_a_ratio_of_one_and_no_width() {
        let interval = ratio_of_means(&[5.0; 8], &[5.0; 8], 1, 0.95);
        assert_eq!(interval, Interval { low: 1.0, ratio: 1.0, high: 1.0 });
    }

    #[test]
    fn the_interval_covers_the_true_ratio_about_as_often_as_it_says() {
        let covered = (0..60).filter(|&trial| {
            let a = normal(100.0, 10.0, 20, trial * 2);
            let b = normal(120.0, 10.0, 20, trial * 2 + 1);
            let interval = ratio_of_means(&a, &b, 1, 0.95);
            interval.low <= 1.2 && 1.2 <= interval.high
        });
        assert!((50..=60).contains(&covered.count()));
    }

    #[test]
    fn blocks_widen_the_interval_of_samples_that_hang_together() {
        // Slow waves: each value is close to its neighbours.
        let wave: Vec<f64> = (0..60).map(|i| 100.0 + 20.0 * (i as f64 / 10.0).sin()).collect();
        let width = |block| {
            let interval = ratio_of_means(&wave, &wave, block, 0.95);
            interval.high - interval.low
        };
        assert!(width(10) > 1.5 * width(1), "{} and {}", width(10), width(1));
    }
}

//! How sure a mean, or a ratio of two, is: Student's t, which knows how few the values are. The
//! bootstrap draws from fewer than twenty an interval that is too narrow, and from one block of
//! seconds none at all.

use std::f64::consts::FRAC_PI_2;

use serde::Serialize;

/// Confidence of the intervals of a race, in percent.
pub const CONFIDENCE_PERCENT: u32 = 95;

/// Steps of the sum that finds a quantile: its error is then below 1 in 1,000.
const STEPS: usize = 5_000;

/// More degrees of freedom change a quantile by less than 1 in 1,000.
const FREEDOM_MAX: f64 = 2_000.0;

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

/// The geometric mean of independent positive `ratios` (not empty), such as those of pairs of runs.
/// One alone says nothing about how sure it is: its interval has no ends.
pub fn geometric_mean(ratios: &[f64]) -> Interval {
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    let centre = mean(&logs);
    let half = match logs.len() - 1 {
        0 => f64::INFINITY,
        freedom => {
            let confidence = f64::from(CONFIDENCE_PERCENT) / 100.0;
            quantile(confidence, freedom as f64) * variance_of_mean(&logs).sqrt()
        }
    };
    around(centre.exp(), half)
}

/// The ratio of the means of `b` and `a`: independent samples, two or more of each, `a` with a
/// positive mean and `b` without negative values. `confidence` lies in 0..1.
///
/// The sides may spread differently: Welch's degrees of freedom, on the scale of logarithms.
pub fn ratio_of_means(a: &[f64], b: &[f64], confidence: f64) -> Interval {
    let ratio = mean(b) / mean(a);
    if ratio == 0.0 {
        return Interval { low: 0.0, ratio, high: 0.0 };
    }
    let spread = |side: &[f64]| variance_of_mean(side) / mean(side).powi(2);
    let (of_a, of_b) = (spread(a), spread(b));
    let sum = of_a + of_b;
    if sum == 0.0 {
        return around(ratio, 0.0);
    }
    let freedom = |side: &[f64]| side.len() as f64 - 1.0;
    let welch = sum.powi(2) / (of_a.powi(2) / freedom(a) + of_b.powi(2) / freedom(b));
    around(ratio, quantile(confidence, welch) * sum.sqrt())
}

fn around(ratio: f64, half: f64) -> Interval {
    Interval { low: ratio * (-half).exp(), ratio, high: ratio * half.exp() }
}

/// The arithmetic mean of samples (not empty).
pub fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

/// The square of the standard error of the mean; two samples or more.
fn variance_of_mean(samples: &[f64]) -> f64 {
    let centre = mean(samples);
    let squares: f64 = samples.iter().map(|sample| (sample - centre).powi(2)).sum();
    squares / (samples.len() - 1) as f64 / samples.len() as f64
}

/// How many standard errors from the middle so large a share (`confidence`, in 0..1) of Student's
/// distribution ends, with `freedom` degrees of freedom (1 or more, not always whole).
///
/// With `t = sqrt(freedom) tan(angle)` its density is that of `cos(angle)^(freedom - 1)` over the
/// angles of a quarter turn, which needs no gamma function.
fn quantile(confidence: f64, freedom: f64) -> f64 {
    let freedom = freedom.clamp(1.0, FREEDOM_MAX);
    let step = FRAC_PI_2 / STEPS as f64;
    let density = |index: usize| ((index as f64 + 0.5) * step).cos().powf(freedom - 1.0);
    let all: f64 = (0..STEPS).map(density).sum();
    let mut below = 0.0;
    let end = (0..STEPS).find(|&index| {
        below += density(index);
        below >= confidence * all
    });
    let end = end.unwrap_or(STEPS - 1);
    // The last step is passed in part.
    let over = (below - confidence * all) / density(end);
    freedom.sqrt() * ((end as f64 + 1.0 - over) * step).tan()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;
    use rand_distr::{Distribution, Normal};

    use super::*;

    #[test]
    fn the_quantiles_are_those_of_the_tables() {
        // NIST/SEMATECH e-Handbook 1.3.6.7.2, two-sided.
        for (confidence, freedom, expected) in [
            (0.95, 1.0, 12.706),
            (0.95, 2.0, 4.303),
            (0.95, 8.0, 2.306),
            (0.99, 4.0, 4.604),
            (0.80, 10.0, 1.372),
            (0.95, 1e9, 1.960),
        ] {
            let found = quantile(confidence, freedom);
            assert!((found / expected - 1.0).abs() < 2e-3, "{confidence} {freedom}: {found}");
        }
    }

    #[test]
    fn the_interval_is_that_of_students_distribution() {
        // Logarithms -1, 0, 1: mean 0, standard error 1 / sqrt(3), two degrees of freedom.
        let interval = geometric_mean(&[(-1.0_f64).exp(), 1.0, 1.0_f64.exp()]);
        let half = interval.high.ln();
        assert!(
            (interval.ratio - 1.0).abs() < 1e-12 && (half - 4.303 / 3.0_f64.sqrt()).abs() < 1e-2
        );
        assert!((interval.low * interval.high - 1.0).abs() < 1e-9, "{interval:?}");
    }

    #[test]
    fn fewer_ratios_make_it_wider_and_one_leaves_it_open() {
        let width = |count: usize| {
            let ratios: Vec<f64> = (0..count).map(|index| [1.1, 0.9][index % 2]).collect();
            let interval = geometric_mean(&ratios);
            interval.high / interval.low
        };
        assert!(width(2) > width(4) && width(4) > width(8) && width(8) > width(80));
        let one = geometric_mean(&[4.0]);
        assert!((one.ratio - 4.0).abs() < 1e-12 && one.low == 0.0 && one.high.is_infinite());
    }

    #[test]
    fn equal_constants_have_a_ratio_of_one_and_nothing_is_none_of_something() {
        let interval = ratio_of_means(&[5.0; 8], &[5.0; 8], 0.95);
        assert_eq!(interval, Interval { low: 1.0, ratio: 1.0, high: 1.0 });
        let interval = ratio_of_means(&[5.0, 6.0], &[0.0, 0.0], 0.95);
        assert_eq!(interval, Interval { low: 0.0, ratio: 0.0, high: 0.0 });
    }

    #[test]
    fn the_true_ratio_lies_outside_as_often_as_it_may_however_few_the_samples_are() {
        for (count, spread) in [(3, 10.0), (5, 10.0), (20, 30.0)] {
            let mut random = SmallRng::seed_from_u64(7);
            let mut normal = |centre: f64| -> Vec<f64> {
                let normal = Normal::new(centre, spread).unwrap();
                (0..count).map(|_| normal.sample(&mut random)).collect()
            };
            let missed = (0..400).filter(|_| {
                let interval = ratio_of_means(&normal(100.0), &normal(120.0), 0.95);
                interval.low > 1.2 || 1.2 > interval.high
            });
            let missed = missed.count();
            // 5 % are 20; more than 34 would be one chance in a thousand.
            assert!((4..=34).contains(&missed), "{missed} of 400 with {count} samples");
        }
    }
}

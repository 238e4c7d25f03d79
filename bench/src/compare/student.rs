//! How sure the mean of a few ratios is: Student's t on their logarithms. It knows how few they
//! are, where the bootstrap draws from fewer than ten an interval that is too narrow.

use crate::compare::bootstrap::{Interval, mean};

/// Confidence of the intervals, in percent.
pub const CONFIDENCE_PERCENT: u32 = 95;

/// The two-sided quantiles of Student's distribution at that confidence, for 1 degree of freedom
/// and more (any table of it, such as NIST/SEMATECH e-Handbook 1.3.6.7.2). The last stands for all
/// above, where it is a little too wide.
const QUANTILES: [f64; 20] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
];

/// The geometric mean of independent positive `ratios` (not empty), such as those of pairs of runs.
/// One alone says nothing about how sure it is: its interval has no ends.
pub fn geometric_mean(ratios: &[f64]) -> Interval {
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    let centre = mean(&logs);
    let half = match logs.len() - 1 {
        0 => f64::INFINITY,
        freedom => {
            let squares: f64 = logs.iter().map(|log| (log - centre).powi(2)).sum();
            let error = (squares / freedom as f64 / logs.len() as f64).sqrt();
            QUANTILES[freedom.min(QUANTILES.len()) - 1] * error
        }
    };
    Interval { low: (centre - half).exp(), ratio: centre.exp(), high: (centre + half).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_students_distribution() {
        // Logarithms -1, 0, 1: mean 0, standard error 1 / sqrt(3), two degrees of freedom.
        let interval = geometric_mean(&[(-1.0_f64).exp(), 1.0, 1.0_f64.exp()]);
        let half = interval.high.ln();
        assert!(
            (interval.ratio - 1.0).abs() < 1e-12 && (half - 4.303 / 3.0_f64.sqrt()).abs() < 1e-9
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
}

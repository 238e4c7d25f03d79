//! The classes in which send times are counted: Apache's for exporters, finer ones for percentiles.

/// Upper bounds of the classes of send times in milliseconds, and their names in runtime
/// information (Apache's, which exporters parse). The first holds sends below one millisecond.
pub(super) const SEND_TIME_CLASSES: [(u64, &str); CLASSES] = [
    (0, "<=0ms"),
    (10, "0~10ms"),
    (50, "10~50ms"),
    (100, "50~100ms"),
    (200, "100~200ms"),
    (500, "200~500ms"),
    (1_000, "500ms~1s"),
    (2_000, "1~2s"),
    (3_000, "2~3s"),
    (4_000, "3~4s"),
    (5_000, "4~5s"),
    (10_000, "5~10s"),
    (u64::MAX, "10s~"),
];
pub(super) const CLASSES: usize = 13;

/// Classes of send times for percentiles: eight per power of two of microseconds, 12 % wide at
/// most.
pub(super) const FINE_CLASSES: usize = 8 * 32;

/// The send time in milliseconds that a share of all sends stayed below; 0 without sends.
///
/// `histogram` is the element-wise sum of [`super::Counters::send_time_histogram`] of all shards.
pub fn percentile_ms(histogram: &[u64], share: f64) -> f64 {
    let count: u64 = histogram.iter().sum();
    let wanted = (count as f64 * share).ceil() as u64;
    let mut seen = 0;
    for (class, sends) in histogram.iter().enumerate() {
        seen += sends;
        if seen >= wanted && *sends > 0 {
            return fine_class_end_us(class) as f64 / 1_000.0;
        }
    }
    0.0
}

pub(super) fn send_time_class(time_ms: u64) -> usize {
    SEND_TIME_CLASSES.iter().position(|(below, _)| time_ms <= *below).unwrap_or(CLASSES - 1)
}

/// Class of a time: below 8 us one per microsecond, above eight per power of two.
pub(super) fn fine_class(time_us: u64) -> usize {
    if time_us < 8 {
        return time_us as usize;
    }
    let power = time_us.ilog2() as usize;
    let eighth = (time_us >> (power - 3)) as usize & 7;
    ((power - 2) * 8 + eighth).min(FINE_CLASSES - 1)
}

fn fine_class_end_us(class: usize) -> u64 {
    if class < 8 {
        return class as u64 + 1;
    }
    let (power, eighth) = (class / 8 + 2, class as u64 % 8);
    (8 + eighth + 1) << (power - 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_send_times_follow_each_other_without_a_gap() {
        for class in 0..200 {
            let end = fine_class_end_us(class);
            assert_eq!(fine_class(end - 1), class);
            assert_eq!(fine_class(end), class + 1);
        }
        assert_eq!(fine_class(u64::MAX), FINE_CLASSES - 1);
    }
}

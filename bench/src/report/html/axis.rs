//! The axes of plots: where they begin and end, and what stands at their ticks.

/// Ticks of a linear axis, about.
const TICKS: f64 = 6.0;

/// Most decades with which a logarithmic axis also has ticks at 2 and 5.
const FINE_DECADES: f64 = 3.0;

/// An axis.
#[derive(Debug)]
pub struct Axis {
    /// What it shows, with the unit.
    pub name: String,
    /// Values at its two ends.
    pub ends: (f64, f64),
    /// Values with a tick, and the text there.
    pub ticks: Vec<(f64, String)>,
    is_logarithmic: bool,
}

impl Axis {
    /// From 0, or from where the values begin, to the next round number.
    pub fn linear(name: &str, from: f64, to: f64) -> Self {
        let step = round_step((to - from).max(1e-3) / TICKS);
        let (first, last) = ((from / step).floor(), (to / step).ceil().max(1.0));
        let ticks = (0..=(last - first) as u32).map(|number| (first + f64::from(number)) * step);
        Self {
            name: name.to_owned(),
            ends: (first * step, last * step),
            ticks: ticks.map(|value| (value, count(value))).collect(),
            is_logarithmic: false,
        }
    }

    /// Latencies in microseconds, on a logarithmic scale that spans `from` to `to`.
    pub fn latency(name: &str, from: f64, to: f64) -> Self {
        let decades = (to / from).log10();
        let factors: &[f64] = if decades <= FINE_DECADES { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let (first, last) = (from.log10().floor() as i32, to.log10().ceil() as i32);
        let all =
            (first..=last).flat_map(|power| factors.iter().map(move |by| by * 10f64.powi(power)));
        let all: Vec<f64> = all.collect();
        let begin = all.iter().copied().filter(|&tick| tick <= from).fold(all[0], f64::max);
        let end = all.iter().copied().find(|&tick| tick >= to).unwrap_or(to);
        let end = if end > begin { end } else { begin * 10.0 };
        let ticks = all.into_iter().filter(|&tick| tick >= begin && tick <= end);
        Self {
            name: format!("{name} (logarithmic)"),
            ends: (begin, end),
            ticks: ticks.map(|us| (us, duration(us))).collect(),
            is_logarithmic: true,
        }
    }

    /// Percentiles up to the last of `values`: the axis is the logarithm of 1/(1-p), so that each
    /// further nine is as wide as the first.
    pub fn percentiles(values: f64) -> Self {
        let nines = values.max(10.0).log10();
        let tick = |nines: i32| {
            let label = match nines {
                1 => "90 %".to_owned(),
                2 => "99 %".to_owned(),
                more => format!("99.{} %", "9".repeat(more as usize - 2)),
            };
            (10f64.powi(nines), label)
        };
        let median = (2.0, "50 %".to_owned());
        Self {
            name: "share of all requests (logarithm of 1/(1-p))".to_owned(),
            ends: (1.0, 10f64.powf(nines)),
            ticks: std::iter::once(median).chain((1..=nines as i32).map(tick)).collect(),
            is_logarithmic: true,
        }
    }

    /// Where a value lies.
    pub fn place(&self, value: f64) -> f64 {
        if self.is_logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value }
    }

    /// Whether a value can be shown.
    pub fn shows(&self, value: f64) -> bool {
        value.is_finite() && (!self.is_logarithmic || value > 0.0)
    }
}

/// The next step of 1, 2, 5, 10, 20, ...
fn round_step(at_least: f64) -> f64 {
    let power = 10f64.powf(at_least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= at_least);
    factor.unwrap_or(10.0) * power
}

/// A number in three digits with its thousands as a letter.
pub fn count(value: f64) -> String {
    match value.abs() {
        1e9.. => format!("{}G", three_digits(value / 1e9)),
        1e6.. => format!("{}M", three_digits(value / 1e6)),
        1e4.. => format!("{}k", three_digits(value / 1e3)),
        _ => three_digits(value),
    }
}

/// Microseconds in three digits, in the unit that suits them.
pub fn duration(us: f64) -> String {
    match us {
        1e6.. => format!("{} s", three_digits(us / 1e6)),
        1e3.. => format!("{} ms", three_digits(us / 1e3)),
        1.0.. => format!("{} µs", three_digits(us)),
        _ => format!("{} ns", three_digits(us * 1e3)),
    }
}

fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn a_linear_axis_ends_at_a_round_number() {
        let axis = Axis::linear("messages per second", 0.0, 87_000.0);
        assert_eq!(axis.ends, (0.0, 100_000.0));
        assert_eq!(labels(&axis), ["0", "20k", "40k", "60k", "80k", "100k"]);
        assert_eq!(Axis::linear("nothing", 0.0, 0.0).ends.0, 0.0);
    }

    #[test]
    fn a_latency_axis_names_its_units() {
        let axis = Axis::latency("latency", 130.0, 4_100.0);
        assert_eq!(labels(&axis), ["100 µs", "200 µs", "500 µs", "1 ms", "2 ms", "5 ms"]);
        let wide = Axis::latency("latency", 0.4, 2e6);
        assert_eq!((labels(&wide)[0], wide.ticks.len()), ("100 ns", 9));
        assert!(Axis::latency("latency", 100.0, 100.0).ends.1 > 100.0);
    }

    #[test]
    fn each_nine_has_a_tick() {
        let axis = Axis::percentiles(25_000.0);
        assert_eq!(labels(&axis), ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        assert!((axis.place(axis.ends.1) - 25_000f64.log10()).abs() < 1e-9);
    }

    #[test]
    fn figures_have_three_digits() {
        let texts = [0.5, 12.0, 999.4, 12_345.0, 2.5e6].map(duration);
        assert_eq!(texts, ["500 ns", "12 µs", "999 µs", "12.3 ms", "2.5 s"]);
        assert_eq!([0.0, 9_500.0, 12_345.0, 1.5e6].map(count), ["0", "9500", "12.3k", "1.5M"]);
    }
}

//! Axes: their ends, their ticks and how numbers are written on them.

/// An axis from `low` to `high`, with ticks at multiples of a round number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// Over all finite values, with a little air; `anchor` names numbers that must be on it, at whose ends there is none.
    pub fn over(values: impl Iterator<Item = f64>, anchor: Option<(f64, f64)>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            return Self::fixed(0.0, 1.0);
        }
        if let Some((least, most)) = anchor {
            return Self::fixed(low.min(least), high.max(most));
        }
        // No air beyond zero: what is never negative has an axis that begins there at the lowest.
        let air = 0.05 * (high - low);
        let with_air = (low - air, high + air);
        let low = if low >= 0.0 { with_air.0.max(0.0) } else { with_air.0 };
        let high = if high <= 0.0 { with_air.1.min(0.0) } else { with_air.1 };
        Self::fixed(low, high)
    }

    /// From `low` to `high`, made wider if they are one.
    pub fn fixed(low: f64, high: f64) -> Self {
        let (low, high) = if high - low > 1e-9 * (low.abs() + high.abs()) {
            (low, high)
        } else {
            let half = 0.5 * low.abs().max(0.1);
            (low - half, high + half)
        };
        let raw = (high - low) / 5.0;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= raw);
        let step = step.unwrap_or(10.0 * power);
        // A run of 300 000 steps whose last episode ended at 299 980, or the middle of whose last twentieth is 292 500, has its tick
        // at 300k all the same.
        let near = |end: f64, tick: f64| if (tick - end).abs() <= 0.03 * (high - low) { tick } else { end };
        let (first, last) = ((low / step).floor() * step, (high / step).ceil() * step);
        Self { low: near(low, first), high: near(high, last), step }
    }

    /// Where `value` lies between `from` (the axis' low end) and `to`.
    pub fn place(&self, value: f64, from: f64, to: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        from + share * (to - from)
    }

    /// The number of a tick, as it is written.
    pub fn label(&self, value: f64) -> String {
        number(value, self.step, self.low.abs().max(self.high.abs()))
    }

    pub fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-9).ceil() as i64;
        let last = (self.high / self.step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * self.step).collect()
    }
}

/// A tick's number: 250k, 1.5M, −0.05, with as many decimals as ticks `step` apart need; `largest` on the axis sets the unit.
fn number(value: f64, step: f64, largest: f64) -> String {
    let (scaled, step, unit) = match largest {
        size if size >= 1e6 => (value / 1e6, step / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, step / 1e3, "k"),
        _ => (value, step, ""),
    };
    if value == 0.0 {
        return "0".into();
    }
    // As many as the step needs, so that no two ticks are written alike; 2.5 needs one more than 2 and 5 do.
    let decimals = (0..12)
        .find(|&d| ((step * 10f64.powi(d)).round() / 10f64.powi(d) - step).abs() < 1e-3 * step)
        .unwrap_or(12);
    format!("{scaled:.*}{unit}", decimals as usize).replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Axis::fixed(0.0, 500.0).ticks(), [0.0, 100.0, 200.0, 300.0, 400.0, 500.0]);
        let axis = Axis::over([-151.0, -148.0].into_iter(), None);
        assert!(axis.ticks().len() >= 3 && axis.ticks().iter().all(|t| *t >= axis.low && *t <= axis.high));
        assert_eq!(Axis::over([].into_iter(), None), Axis::fixed(0.0, 1.0));
        // The last tick of an axis that all but reaches it is there, at the edge.
        let axis = Axis::over([12.0, 299_980.0].into_iter(), Some((0.0, 0.0)));
        assert_eq!(axis.ticks().last(), Some(&300_000.0));
        assert_eq!(axis.place(300_000.0, 0.0, 1.0), 1.0);
        let middle = Axis::over([500.0, 19_500.0].into_iter(), Some((0.0, 0.0)));
        assert_eq!(middle.ticks().last(), Some(&20_000.0));
        assert_eq!(Axis::over([0.0, 280_000.0].into_iter(), Some((0.0, 0.0))).high, 280_000.0);
        assert!(Axis::over([3.0].into_iter(), None).ticks().len() >= 2);
        assert_eq!(Axis::over([1.0, 100.0].into_iter(), None).low, 0.0);
        assert_eq!(Axis::over([-100.0, -1.0].into_iter(), None).high, 0.0);
    }

    #[test]
    fn numbers_are_short() {
        let written =
            [(250_000.0, 50_000.0), (1.5e6, 5e5), (-0.05, 0.05), (0.0, 0.1), (100.0, 50.0), (2.5, 2.5)];
        let expected = ["250k", "1.5M", "−0.05", "0", "100", "2.5"];
        assert_eq!(written.map(|(value, step)| number(value, step, value.abs())), expected);
    }

    #[test]
    fn no_two_ticks_are_written_alike() {
        for (low, high) in [
            (0.0, 1500.0),
            (0.0, 1e4),
            (0.0, 12_345.0),
            (-205.123, -205.121),
            (1e6, 1.000_01e6),
            (9999.0, 10_001.0),
            (0.0, 3.0),
            (-1e-7, 1e-7),
        ] {
            let axis = Axis::fixed(low, high);
            let mut labels: Vec<String> = axis.ticks().into_iter().map(|tick| axis.label(tick)).collect();
            let count = labels.len();
            labels.dedup();
            assert!(count >= 3 && labels.len() == count, "{low} … {high}: {labels:?}");
        }
    }
}

//! The figure as a sheet of charts.

use super::{Curve, Figure};
use crate::chart::palette::colours;
use crate::chart::{Chart, Content, Series, Sheet};

/// Returns above, and where some run measured it, the gradient's variance below.
pub(super) fn sheet(figure: &Figure) -> Sheet {
    let colours = colours(figure.returns.iter().map(|curve| curve.agent.as_str()));
    let colour = |curve: &Curve| {
        let place = figure.returns.iter().position(|other| other.label == curve.label);
        place.and_then(|place| colours.get(place)).copied().unwrap_or_default()
    };
    let series = |curves: &[Curve]| curves.iter().map(|curve| series(curve, colour(curve))).collect();
    let mut charts = vec![Chart {
        title: String::new(),
        labels: ("environment steps".into(), "return (mean of last 100 episodes)".into()),
        content: Content::Curves(series(&figure.returns)),
        reference: figure.threshold.map(|value| (value, format!("solved: {value}"))),
        range: Some(range(&figure.returns, figure.threshold)),
    }];
    if !figure.variance_ratios.is_empty() {
        charts.push(Chart {
            title: String::new(),
            labels: ("environment steps".into(), "variance of the gradient as a multiple of A2C's".into()),
            content: Content::Curves(series(&figure.variance_ratios)),
            reference: Some((1.0, "A2C: 1".into())),
            range: Some((0.0, range(&figure.variance_ratios, Some(1.0)).1)),
        });
    }
    let several = figure.returns.iter().any(|curve| curve.runs > 1);
    let notes = several.then(|| "Bands reach from the lowest run to the highest.".to_owned());
    Sheet { title: format!("Learning curves on {}", figure.env), notes: notes.into_iter().collect(), charts }
}

fn series(curve: &Curve, colour: usize) -> Series {
    let band = match curve.runs {
        1 => Vec::new(),
        _ => curve.points.iter().map(|point| (point.low, point.high)).collect(),
    };
    let points = curve.points.iter().map(|point| (point.env_steps, point.mean)).collect();
    Series { name: name(curve), colour, points, band, ..Series::default() }
}

fn name(curve: &Curve) -> String {
    let Curve { label, runs, goes_on_to, .. } = curve;
    match (runs, goes_on_to) {
        (1, _) => format!("{label}: one run"),
        (_, None) => format!("{label}: mean of {runs} runs"),
        (_, Some(last)) => format!(
            "{label}: mean of {runs} runs up to where the first of them ends (the last ends at {})",
            steps(*last)
        ),
    }
}

/// The y-axis: everything the curves and their bands reach, the reference line included, with a little air.
fn range(curves: &[Curve], reference: Option<f64>) -> (f64, f64) {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let low = points().map(|point| point.low).chain(reference).fold(f64::INFINITY, f64::min);
    let high = points().map(|point| point.high).chain(reference).fold(f64::NEG_INFINITY, f64::max);
    if !(low.is_finite() && high.is_finite()) {
        return (0.0, 1.0);
    }
    let air = 0.04 * (high - low).max(1e-6 * (1.0 + high.abs()));
    // Returns that are never negative have their axis begin at zero.
    (if low >= 0.0 { 0.0 } else { low - air }, high + air)
}

/// 500, 250k, 1.5M.
fn steps(steps: f64) -> String {
    match steps.abs() {
        size if size >= 1e6 => format!("{}M", (steps / 1e4).round() / 100.0),
        size if size >= 1e3 => format!("{}k", (steps / 10.0).round() / 100.0),
        _ => format!("{steps:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Point;
    use super::*;
    use crate::chart::Ink;

    fn curve(agent: &str, runs: usize) -> Curve {
        let points = (0..5)
            .map(|i| Point { env_steps: f64::from(i) * 1e5, low: 1.0, mean: f64::from(i) + 2.0, high: 9.0 })
            .collect();
        Curve { label: agent.into(), agent: agent.into(), runs, points, goes_on_to: None }
    }

    #[test]
    fn both_panels_are_labelled_and_need_nothing_from_outside() {
        let returns = vec![curve("relax-a2c", 3), curve("a2c", 1)];
        let variance_ratios = vec![curve("relax-a2c", 3)];
        let figure = Figure { env: "X-v0".into(), threshold: Some(475.0), returns, variance_ratios };
        let text = sheet(&figure).svg(Ink::Alone);
        for part in [
            "environment steps",
            "return (mean of last 100",
            "as a multiple of A2C",
            "solved: 475",
            "mean of 3 runs",
            "a2c: one run",
        ] {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
        assert!(!text.contains("href"), "self-contained");
        // The same runs are one entry of the legend, whichever chart they are in.
        assert_eq!(text.matches("relax-a2c: mean of 3 runs").count(), 1);
    }

    #[test]
    fn labels_are_short() {
        assert_eq!([0.0, 500.0, 1500.0, 250_000.0, 1.5e6].map(steps), ["0", "500", "1.5k", "250k", "1.5M"]);
    }
}

//! The table of results: as cells for a page, and as CSV.

use crate::compare::Analysis;
use crate::compare::analysis::TimeTo;
use crate::compare::stats::Interval;
use relax_runtime::Error;

/// Headings: what is shown, and what it means.
pub(super) const HEADINGS: [(&str, &str); 11] = [
    ("environment", "Id of the environment"),
    ("agent", "Name of the agent"),
    ("runs", "Number of seeds"),
    ("return", "Evaluation after training: interquartile mean over seeds, 95 % bootstrap interval"),
    ("median", "Median over seeds of the evaluation"),
    ("solved", "Runs whose mean return of 100 training episodes reached the threshold"),
    (
        "episodes to solve",
        "Kaplan–Meier median; in brackets the mean of min(episodes, horizon) with its 95 % interval",
    ),
    ("steps to solve", "Kaplan–Meier median, in environment steps"),
    ("seconds to solve", "Kaplan–Meier median, wall time with other runs beside it"),
    ("steps/s", "Median environment steps per second of training, with other runs beside it"),
    ("E‖ĝ‖² : A2C", "Ratio of sums over training, geometric mean over seeds, 95 % interval"),
];

/// A cell: what is shown, and the number it sorts by (none: by its text).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    pub text: String,
    pub key: Option<f64>,
}

impl Cell {
    fn text(text: &str) -> Self {
        Self { text: text.to_owned(), key: None }
    }

    fn number(text: String, key: f64) -> Self {
        Self { text, key: Some(if key.is_nan() { f64::INFINITY } else { key }) }
    }
}

pub(super) fn rows(analysis: &Analysis) -> Vec<Vec<Cell>> {
    analysis
        .entries
        .iter()
        .map(|entry| {
            let time = |i: usize| entry.time_to.as_ref().map(|times| times[i]);
            let n = entry.runs.len();
            let solved = match entry.threshold {
                Some(_) => Cell::number(format!("{} of {n}", entry.solved), entry.solved as f64),
                None => Cell::number("–".into(), f64::NAN),
            };
            vec![
                Cell::text(&entry.env),
                Cell::text(&entry.name),
                Cell::number(n.to_string(), n as f64),
                Cell::number(interval(entry.iqm, 1), entry.iqm.point),
                Cell::number(decimal(entry.median.point, 1), entry.median.point),
                solved,
                episodes(time(0)),
                median(time(1), 0),
                median(time(2), 2),
                Cell::number(thousands(entry.steps_per_second), entry.steps_per_second),
                match entry.ratio_of_sums {
                    Some(ratio) if entry.has_ratio() => Cell::number(interval(ratio, 3), ratio.point),
                    Some(_) => Cell::number("1".into(), 1.0),
                    None => Cell::number("–".into(), f64::NAN),
                },
            ]
        })
        .collect()
}

fn episodes(time: Option<TimeTo>) -> Cell {
    let Some(time) = time else { return Cell::number("–".into(), f64::NAN) };
    let shown = median(Some(time), 0);
    Cell { text: format!("{} ({})", shown.text, interval(time.restricted_mean, 0)), ..shown }
}

fn median(time: Option<TimeTo>, decimals: usize) -> Cell {
    match time {
        Some(TimeTo { median: Some(median), .. }) => Cell::number(decimal(median, decimals), median),
        Some(TimeTo { horizon, .. }) => {
            Cell::number(format!("> {}", decimal(horizon, decimals)), f64::INFINITY)
        }
        None => Cell::number("–".into(), f64::NAN),
    }
}

/// `value [low, high]`.
pub(super) fn interval(interval: Interval, decimals: usize) -> String {
    let [point, low, high] = [interval.point, interval.low, interval.high].map(|v| decimal(v, decimals));
    format!("{point} [{low}, {high}]")
}

/// With a real minus sign; "–" if unknown.
pub(super) fn decimal(value: f64, decimals: usize) -> String {
    if value.is_nan() {
        return "–".into();
    }
    let text = format!("{value:.decimals$}");
    let is_zero = text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.');
    if is_zero { text.trim_start_matches('-').into() } else { text.replace('-', "−") }
}

fn thousands(value: f64) -> String {
    if value.is_nan() { "–".into() } else { format!("{:.0}k", value / 1000.0) }
}

/// One row an entry, every number unrounded; what is unknown is empty.
pub(super) fn csv(analysis: &Analysis) -> Result<String, Error> {
    let failed =
        |error: &dyn std::fmt::Display| Error::runtime(format!("the table cannot be written: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut heading: Vec<String> =
        ["env", "agent", "runs", "threshold", "solved"].map(str::to_owned).to_vec();
    for name in ["iqm", "mean", "median", "ratio_of_sums", "median_ratio"] {
        heading.extend([name.to_owned(), format!("{name}_low"), format!("{name}_high")]);
    }
    for name in ["episodes", "env_steps", "seconds"] {
        heading.extend(
            ["median", "restricted_mean", "restricted_mean_low", "restricted_mean_high", "horizon"]
                .map(|part| format!("{name}_to_threshold_{part}")),
        );
    }
    heading.push("env_steps_per_second".into());
    writer.write_record(&heading).map_err(|error| failed(&error))?;
    let number = |value: f64| if value.is_finite() { value.to_string() } else { String::new() };
    for entry in &analysis.entries {
        let mut row = vec![
            entry.env.clone(),
            entry.name.clone(),
            entry.runs.len().to_string(),
            entry.threshold.map_or_else(String::new, |t| t.to_string()),
            entry.solved.to_string(),
        ];
        let intervals =
            [Some(entry.iqm), Some(entry.mean), Some(entry.median), entry.ratio_of_sums, entry.median_ratio];
        for found in intervals {
            let parts = found.map_or([f64::NAN; 3], |i| [i.point, i.low, i.high]);
            row.extend(parts.map(number));
        }
        for i in 0..3 {
            let parts = entry.time_to.as_ref().map_or([f64::NAN; 5], |times| {
                let t = times[i];
                [
                    t.median.unwrap_or(f64::NAN),
                    t.restricted_mean.point,
                    t.restricted_mean.low,
                    t.restricted_mean.high,
                    t.horizon,
                ]
            });
            row.extend(parts.map(number));
        }
        row.push(number(entry.steps_per_second));
        writer.write_record(&row).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

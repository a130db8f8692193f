//! The table of results: as cells for a page, and as CSV.

use crate::compare::analysis::TimeTo;
use crate::compare::stats::Interval;
use crate::compare::{Analysis, Entry};
use relax_runtime::Error;

/// Headings: what is shown, and what it means. What is looked for first comes first.
pub(super) const HEADINGS: [(&str, &str); 13] = [
    ("environment", "Id of the environment"),
    ("agent", "Name of the agent"),
    ("runs", "Number of seeds"),
    (
        "return",
        "Evaluation after training: interquartile mean over seeds, 95 % bootstrap interval; – if there was no evaluation",
    ),
    ("E‖ĝ‖² : A2C", "Ratio of sums over training, geometric mean over seeds, 95 % interval"),
    (
        "solved",
        "Runs whose mean return of 100 training episodes reached the threshold; “by” names the environment steps of a run where \
         other agents were given more",
    ),
    ("episodes to solve", "Median over runs (Kaplan–Meier)"),
    (
        "mean episodes",
        "Mean of the episodes to solve, 95 % interval; “≥” where runs never got there and count with the length of the shortest \
         of them",
    ),
    ("steps to solve", "Median over runs (Kaplan–Meier), in environment steps"),
    ("seconds to solve", "Median over runs (Kaplan–Meier), wall time with other runs beside it"),
    ("steps/s", "Median environment steps per second of training, with other runs beside it"),
    ("median return", "Evaluation after training: median over seeds"),
    (
        "training",
        "Mean return of the last 100 training episodes, interquartile mean over seeds: actions as training draws them, so no \
         evaluation",
    ),
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
            let unknown = || Cell::number("–".into(), f64::NAN);
            vec![
                Cell::text(&entry.env),
                Cell::text(&entry.name),
                Cell::number(n.to_string(), n as f64),
                entry.evaluation.map_or_else(unknown, |found| {
                    Cell::number(spread(found.iqm, entry.scores.len(), 1), found.iqm.point)
                }),
                match entry.ratio_of_sums {
                    Some(ratio) if entry.has_ratio() => Cell::number(spread(ratio, n, 3), ratio.point),
                    // What all are measured against; another agent that has no estimator of its own has no ratio.
                    Some(_) if entry.runs.iter().all(|run| run.agent == "a2c") => {
                        Cell::number("1".into(), 1.0)
                    }
                    _ => unknown(),
                },
                solved(analysis, entry).map_or_else(unknown, |text| Cell::number(text, entry.solved as f64)),
                median(time(0), 0),
                time(0).map_or_else(unknown, |time| mean(time, entry)),
                median(time(1), 0),
                median(time(2), 2),
                Cell::number(thousands(entry.steps_per_second), entry.steps_per_second),
                entry.evaluation.map_or_else(unknown, |found| {
                    Cell::number(decimal(found.median.point, 1), found.median.point)
                }),
                Cell::number(decimal(entry.training.point, 1), entry.training.point),
            ]
        })
        .collect()
}

/// How many runs reached the threshold; with the steps they had, where other agents had more. None without a threshold.
#[must_use]
pub fn solved(analysis: &Analysis, entry: &Entry) -> Option<String> {
    entry.threshold?;
    let (solved, runs) = (entry.solved, entry.runs.len());
    let longest = analysis.of(&entry.env).map(|other| other.budget).fold(0.0, f64::max);
    if entry.has_budget(longest) {
        return Some(format!("{solved} of {runs}"));
    }
    let budget = steps(entry.budget);
    Some(if solved == 0 { format!("none by {budget}") } else { format!("{solved} of {runs} by {budget}") })
}

fn mean(time: TimeTo, entry: &Entry) -> Cell {
    let all = entry.solved == entry.runs.len();
    let text = spread(time.restricted_mean, entry.runs.len(), 0);
    Cell::number(if all { text } else { format!("≥ {text}") }, time.restricted_mean.point)
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

/// `value [low, high]` of several runs; one run has no interval.
#[must_use]
pub fn spread(found: Interval, runs: usize, decimals: usize) -> String {
    if runs > 1 { interval(found, decimals) } else { format!("{}, one run", decimal(found.point, decimals)) }
}

/// 20k, 1.5M.
fn steps(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", (v / 1e4).round() / 100.0),
        v if v >= 1e3 => format!("{}k", (v / 1e2).round() / 10.0),
        v => format!("{v:.0}"),
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
        ["env", "agent", "runs", "budget", "threshold", "solved", "evaluated", "evaluation_rule"]
            .map(str::to_owned)
            .to_vec();
    for name in ["iqm", "mean", "median", "training", "ratio_of_sums", "median_ratio"] {
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
            number(entry.budget),
            entry.threshold.map_or_else(String::new, |t| t.to_string()),
            entry.solved.to_string(),
            entry.scores.len().to_string(),
            entry.evaluation.map_or("", |_| entry.rule.name()).to_owned(),
        ];
        let intervals = [
            entry.evaluation.map(|found| found.iqm),
            entry.evaluation.map(|found| found.mean),
            entry.evaluation.map(|found| found.median),
            Some(entry.training),
            entry.ratio_of_sums,
            entry.median_ratio,
        ];
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

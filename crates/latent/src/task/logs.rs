//! The files a run grows: metrics.csv, evaluations.csv, TensorBoard events.

use relax_runtime::Error;
use relax_runtime::logging::{Cell, Logs, Table};

/// The tables by number.
const METRICS: usize = 0;
const EVALUATIONS: usize = 1;

/// One row of `metrics.csv`.
pub(super) struct Metrics<'a> {
    pub iteration: u64,
    /// Mean over the minibatches since the last row.
    pub bound: f64,
    pub gradient_norm: f64,
    pub diagnostics: &'a [(String, f64)],
    pub iterations_per_second: f64,
    pub wall_seconds: f64,
}

/// One row of `evaluations.csv`.
pub(super) struct Evaluation<'a> {
    pub iteration: u64,
    pub validation: f64,
    /// Per layer; empty if it was not measured.
    pub log_variance: &'a [f64],
    pub wall_seconds: f64,
}

/// The tables of a run with these diagnostics and so many layers.
pub(super) fn tables(diagnostics: &[String], layers: usize) -> Vec<Table> {
    vec![
        Table::new("metrics.csv", metric_columns(diagnostics)),
        Table::new("evaluations.csv", evaluation_columns(layers)),
    ]
}

pub(super) fn metrics(logs: &mut Logs, row: &Metrics<'_>) -> Result<(), Error> {
    let mut cells =
        vec![Cell::Integer(row.iteration), Cell::Number(row.bound), Cell::Number(row.gradient_norm)];
    cells.extend(row.diagnostics.iter().map(|(_, value)| Cell::Number(*value)));
    cells.push(Cell::Number((row.iterations_per_second * 10.0).round() / 10.0));
    cells.push(Cell::Seconds(row.wall_seconds));
    logs.row(METRICS, &cells)?;
    let names: Vec<String> = row.diagnostics.iter().map(|(name, _)| format!("train/{name}")).collect();
    let mut scalars = vec![("train/bound", row.bound), ("train/gradient_norm", row.gradient_norm)];
    scalars.extend(names.iter().zip(row.diagnostics).map(|(name, (_, value))| (name.as_str(), *value)));
    scalars.push(("time/steps_per_second", row.iterations_per_second));
    scalars.push(("time/wall_seconds", row.wall_seconds));
    logs.scalars(row.iteration, &scalars)
}

pub(super) fn evaluation(logs: &mut Logs, layers: usize, row: &Evaluation<'_>) -> Result<(), Error> {
    let mut cells = vec![Cell::Integer(row.iteration), Cell::Number(row.validation)];
    let layer = |layer: usize| row.log_variance.get(layer).copied().filter(|value| !value.is_nan());
    cells.extend((0..layers).map(|l| Cell::from(layer(l))));
    cells.push(Cell::Seconds(row.wall_seconds));
    logs.row(EVALUATIONS, &cells)?;
    let names: Vec<String> = (1..=layers).map(|l| format!("evaluation/log_variance_{l}")).collect();
    let mut scalars = vec![("evaluation/bound", row.validation)];
    scalars.extend(names.iter().zip(row.log_variance).map(|(name, value)| (name.as_str(), *value)));
    logs.scalars(row.iteration, &scalars)
}

fn metric_columns(diagnostics: &[String]) -> Vec<String> {
    let mut columns: Vec<String> = ["iteration", "train_bound", "gradient_norm"].map(str::to_owned).into();
    columns.extend(diagnostics.iter().cloned());
    columns.extend(["iterations_per_second", "wall_seconds"].map(str::to_owned));
    columns
}

fn evaluation_columns(layers: usize) -> Vec<String> {
    let mut columns: Vec<String> = ["iteration", "validation_bound"].map(str::to_owned).into();
    columns.extend((1..=layers).map(|layer| format!("log_variance.{layer}")));
    columns.push("wall_seconds".to_owned());
    columns
}

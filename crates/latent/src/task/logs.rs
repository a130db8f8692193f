//! The files a run grows: metrics.csv, evaluations.csv, TensorBoard events.

use std::path::Path;

use relax_runtime::Error;
use relax_runtime::logging::{Cell, EventWriter, Position, TableWriter};

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

pub(super) struct Logs {
    metrics: TableWriter,
    evaluations: TableWriter,
    events: EventWriter,
    layers: usize,
}

impl Logs {
    pub fn create(dir: &Path, diagnostics: &[String], layers: usize) -> Result<Self, Error> {
        let (metrics, evaluations) = (metric_columns(diagnostics), evaluation_columns(layers));
        Ok(Self {
            metrics: TableWriter::create(&dir.join("metrics.csv"), &borrow(&metrics))?,
            evaluations: TableWriter::create(&dir.join("evaluations.csv"), &borrow(&evaluations))?,
            events: EventWriter::create(dir)?,
            layers,
        })
    }

    /// Opens the files again and cuts off what was written after the checkpoint.
    pub fn resume(
        dir: &Path,
        diagnostics: &[String],
        layers: usize,
        positions: [u64; 6],
    ) -> Result<Self, Error> {
        let at = |i: usize| Position { bytes: positions[2 * i], rows: positions[2 * i + 1] };
        let (metrics, evaluations) = (metric_columns(diagnostics), evaluation_columns(layers));
        Ok(Self {
            metrics: TableWriter::resume(&dir.join("metrics.csv"), &borrow(&metrics), at(0))?,
            evaluations: TableWriter::resume(&dir.join("evaluations.csv"), &borrow(&evaluations), at(1))?,
            events: EventWriter::resume(dir, at(2))?,
            layers,
        })
    }

    /// Where the files end.
    pub fn positions(&self) -> [u64; 6] {
        let positions = [self.metrics.position(), self.evaluations.position(), self.events.position()];
        std::array::from_fn(|i| if i % 2 == 0 { positions[i / 2].bytes } else { positions[i / 2].rows })
    }

    pub fn metrics(&mut self, row: &Metrics<'_>) -> Result<(), Error> {
        let mut cells =
            vec![Cell::Integer(row.iteration), Cell::Number(row.bound), Cell::Number(row.gradient_norm)];
        cells.extend(row.diagnostics.iter().map(|(_, value)| Cell::Number(*value)));
        cells.push(Cell::Number((row.iterations_per_second * 10.0).round() / 10.0));
        cells.push(Cell::Seconds(row.wall_seconds));
        self.metrics.write(&cells)?;
        let mut scalars = vec![("train/bound", row.bound), ("train/gradient_norm", row.gradient_norm)];
        scalars.extend(row.diagnostics.iter().map(|(name, value)| (name.as_str(), *value)));
        self.events.write(row.iteration, &scalars)
    }

    pub fn evaluation(&mut self, row: &Evaluation<'_>) -> Result<(), Error> {
        let mut cells = vec![Cell::Integer(row.iteration), Cell::Number(row.validation)];
        let layer = |layer: usize| row.log_variance.get(layer).copied().filter(|value| !value.is_nan());
        cells.extend((0..self.layers).map(|l| Cell::from(layer(l))));
        cells.push(Cell::Seconds(row.wall_seconds));
        self.evaluations.write(&cells)?;
        let names: Vec<String> = (1..=self.layers).map(|l| format!("log_variance/layer_{l}")).collect();
        let mut scalars = vec![("validation/bound", row.validation)];
        scalars.extend(names.iter().zip(row.log_variance).map(|(name, value)| (name.as_str(), *value)));
        self.events.write(row.iteration, &scalars)
    }

    /// Hands everything to the operating system.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.metrics.flush()?;
        self.evaluations.flush()?;
        self.events.flush()
    }
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

fn borrow(columns: &[String]) -> Vec<&str> {
    columns.iter().map(String::as_str).collect()
}

//! The files a run grows: metrics, episodes, evaluations, TensorBoard events.

use std::path::Path;

use relax_agents::{Episode, Metrics};

use relax_runtime::Error;
use relax_runtime::logging::{Cell, EventWriter, Position, TableWriter};

use crate::summary::EvaluationSummary;

const EPISODES: [&str; 7] =
    ["episode", "env_steps", "slot", "return", "length", "terminated", "wall_seconds"];
const EVALUATIONS: [&str; 5] = ["env_steps", "episodes", "mean", "std", "wall_seconds"];

fn metric_columns() -> Vec<&'static str> {
    let mut columns = vec!["update", "env_steps", "episodes", "mean_return_100"];
    columns.extend(Metrics::NAMES);
    columns.extend(["env_steps_per_second", "wall_seconds"]);
    columns
}

/// One row of `metrics.csv`.
pub(crate) struct Update<'a> {
    pub update: u64,
    pub env_steps: u64,
    pub episodes: u64,
    pub mean_return_100: Option<f64>,
    pub metrics: &'a Metrics,
    pub env_steps_per_second: f64,
    pub wall_seconds: f64,
}

pub(crate) struct Logs {
    metrics: TableWriter,
    episodes: TableWriter,
    evaluations: TableWriter,
    events: EventWriter,
    row: Vec<Cell>,
    scalars: Vec<(&'static str, f64)>,
}

impl Logs {
    pub fn create(dir: &Path) -> Result<Self, Error> {
        Ok(Self {
            metrics: TableWriter::create(&dir.join("metrics.csv"), &metric_columns())?,
            episodes: TableWriter::create(&dir.join("episodes.csv"), &EPISODES)?,
            evaluations: TableWriter::create(&dir.join("evaluations.csv"), &EVALUATIONS)?,
            events: EventWriter::create(dir)?,
            row: Vec::new(),
            scalars: Vec::new(),
        })
    }

    /// Opens the files again and cuts off what was written after the checkpoint.
    pub fn resume(dir: &Path, positions: [u64; 8]) -> Result<Self, Error> {
        let at = |i: usize| Position { bytes: positions[2 * i], rows: positions[2 * i + 1] };
        Ok(Self {
            metrics: TableWriter::resume(&dir.join("metrics.csv"), &metric_columns(), at(0))?,
            episodes: TableWriter::resume(&dir.join("episodes.csv"), &EPISODES, at(1))?,
            evaluations: TableWriter::resume(&dir.join("evaluations.csv"), &EVALUATIONS, at(2))?,
            events: EventWriter::resume(dir, at(3))?,
            row: Vec::new(),
            scalars: Vec::new(),
        })
    }

    /// Where the files end.
    pub fn positions(&self) -> [u64; 8] {
        let positions = [
            self.metrics.position(),
            self.episodes.position(),
            self.evaluations.position(),
            self.events.position(),
        ];
        std::array::from_fn(|i| if i % 2 == 0 { positions[i / 2].bytes } else { positions[i / 2].rows })
    }

    pub fn update(&mut self, update: &Update<'_>) -> Result<(), Error> {
        self.row.clear();
        self.row.extend([update.update, update.env_steps, update.episodes].map(Cell::Integer));
        self.row.push(update.mean_return_100.into());
        let number = |value: f64| if value.is_nan() { Cell::Missing } else { Cell::Number(value) };
        self.row.extend(update.metrics.values().map(number));
        self.row.push(Cell::Number(update.env_steps_per_second.round()));
        self.row.push(Cell::Seconds(update.wall_seconds));
        self.metrics.write(&self.row)?;

        self.scalars.clear();
        self.scalars.extend(update.mean_return_100.map(|mean| ("mean_return_100", mean)));
        let named = Metrics::NAMES.iter().copied().zip(update.metrics.values());
        self.scalars.extend(named.filter(|(_, value)| !value.is_nan()));
        self.events.write(update.env_steps, &self.scalars)
    }

    pub fn episode(
        &mut self,
        number: u64,
        env_steps: u64,
        episode: &Episode,
        wall_seconds: f64,
    ) -> Result<(), Error> {
        self.episodes.write(&[
            Cell::Integer(number),
            Cell::Integer(env_steps),
            Cell::Integer(u64::from(episode.slot)),
            Cell::Number(episode.total_reward),
            Cell::Integer(u64::from(episode.length)),
            Cell::Flag(episode.terminated),
            Cell::Seconds(wall_seconds),
        ])
    }

    pub fn evaluation(
        &mut self,
        env_steps: u64,
        evaluation: &EvaluationSummary,
        wall_seconds: f64,
    ) -> Result<(), Error> {
        self.evaluations.write(&[
            Cell::Integer(env_steps),
            Cell::Integer(evaluation.episodes),
            Cell::Number(evaluation.mean),
            Cell::Number(evaluation.std),
            Cell::Seconds(wall_seconds),
        ])?;
        let scalars = [("evaluation/mean", evaluation.mean), ("evaluation/std", evaluation.std)];
        self.events.write(env_steps, &scalars)
    }

    /// Hands everything to the operating system.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.metrics.flush()?;
        self.episodes.flush()?;
        self.evaluations.flush()?;
        self.events.flush()
    }
}

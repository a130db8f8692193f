//! The files a run grows: metrics, episodes, evaluations, TensorBoard events.

use relax_agents::Metrics;
use relax_runtime::Error;
use relax_runtime::logging::{Cell, Logs, Table};

use super::tracker::Finished;
use super::trainer::Trainer;
use crate::summary::EvaluationSummary;

/// The tables by number.
const METRICS: usize = 0;
const EPISODES: usize = 1;
const EVALUATIONS: usize = 2;

pub(super) fn tables() -> Vec<Table> {
    let mut columns = vec!["update", "env_steps", "episodes", "mean_return_100"];
    columns.extend(Metrics::NAMES);
    columns.extend(["env_steps_per_second", "wall_seconds"]);
    let episodes = ["episode", "env_steps", "slot", "return", "length", "terminated", "wall_seconds"];
    let evaluations = ["env_steps", "episodes", "mean", "std", "wall_seconds"];
    vec![
        Table::new("metrics.csv", columns),
        Table::new("episodes.csv", episodes),
        Table::new("evaluations.csv", evaluations),
    ]
}

/// Buffers for the rows of updates, allocated once.
#[derive(Default)]
pub(super) struct Rows {
    row: Vec<Cell>,
    scalars: Vec<(&'static str, f64)>,
}

impl Rows {
    /// One row of `metrics.csv`.
    pub fn update(
        &mut self,
        logs: &mut Logs,
        trainer: &Trainer,
        metrics: &Metrics,
        env_steps_per_second: f64,
        wall_seconds: f64,
    ) -> Result<(), Error> {
        let mean = trainer.mean_return_100();
        self.row.clear();
        let counters = [trainer.updates(), trainer.env_steps(), trainer.episodes()];
        self.row.extend(counters.map(Cell::Integer));
        self.row.push(mean.into());
        let number = |value: f64| if value.is_nan() { Cell::Missing } else { Cell::Number(value) };
        self.row.extend(metrics.values().map(number));
        self.row.push(Cell::Number(env_steps_per_second.round()));
        self.row.push(Cell::Seconds(wall_seconds));
        logs.row(METRICS, &self.row)?;

        self.scalars.clear();
        self.scalars.extend(mean.map(|mean| ("mean_return_100", mean)));
        let named = Metrics::NAMES.iter().copied().zip(metrics.values());
        self.scalars.extend(named.filter(|(_, value)| !value.is_nan()));
        logs.scalars(trainer.env_steps(), &self.scalars)
    }
}

/// One row of `episodes.csv`.
pub(super) fn episode(logs: &mut Logs, episode: &Finished) -> Result<(), Error> {
    logs.row(
        EPISODES,
        &[
            Cell::Integer(episode.number),
            Cell::Integer(episode.env_steps),
            Cell::Integer(u64::from(episode.slot)),
            Cell::Number(episode.total_reward),
            Cell::Integer(u64::from(episode.length)),
            Cell::Flag(episode.terminated),
            Cell::Seconds(episode.wall_seconds),
        ],
    )
}

/// One row of `evaluations.csv`.
pub(super) fn evaluation(
    logs: &mut Logs,
    env_steps: u64,
    evaluation: &EvaluationSummary,
    wall_seconds: f64,
) -> Result<(), Error> {
    logs.row(
        EVALUATIONS,
        &[
            Cell::Integer(env_steps),
            Cell::Integer(evaluation.episodes),
            Cell::Number(evaluation.mean),
            Cell::Number(evaluation.std),
            Cell::Seconds(wall_seconds),
        ],
    )?;
    logs.scalars(env_steps, &[("evaluation/mean", evaluation.mean), ("evaluation/std", evaluation.std)])
}

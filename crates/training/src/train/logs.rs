//! The files a run grows: metrics, episodes, evaluations, TensorBoard events.

use relax_agents::Metrics;
use relax_nn::{StateDict, StateError, StateTensor};
use relax_runtime::Error;
use relax_runtime::logging::{Cell, Logs, Table};

use super::tracker::Finished;
use super::trainer::Trainer;
use crate::summary::EvaluationSummary;

/// The tables by number.
const METRICS: usize = 0;
const EPISODES: usize = 1;
const EVALUATIONS: usize = 2;

/// The tables of a run of the agent `kind`.
pub(super) fn tables(kind: &str) -> Vec<Table> {
    let mut columns = vec!["update", "env_steps", "episodes", "mean_return_100"];
    columns.extend(figures(kind).map(|i| Metrics::NAMES[i]));
    columns.extend(["env_steps_per_second", "wall_seconds"]);
    let episodes = ["episode", "env_steps", "slot", "return", "length", "terminated", "wall_seconds"];
    let evaluations = ["env_steps", "episodes", "mean", "std", "wall_seconds"];
    vec![
        Table::new("metrics.csv", columns),
        Table::new("episodes.csv", episodes),
        Table::new("evaluations.csv", evaluations),
    ]
}

/// Which of the figures [`Metrics::NAMES`] the table of the agent `kind` has.
fn figures(kind: &str) -> impl Iterator<Item = usize> {
    let spec = relax_agents::agent_spec(kind);
    let has = move |i: &usize| spec.as_ref().is_none_or(|spec| spec.has_metric(Metrics::NAMES[*i]));
    (0..Metrics::NAMES.len()).filter(has)
}

/// Buffers for the rows of updates, allocated once.
pub(super) struct Rows {
    /// Places of the table's figures among [`Metrics::NAMES`].
    figures: Vec<usize>,
    row: Vec<Cell>,
    scalars: Vec<(&'static str, f64)>,
    /// Number and summed length of the episodes since the last event.
    lengths: (u64, u64),
    events: Thinned,
}

/// TensorBoard shows no more points of a curve than these, drawn from all there are (its `--samples_per_plugin`). A quick run has a
/// hundred times as many updates.
const POINTS: u64 = 1000;

/// Which of a run's rows become events: no more than [`POINTS`] of them, evenly spread.
struct Thinned {
    stride: u64,
    /// Strides up to the end of that of the last event; 0 before the first.
    past: u64,
}

impl Thinned {
    /// Of a run of `budget` steps.
    fn new(budget: u64) -> Self {
        Self { stride: budget.div_ceil(POINTS).max(1), past: 0 }
    }

    /// Whether the row at `position` becomes one.
    fn takes(&mut self, position: u64) -> bool {
        let now = position / self.stride + 1;
        std::mem::replace(&mut self.past, now) != now
    }
}

/// TensorBoard's names of [`Metrics::NAMES`], in the same order: what `relax vae` has too is called the same there.
fn tags() -> impl Iterator<Item = &'static str> {
    Metrics::NAMES.iter().map(|name| match *name {
        "policy_loss" => "train/policy_loss",
        "value_loss" => "train/value_loss",
        "control_variate_loss" => "train/control_variate_loss",
        "entropy" => "train/entropy",
        "policy_gradient_norm" => "train/gradient_norm",
        "explained_variance" => "train/explained_variance",
        "squared_norm" => "train/squared_norm",
        "squared_norm_a2c" => "train/squared_norm_a2c",
        "variance_ratio" => "train/variance_ratio",
        "gain" => "train/gain",
        "learning_rate" => "train/learning_rate",
        "temperature" => "train/temperature",
        other => other,
    })
}

impl Rows {
    /// For the tables of a run of the agent `kind` and so many steps.
    pub fn new(kind: &str, budget: u64) -> Self {
        let figures = figures(kind).collect();
        Self { figures, row: Vec::new(), scalars: Vec::new(), lengths: (0, 0), events: Thinned::new(budget) }
    }

    /// What decides about the next event and goes into it: the last one's place, and the episodes since.
    pub fn state(&self) -> StateTensor {
        let (episodes, steps) = self.lengths;
        StateTensor::U64(vec![episodes, steps, self.events.past])
    }

    /// Takes over what [`state`](Self::state) gave as `name`; earlier versions had an event for every row, and none of this.
    ///
    /// # Errors
    /// If it is something else.
    pub fn restore(&mut self, name: &str, state: &StateDict) -> Result<(), StateError> {
        if state.get(name).is_ok() {
            let [episodes, steps, past] = state.u64_array(name)?;
            (self.lengths, self.events.past) = ((episodes, steps), past);
        }
        Ok(())
    }

    /// One row of `metrics.csv`, and an event if one is due.
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
        let values = metrics.values();
        self.row.extend(self.figures.iter().map(|&i| number(values[i])));
        self.row.push(Cell::Number(env_steps_per_second.round()));
        self.row.push(Cell::Seconds(wall_seconds));
        logs.row(METRICS, &self.row)?;
        if !self.events.takes(trainer.env_steps()) {
            return Ok(());
        }

        self.scalars.clear();
        self.scalars.extend(mean.map(|mean| ("rollout/return_mean_100", mean)));
        let (episodes, steps) = std::mem::take(&mut self.lengths);
        let length = (episodes > 0).then(|| steps as f64 / episodes as f64);
        self.scalars.extend(length.map(|length| ("rollout/episode_length", length)));
        self.scalars.push(("rollout/episodes", trainer.episodes() as f64));
        self.scalars.extend(tags().zip(values).filter(|(_, value)| !value.is_nan()));
        self.scalars.push(("time/steps_per_second", env_steps_per_second));
        self.scalars.push(("time/wall_seconds", wall_seconds));
        logs.scalars(trainer.env_steps(), &self.scalars)
    }

    /// One row of `episodes.csv`.
    pub fn episode(&mut self, logs: &mut Logs, episode: &Finished) -> Result<(), Error> {
        self.lengths = (self.lengths.0 + 1, self.lengths.1 + u64::from(episode.length));
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
    logs.scalars(
        env_steps,
        &[("evaluation/return_mean", evaluation.mean), ("evaluation/return_std", evaluation.std)],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_of_one_agent_is_no_column_of_the_others() {
        for (kind, has) in [("sac", true), ("td3", false), ("a2c", false)] {
            let columns = &tables(kind)[METRICS].columns;
            assert_eq!(columns.iter().any(|name| name == "temperature"), has, "{kind}");
            assert_eq!(columns.len(), 6 + figures(kind).count(), "{kind}");
        }
    }

    #[test]
    fn a_run_has_a_thousand_events_evenly_spread_or_one_a_row() {
        let taken = |budget: u64, batch: u64| {
            let mut events = Thinned::new(budget);
            (1..=budget / batch).map(|i| i * batch).filter(|&at| events.takes(at)).collect::<Vec<_>>()
        };
        let many = taken(6_000_000, 40);
        assert!((1000..=1001).contains(&many.len()), "{}", many.len());
        assert!(many.windows(2).all(|pair| (5_960..=6_040).contains(&(pair[1] - pair[0]))));
        assert_eq!(taken(100_000, 4096).len(), 24);
        assert_eq!(taken(600, 40).len(), 15);
    }

    #[test]
    fn every_metric_has_a_tag_in_the_group_train() {
        assert_eq!(tags().count(), Metrics::NAMES.len());
        assert!(tags().all(|tag| tag.starts_with("train/")), "{:?}", tags().collect::<Vec<_>>());
    }
}

//! [`Summary`]: what a run came to, as `summary.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use relax_runtime::Error;
use relax_runtime::summary_file;

/// What a run came to. The order of the fields is that of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Id of the environment.
    pub env: String,
    /// Name of the algorithm.
    pub agent: String,
    /// The run's seed.
    pub seed: u64,
    /// Environment steps trained for.
    pub env_steps: u64,
    /// Episodes finished in training.
    pub episodes: u64,
    /// Seconds from the start of the process (of all processes, if the run was resumed).
    pub wall_seconds: f64,
    /// Environment steps per second of training, without evaluation and start-up.
    pub env_steps_per_second: f64,
    /// Mean return of the last 100 episodes (of all, if there were fewer); null before the first.
    pub mean_return_100: Option<f64>,
    /// When the mean return of the last 100 episodes first reached the environment's threshold; null if never.
    pub solved: Option<Milestone>,
    /// CartPole: when the same mean first reached 195; null elsewhere and if never.
    pub first_195: Option<Milestone>,
    /// Returns of the final evaluation; null if there was none.
    pub evaluation: Option<EvaluationSummary>,
    /// What the agent's control variate was worth; null if it has none.
    #[serde(default)]
    pub control_variate: Option<ControlVariateSummary>,
    /// What was plainly off, and what to change; empty in a healthy run.
    #[serde(default)]
    pub health: Vec<String>,
    /// Hash of what was learned, equal for equal runs ([`Trainer::state_hash`](crate::train::Trainer::state_hash)); empty in what earlier
    /// versions wrote.
    #[serde(default)]
    pub state_hash: String,
    /// Version of relax-rl.
    pub version: String,
}

/// When a threshold was first reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Milestone {
    /// The mean return of 100 episodes that was reached.
    pub threshold: f64,
    /// Episodes until then.
    pub episodes: u64,
    /// Environment steps until then.
    pub env_steps: u64,
    /// Seconds until then, counted as [`Summary::wall_seconds`].
    pub wall_seconds: f64,
}

/// Returns of evaluation episodes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvaluationSummary {
    /// How many episodes.
    pub episodes: u64,
    /// Their mean return.
    pub mean: f64,
    /// Their standard deviation (population form, dividing by n).
    pub std: f64,
}

/// What a control variate was worth over all batches of training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ControlVariateSummary {
    /// Mean over the batches of ‖ĝ‖² over that of A2C's formula with the same V; null if no batch had a gradient.
    pub mean_of_ratios: Option<f64>,
    /// Σ ‖ĝ‖² over A2C's; loud batches count as much as they weigh in training.
    pub ratio_of_sums: Option<f64>,
    /// Mean gain: how much of the control variate was used.
    pub mean_gain: f64,
    /// Share of the batches without any of it.
    pub idle_share: f64,
}

impl EvaluationSummary {
    /// The summary of `returns`; `None` if there are none.
    #[must_use]
    pub fn of(returns: &[f64]) -> Option<Self> {
        if returns.is_empty() {
            return None;
        }
        let count = returns.len() as f64;
        let mean = returns.iter().sum::<f64>() / count;
        let variance = returns.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        Some(Self { episodes: returns.len() as u64, mean, std: variance.sqrt() })
    }
}

impl Summary {
    /// Writes the file `path`, which is at all times either absent, the old one or complete.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        summary_file::write(path, self)
    }

    /// Reads the file `path`.
    ///
    /// # Errors
    /// If it is missing or not a summary.
    pub fn load(path: &Path) -> Result<Self, Error> {
        summary_file::read(path, "a run's summary")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Summary {
        let reached = Milestone { threshold: 475.0, episodes: 300, env_steps: 50_000, wall_seconds: 0.5 };
        Summary {
            env: "CartPole-v1".into(),
            agent: "relax-a2c".into(),
            seed: 3,
            env_steps: 100_000,
            episodes: 400,
            wall_seconds: 1.25,
            env_steps_per_second: 123_456.7,
            mean_return_100: Some(1.0 / 3.0),
            solved: Some(reached),
            first_195: None,
            evaluation: EvaluationSummary::of(&[500.0, 500.0]),
            control_variate: Some(ControlVariateSummary {
                mean_of_ratios: Some(0.5),
                ratio_of_sums: None,
                mean_gain: 0.75,
                idle_share: 0.1,
            }),
            health: vec!["Something is off.".into()],
            state_hash: "00".repeat(32),
            version: "0.1.0".into(),
        }
    }

    #[test]
    fn it_reads_back_equal() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("summary.json");
        example().save(&path).expect("saves");
        assert_eq!(Summary::load(&path).expect("loads"), example());
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1);
    }

    #[test]
    fn the_keys_are_the_documented_ones_in_their_order() {
        let text = serde_json::to_string(&example()).expect("JSON");
        let mut rest = text.as_str();
        for key in [
            "env",
            "agent",
            "seed",
            "env_steps",
            "episodes",
            "wall_seconds",
            "env_steps_per_second",
            "mean_return_100",
            "solved",
            "threshold",
            "episodes",
            "env_steps",
            "wall_seconds",
            "first_195",
            "evaluation",
            "episodes",
            "mean",
            "std",
            "control_variate",
            "mean_of_ratios",
            "ratio_of_sums",
            "mean_gain",
            "idle_share",
            "health",
            "state_hash",
            "version",
        ] {
            let quoted = format!("\"{key}\":");
            rest = &rest[rest.find(&quoted).unwrap_or_else(|| panic!("{key} in {text}")) + quoted.len()..];
        }
        assert!(text.contains("\"first_195\":null"));
    }

    #[test]
    fn mean_and_standard_deviation_are_known() {
        let found = EvaluationSummary::of(&[1.0, 2.0, 3.0, 6.0]).expect("not empty");
        assert_eq!((found.episodes, found.mean, found.std), (4, 3.0, 3.5f64.sqrt()));
        assert_eq!(EvaluationSummary::of(&[]), None);
    }
}

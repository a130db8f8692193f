//! [`VaeSummary`]: what a run came to, as `summary.json`.

use std::path::Path;

use relax_estimators::Estimator;
use serde::{Deserialize, Serialize};

use super::evaluate::Bound;
use relax_runtime::Error;
use relax_runtime::summary_file;

/// What a run came to. The order of the fields is that of the file. Bounds are null in an interrupted run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VaeSummary {
    /// The data set.
    pub data: String,
    /// The model.
    pub model: String,
    /// The estimator.
    pub method: Estimator,
    /// The step size of the model's weights.
    pub learning_rate: f64,
    /// The run's seed.
    pub seed: u64,
    /// Iterations trained for.
    pub iterations: u64,
    /// Evidence lower bound of all training images, one sample each, at the final weights.
    pub train: Option<Bound>,
    /// The same of the validation images.
    pub validation: Option<Bound>,
    /// The same of the test images.
    pub test: Option<Bound>,
    /// Samples of the importance-weighted bounds.
    pub importance_samples: usize,
    /// Importance-weighted bound of the validation images.
    pub validation_importance: Option<Bound>,
    /// Importance-weighted bound of the test images.
    pub test_importance: Option<Bound>,
    /// Per layer the log-variance of the encoder gradient at the final weights; null if it was not measured.
    pub log_variance: Option<Vec<f64>>,
    /// Iterations per second of training, without evaluations, checkpoints and start-up.
    pub iterations_per_second: f64,
    /// Seconds from the start of the process (of all processes, if the run was resumed).
    pub wall_seconds: f64,
    /// Version of relax-rl.
    pub version: String,
}

impl VaeSummary {
    /// Whether the run came to its end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.train.is_some()
    }

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
        summary_file::read(path, "the summary of a relax vae run")
    }
}

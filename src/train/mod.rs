//! Placeholder for the training runtime.
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::Error;
use crate::logging::Summary;

/// How to train.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The run folder.
    pub out: PathBuf,
    /// Show nothing.
    pub quiet: bool,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The run folder.
    pub dir: PathBuf,
    /// What it came to.
    pub summary: Summary,
    /// Whether a signal ended it, after a checkpoint.
    pub interrupted: bool,
}

/// Trains.
///
/// # Errors
/// Always: it is a placeholder.
pub fn train(_config: &Config, _options: &TrainOptions) -> Result<Outcome, Error> {
    Err(Error::runtime("training is not built into this program yet"))
}

/// Resumes.
///
/// # Errors
/// Always: it is a placeholder.
pub fn resume(_dir: &Path, _overrides: &[String], _quiet: bool) -> Result<Outcome, Error> {
    Err(Error::runtime("training is not built into this program yet"))
}

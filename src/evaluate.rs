//! Placeholder for evaluation.
use std::path::{Path, PathBuf};

use crate::error::Error;

/// How to evaluate.
#[derive(Debug, Clone)]
pub struct EvalOptions {
    /// How many episodes.
    pub episodes: usize,
    /// Take the most probable action instead of drawing one.
    pub deterministic: bool,
    /// Draw the first episode into this GIF.
    pub render: Option<PathBuf>,
    /// Names the episodes' random numbers.
    pub seed: u64,
}

/// What an evaluation found.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Return of each episode.
    pub returns: Vec<f64>,
    /// Length of each episode.
    pub lengths: Vec<u64>,
}

/// Evaluates.
///
/// # Errors
/// Always: it is a placeholder.
pub fn evaluate(_dir: &Path, _options: &EvalOptions) -> Result<Evaluation, Error> {
    Err(Error::runtime("evaluation is not built into this program yet"))
}

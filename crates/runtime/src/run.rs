//! How to run, and where a run folder keeps its checkpoints.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The folder of a run's checkpoints, in the run folder.
pub const CHECKPOINTS: &str = "checkpoints";

/// How to train.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The run folder, which must be empty or absent.
    pub out: PathBuf,
    /// Show nothing.
    pub quiet: bool,
    /// Once set (by a signal handler, say), the run writes a checkpoint and ends.
    pub stop: Arc<AtomicBool>,
}

/// The newest checkpoint of the run folder `dir`: what a resumed run continues from.
#[must_use]
pub fn latest_checkpoint(dir: &Path) -> PathBuf {
    dir.join(CHECKPOINTS).join("latest.safetensors")
}

/// The checkpoint of the run folder `dir` whose policy did best in evaluation.
#[must_use]
pub fn best_checkpoint(dir: &Path) -> PathBuf {
    dir.join(CHECKPOINTS).join("best.safetensors")
}

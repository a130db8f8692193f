//! `relax vae` and what is built on it: curves, pictures, sweeps, and the variance of estimators at one model.
//!
//! The runs themselves are those of [`relax_latent::task`]; here they get their pictures.

mod curves;
mod figures;
mod sweep;
mod variance;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use relax_latent::task;
pub use relax_latent::task::{
    Bound, CheckpointConfig, DataConfig, DataSet, EstimatorConfig, ModelConfig, ModelKind, Part, RunConfig,
    RunImages, SweepConfig, VaeConfig, VaeOutcome, VaeSummary, bound, check_vae_resume_overrides,
    is_vae_config, is_vae_run, log_variance,
};
use relax_runtime::Error;
use relax_runtime::run::TrainOptions;

pub use curves::plot;
pub use sweep::{SweepOptions, SweepOutcome, Table, sweep};
pub use variance::{Estimate, VarianceOptions, VarianceRow, variance, variance_csv, variance_markdown};

/// Trains a model and writes the run folder, with curves, samples and reconstructions.
///
/// # Errors
/// [`Error::exit_code`] 2 if the configuration, the data or the folder is wrong, 1 if the run itself fails; the last good
/// checkpoint is then named in the hint.
pub fn train(config: &VaeConfig, options: &TrainOptions) -> Result<VaeOutcome, Error> {
    task::train(config, options, &figures::draw_run)
}

/// Continues the run of the folder `dir` from its newest checkpoint, as if it had never stopped. `overrides` may change the
/// budget and the like (`run.iterations=…`, `data.folder=…`), not what is learned.
///
/// # Errors
/// As [`train`]; also if there is no usable checkpoint.
pub fn resume(dir: &Path, overrides: &[String], quiet: bool, stop: &AtomicBool) -> Result<VaeOutcome, Error> {
    task::resume(dir, overrides, quiet, stop, &figures::draw_run)
}

/// Whether `folder` is a run folder of `relax vae`, or holds some, or is a sweep's folder.
#[must_use]
pub fn holds_vae_runs(folder: &Path) -> bool {
    curves::run_folders(folder).iter().any(|run| is_vae_run(run))
}

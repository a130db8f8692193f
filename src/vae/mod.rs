//! `relax vae`: binary latent-variable models, trained on the evidence lower bound by any of the estimators.
//!
//! The numbers of a run depend on its configuration alone: minibatches and noise come from streams named by seed and
//! iteration, so a checkpoint holds weights, moments and counters, and interrupted and resumed is uninterrupted, bit for bit.

mod config;
mod curves;
mod evaluate;
mod figures;
mod images;
mod logs;
mod run;
mod summary;
mod sweep;
mod variance;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::checkpoint::{self, Header};
use crate::error::Error;
use crate::files;
use crate::train::{TrainOptions, latest_checkpoint};

pub use config::{
    CheckpointConfig, DataConfig, DataSet, EstimatorConfig, ModelConfig, ModelKind, RunConfig, SweepConfig,
    VaeConfig, check_vae_resume_overrides,
};
pub use curves::plot;
pub use evaluate::{Bound, Part, bound, log_variance};
pub use images::RunImages;
pub use summary::VaeSummary;
pub use sweep::{SweepOptions, SweepOutcome, Table, sweep};
pub use variance::{Estimate, VarianceOptions, VarianceRow, variance, variance_csv, variance_markdown};

/// What a checkpoint's notes call the kind of run.
const KIND: (&str, &str) = ("kind", "vae");

/// How a run ended.
#[derive(Debug, Clone)]
pub struct VaeOutcome {
    /// The run folder.
    pub dir: PathBuf,
    /// What it came to.
    pub summary: VaeSummary,
    /// Whether `stop` ended it, after a checkpoint.
    pub interrupted: bool,
}

/// Trains a model and writes the run folder.
///
/// # Errors
/// [`Error::exit_code`] 2 if the configuration, the data or the folder is wrong, 1 if the run itself fails; the last good
/// checkpoint is then named in the hint.
pub fn train(config: &VaeConfig, options: &TrainOptions) -> Result<VaeOutcome, Error> {
    config.validate()?;
    train_on(config, RunImages::load(&config.data)?, options)
}

/// As [`train`], on images that are there already.
fn train_on(config: &VaeConfig, images: RunImages, options: &TrainOptions) -> Result<VaeOutcome, Error> {
    let dir = &options.out;
    if latest_checkpoint(dir).exists() || dir.join("config.toml").exists() {
        let message = format!("the run folder {} holds a run already", dir.display());
        return Err(Error::input(message).with_hint(format!("`relax resume {}` continues it", dir.display())));
    }
    // Everything that the configuration can get wrong is found before anything is written.
    let trainer = run::trainer(config, &images)?;
    let checkpoints = latest_checkpoint(dir);
    let folder = checkpoints.parent().unwrap_or(dir);
    std::fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
    let path = dir.join("config.toml");
    files::write_atomically(&path, config.to_toml().as_bytes())
        .map_err(|source| Error::io("write", &path, source))?;
    run::Run::fresh(config.clone(), images, trainer, dir, options.quiet)?.go(&options.stop)
}

/// Continues the run of the folder `dir` from its newest checkpoint, as if it had never stopped. `overrides` may change the
/// budget and the like (`run.iterations=…`, `data.folder=…`), not what is learned.
///
/// # Errors
/// As [`train`]; also if there is no usable checkpoint.
pub fn resume(dir: &Path, overrides: &[String], quiet: bool, stop: &AtomicBool) -> Result<VaeOutcome, Error> {
    check_vae_resume_overrides(overrides)?;
    let path = latest_checkpoint(dir);
    let (header, state) = checkpoint::load(&path)?;
    let config = VaeConfig::from_toml(&header.config, &path.display().to_string(), overrides)?;
    let images = RunImages::load(&config.data)?;
    resume_on(config, images, &state, dir, quiet, stop)
}

fn resume_on(
    config: VaeConfig,
    images: RunImages,
    state: &relax_nn::StateDict,
    dir: &Path,
    quiet: bool,
    stop: &AtomicBool,
) -> Result<VaeOutcome, Error> {
    let trainer = run::trainer(&config, &images)?;
    run::Run::resumed(config, images, trainer, dir, quiet, state)?.go(stop)
}

/// Whether the run folder `dir` is one of `relax vae`.
#[must_use]
pub fn is_vae_run(dir: &Path) -> bool {
    let text = std::fs::read_to_string(dir.join("config.toml")).unwrap_or_default();
    is_vae_config(&text)
}

/// Whether `folder` is a run folder of `relax vae`, or holds some, or is a sweep's folder.
#[must_use]
pub fn holds_vae_runs(folder: &Path) -> bool {
    curves::run_folders(folder).iter().any(|run| is_vae_run(run))
}

/// Whether the TOML `text` looks like a [`VaeConfig`]: no other kind of configuration has a section `model` or `estimator`.
#[must_use]
pub fn is_vae_config(text: &str) -> bool {
    text.parse::<toml::Table>()
        .is_ok_and(|table| table.contains_key("model") || table.contains_key("estimator"))
}

fn header(config: &VaeConfig) -> Header {
    let mut header = Header::new(config.to_toml());
    header.notes.insert(KIND.0.to_owned(), KIND.1.to_owned());
    header
}

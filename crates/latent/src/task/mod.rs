//! Training a model from a configuration, with a run folder: the task behind `relax vae`.
//!
//! The numbers of a run depend on its configuration alone: minibatches and noise come from streams named by seed and
//! iteration, so a checkpoint holds weights, moments and counters, and interrupted and resumed is uninterrupted, bit for bit.

mod config;
mod evaluate;
mod images;
mod logs;
mod run;
mod summary;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use relax_runtime::Error;
use relax_runtime::checkpoint::{self, CheckpointError, Header};
use relax_runtime::owner::Owner;
use relax_runtime::run::{TrainOptions, latest_checkpoint};
use relax_runtime::task::{Ended, Run};

use crate::vae::Trainer;
use run::Training;

pub use config::{
    CheckpointConfig, DataConfig, DataSet, EstimatorConfig, ModelConfig, ModelKind, RunConfig, SweepConfig,
    VaeConfig, check_vae_resume_overrides,
};
pub use evaluate::{Bound, Part, bound, log_variance};
pub use images::RunImages;
pub use run::{DIVERGED, trainer};
pub use summary::VaeSummary;

/// What a checkpoint's notes call the kind of run.
const KIND: (&str, &str) = ("kind", "vae");

/// What is drawn into the folder of a run that has come to its end, before its summary is written: pictures are no business
/// of this crate.
pub type Pictures<'a> = &'a (dyn Fn(&Path, &Trainer, &RunImages) -> Result<(), Error> + Sync);

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
pub fn train(
    config: &VaeConfig,
    options: &TrainOptions,
    pictures: Pictures<'_>,
) -> Result<VaeOutcome, Error> {
    config.validate()?;
    train_on(config, RunImages::load(&config.data)?, options, pictures)
}

/// As [`train`], on images that are there already.
///
/// # Errors
/// As [`train`].
pub fn train_on(
    config: &VaeConfig,
    images: RunImages,
    options: &TrainOptions,
    pictures: Pictures<'_>,
) -> Result<VaeOutcome, Error> {
    relax_runtime::task::check_fresh(&options.out)?;
    // Everything that the configuration can get wrong is found before anything is written.
    let trainer = run::trainer(config, &images)?;
    let training = Training::new(config.clone(), images, trainer);
    go(Run::fresh(training, &options.out, options.quiet)?, &options.stop, pictures)
}

/// Continues the run of the folder `dir` from its newest checkpoint, as if it had never stopped. `overrides` may change the
/// budget and the like (`run.iterations=…`, `data.folder=…`), not what is learned.
///
/// # Errors
/// As [`train`]; also if there is no usable checkpoint.
pub fn resume(
    dir: &Path,
    overrides: &[String],
    quiet: bool,
    stop: &AtomicBool,
    pictures: Pictures<'_>,
) -> Result<VaeOutcome, Error> {
    check_vae_resume_overrides(overrides)?;
    let path = latest_checkpoint(dir);
    let owner = own(dir)?;
    let (header, state) = checkpoint::load(&path)?;
    let config = VaeConfig::from_toml(&header.config, &path.display().to_string(), overrides)?;
    let images = RunImages::load(&config.data)?;
    let trainer = run::trainer(&config, &images)?;
    go(Run::resumed(Training::new(config, images, trainer), dir, quiet, &state, owner)?, stop, pictures)
}

/// As [`resume`], with a configuration and images that are there already.
///
/// # Errors
/// As [`resume`].
pub fn resume_on(
    config: VaeConfig,
    images: RunImages,
    dir: &Path,
    quiet: bool,
    stop: &AtomicBool,
    pictures: Pictures<'_>,
) -> Result<VaeOutcome, Error> {
    let owner = own(dir)?;
    let (_, state) = checkpoint::load(&latest_checkpoint(dir))?;
    let trainer = run::trainer(&config, &images)?;
    go(Run::resumed(Training::new(config, images, trainer), dir, quiet, &state, owner)?, stop, pictures)
}

/// Takes a folder with a checkpoint; another folder is left as it is.
fn own(dir: &Path) -> Result<Owner, Error> {
    let path = latest_checkpoint(dir);
    if path.exists() { Owner::take(dir, "run folder") } else { Err(CheckpointError::Missing { path }.into()) }
}

fn go(run: Run<Training>, stop: &AtomicBool, pictures: Pictures<'_>) -> Result<VaeOutcome, Error> {
    let Ended { task, journal, interrupted } = run.go(stop)?;
    let summary = task.summary(&journal);
    if !interrupted {
        pictures(&journal.dir, &task.trainer, &task.images)?;
    }
    summary.save(&journal.dir.join("summary.json"))?;
    Ok(VaeOutcome { dir: journal.dir, summary, interrupted })
}

/// Whether the run folder `dir` is one of `relax vae`.
#[must_use]
pub fn is_vae_run(dir: &Path) -> bool {
    let text = std::fs::read_to_string(dir.join("config.toml")).unwrap_or_default();
    is_vae_config(&text)
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

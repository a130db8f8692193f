//! Training: workers that act, a learner that learns, and everything a run writes down.
//!
//! ```text
//! actors (crew.rs, actor.rs)                       learner (run.rs)
//! ──────────────────────────                       ────────────────
//! obs → policy → action → step, T times ─Rollout─▶ 1. agent.improve_policy(&batch)     ĝ with the old critics
//!        ▲                                         2. the new policy goes to the actors
//!        └───────────────── policy, empty buffer ◀ 3. agent.fit_critics(&batch), while the actors act again
//! ```
//! The numbers do not depend on the interleaving: every random number comes from a stream named by (seed, role, index),
//! rollouts are merged in slot order, and the critics never touch what the actors use. `--workers 0` does all of it on
//! one thread, with the same numbers.

mod crew;
mod logs;
mod run;
mod tracker;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::config::{Config, check_resume_overrides};
use crate::summary::Summary;
use relax_runtime::Error;
use relax_runtime::run::CHECKPOINTS;
use relax_runtime::{checkpoint, files};

pub use relax_runtime::run::{TrainOptions, best_checkpoint, latest_checkpoint};

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The run folder.
    pub dir: PathBuf,
    /// What it came to.
    pub summary: Summary,
    /// Whether `stop` ended it, after a checkpoint.
    pub interrupted: bool,
}

/// Trains an agent and writes the run folder.
///
/// # Errors
/// [`Error::exit_code`] 2 if the configuration or the folder is wrong, 1 if the run itself fails; the last good
/// checkpoint is then named in the hint.
pub fn train(config: &Config, options: &TrainOptions) -> Result<Outcome, Error> {
    config.validate()?;
    let dir = &options.out;
    if latest_checkpoint(dir).exists() || dir.join("config.toml").exists() {
        let message = format!("the run folder {} holds a run already", dir.display());
        return Err(Error::input(message).with_hint(format!("`relax resume {}` continues it", dir.display())));
    }
    // Everything that the configuration can get wrong is found before anything is written.
    let parts = run::Parts::new(config)?;
    std::fs::create_dir_all(dir.join(CHECKPOINTS)).map_err(|source| Error::io("create", dir, source))?;
    let path = dir.join("config.toml");
    files::write_atomically(&path, config.to_toml().as_bytes())
        .map_err(|source| Error::io("write", &path, source))?;
    run::Run::fresh(config.clone(), parts, dir, options.quiet)?.go(&options.stop)
}

/// Continues the run of the folder `dir` from its newest checkpoint, as if it had never stopped. `overrides` may change
/// the budget and the like (`run.env_steps=…`), not what is learned.
///
/// # Errors
/// As [`train`]; also if there is no usable checkpoint.
pub fn resume(dir: &Path, overrides: &[String], quiet: bool, stop: &AtomicBool) -> Result<Outcome, Error> {
    check_resume_overrides(overrides)?;
    let path = latest_checkpoint(dir);
    let (header, state) = checkpoint::load(&path)?;
    let config = Config::from_toml(&header.config, &path.display().to_string(), overrides)?;
    let parts = run::Parts::new(&config).map_err(|error| match error.hint() {
        Some(_) => error,
        None => error.with_hint(format!("the configuration is the one in {}", path.display())),
    })?;
    run::Run::resumed(config, parts, dir, quiet, &state)?.go(stop)
}

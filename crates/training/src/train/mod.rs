//! Training: workers that act, a learner that learns, and everything a run writes down.
//!
//! ```text
//! actors (crew.rs, actor.rs)                       learner (trainer.rs)
//! ──────────────────────────                       ────────────────
//! obs → policy → action → step, T times ─Rollout─▶ 1. agent.improve_policy(&batch)     ĝ with the old critics
//!        ▲                                         2. the new policy goes to the actors
//!        └───────────────── policy, empty buffer ◀ 3. agent.fit_critics(&batch), while the actors act again
//! ```
//! The numbers do not depend on the interleaving: every random number comes from a stream named by (seed, role, index),
//! rollouts are merged in slot order, and the critics never touch what the actors use. `--workers 0` does all of it on
//! one thread, with the same numbers.

mod crew;
mod health;
mod logs;
mod run;
mod tracker;
mod trainer;
mod under_way;
mod warm_start;
mod worth;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use relax_runtime::Error;
use relax_runtime::checkpoint::{self, CheckpointError};
use relax_runtime::owner::Owner;
use relax_runtime::task::{self, Ended, Run};

use crate::cluster::Fleet;
use crate::config::{Config, check_resume_overrides};
use crate::summary::Summary;
use run::Training;

pub use relax_runtime::run::{TrainOptions, best_checkpoint, latest_checkpoint};
pub use tracker::Finished;
pub use trainer::{Trainer, Update, watched};

pub(crate) use crew::whole;
pub(crate) use trainer::check_env;
pub(crate) use under_way::UnderWay;
pub(crate) use warm_start::take_over;

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
    train_with(config, options, None)
}

pub(crate) fn train_with(
    config: &Config,
    options: &TrainOptions,
    fleet: Option<Box<dyn Fleet>>,
) -> Result<Outcome, Error> {
    config.validate()?;
    task::check_fresh(&options.out)?;
    // Everything that the configuration can get wrong is found before anything is written.
    let mut trainer = match fleet {
        Some(fleet) => Trainer::with_fleet(config, fleet)?,
        None => Trainer::new(config)?,
    };
    if let Some(from) = &config.run.from {
        take_over(trainer.agent_mut(), config, Path::new(from))?;
    }
    trainer.stop_when(&options.stop);
    let training = Training::new(trainer);
    go(Run::fresh(training, &options.out, options.quiet)?, &options.stop)
}

/// Continues the run of the folder `dir` from its newest checkpoint, as if it had never stopped. `overrides` may change
/// the budget and the like (`run.env_steps=…`), not what is learned.
///
/// With `learner.anneal` the learning rates fall to 0 at the end of the budget. Under another budget they follow its own
/// schedule from here on: a finished run that goes on has rates above 0 again, and is not the run that had that budget from
/// the start.
///
/// # Errors
/// As [`train()`]; also if there is no usable checkpoint.
pub fn resume(
    dir: &Path,
    overrides: &[String],
    quiet: bool,
    stop: &Arc<AtomicBool>,
) -> Result<Outcome, Error> {
    resume_with(dir, overrides, quiet, stop, None)
}

pub(crate) fn resume_with(
    dir: &Path,
    overrides: &[String],
    quiet: bool,
    stop: &Arc<AtomicBool>,
    fleet: Option<Box<dyn Fleet>>,
) -> Result<Outcome, Error> {
    check_resume_overrides(overrides)?;
    let path = latest_checkpoint(dir);
    if !path.exists() {
        return Err(CheckpointError::Missing { path }.into());
    }
    let owner = Owner::take(dir, "run folder")?;
    let (header, state) = checkpoint::load(&path)?;
    let read = |overrides| Config::recorded(&header.config, &path.display().to_string(), overrides);
    let (before, config) = (read(&[])?, read(overrides)?);
    let made = match fleet {
        Some(fleet) => Trainer::with_fleet(&config, fleet),
        None => Trainer::for_state(&config, &state),
    };
    let mut trainer = made.map_err(|error| match error.hint() {
        Some(_) => error,
        None => error.with_hint(format!("the configuration is the one in {}", path.display())),
    })?;
    trainer.stop_when(stop);
    let mut training = Training::new(trainer);
    training.adopt_best(dir, &state);
    let run = Run::resumed(training, dir, quiet, &state, owner)?;
    if !run.task().whole {
        run.journal().progress.message(&format!(
            "note: {} cannot save its state; every slot starts a fresh episode",
            config.env.id
        ));
    }
    let annealed = config.learner.get("anneal").and_then(toml::Value::as_bool).unwrap_or(false);
    if annealed && (before.run.env_steps, before.run.seconds) != (config.run.env_steps, config.run.seconds) {
        let note = "note: learning rates fall to 0 at the end of the budget (learner.anneal): from here on, of the new one";
        run.journal().progress.message(note);
    }
    go(run, stop)
}

/// Hash of what the run of the folder `dir` had learned at its newest checkpoint, finished or not: [`Trainer::state_hash`].
///
/// # Errors
/// If there is no usable checkpoint.
pub fn state_hash(dir: &Path) -> Result<String, Error> {
    checkpoint_hash(&latest_checkpoint(dir))
}

/// As [`state_hash`], at the checkpoint `path`.
///
/// # Errors
/// If it is not usable.
pub fn checkpoint_hash(path: &Path) -> Result<String, Error> {
    let (_, state) = checkpoint::load(path)?;
    Ok(trainer::learned_hash(&state))
}

fn go(run: Run<Training>, stop: &AtomicBool) -> Result<Outcome, Error> {
    let Ended { task, journal, interrupted } = run.go(stop)?;
    let summary = task.summary(&journal);
    summary.save(&journal.dir.join("summary.json"))?;
    Ok(Outcome { dir: journal.dir, summary, interrupted })
}

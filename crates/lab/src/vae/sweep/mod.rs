//! `relax vae-sweep`: estimators × learning rates × seeds, several runs at a time, to be killed and continued at will.
//!
//! Each estimator is tried at every learning rate with the tuning seed; the rate with the best final validation bound is then
//! run with every reporting seed. A sweep's folder holds one run folder per run under `runs/`, `runs.csv` (all runs), `table.csv`
//! and `table.md` (one row per estimator); the tables are rewritten whenever a run ends. The same command again continues
//! the sweep: finished runs are kept, interrupted ones resumed.

mod plan;
mod table;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use relax_latent::task::{self, RunImages, VaeConfig};
use relax_runtime::Error;
use relax_runtime::files;
use relax_runtime::owner::Owner;

pub use table::Table;

/// How to sweep.
#[derive(Debug, Clone)]
pub struct SweepOptions {
    /// The sweep's folder: fresh, or one of the same sweep.
    pub out: PathBuf,
    /// Runs at a time, each on one thread; 1 or more.
    pub jobs: usize,
    /// Show nothing.
    pub quiet: bool,
    /// Once set (by a signal handler, say), every run writes a checkpoint and the sweep ends.
    pub stop: Arc<AtomicBool>,
}

/// How a sweep ended.
#[derive(Debug)]
pub struct SweepOutcome {
    /// What is known so far.
    pub table: Table,
    /// Whether `stop` ended it.
    pub interrupted: bool,
}

/// Runs, or goes on with, the sweep that `config.sweep` describes.
///
/// # Errors
/// [`Error::exit_code`] 2 if the configuration, the data or the folder is wrong, 1 if a run fails otherwise than by diverging.
pub fn sweep(config: &VaeConfig, options: &SweepOptions) -> Result<SweepOutcome, Error> {
    config.validate()?;
    let images = RunImages::load(&config.data)?;
    // Before anything is written: the settings must make a trainer.
    task::trainer(config, &images)?;
    let out = &options.out;
    std::fs::create_dir_all(out.join("runs")).map_err(|source| Error::io("create", out, source))?;
    let mut owner = Owner::take(out, "sweep")?;
    owner.sign().map_err(|source| Error::io("write to", out, source))?;
    let path = out.join("config.toml");
    files::write_atomically(&path, config.to_toml().as_bytes())
        .map_err(|source| Error::io("write", &path, source))?;
    work::Sweep::new(config.clone(), images, options)?.go()
}

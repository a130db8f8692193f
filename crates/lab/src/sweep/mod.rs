//! `relax sweep`: which settings of a configuration do best, by a tree-structured Parzen estimator or an evolution strategy, with successive
//! halving.
//!
//! Trials come in brackets. Every trial of a bracket is run on the first rung: the smallest budget, the fewest seeds; one in
//! [`keep`](Settings::keep) goes on to the next, and so on to the last. What the next bracket tries is drawn where good trials so far are
//! denser than the others (a tree-structured Parzen estimator, `suggest.rs`), or from a normal distribution that every bracket moves (CMA-ES,
//! `evolution.rs`).
//!
//! **The same trials, whatever happens.** What is tried next depends on the file and on the results of whole brackets, never on the order
//! in which runs end or on how many run at a time. A sweep that is continued goes through the same steps again; runs that are there already
//! are read instead of made, and those that were interrupted come to the same numbers.
//!
//! ```text
//! OUT/sweep.toml    the file it was begun with          OUT/best.toml      the best configuration, for `relax train`
//! OUT/runs/         t007-r1-s1000: trial, rung, seed    OUT/trials.csv     every trial and its scores
//! OUT/report.html   table, parallel coordinates, importance of every setting; figures/ holds them alone
//! ```

mod evolution;
mod figures;
mod halving;
mod importance;
mod report;
mod settings;
#[cfg(test)]
mod side_by_side;
mod space;
mod suggest;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use relax_runtime::owner::Owner;
use relax_runtime::{Error, files};
use relax_training::Config;

use crate::compare::jobs::{How, Maker};
use crate::report::Provenance;

pub use halving::{Score, Trial};
pub use importance::Importance;
pub use settings::{Plan, Sampler, Settings};
pub use space::{Parameter, Range};

/// How to sweep.
#[derive(Debug, Clone)]
pub struct SweepOptions {
    /// The sweep's folder: fresh, or one of the same sweep.
    pub out: PathBuf,
    /// Runs at a time; none for as many as the machine has cores.
    pub jobs: Option<usize>,
    /// Who makes the runs; none for this process.
    pub maker: Option<Arc<dyn Maker>>,
    /// Show nothing.
    pub quiet: bool,
    /// Once set, every run under way is saved and the sweep ends; the same call continues it.
    pub stop: Arc<AtomicBool>,
    /// The command to print in the report.
    pub command: String,
    /// The commit that the program was built from; empty if it is not known.
    pub commit: &'static str,
}

/// What a sweep came to.
#[derive(Debug)]
pub struct Swept {
    /// Every trial, in the order in which they were tried.
    pub trials: Vec<Trial>,
    /// Place of the best among them; none if every run failed.
    pub best: Option<usize>,
    /// What each setting decided, the most first.
    pub importance: Vec<Importance>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// Makes or continues the sweep that `plan` describes.
///
/// # Errors
/// If the folder holds another sweep, or a file cannot be written. Runs that fail count as the worst there are; the others go on.
pub fn sweep(plan: &Plan, options: &SweepOptions) -> Result<Swept, Error> {
    let out = &options.out;
    std::fs::create_dir_all(out).map_err(|source| Error::io("create", out, source))?;
    let mut owner = Owner::take(out, "sweep")?;
    begin(plan, out)?;
    owner.sign().map_err(|source| Error::io("write to", out, source))?;
    let threads = options.jobs.unwrap_or_else(relax_runtime::jobs::cores);
    let how = How { threads, maker: options.maker.as_deref(), quiet: options.quiet, stop: &options.stop };
    let halved = halving::run(plan, &out.join("runs"), how)?;
    let best = halving::best(&halved.trials);
    let importance = if halved.interrupted { Vec::new() } else { importance::of(plan, &halved.trials) };
    let swept = Swept { trials: halved.trials, best, importance, interrupted: halved.interrupted };
    if !swept.interrupted {
        let provenance = Provenance::new(options.command.clone(), options.commit, threads);
        report::write(out, plan, &swept, &provenance)?;
    }
    Ok(swept)
}

/// Keeps the file, or refuses a folder of another one.
fn begin(plan: &Plan, out: &Path) -> Result<(), Error> {
    let path = out.join("sweep.toml");
    match std::fs::read_to_string(&path) {
        Ok(text) if text == plan.text => Ok(()),
        Ok(text) => {
            let same = text.parse::<toml::Table>().ok() == plan.text.parse::<toml::Table>().ok();
            if same {
                return Ok(());
            }
            let message =
                format!("{} holds a sweep of another file, kept as {}", out.display(), path.display());
            Err(Error::input(message)
                .with_hint("name another folder with --out; what is tried next depends on all of the file"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            files::write_atomically(&path, plan.text.as_bytes())
                .map_err(|source| Error::io("write", &path, source))
        }
        Err(source) => Err(Error::io("read", &path, source)),
    }
}

impl Plan {
    /// The configuration of a trial on a rung, with the seed.
    ///
    /// # Errors
    /// If its settings do not go together.
    pub fn config(&self, values: &[toml::Value], rung: usize, seed: u64) -> Result<Config, Error> {
        let mut overrides = self.overrides(values);
        overrides.push(format!("run.env_steps={}", self.settings.budgets[rung]));
        overrides.push(format!("run.seed={seed}"));
        overrides.push("rollout.workers=0".to_owned());
        Ok(Config::from_toml(&self.base, &self.name, &overrides)?)
    }
}

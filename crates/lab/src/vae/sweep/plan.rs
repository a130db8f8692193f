//! Which runs a sweep consists of, and what is known of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use relax_estimators::Estimator;

use relax_latent::task::{DIVERGED, VaeConfig, VaeSummary};
use relax_runtime::Error;
use relax_runtime::run::latest_checkpoint;

/// One run of a sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Job {
    /// The estimator.
    pub method: Estimator,
    /// Its learning rate.
    pub rate: f64,
    /// The run's seed.
    pub seed: u64,
    /// Whether it only serves to choose the learning rate.
    pub tuning: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// At its end.
    Finished(Box<VaeSummary>),
    /// By a bound that was not finite.
    Diverged,
}

/// What is on the disk of a run.
#[derive(Debug)]
pub enum Stage {
    /// Nothing of use.
    Absent,
    /// A checkpoint to continue from.
    Interrupted,
    /// All of it.
    Ended(Ending),
}

impl Job {
    /// The name of its folder: `rebar-lr1e-3-s0`.
    pub fn name(&self) -> String {
        format!("{}-lr{:e}-s{}", self.method, self.rate, self.seed)
    }

    /// Its folder in the sweep's folder `out`.
    pub fn folder(&self, out: &Path) -> PathBuf {
        out.join("runs").join(self.name())
    }

    /// Its configuration.
    pub fn config(&self, sweep: &VaeConfig) -> VaeConfig {
        let mut config = sweep.clone();
        // A run has nothing to do with what else is compared.
        config.sweep = Default::default();
        config.estimator.method = self.method;
        config.estimator.learning_rate = self.rate;
        config.run.seed = self.seed;
        if self.tuning {
            config.run.final_samples = 0;
        }
        config
    }

    /// What is on the disk of this run.
    ///
    /// # Errors
    /// If its folder holds a run with other settings.
    pub fn stage(&self, sweep: &VaeConfig, out: &Path) -> Result<Stage, Error> {
        let (folder, wanted) = (self.folder(out), self.config(sweep));
        if !latest_checkpoint(&folder).is_file() {
            return Ok(Stage::Absent);
        }
        let path = folder.join("config.toml");
        let mut found = VaeConfig::load(&path, &[])?;
        // What a resumed run may change without becoming another experiment.
        found.run.iterations = wanted.run.iterations;
        found.run.threads = wanted.run.threads;
        found.run.final_samples = wanted.run.final_samples;
        found.data.folder.clone_from(&wanted.data.folder);
        found.checkpoint.clone_from(&wanted.checkpoint);
        if found != wanted {
            let message = format!("{} holds a run with other settings than this sweep's", folder.display());
            return Err(Error::input(message).with_hint(format!(
                "name another folder with --out, or give the settings of {} again",
                path.display()
            )));
        }
        if folder.join(DIVERGED).is_file() {
            return Ok(Stage::Ended(Ending::Diverged));
        }
        let path = folder.join("summary.json");
        if !path.is_file() {
            return Ok(Stage::Interrupted);
        }
        let summary = VaeSummary::load(&path)?;
        if summary.iterations > wanted.run.iterations {
            let message = format!(
                "{} has been trained for {} iterations, and this sweep asks for {}",
                folder.display(),
                summary.iterations,
                wanted.run.iterations
            );
            return Err(Error::input(message).with_hint("name another folder with --out"));
        }
        let samples = wanted.run.final_samples;
        let weighted =
            samples == 0 || summary.importance_samples == samples && summary.validation_importance.is_some();
        let whole = summary.is_complete() && summary.iterations == wanted.run.iterations && weighted;
        Ok(if whole { Stage::Ended(Ending::Finished(Box::new(summary))) } else { Stage::Interrupted })
    }
}

impl Ending {
    /// The final validation bound; diverged runs lose against all others.
    pub fn validation(&self) -> f64 {
        match self {
            Self::Finished(summary) => summary.validation.map_or(f64::NEG_INFINITY, |bound| bound.mean),
            Self::Diverged => f64::NEG_INFINITY,
        }
    }
}

/// The runs that have ended, by the name of their folder.
pub type Results = BTreeMap<String, Ending>;

/// The runs with which the learning rate of `method` is chosen.
pub fn tuning_jobs(sweep: &VaeConfig, method: Estimator) -> Vec<Job> {
    let seed = sweep.sweep.tuning_seed;
    sweep.sweep.learning_rates.iter().map(|&rate| Job { method, rate, seed, tuning: true }).collect()
}

/// The learning rate chosen for `method`; `None` while a run is missing on which the choice depends, or if all diverged.
pub fn chosen_rate(sweep: &VaeConfig, method: Estimator, results: &Results) -> Option<f64> {
    if let [only] = sweep.sweep.learning_rates.as_slice() {
        return Some(*only);
    }
    let jobs = tuning_jobs(sweep, method);
    let scores: Option<Vec<(f64, f64)>> =
        jobs.iter().map(|job| Some((results.get(&job.name())?.validation(), job.rate))).collect();
    let best = scores?.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    best.0.is_finite().then_some(best.1)
}

/// The runs that are reported of `method` at `rate`.
pub fn report_jobs(sweep: &VaeConfig, method: Estimator, rate: f64) -> Vec<Job> {
    sweep.sweep.seeds.iter().map(|&seed| Job { method, rate, seed, tuning: false }).collect()
}

/// All runs that can be started or continued now, in the order in which they should be: estimator by estimator, so that rows
/// of the table are complete early.
pub fn open_jobs(sweep: &VaeConfig, results: &Results, is_done: impl Fn(&Job) -> bool) -> Vec<Job> {
    let mut open: Vec<Job> = Vec::new();
    for &method in &sweep.sweep.methods {
        let jobs = match chosen_rate(sweep, method, results) {
            Some(rate) => report_jobs(sweep, method, rate),
            None => tuning_jobs(sweep, method),
        };
        open.extend(jobs.into_iter().filter(|job| !is_done(job)));
    }
    open
}

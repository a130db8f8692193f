//! `relax vae-variance`: the variance of several estimators' gradients at the same weights.
//!
//! The model of a checkpoint is frozen. Each estimator's control variate is fitted to it from its start for a number of
//! iterations, all on the same minibatches; then its encoder gradient is drawn again and again, on fresh minibatches and on
//! one fixed minibatch, and the sample variance over the draws is averaged over the weights of each layer's encoder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use relax_estimators::Estimator;
use relax_latent::data::{Minibatches, random_minibatch};

use relax_latent::task::{self, RunImages, VaeConfig};
use relax_runtime::checkpoint;
use relax_runtime::run::latest_checkpoint;
use relax_runtime::{Error, jobs};

/// The number of the fixed minibatch; the measurements' own are below 2⁵⁶.
const FIXED_MINIBATCH: u64 = 1 << 62;
/// The number of the first measurement: larger than that of any iteration, by which training names its own.
const FIRST_DRAW: u64 = 1 << 31;

/// What to measure.
#[derive(Debug, Clone)]
pub struct VarianceOptions {
    /// The estimators.
    pub methods: Vec<Estimator>,
    /// Iterations that fit each control variate to the frozen model.
    pub fit: u64,
    /// Gradients per sample variance, 2 or more.
    pub draws: usize,
    /// Sample variances per estimator, 2 or more; their spread gives the standard errors.
    pub repetitions: u64,
    /// Changes of the run's configuration, each `KEY=VALUE`; only `data.*` and `estimator.*`.
    pub overrides: Vec<String>,
    /// Estimators at a time, each on one thread.
    pub jobs: usize,
}

/// A mean over repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean of the log-variances.
    pub mean: f64,
    /// Standard error of that mean.
    pub standard_error: f64,
}

/// What was found for one estimator.
#[derive(Debug, Clone, PartialEq)]
pub struct VarianceRow {
    /// The estimator.
    pub method: Estimator,
    /// Per layer, over fresh minibatches: the variance that training meets.
    pub fresh: Vec<Estimate>,
    /// Per layer, at one fixed minibatch: the estimator's own part of it.
    pub fixed: Vec<Estimate>,
}

/// Measures the estimators at the weights of the newest checkpoint of the run folder `dir`. `found` is called with each row
/// as it comes. Rows are returned in the order of `options.methods`; `None` if `stop` was set meanwhile.
///
/// # Errors
/// If there is no usable checkpoint, the data are not there, or an override changes the model.
pub fn variance(
    dir: &Path,
    options: &VarianceOptions,
    stop: &AtomicBool,
    found: &(dyn Fn(&VarianceRow) + Sync),
) -> Result<Option<Vec<VarianceRow>>, Error> {
    let allowed = |key: &str| key.starts_with("estimator.") || key.starts_with("data.");
    let hint = "the measurement is at the weights of this run: only estimator.* and data.* may be set";
    relax_runtime::config::check_resume::<VaeConfig>(&options.overrides, allowed, hint)?;
    let path = latest_checkpoint(dir);
    let (header, state) = checkpoint::load(&path)?;
    let config = VaeConfig::from_toml(&header.config, &path.display().to_string(), &options.overrides)?;
    let images = RunImages::load(&config.data)?;
    let bench = Bench { config, images, weights: state.subset("trainer"), path, options, stop };

    let failed = AtomicBool::new(false);
    let halt = || stop.load(Ordering::Relaxed) || failed.load(Ordering::Relaxed);
    let rows = jobs::map(&options.methods, options.jobs, halt, |_, &method| {
        let row = bench.measure(method);
        match &row {
            Ok(Some(row)) => found(row),
            Ok(None) => {}
            Err(_) => failed.store(true, Ordering::Relaxed),
        }
        row
    })?;
    // A measurement that was not begun, or not ended, leaves nothing whole; an error comes first.
    let rows: Vec<Option<VarianceRow>> = rows
        .into_iter()
        .map(Option::transpose)
        .map(|row| row.map(Option::flatten))
        .collect::<Result<_, _>>()?;
    Ok(rows.into_iter().collect())
}

/// What all measurements share.
struct Bench<'a> {
    config: VaeConfig,
    images: RunImages,
    weights: relax_nn::StateDict,
    path: PathBuf,
    options: &'a VarianceOptions,
    stop: &'a AtomicBool,
}

impl Bench<'_> {
    /// `None` if it was stopped.
    fn measure(&self, method: Estimator) -> Result<Option<VarianceRow>, Error> {
        let mut config = self.config.clone();
        config.estimator.method = method;
        let mut trainer = task::trainer(&config, &self.images)?;
        trainer.restore_model(&self.weights).map_err(|error| {
            Error::input(format!("{} does not fit its own configuration: {error}", self.path.display()))
        })?;
        let (train, batch, seed): (&Arc<_>, _, _) =
            (&self.images.train, config.run.batch_size, config.run.seed);
        let mut minibatches = Minibatches::new(train.len(), batch, seed);
        let mut x = vec![0.0; batch * train.pixels()];
        for iteration in 0..self.options.fit {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            minibatches.fill(train, iteration, &mut x);
            trainer.fit_control_variate(&x);
        }
        let layers = trainer.model().architecture().layers();
        let fixed_batches = vec![random_minibatch(train, batch, seed, FIXED_MINIBATCH); self.options.draws];
        let (mut fresh, mut fixed) = (vec![Vec::new(); layers], vec![Vec::new(); layers]);
        for repetition in 0..self.options.repetitions {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            // Every estimator meets the same minibatches.
            let draw = FIRST_DRAW + 2 * repetition;
            let values = task::log_variance(&mut trainer, train, (self.options.draws, batch), seed, draw);
            fresh.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
            let values = trainer.log_variance(&fixed_batches, draw + 1);
            fixed.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
        }
        let estimates = |all: &[Vec<f64>]| all.iter().map(|values| Estimate::of(values)).collect();
        Ok(Some(VarianceRow { method, fresh: estimates(&fresh), fixed: estimates(&fixed) }))
    }
}

impl Estimate {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self { mean, standard_error: (variance / count).sqrt() }
    }
}

/// The rows as CSV: method, layer, then mean and standard error for fresh minibatches and for the fixed one.
#[must_use]
pub fn variance_csv(rows: &[VarianceRow]) -> String {
    let mut text =
        "method,layer,fresh_mean,fresh_standard_error,fixed_mean,fixed_standard_error\n".to_owned();
    for row in rows {
        for (layer, (fresh, fixed)) in row.fresh.iter().zip(&row.fixed).enumerate() {
            text.push_str(&format!(
                "{},{},{},{},{},{}\n",
                row.method,
                layer + 1,
                fresh.mean,
                fresh.standard_error,
                fixed.mean,
                fixed.standard_error
            ));
        }
    }
    text
}

/// The rows as a Markdown table.
#[must_use]
pub fn variance_markdown(rows: &[VarianceRow]) -> String {
    let mut text =
        "| estimator | layer | fresh minibatches | one fixed minibatch |\n| --- | --- | --- | --- |\n"
            .to_owned();
    for row in rows {
        for (layer, (fresh, fixed)) in row.fresh.iter().zip(&row.fixed).enumerate() {
            text.push_str(&format!(
                "| {} | {} | {:.3} ± {:.3} | {:.3} ± {:.3} |\n",
                row.method,
                layer + 1,
                fresh.mean,
                fresh.standard_error,
                fixed.mean,
                fixed.standard_error
            ));
        }
    }
    text
}

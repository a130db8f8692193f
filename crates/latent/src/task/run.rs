//! One run: the loop over iterations, its checkpoints and its end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::data::Minibatches;
use crate::vae::Trainer;
use relax_nn::{StateDict, StateTensor};

use super::config::VaeConfig;
use super::evaluate::{self, Bound, Part};
use super::images::RunImages;
use super::logs::{Evaluation, Logs, Metrics};
use super::summary::VaeSummary;
use super::{Pictures, VaeOutcome, header};
use relax_runtime::Error;
use relax_runtime::checkpoint;
use relax_runtime::clock::Clock;
use relax_runtime::files;
use relax_runtime::logging::{Progress, Shown};
use relax_runtime::run::latest_checkpoint;

/// The file in which a run notes that it diverged.
pub const DIVERGED: &str = "diverged.txt";

/// How a run stands, for the display.
#[derive(Debug, Clone, Copy)]
struct Status {
    iteration: u64,
    /// Mean bound of the minibatches of the last row of metrics.csv.
    train: Option<f64>,
    validation: Option<f64>,
}

impl Shown for Status {
    const UNIT: &'static str = "iterations";

    fn position(&self) -> u64 {
        self.iteration
    }

    fn notes(&self) -> Vec<String> {
        let note = |name: &str, value: Option<f64>| value.map(|value| format!("{name} {value:.2}"));
        note("train", self.train).into_iter().chain(note("validation", self.validation)).collect()
    }
}

/// The mean bound since the last row of metrics.csv.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    sum: f64,
    count: u64,
}

pub(super) struct Run {
    config: VaeConfig,
    dir: PathBuf,
    images: RunImages,
    trainer: Trainer,
    minibatches: Minibatches,
    x: Vec<f32>,
    logs: Logs,
    progress: Progress,
    clock: Clock,
    running: Running,
    /// The iteration of the last row of evaluations.csv.
    evaluated: u64,
    /// Iterations and seconds of training at the last row of metrics.csv, or when this process began.
    lap: (u64, f64),
    status: Status,
}

/// The trainer of a configuration, fresh.
///
/// # Errors
/// Whatever in the configuration the trainer cannot do.
pub fn trainer(config: &VaeConfig, images: &RunImages) -> Result<Trainer, Error> {
    let architecture = config.model.architecture(images.train.pixels());
    let mean = images.train.mean();
    let mut trainer = Trainer::new(architecture, config.estimator.settings(), &mean, config.run.seed)
        .map_err(|error| Error::input(error.to_string()))?;
    trainer.set_threads(config.run.threads).map_err(|error| Error::runtime(error.to_string()))?;
    Ok(trainer)
}

impl Run {
    /// A run from the start; `dir` exists.
    pub fn fresh(
        config: VaeConfig,
        images: RunImages,
        trainer: Trainer,
        dir: &Path,
        quiet: bool,
    ) -> Result<Self, Error> {
        let logs = Logs::create(dir, &names(&trainer), trainer.model().architecture().layers())?;
        let mut run = Self::new(config, images, trainer, dir, quiet, logs);
        // So that a run can be resumed however early it is killed.
        run.save()?;
        Ok(run)
    }

    /// A run as `state` left it.
    pub fn resumed(
        config: VaeConfig,
        images: RunImages,
        mut trainer: Trainer,
        dir: &Path,
        quiet: bool,
        state: &StateDict,
    ) -> Result<Self, Error> {
        let misfit = |error: &dyn std::fmt::Display| {
            Error::input(format!("{} does not fit this run: {error}", latest_checkpoint(dir).display()))
                .with_hint("a run resumes with the configuration it was started with")
        };
        trainer.restore(&state.subset("trainer")).map_err(|error| misfit(&error))?;
        let [count, evaluated] = state.u64_array("counters").map_err(|error| misfit(&error))?;
        let [sum] = state.f64_array("running").map_err(|error| misfit(&error))?;
        let positions = state.u64_array("log_positions").map_err(|error| misfit(&error))?;
        let times = state.f64_array("clock").map_err(|error| misfit(&error))?;
        // Opening the logs cuts them back to the checkpoint: nothing in the checkpoint may be found wrong after that.
        let layers = trainer.model().architecture().layers();
        let logs = Logs::resume(dir, &names(&trainer), layers, positions)?;
        let mut run = Self::new(config, images, trainer, dir, quiet, logs);
        run.running = Running { sum, count };
        run.evaluated = evaluated;
        run.clock.restore(times);
        run.lap.1 = run.clock.training();
        Ok(run)
    }

    fn new(
        config: VaeConfig,
        images: RunImages,
        trainer: Trainer,
        dir: &Path,
        quiet: bool,
        logs: Logs,
    ) -> Self {
        let (iteration, batch) = (trainer.iterations(), config.run.batch_size);
        Self {
            minibatches: Minibatches::new(images.train.len(), batch, config.run.seed),
            x: vec![0.0; batch * images.train.pixels()],
            progress: Progress::new(config.run.iterations, iteration, quiet),
            status: Status { iteration, train: None, validation: None },
            lap: (iteration, 0.0),
            clock: Clock::new(),
            running: Running::default(),
            evaluated: 0,
            dir: dir.to_owned(),
            config,
            images,
            trainer,
            logs,
        }
    }

    /// Runs to the end of the budget or until `stop`.
    pub fn go(mut self, stop: &AtomicBool, pictures: Pictures<'_>) -> Result<VaeOutcome, Error> {
        let ended = self.train(stop).and_then(|finished| self.end(finished, stop, pictures));
        ended.map_err(|error| {
            let _ = self.logs.flush();
            let dir = self.dir.display();
            error.with_hint(format!(
                "the last good checkpoint is {}; `relax resume {dir}` continues from it",
                latest_checkpoint(&self.dir).display()
            ))
        })
    }

    /// Returns whether the budget is used up.
    fn train(&mut self, stop: &AtomicBool) -> Result<bool, Error> {
        // The evaluation in whose middle the run was stopped.
        if self.evaluation_is_due() && !self.evaluate(stop)? {
            return Ok(false);
        }
        while self.trainer.iterations() < self.config.run.iterations {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            self.step()?;
            if self.evaluation_is_due() && !self.evaluate(stop)? {
                return Ok(false);
            }
            let every = self.config.checkpoint.every_iterations;
            if every > 0 && self.trainer.iterations().is_multiple_of(every) {
                self.save()?;
            }
        }
        Ok(true)
    }

    /// One iteration, logged and shown.
    fn step(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        let iteration = self.trainer.iterations();
        self.minibatches.fill(&self.images.train, iteration, &mut self.x);
        let report = self.trainer.step(&self.x);
        self.clock.add_training(started.elapsed());
        if !report.bound.is_finite() {
            return Err(self.diverged(report.bound));
        }
        self.running.sum += report.bound;
        self.running.count += 1;
        self.status.iteration = iteration + 1;
        if (iteration + 1).is_multiple_of(self.config.run.log_every) {
            self.report()?;
        }
        self.progress.update(&self.status);
        Ok(())
    }

    /// The error of a bound that is not finite, noted in the run folder.
    fn diverged(&self, bound: f64) -> Error {
        let rate = self.config.estimator.learning_rate;
        let message = format!(
            "training diverged: the bound at iteration {} is {bound} (learning rate {rate:e}); a smaller learning rate may help",
            self.trainer.iterations()
        );
        let path = self.dir.join(DIVERGED);
        match files::write_atomically(&path, format!("{message}\n").as_bytes()) {
            Ok(()) => Error::runtime(message),
            Err(source) => Error::io("write", &path, source),
        }
    }

    /// A row of metrics.csv.
    fn report(&mut self) -> Result<(), Error> {
        let Running { sum, count } = std::mem::take(&mut self.running);
        let bound = sum / count as f64;
        let iteration = self.trainer.iterations();
        let training = self.clock.training();
        let rate = (iteration - self.lap.0) as f64 / (training - self.lap.1).max(1e-9);
        self.lap = (iteration, training);
        self.status.train = Some(bound);
        self.logs.metrics(&Metrics {
            iteration,
            bound,
            gradient_norm: self.trainer.gradient_norm(),
            diagnostics: &self.trainer.diagnostics(),
            iterations_per_second: rate,
            wall_seconds: self.clock.wall(),
        })
    }

    /// Whether a row of evaluations.csv is missing at this iteration. The last iteration's is written at the end.
    fn evaluation_is_due(&self) -> bool {
        let (iteration, run) = (self.trainer.iterations(), &self.config.run);
        run.evaluate_every > 0
            && iteration > self.evaluated
            && iteration < run.iterations
            && iteration.is_multiple_of(run.evaluate_every)
    }

    /// A row of evaluations.csv; `false` if `stop` was set meanwhile.
    fn evaluate(&mut self, stop: &AtomicBool) -> Result<bool, Error> {
        let validation = &self.images.validation;
        let bound = evaluate::bound(self.trainer.model(), validation, Part::Validation, 1, stop);
        let Some(bound) = bound else { return Ok(false) };
        let log_variance = self.log_variance();
        self.write_evaluation(bound.mean, &log_variance)?;
        Ok(true)
    }

    fn write_evaluation(&mut self, validation: f64, log_variance: &[f64]) -> Result<(), Error> {
        let iteration = self.trainer.iterations();
        self.evaluated = iteration;
        self.status.validation = Some(validation);
        let wall_seconds = self.clock.wall();
        self.logs.evaluation(&Evaluation { iteration, validation, log_variance, wall_seconds })
    }

    /// Per layer; empty if it is not wanted.
    fn log_variance(&mut self) -> Vec<f64> {
        let run = &self.config.run;
        if run.variance_batches == 0 {
            return Vec::new();
        }
        let (sizes, draw) = ((run.variance_batches, run.batch_size), self.trainer.iterations());
        evaluate::log_variance(&mut self.trainer, &self.images.train, sizes, run.seed, draw)
    }

    /// The end: last checkpoint, last evaluation, figures, summary.
    fn end(
        &mut self,
        finished: bool,
        stop: &AtomicBool,
        pictures: Pictures<'_>,
    ) -> Result<VaeOutcome, Error> {
        // The last evaluation comes after the state that a later `resume` with a larger budget continues from.
        self.save()?;
        let mut summary = self.summary();
        let finished = finished && self.judge(&mut summary, stop)?;
        self.logs.flush()?;
        self.progress.finish(&self.status);
        summary.wall_seconds = self.clock.wall();
        if finished {
            pictures(&self.dir, &self.trainer, &self.images)?;
        }
        summary.save(&self.dir.join("summary.json"))?;
        Ok(VaeOutcome { dir: self.dir.clone(), summary, interrupted: !finished })
    }

    /// Fills in the final bounds; `false` if `stop` was set meanwhile.
    fn judge(&mut self, summary: &mut VaeSummary, stop: &AtomicBool) -> Result<bool, Error> {
        let samples = self.config.run.final_samples;
        self.progress.message("final evaluation …");
        let (model, images) = (self.trainer.model(), &self.images);
        let bound = |part, samples| {
            let images = match part {
                Part::Train => &images.train,
                Part::Validation => &images.validation,
                Part::Test => &images.test,
            };
            evaluate::bound(model, images, part, samples, stop)
        };
        let all = || -> Option<([Bound; 3], [Option<Bound>; 2])> {
            let simple = [bound(Part::Train, 1)?, bound(Part::Validation, 1)?, bound(Part::Test, 1)?];
            let weighted = match samples {
                0 => [None, None],
                _ => [Some(bound(Part::Validation, samples)?), Some(bound(Part::Test, samples)?)],
            };
            Some((simple, weighted))
        };
        let Some(([train, validation, test], weighted)) = all() else { return Ok(false) };
        let bounds = [train, validation, test].into_iter().chain(weighted.iter().copied().flatten());
        if let Some(bad) = bounds.map(|bound| bound.mean).find(|mean| !mean.is_finite()) {
            return Err(self.diverged(bad));
        }
        let log_variance = self.log_variance();
        self.write_evaluation(validation.mean, &log_variance)?;
        (summary.train, summary.validation, summary.test) = (Some(train), Some(validation), Some(test));
        [summary.validation_importance, summary.test_importance] = weighted;
        // A gradient without any variance has no logarithm of it that JSON could hold.
        let measured = !log_variance.is_empty() && log_variance.iter().all(|value| value.is_finite());
        summary.log_variance = measured.then_some(log_variance);
        Ok(true)
    }

    fn summary(&self) -> VaeSummary {
        VaeSummary {
            data: self.config.data.set.name().to_owned(),
            model: self.config.model.name(),
            method: self.config.estimator.method,
            learning_rate: self.config.estimator.learning_rate,
            seed: self.config.run.seed,
            iterations: self.trainer.iterations(),
            train: None,
            validation: None,
            test: None,
            importance_samples: self.config.run.final_samples,
            validation_importance: None,
            test_importance: None,
            log_variance: None,
            iterations_per_second: self.trainer.iterations() as f64 / self.clock.training().max(1e-9),
            wall_seconds: self.clock.wall(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Writes everything that the run consists of.
    fn save(&mut self) -> Result<(), Error> {
        // What the checkpoint says the logs hold must be in them first.
        self.logs.flush()?;
        let mut state = StateDict::new();
        state.insert_all("trainer", self.trainer.state());
        state.insert("counters", StateTensor::U64(vec![self.running.count, self.evaluated]));
        state.insert("running", StateTensor::F64(vec![self.running.sum]));
        state.insert("log_positions", StateTensor::U64(self.logs.positions().to_vec()));
        state.insert("clock", StateTensor::F64(self.clock.state().to_vec()));
        checkpoint::save(&latest_checkpoint(&self.dir), &header(&self.config), &state)?;
        Ok(())
    }
}

fn names(trainer: &Trainer) -> Vec<String> {
    trainer.diagnostics().into_iter().map(|(name, _)| name).collect()
}

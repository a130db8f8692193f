//! Training a model as a task of the one run loop.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use relax_nn::{StateDict, StateError, StateTensor};
use relax_runtime::checkpoint::Header;
use relax_runtime::logging::{Shown, Table};
use relax_runtime::task::{Evaluated, Journal, Pause, Schedule, Task};
use relax_runtime::{Error, files};

use super::config::VaeConfig;
use super::evaluate::{self, Bound, Part};
use super::header;
use super::images::RunImages;
use super::logs::{self, Evaluation, Metrics};
use super::summary::VaeSummary;
use crate::data::Minibatches;
use crate::vae::Trainer;

/// The file in which a run notes that it diverged.
pub const DIVERGED: &str = "diverged.txt";

/// How a run stands, for the display.
#[derive(Debug, Clone, Copy)]
pub(super) struct Status {
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

/// A trainer with what its run folder needs to know.
pub(super) struct Training {
    config: VaeConfig,
    pub images: RunImages,
    pub trainer: Trainer,
    minibatches: Minibatches,
    x: Vec<f32>,
    running: Running,
    /// The iteration of the last row of evaluations.csv.
    evaluated: u64,
    /// Iterations and seconds of training at the last row of metrics.csv, or when this process began.
    lap: Option<(u64, f64)>,
    status: Status,
    /// The final bounds.
    judged: Option<Judged>,
}

/// What the final evaluation found.
struct Judged {
    /// Of the training, validation and test images.
    simple: [Bound; 3],
    /// Importance-weighted, of the validation and test images.
    weighted: [Option<Bound>; 2],
    log_variance: Vec<f64>,
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

impl Training {
    pub fn new(config: VaeConfig, images: RunImages, trainer: Trainer) -> Self {
        let (iteration, batch) = (trainer.iterations(), config.run.batch_size);
        Self {
            minibatches: Minibatches::new(images.train.len(), batch, config.run.seed),
            x: vec![0.0; batch * images.train.pixels()],
            status: Status { iteration, train: None, validation: None },
            lap: None,
            running: Running::default(),
            evaluated: 0,
            judged: None,
            config,
            images,
            trainer,
        }
    }

    /// The error of a bound that is not finite, noted in the run folder.
    fn diverged(&self, dir: &Path, bound: f64) -> Error {
        let rate = self.config.estimator.learning_rate;
        let message = format!(
            "training diverged: the bound at iteration {} is {bound} (learning rate {rate:e}); a smaller learning rate may help",
            self.trainer.iterations()
        );
        let path = dir.join(DIVERGED);
        match files::write_atomically(&path, format!("{message}\n").as_bytes()) {
            Ok(()) => Error::runtime(message).with_hint(
                "`relax resume` would come to the same point: start a new run with other settings",
            ),
            Err(source) => Error::io("write", &path, source),
        }
    }

    /// A row of metrics.csv.
    fn report(&mut self, journal: &mut Journal, (first, seconds): (u64, f64)) -> Result<(), Error> {
        let Running { sum, count } = std::mem::take(&mut self.running);
        let bound = sum / count as f64;
        let iteration = self.trainer.iterations();
        let training = journal.clock.training();
        let rate = (iteration - first) as f64 / (training - seconds).max(1e-9);
        self.lap = Some((iteration, training));
        self.status.train = Some(bound);
        let row = Metrics {
            iteration,
            bound,
            gradient_norm: self.trainer.gradient_norm(),
            diagnostics: &self.trainer.diagnostics(),
            iterations_per_second: rate,
            wall_seconds: journal.clock.wall(),
        };
        logs::metrics(&mut journal.logs, &row)
    }

    fn write_evaluation(
        &mut self,
        journal: &mut Journal,
        validation: f64,
        log_variance: &[f64],
    ) -> Result<(), Error> {
        let iteration = self.trainer.iterations();
        self.evaluated = iteration;
        self.status.validation = Some(validation);
        let wall_seconds = journal.clock.wall();
        let layers = self.trainer.model().architecture().layers();
        logs::evaluation(
            &mut journal.logs,
            layers,
            &Evaluation { iteration, validation, log_variance, wall_seconds },
        )
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

    /// The final bounds; `false` if `stop` was set meanwhile.
    fn judge(&mut self, journal: &mut Journal, stop: &AtomicBool) -> Result<bool, Error> {
        let samples = self.config.run.final_samples;
        journal.progress.message("final evaluation …");
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
        let Some((simple, weighted)) = all() else { return Ok(false) };
        let bounds = simple.into_iter().chain(weighted.iter().copied().flatten());
        if let Some(bad) = bounds.map(|bound| bound.mean).find(|mean| !mean.is_finite()) {
            return Err(self.diverged(&journal.dir, bad));
        }
        let log_variance = self.log_variance();
        self.write_evaluation(journal, simple[1].mean, &log_variance)?;
        self.judged = Some(Judged { simple, weighted, log_variance });
        Ok(true)
    }

    /// What the run came to.
    pub fn summary(&self, journal: &Journal) -> VaeSummary {
        let judged = self.judged.as_ref();
        let simple = |part: usize| judged.map(|judged| judged.simple[part]);
        let weighted = |part: usize| judged.and_then(|judged| judged.weighted[part]);
        // A gradient without any variance has no logarithm of it that JSON could hold.
        let measured =
            |layers: &&Vec<f64>| !layers.is_empty() && layers.iter().all(|value| value.is_finite());
        VaeSummary {
            data: self.config.data.set.name().to_owned(),
            model: self.config.model.name(),
            method: self.config.estimator.method,
            learning_rate: self.config.estimator.learning_rate,
            seed: self.config.run.seed,
            iterations: self.trainer.iterations(),
            train: simple(0),
            validation: simple(1),
            test: simple(2),
            importance_samples: self.config.run.final_samples,
            validation_importance: weighted(0),
            test_importance: weighted(1),
            log_variance: judged.map(|judged| &judged.log_variance).filter(measured).cloned(),
            iterations_per_second: self.trainer.iterations() as f64 / journal.clock.training().max(1e-9),
            wall_seconds: journal.clock.wall(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl Task for Training {
    type Status = Status;

    fn tables(&self) -> Vec<Table> {
        let names: Vec<String> = self.trainer.diagnostics().into_iter().map(|(name, _)| name).collect();
        logs::tables(&names, self.trainer.model().architecture().layers())
    }

    fn header(&self) -> Header {
        header(&self.config)
    }

    fn schedule(&self) -> Schedule {
        Schedule {
            budget: self.config.run.iterations,
            evaluate_every: self.config.run.evaluate_every,
            save_every: self.config.checkpoint.every_iterations,
            sparing: false,
        }
    }

    fn position(&self) -> u64 {
        self.trainer.iterations()
    }

    fn evaluated(&self) -> u64 {
        self.evaluated
    }

    fn status(&self) -> Status {
        self.status
    }

    /// One iteration.
    fn step(&mut self, journal: &mut Journal, _: &Pause<'_>) -> Result<(), Error> {
        let iteration = self.trainer.iterations();
        let lap = *self.lap.get_or_insert((iteration, journal.clock.training()));
        let started = Instant::now();
        self.minibatches.fill(&self.images.train, iteration, &mut self.x);
        let report = self.trainer.step(&self.x);
        journal.clock.add_training(started.elapsed());
        if !report.bound.is_finite() {
            return Err(self.diverged(&journal.dir, report.bound));
        }
        self.running.sum += report.bound;
        self.running.count += 1;
        self.status.iteration = iteration + 1;
        if (iteration + 1).is_multiple_of(self.config.run.log_every) {
            self.report(journal, lap)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, journal: &mut Journal, last: bool, stop: &AtomicBool) -> Result<Evaluated, Error> {
        let done = Evaluated::Done { keep: false };
        if last {
            return Ok(if self.judge(journal, stop)? { done } else { Evaluated::Stopped });
        }
        let validation = &self.images.validation;
        let bound = evaluate::bound(self.trainer.model(), validation, Part::Validation, 1, stop);
        let Some(bound) = bound else { return Ok(Evaluated::Stopped) };
        let log_variance = self.log_variance();
        self.write_evaluation(journal, bound.mean, &log_variance)?;
        Ok(done)
    }

    fn state(&mut self) -> Result<StateDict, Error> {
        let mut state = StateDict::new();
        state.insert_all("trainer", self.trainer.state());
        state.insert("counters", StateTensor::U64(vec![self.running.count, self.evaluated]));
        state.insert("running", StateTensor::F64(vec![self.running.sum]));
        Ok(state)
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), Error> {
        let bad = |error: StateError| Error::input(error.to_string());
        self.trainer.restore(&state.subset("trainer")).map_err(|error| Error::input(error.to_string()))?;
        let [count, evaluated] = state.u64_array("counters").map_err(bad)?;
        let [sum] = state.f64_array("running").map_err(bad)?;
        self.running = Running { sum, count };
        self.evaluated = evaluated;
        self.status.iteration = self.trainer.iterations();
        Ok(())
    }
}

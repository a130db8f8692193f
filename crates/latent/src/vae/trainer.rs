//! The training loop's one step: ĝ and the control variate's gradient, both with the old weights; then a step of both.

use crate::stream::{role, stream};
use crate::vae::VaeError;
use crate::vae::architecture::Architecture;
use crate::vae::baseline::Centre;
use crate::vae::control::Control;
use crate::vae::estimate::Estimate;
use crate::vae::model::Model;
use crate::vae::settings::{SURROGATE_BETA2, Settings};
use crate::vae::surrogate::Replay;
use crate::vae::weights::Weights;
use rayon::ThreadPool;
use relax_nn::{Optimizer, Rule, StateDict, StateTensor, global_norm};
use std::ops::Range;
use std::sync::Arc;

/// The stream of which past iterations the surrogate's regression sees again; index: the iteration.
const REPLAY: u64 = 21;

/// What one step tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Mean of the evidence lower bound over the batch, from the step's own samples, in nats.
    pub bound: f64,
}

/// A model in training.
///
/// ```
/// use relax_estimators::{Coupling, Estimator};
/// use relax_latent::vae::{Architecture, Settings, Trainer};
/// let architecture = Architecture { pixels: 4, latent: vec![3], hidden: vec![] };
/// let mut trainer = Trainer::new(architecture, Settings::new(Estimator::Rebar(Coupling::Independent)), &[0.5; 4], 0)?;
/// let images = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
/// let before: f64 = trainer.model().bound(&images, 100, 0).iter().sum();
/// for _ in 0..3000 {
///     trainer.step(&images);
/// }
/// assert!(trainer.model().bound(&images, 100, 0).iter().sum::<f64>() > before + 1.0);
/// # Ok::<(), relax_latent::vae::VaeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Trainer {
    settings: Settings,
    seed: u64,
    iterations: u64,
    model: Model,
    control: Control<f32>,
    centres: Vec<Centre>,
    model_optimizer: Optimizer<f32>,
    control_optimizer: Optimizer<f32>,
    estimate: Estimate<f32>,
    gradient: Vec<f32>,
    control_gradient: Vec<f32>,
    pool: Option<Arc<ThreadPool>>,
    /// The surrogate's calls of past iterations.
    past: Replay,
}

impl Trainer {
    /// A model with fresh weights, named by `seed`; `train_mean` `[pixels]` is the mean of the training images.
    ///
    /// # Errors
    /// If a setting cannot be used, or the mean is not of the architecture's width.
    pub fn new(
        architecture: Architecture,
        settings: Settings,
        train_mean: &[f32],
        seed: u64,
    ) -> Result<Self, VaeError> {
        settings.validate()?;
        if train_mean.len() != architecture.pixels {
            return Err(VaeError::Pixels { expected: architecture.pixels, found: train_mean.len() });
        }
        if architecture.latent.is_empty() || architecture.latent.contains(&0) {
            let latent = architecture.latent;
            return Err(VaeError::Setting(format!(
                "latent must list one or more widths of at least 1, not {latent:?}"
            )));
        }
        let rule = Rule::Adam { beta1: 0.9, beta2: settings.beta2, epsilon: 1e-8 };
        let beta2 = if settings.method.needs().surrogate { SURROGATE_BETA2 } else { settings.beta2 };
        let control_rule = Rule::Adam { beta1: 0.9, beta2, epsilon: 1e-8 };
        // The model starts the same whatever estimator trains it.
        let weights = Weights::new(architecture, train_mean, &mut stream(seed, role::INIT, 0));
        let control = Control::new(&weights.architecture, &settings, &mut stream(seed, role::INIT, 1));
        Ok(Self {
            model_optimizer: Optimizer::new(rule, weights.parameters.len()),
            control_optimizer: Optimizer::new(control_rule, control.parameters.len()),
            centres: vec![Centre::default(); weights.architecture.layers()],
            gradient: vec![0.0; weights.parameters.len()],
            control_gradient: vec![0.0; control.parameters.len()],
            pool: None,
            past: Replay::default(),
            estimate: Estimate::default(),
            model: Model { weights },
            control,
            settings,
            seed,
            iterations: 0,
        })
    }

    /// Spreads the large products of every step over `threads` threads; the numbers stay the same, bit for bit.
    ///
    /// # Errors
    /// If the system will not start the threads.
    pub fn set_threads(&mut self, threads: usize) -> Result<(), VaeError> {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
        self.pool = match threads {
            0 | 1 => None,
            _ => Some(Arc::new(builder.build().map_err(|error| VaeError::Threads(error.to_string()))?)),
        };
        Ok(())
    }

    /// One iteration on the images `x` `[B, pixels]` of noughts and ones. Its noise is the stream (seed, iteration).
    ///
    /// # Panics
    /// If `x` is no whole number of images, or a pixel is neither 0 nor 1.
    pub fn step(&mut self, x: &[f32]) -> StepReport {
        match self.pool.clone() {
            Some(pool) => {
                let threads = pool.current_num_threads();
                pool.install(|| relax_nn::with_threads(threads, || self.step_here(x)))
            }
            None => self.step_here(x),
        }
    }

    fn step_here(&mut self, x: &[f32]) -> StepReport {
        self.estimate_with(x, role::STEP, self.iterations);
        let rows = self.estimate.path.f.len() as f64;
        let report =
            StepReport { bound: -self.estimate.path.f.iter().map(|&f| f64::from(f)).sum::<f64>() / rows };
        // Both gradients are there; the control variate's may still be in the cache.
        self.step_control();
        self.step_model(1.0 / rows);
        self.iterations += 1;
        report
    }

    /// Network by network, each moved while its gradient is still in the cache; `scale` turns sums over rows into means.
    fn step_model(&mut self, scale: f64) {
        let trains = self.iterations >= self.settings.warm_up;
        let Self { estimate, model, gradient, model_optimizer, settings, .. } = self;
        let Estimate { path, pixels, gradients, .. } = estimate;
        let weights = &mut model.weights;
        let mut step = trains.then(|| model_optimizer.begin(settings.learning_rate, scale));
        let mut move_along = |weights: &mut Weights<f32>, gradient: &[f32], at: Range<usize>| {
            if let Some(step) = &mut step {
                step.apply(at.start, &mut weights.parameters[at.clone()], &gradient[at]);
            }
        };
        for (layer, logit_gradient) in gradients.iter().enumerate() {
            path.encoder_gradient(weights, layer, pixels, logit_gradient, gradient);
            move_along(weights, gradient, weights.layout.encoders[layer].at.clone());
            path.decoder_gradient(weights, layer, gradient);
            move_along(weights, gradient, weights.layout.decoders[layer].at.clone());
        }
        path.prior_gradient(weights, gradient);
        move_along(weights, gradient, weights.layout.prior.clone());
    }

    /// One step of the control variate alone, the model held fixed. Counts as an iteration.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    pub fn fit_control_variate(&mut self, x: &[f32]) {
        self.estimate_with(x, role::STEP, self.iterations);
        self.step_control();
        self.iterations += 1;
    }

    fn estimate_with(&mut self, x: &[f32], purpose: u64, index: u64) {
        let pixels = self.model.architecture().pixels;
        assert!(!x.is_empty() && x.len().is_multiple_of(pixels), "x must be whole images of {pixels} pixels");
        let fits = purpose == role::STEP;
        self.estimate.run(
            &self.model.weights,
            &self.control,
            &self.centres,
            &self.settings,
            x,
            &mut stream(self.seed, purpose, index),
            fits.then_some(&mut self.control_gradient),
        );
    }

    fn encoder_gradient_into(&mut self) {
        let Self { estimate, model, gradient, .. } = self;
        for (layer, logit_gradient) in estimate.gradients.iter().enumerate() {
            let (path, pixels) = (&estimate.path, &estimate.pixels);
            path.encoder_gradient(&model.weights, layer, pixels, logit_gradient, gradient);
        }
    }

    fn step_control(&mut self) {
        if !self.control.parameters.is_empty() {
            let rate = self.settings.control_variate_learning_rate;
            self.control_optimizer.step(&mut self.control.parameters, &self.control_gradient, rate, 1.0);
        }
        if self.settings.method.needs().surrogate {
            self.replay();
        }
        for (centre, &signal) in self.centres.iter_mut().zip(&self.estimate.signals) {
            centre.update(signal);
        }
    }

    /// Everything of the surrogate that learns from an iteration does so after that iteration's ĝ.
    fn replay(&mut self) {
        let Self { settings, control, estimate, past, .. } = self;
        let mut rng = stream(self.seed, REPLAY, self.iterations);
        for _ in 0..settings.replay {
            let Some(calls) = past.draw(&mut rng) else { break };
            estimate.replay(control, calls, &mut self.control_gradient);
            let rate = settings.control_variate_learning_rate;
            self.control_optimizer.step(&mut control.parameters, &self.control_gradient, rate, 1.0);
        }
        for (gain, &(ab, bb)) in control.gains.iter_mut().zip(&estimate.statistics) {
            gain.update(ab, bb);
        }
        past.push(settings.replay_window, |calls| estimate.take_calls(calls));
    }

    /// For each layer the logarithm of the mean over its encoder's weights of the gradient's sample variance, over `batches`
    /// of images and fresh noise (the stream `draw`); nothing is trained.
    ///
    /// # Panics
    /// If there are fewer than two batches, or a pixel is neither 0 nor 1.
    pub fn log_variance(&mut self, batches: &[Vec<f32>], draw: u64) -> Vec<f64> {
        assert!(batches.len() >= 2, "a variance needs at least two batches");
        let encoders: Vec<_> =
            self.model.weights.layout.encoders.iter().map(|part| part.at.clone()).collect();
        let end = encoders.last().map_or(0, |at| at.end);
        let (mut sum, mut squares) = (vec![0.0_f64; end], vec![0.0_f64; end]);
        for (i, x) in batches.iter().enumerate() {
            self.estimate_with(x, role::VARIANCE_NOISE, (draw << 32) | i as u64);
            self.encoder_gradient_into();
            let rows = self.estimate.path.f.len() as f64;
            for ((sum, square), &g) in sum.iter_mut().zip(&mut squares).zip(&self.gradient) {
                let g = f64::from(g) / rows;
                *sum += g;
                *square += g * g;
            }
        }
        let n = batches.len() as f64;
        encoders
            .into_iter()
            .map(|at| {
                let count = at.len() as f64;
                let total: f64 = at.map(|i| (squares[i] - sum[i] * sum[i] / n).max(0.0) / (n - 1.0)).sum();
                (total / count).ln()
            })
            .collect()
    }

    /// Euclidean norm of the last step's gradient of the model's weights.
    #[must_use]
    pub fn gradient_norm(&self) -> f64 {
        global_norm(&self.gradient) / self.estimate.path.f.len().max(1) as f64
    }

    /// Steps taken, those of the warm-up included.
    #[must_use]
    pub fn iterations(&self) -> u64 {
        self.iterations
    }

    /// The model as it is now.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The constants it is trained with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Numbers that tell how the control variates fare: `eta.1` and `temperature.1` for the first layer, and so on.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<(String, f64)> {
        let mut numbers = Vec::new();
        for layer in 0..self.centres.len() {
            if self.settings.method.needs().surrogate {
                numbers.push((format!("gain.{}", layer + 1), self.control.gains[layer].gain()));
            }
            if let Some((gain, temperature)) = self.control.gain_and_temperature(layer) {
                numbers.push((format!("eta.{}", layer + 1), f64::from(gain)));
                numbers.push((format!("temperature.{}", layer + 1), temperature));
            }
        }
        numbers
    }

    /// Everything that a later run needs to go on as if nothing had happened: weights, moments, running means, counter.
    #[must_use]
    pub fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("iterations", StateTensor::U64(vec![self.iterations]));
        state.insert_f32("model.parameters", &self.model.weights.parameters);
        state.insert_f32("control_variate.parameters", &self.control.parameters);
        state.insert_all("model.adam", self.model_optimizer.state());
        state.insert_all("control_variate.adam", self.control_optimizer.state());
        let centres = self.centres.iter().flat_map(|centre| centre.state()).collect();
        state.insert("centres", StateTensor::F64(centres));
        if self.settings.method.needs().surrogate {
            let gains = self.control.gains.iter().flat_map(|gain| gain.state()).collect();
            state.insert("surrogate.gains", StateTensor::F64(gains));
            self.past.save(&mut state);
        }
        state
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or of another length than this trainer's.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), VaeError> {
        let [iterations] = state.u64_array("iterations")?;
        let control = state.f32("control_variate.parameters", self.control.parameters.len())?;
        let centres = state.f64("centres")?;
        if centres.len() != 2 * self.centres.len() {
            return Err(VaeError::Setting(format!(
                "the saved state has {} layers and this model {}",
                centres.len() / 2,
                self.centres.len()
            )));
        }
        let mut gains = self.control.gains.clone();
        let mut past = Replay::default();
        if self.settings.method.needs().surrogate {
            let Architecture { latent, .. } = self.model.architecture();
            past = Replay::restore(state, &self.model.weights.pixel_mean, latent)?;
            let saved = state.f64("surrogate.gains")?;
            if saved.len() != 2 * gains.len() {
                let (saved, own) = (saved.len() / 2, gains.len());
                return Err(VaeError::Setting(format!(
                    "the saved state has {saved} gains and this model {own}"
                )));
            }
            gains.iter_mut().zip(saved.as_chunks::<2>().0).for_each(|(gain, &saved)| gain.restore(saved));
        }
        self.model_optimizer.restore(&state.subset("model.adam"))?;
        self.control_optimizer.restore(&state.subset("control_variate.adam"))?;
        self.restore_model(state)?;
        self.control.parameters.copy_from_slice(control);
        (self.control.gains, self.past) = (gains, past);
        for (centre, saved) in self.centres.iter_mut().zip(centres.as_chunks::<2>().0) {
            *centre = Centre::from_state(*saved);
        }
        self.iterations = iterations;
        Ok(())
    }

    /// Takes over the model's weights alone, of a trainer with any estimator.
    ///
    /// # Errors
    /// If they are missing or of another architecture.
    pub fn restore_model(&mut self, state: &StateDict) -> Result<(), VaeError> {
        let own = &mut self.model.weights.parameters;
        let saved = state.f32("model.parameters", own.len())?;
        own.copy_from_slice(saved);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use relax_estimators::Estimator;

    #[test]
    fn log_variance_is_that_of_gradients_drawn_one_by_one() {
        let architecture = Architecture { pixels: 3, latent: vec![2, 3], hidden: Vec::new() };
        let batches =
            vec![vec![1.0, 0.0, 1.0, 0.0, 1.0, 1.0], vec![0.0, 0.0, 1.0, 1.0, 1.0, 0.0], vec![1.0; 6]];
        for method in [Estimator::Nvil, Estimator::LeaveOneOut { group: 2 }] {
            let mut trainer =
                Trainer::new(architecture.clone(), Settings::new(method), &[0.3, 0.6, 0.5], 3).unwrap();
            let rows = 2.0 * method.needs().samples as f64;
            let drawn: Vec<Vec<f64>> = (0_u64..)
                .zip(&batches)
                .map(|(i, x)| {
                    let mut fresh = trainer.clone();
                    fresh.estimate_with(x, role::VARIANCE_NOISE, (7 << 32) | i);
                    fresh.encoder_gradient_into();
                    fresh.gradient.iter().map(|&g| f64::from(g) / rows).collect()
                })
                .collect();
            let variance = |weight: usize| {
                let mean = drawn.iter().map(|g| g[weight]).sum::<f64>() / 3.0;
                drawn.iter().map(|g| (g[weight] - mean).powi(2)).sum::<f64>() / 2.0
            };
            let log_mean = |at: std::ops::Range<usize>| {
                let len = at.len() as f64;
                (at.map(variance).sum::<f64>() / len).ln()
            };
            // Weights and biases: 3 pixels to 2 units, then 2 units to 3.
            let expected = [log_mean(0..8), log_mean(8..17)];
            for (found, expected) in trainer.log_variance(&batches, 7).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{method}: {found} instead of {expected}");
            }
        }
    }
}

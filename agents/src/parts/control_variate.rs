//! The action-dependent part r(s, z) of a control variate: a network on observation and relaxed action.

use super::networks::{self, Network};
use super::policy::PolicyShard;
use crate::AgentError;
use crate::compute::add_up;
use crate::config::OptimizerKind;
use crate::distribution::Samples;
use relax_envs::EnvRng;
use relax_nn::{Mlp, MlpShape, Optimizer, StateDict, Workspace, clip_scale, global_norm};

/// What one shard of a batch keeps of the control variate: m points `(s, z)` for r rows (m = 2r with independent noise).
#[derive(Debug, Default)]
pub struct ControlVariateShard {
    /// A `[r, P]`: the estimator without r.
    pub a: Vec<f32>,
    /// B `[r, P]`: what r takes off it.
    pub b: Vec<f32>,
    workspace: Workspace<f32>,
    /// `[m, D + K]`.
    input: Vec<f32>,
    values: Vec<f32>,
    input_gradients: Vec<f32>,
    /// `[m, K]`: the last K columns of `input_gradients`.
    gradients: Vec<f32>,
    alpha: Vec<f32>,
    beta: Vec<f32>,
    input_beta: Vec<f32>,
    upstream: Vec<f32>,
    /// What [`differentiate`](Self::differentiate) left.
    pub parameter_gradient: Vec<f32>,
}

/// r(s, z), which learns to reduce the variance of the estimator it enters.
#[derive(Debug)]
pub struct ControlVariate {
    net: Mlp<f32>,
    optimizer: Optimizer<f32>,
    gradient: Vec<f32>,
}

impl ControlVariate {
    /// A fresh control variate of `width` numbers of z. Its last layer starts at 0, so that r is exactly 0: the
    /// estimator starts as the one without it.
    ///
    /// # Errors
    /// If the network cannot be made.
    pub fn new(
        observation_dim: usize,
        width: usize,
        network: &Network<'_>,
        optimizer: OptimizerKind,
        rng: &mut EnvRng,
    ) -> Result<Self, AgentError> {
        let shape = networks::shape(observation_dim + width, network, 1)?;
        let net = networks::network(shape, 0.0, rng)?;
        let len = net.shape().parameter_count();
        Ok(Self { optimizer: Optimizer::new(networks::rule(optimizer), len), gradient: vec![0.0; len], net })
    }

    /// Calls `f` with the network's parameters, for [`PolicyShard::correct`].
    pub fn read<R>(&self, f: impl FnOnce(&MlpShape, &[f32]) -> R) -> R {
        self.net.read(|parameters| f(self.net.shape(), parameters))
    }

    /// One step down the sum of the shards' gradients.
    ///
    /// # Errors
    /// If the gradient is not finite; the weights are then unchanged.
    pub fn step<'a>(
        &mut self,
        shards: impl ExactSizeIterator<Item = &'a mut ControlVariateShard>,
        learning_rate: f64,
        max_norm: f64,
    ) -> Result<(), AgentError> {
        let all = 0..self.gradient.len();
        add_up(&mut self.gradient, all, shards.map(|shard| &mut shard.parameter_gradient));
        let norm = global_norm(&self.gradient);
        if !norm.is_finite() {
            return Err(AgentError::NotFinite { what: "control variate's gradient" });
        }
        let (optimizer, gradient) = (&mut self.optimizer, &self.gradient);
        self.net.write(|x| optimizer.step(x, gradient, learning_rate, clip_scale(norm, max_norm)));
        Ok(())
    }

    /// Weights and optimiser.
    #[must_use]
    pub fn state(&self) -> StateDict {
        networks::state(&self.net, &self.optimizer)
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        networks::restore(&mut self.net, &mut self.optimizer, state)
    }
}

impl ControlVariateShard {
    /// Sets the points at which r is evaluated: observations `[r, D]` beside `points` `[m, K]`, m = r or 2r.
    pub fn place(&mut self, observations: &[f32], observation_dim: usize, points: &[f32], k: usize) {
        let m = points.len() / k;
        self.input.clear();
        let states = observations.chunks_exact(observation_dim).cycle();
        for (s, z) in states.zip(points.chunks_exact(k)) {
            self.input.extend_from_slice(s);
            self.input.extend_from_slice(z);
        }
        for (array, len) in [
            (&mut self.values, m),
            (&mut self.alpha, m),
            (&mut self.gradients, m * k),
            (&mut self.beta, m * k),
            (&mut self.input_gradients, self.input.len()),
            (&mut self.input_beta, self.input.len()),
        ] {
            array.resize(len, 0.0);
        }
    }

    /// r and ∇_z r at the points.
    fn evaluate(&mut self, shape: &MlpShape, parameters: &[f32]) {
        let Self { input, workspace, values, input_gradients, gradients, .. } = self;
        shape.value_and_gradient(parameters, input, workspace, values, input_gradients);
        let (width, k) = (shape.input(), gradients.len() / values.len());
        for (row, gradient) in input_gradients.chunks_exact(width).zip(gradients.chunks_exact_mut(k)) {
            gradient.copy_from_slice(&row[width - k..]);
        }
    }

    /// B of these `samples` from r(s, z) = network − `baseline` `[r]` at the points.
    pub fn correct_beyond(
        &mut self,
        samples: &mut Samples,
        shape: &MlpShape,
        parameters: &[f32],
        baseline: &[f32],
    ) {
        self.evaluate(shape, parameters);
        self.values.iter_mut().zip(baseline).for_each(|(r, b)| *r -= b);
        self.b.resize(self.a.len(), 0.0);
        samples.correction(&self.values, &self.gradients, &mut self.b);
    }

    /// estimate `[r, P]` ← what the control variate's gradient alone makes of the parameters of a reparametrised distribution:
    /// (∇c, ∇c∘σε) for a Gaussian. Must follow [`correct_beyond`](Self::correct_beyond); overwrites the values.
    pub fn reparametrised(&mut self, samples: &mut Samples, estimate: &mut [f32]) {
        self.values.fill(0.0);
        samples.correction(&self.values, &self.gradients, estimate);
        estimate.iter_mut().for_each(|g| *g = -*g);
    }

    /// Adds up the gradient by φ of a loss whose derivative by ĝ = A − B(φ) is `scale`·`upstream` `[r, P]`. Must follow
    /// [`correct`](PolicyShard::correct) with the same parameters.
    pub fn differentiate(
        &mut self,
        shape: &MlpShape,
        parameters: &[f32],
        scale: f32,
        upstream: &[f32],
        adjoint: impl FnOnce(&[f32], &mut [f32], &mut [f32]),
    ) {
        self.upstream.clear();
        self.upstream.extend(upstream.iter().map(|q| scale * q));
        adjoint(&self.upstream, &mut self.alpha, &mut self.beta);
        let (width, k) = (shape.input(), self.beta.len() / self.alpha.len());
        // Only the columns of z have a β; those of the observation keep the zeros they were made with.
        for (row, beta) in self.input_beta.chunks_exact_mut(width).zip(self.beta.chunks_exact(k)) {
            row[width - k..].copy_from_slice(beta);
        }
        self.parameter_gradient.clear();
        self.parameter_gradient.resize(parameters.len(), 0.0);
        let Self { input, workspace, alpha, input_beta, parameter_gradient, .. } = self;
        shape.parameter_gradient(parameters, input, workspace, alpha, input_beta, parameter_gradient, None);
    }
}

impl PolicyShard<ControlVariateShard> {
    /// B from r at the shard's points.
    pub fn correct(&mut self, shape: &MlpShape, parameters: &[f32]) {
        self.extra.correct_beyond(&mut self.samples, shape, parameters, &[]);
    }
}

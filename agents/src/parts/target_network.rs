//! A network with a copy that follows it slowly, for targets that do not run away from themselves.

use super::networks;
use crate::AgentError;
use crate::config::OptimizerKind;
use relax_envs::EnvRng;
use relax_nn::{MlpShape, Optimizer, StateDict, clip_scale, global_norm};

/// A network that learns, and its target network. Plain arrays for the kernels: nothing here is shared or differentiated
/// by candle.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetNetwork {
    /// Of both networks.
    pub shape: MlpShape,
    /// The trained weights.
    pub parameters: Vec<f32>,
    /// The weights that follow them; none if nothing asks for them.
    pub target: Vec<f32>,
    /// The gradient to be added up before [`step`](Self::step), which empties it.
    pub gradient: Vec<f32>,
    optimizer: Optimizer<f32>,
}

impl TargetNetwork {
    /// A fresh network, orthogonal like the others, and its exact copy.
    #[must_use]
    pub fn new(shape: MlpShape, output_gain: f64, optimizer: OptimizerKind, rng: &mut EnvRng) -> Self {
        let parameters: Vec<f32> = shape.orthogonal(rng, std::f64::consts::SQRT_2, output_gain);
        Self {
            target: parameters.clone(),
            gradient: vec![0.0; parameters.len()],
            optimizer: Optimizer::new(networks::rule(optimizer), parameters.len()),
            parameters,
            shape,
        }
    }

    /// The same without the copy: a network that no target is made of.
    #[must_use]
    pub fn alone(shape: MlpShape, output_gain: f64, optimizer: OptimizerKind, rng: &mut EnvRng) -> Self {
        Self { target: Vec::new(), ..Self::new(shape, output_gain, optimizer, rng) }
    }

    /// One step down the gradient, which is empty afterwards. Returns its norm before clipping.
    ///
    /// # Errors
    /// If the gradient is not finite; the weights are then unchanged.
    pub fn step(&mut self, rate: f64, max_norm: f64, what: &'static str) -> Result<f64, AgentError> {
        let norm = global_norm(&self.gradient);
        if !norm.is_finite() {
            return Err(AgentError::NotFinite { what });
        }
        self.optimizer.step(&mut self.parameters, &self.gradient, rate, clip_scale(norm, max_norm));
        self.gradient.fill(0.0);
        Ok(norm)
    }

    /// target ← target + τ (parameters − target).
    pub fn follow(&mut self, tau: f32) {
        for (t, p) in self.target.iter_mut().zip(&self.parameters) {
            *t += tau * (p - *t);
        }
    }

    /// Both networks' weights and the optimiser.
    #[must_use]
    pub fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_f32("parameters", &self.parameters);
        if !self.target.is_empty() {
            state.insert_f32("target", &self.target);
        }
        state.insert_all("optimizer", self.optimizer.state());
        state
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit; the networks are then unchanged.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let parameters = state.f32("parameters", self.parameters.len())?;
        let target = match self.target.len() {
            0 => &[][..],
            len => state.f32("target", len)?,
        };
        self.optimizer.restore(&state.subset("optimizer"))?;
        self.parameters.copy_from_slice(parameters);
        self.target.copy_from_slice(target);
        Ok(())
    }
}

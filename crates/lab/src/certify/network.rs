//! A small network in double precision as control variate, and its training on the variance of an estimator.

use relax_envs::EnvRng;
use relax_estimators::ControlVariate;
use relax_nn::{Activation, MlpShape, Optimizer, Rule};

use crate::control_variate::NetworkControlVariate;

const HIDDEN: usize = 8;

/// A tanh perceptron of one hidden layer with random weights, as wrong as can be: the estimators must not care.
pub(super) fn random(inputs: usize, rng: &mut EnvRng) -> NetworkControlVariate<f64> {
    let shape = MlpShape::new(inputs, &[HIDDEN], 1, Activation::Tanh);
    let parameters = (0..shape.parameter_count()).map(|_| 0.8 * rng.standard_normal()).collect();
    NetworkControlVariate::new(shape, parameters)
}

/// c(z) and its training.
#[derive(Clone)]
pub(super) struct Network {
    c: NetworkControlVariate<f64>,
    gradient: Vec<f64>,
    adam: Optimizer<f64>,
}

impl Network {
    /// A [`random`] one.
    pub fn new(inputs: usize, rng: &mut EnvRng) -> Self {
        let c = random(inputs, rng);
        let len = c.parameters();
        Self { c, gradient: vec![0.0; len], adam: Optimizer::new(Rule::ADAM, len) }
    }

    /// c `[B]` and ∇c `[B, K]` at z `[B, K]`.
    pub fn evaluate(&mut self, z: &[f64], c: &mut [f64], slope: &mut [f64]) {
        let Ok(()) = self.c.value_and_gradient(z, &[], c, slope);
    }

    /// Adds d/dφ Σ α·c(z) + β·∇c(z) to the gradient that [`step`](Self::step) descends.
    pub fn accumulate(&mut self, z: &[f64], alpha: &[f64], beta: &[f64]) {
        let Ok(()) = self.c.parameter_gradient(z, &[], alpha, beta, &mut self.gradient);
    }

    /// One step of Adam down the gradient accumulated, which is then forgotten.
    pub fn step(&mut self, learning_rate: f64) {
        self.adam.step(&mut self.c.parameters, &self.gradient, learning_rate, 1.0);
        self.gradient.fill(0.0);
    }
}

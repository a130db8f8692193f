//! A small network in double precision as control variate, and its training on the variance of an estimator.

use relax_envs::EnvRng;
use relax_nn::{Activation, MlpShape, Workspace};

const HIDDEN: usize = 8;

/// c(z), a tanh perceptron of one hidden layer.
pub(super) struct Network {
    shape: MlpShape,
    parameters: Vec<f64>,
    gradient: Vec<f64>,
    moments: (Vec<f64>, Vec<f64>, i32),
    workspace: Workspace<f64>,
}

impl Network {
    /// Random weights, as wrong as can be: the estimators must not care.
    pub fn new(inputs: usize, rng: &mut EnvRng) -> Self {
        let shape = MlpShape::new(inputs, &[HIDDEN], 1, Activation::Tanh);
        let len = shape.parameter_count();
        let parameters = (0..len).map(|_| 0.8 * rng.standard_normal()).collect();
        let moments = (vec![0.0; len], vec![0.0; len], 0);
        Self { shape, parameters, gradient: vec![0.0; len], moments, workspace: Workspace::new() }
    }

    /// c `[B]` and ∇c `[B, K]` at z `[B, K]`.
    pub fn evaluate(&mut self, z: &[f64], c: &mut [f64], slope: &mut [f64]) {
        self.shape.value_and_gradient(&self.parameters, z, &mut self.workspace, c, slope);
    }

    /// Adds d/dφ Σ α·c(z) + β·∇c(z) to the gradient that [`step`](Self::step) descends.
    pub fn accumulate(&mut self, z: &[f64], alpha: &[f64], beta: &[f64]) {
        let (mut c, mut slope) = (vec![0.0; alpha.len()], vec![0.0; z.len()]);
        self.shape.value_and_gradient(&self.parameters, z, &mut self.workspace, &mut c, &mut slope);
        let (shape, workspace) = (&self.shape, &self.workspace);
        shape.parameter_gradient(&self.parameters, z, workspace, alpha, beta, &mut self.gradient, None);
    }

    /// One step of Adam down the gradient accumulated, which is then forgotten.
    pub fn step(&mut self, learning_rate: f64) {
        let (first, second, count) = &mut self.moments;
        *count += 1;
        let (bias1, bias2) = (1.0 - 0.9f64.powi(*count), 1.0 - 0.999f64.powi(*count));
        for (i, x) in self.parameters.iter_mut().enumerate() {
            let g = self.gradient[i];
            first[i] += 0.1 * (g - first[i]);
            second[i] += 0.001 * (g * g - second[i]);
            *x -= learning_rate * (first[i] / bias1) / ((second[i] / bias2).sqrt() + 1e-8);
        }
        self.gradient.fill(0.0);
    }
}

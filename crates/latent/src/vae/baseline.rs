//! The baseline of neural variational inference (NVIL): a running mean of the learning signal plus a network of the
//! context, fitted to what is left by least squares.
//!
//! Source: Mnih & Gregor 2014, section 2.3. Their variance normalisation is left out: it rescales the gradient by a number
//! that Adam takes out again, and would make variances incomparable.

use crate::vae::number::{Number, fit};
use crate::vae::pixels::Context;
use crate::vae::weights::glorot;
use rand::Rng;
use relax_nn::{Activation, Input, MlpShape, Rows, Workspace};

/// Units of the baseline's one tanh layer, as published.
const HIDDEN: usize = 100;

/// Shape of V(context).
pub(crate) fn shape(context: usize) -> MlpShape {
    MlpShape::new(context, &[HIDDEN], 1, Activation::Tanh)
}

/// Glorot's weights, the output layer's 0.
pub(crate) fn initial<F: Number>(shape: &MlpShape, rng: &mut impl Rng) -> Vec<F> {
    let mut parameters = vec![relax_nn::Real::of(0.0); shape.parameter_count()];
    let first = shape.layout().swap_remove(0);
    glorot(&mut parameters, first.range, shape.input(), HIDDEN, rng);
    parameters
}

/// V at a batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Baseline<F> {
    workspace: Workspace<F>,
    /// V(context), `[B]`.
    pub value: Vec<F>,
    residual: Vec<F>,
}

impl<F: Number> Baseline<F> {
    /// V of each row of `context`.
    pub fn evaluate(&mut self, shape: &MlpShape, parameters: &[F], context: &Context<'_, F>) {
        fit(&mut self.value, context.count());
        shape.forward(parameters, Input::Rows(context), &mut self.workspace, &mut self.value);
    }

    /// `gradient` ← that of ½ mean (V − target)². Must follow [`evaluate`](Self::evaluate).
    pub fn gradient(
        &mut self,
        shape: &MlpShape,
        parameters: &[F],
        context: &Context<'_, F>,
        targets: impl Iterator<Item = F>,
        gradient: &mut [F],
    ) {
        let scale = <F as relax_nn::Real>::of(1.0 / self.value.len() as f64);
        self.residual.clear();
        self.residual.extend(self.value.iter().zip(targets).map(|(&v, target)| (v - target) * scale));
        let input = Input::Rows(context);
        shape.reverse_replacing(parameters, input, &self.workspace, &self.residual, gradient, None);
    }
}

/// Exponential running mean of the learning signal, from past batches only.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Centre {
    mean: f64,
    weight: f64,
}

impl Centre {
    const DECAY: f64 = 0.99;

    /// The mean of past batches; 0 before the first.
    pub fn value(self) -> f64 {
        if self.weight > 0.0 { self.mean / self.weight } else { 0.0 }
    }

    /// Takes in a batch's mean.
    pub fn update(&mut self, mean: f64) {
        if mean.is_finite() {
            self.mean = Self::DECAY * self.mean + (1.0 - Self::DECAY) * mean;
            self.weight = Self::DECAY * self.weight + (1.0 - Self::DECAY);
        }
    }

    /// To be saved.
    pub fn state(self) -> [f64; 2] {
        [self.mean, self.weight]
    }

    /// From a saved state.
    pub fn from_state([mean, weight]: [f64; 2]) -> Self {
        Self { mean, weight }
    }
}

//! The weights of a model, its fixed constants, and its initial values.

use crate::vae::architecture::{Architecture, Layout};
use crate::vae::number::Number;
use rand::Rng;
use std::ops::Range;

/// A binary auto-encoder's weights θ and the constants taken from the training pixels.
#[derive(Debug, Clone)]
pub(crate) struct Weights<F> {
    pub architecture: Architecture,
    pub layout: Layout,
    pub parameters: Vec<F>,
    /// x̄, `[pixels]`.
    pub pixel_mean: Vec<F>,
    /// logit of x̄ clipped to [0.001, 0.999], `[pixels]`.
    output_bias: Vec<F>,
}

impl<F: Number> Weights<F> {
    /// Glorot's uniform weights, biases and prior logits 0.
    pub fn new(architecture: Architecture, pixel_mean: &[f32], rng: &mut impl Rng) -> Self {
        let layout = architecture.layout();
        let mut parameters = vec![relax_nn::Real::of(0.0); layout.prior.end];
        for slice in architecture.named_slices() {
            if let [input, output] = slice.shape[..] {
                glorot(&mut parameters, slice.range, input, output, rng);
            }
        }
        let of = |x: f64| <F as relax_nn::Real>::of(x);
        let mean = pixel_mean.iter().map(|&m| f64::from(m));
        let bias = mean.clone().map(|m| m.clamp(0.001, 0.999)).map(|m| of(m.ln() - (-m).ln_1p()));
        Self {
            pixel_mean: mean.map(of).collect(),
            output_bias: bias.collect(),
            architecture,
            layout,
            parameters,
        }
    }

    /// Adds the fixed bias to each row of the pixels' logits.
    pub fn add_output_bias(&self, logits: &mut [F]) {
        for row in logits.chunks_exact_mut(self.output_bias.len()) {
            row.iter_mut().zip(&self.output_bias).for_each(|(o, &b)| *o += b);
        }
    }

    /// The prior's logits in each of `rows` rows.
    pub fn repeat_prior(&self, rows: usize, out: &mut Vec<F>) {
        let prior = &self.parameters[self.layout.prior.clone()];
        out.clear();
        (0..rows).for_each(|_| out.extend_from_slice(prior));
    }
}

/// Uniform weights of variance 2 / (input + output) (Glorot & Bengio 2010).
pub(crate) fn glorot<F: Number>(
    parameters: &mut [F],
    at: Range<usize>,
    input: usize,
    output: usize,
    rng: &mut impl Rng,
) {
    let bound = (6.0 / (input + output) as f64).sqrt();
    for w in &mut parameters[at] {
        let u: f64 = relax_estimators::Real::open_unit(rng.next_u64());
        *w = relax_nn::Real::of(bound * (2.0 * u - 1.0));
    }
}

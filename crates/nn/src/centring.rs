//! Steps of layers whose inputs have a mean, as if they had none.
//!
//! What comes out of max(0, x), and the brightness of a picture, is never negative: all weights of a unit then see the same sign, an error
//! that all rows share moves every one of them the same way, and Adam, whose steps have one size, moves them far. A hundred such steps
//! push most units of an encoder beyond max(0, x) for good. With m the batch's mean of what the layer takes,
//!
//! ```text
//! y = W·x + b = W·(x − m) + b',     b' = b + W·m
//! ```
//! and the step is taken in (W, b'): the gradient of W is less by m times that of b, and b makes up afterwards for what the step of W did to
//! W·m. The network, its weights and what it says before the step are the same; only the direction of the step is another.
//!
//! Schraudolph 1998 ("Centering neural network gradient factors"), §3.1 of its reprint in Neural Networks: Tricks of the Trade.

use crate::{Optimizer, Real};
use std::ops::Range;

/// Sums that run side by side.
const LANES: usize = 64;

/// An affine layer in a parameter vector, and which means are those of what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffineLayer {
    /// Its weight `[rows, out]`.
    pub weight: Range<usize>,
    /// Its bias `[out]`.
    pub bias: Range<usize>,
    /// Of the means: those of its inputs, one for each row of the weight, or for as many rows as come round again (a filter's pixels).
    pub inputs: Range<usize>,
}

impl AffineLayer {
    /// Every row of the weight with its mean.
    fn rows<'a, F: Real>(
        &self,
        weights: &'a [F],
        means: &'a [F],
    ) -> impl Iterator<Item = (&'a [F], F)> + use<'a, F> {
        let means = means[self.inputs.clone()].iter().copied().cycle();
        weights[self.weight.clone()].chunks_exact(self.bias.len()).zip(means)
    }

    /// `sums` ← `sums` + sign·W·m.
    fn add<F: Real>(&self, weights: &[F], means: &[F], sums: &mut [F], sign: F) {
        for (row, mean) in self.rows(weights, means) {
            sums.iter_mut().zip(row).for_each(|(sum, &w)| *sum += sign * mean * w);
        }
    }
}

/// Takes such steps. Holds nothing from one to the next.
#[derive(Debug, Clone, Default)]
pub struct Centring<F> {
    gradient: Vec<F>,
    held: Vec<F>,
}

impl<F: Real> Centring<F> {
    /// As [`Optimizer::step_at_shares`], with the `layers` centred at the `means` of what they take.
    ///
    /// ```
    /// use relax_nn::{AffineLayer, Centring, Optimizer, Rule};
    /// // y = w·x + b at x = 2, both 0: RMSprop without a memory moves by the gradient's sign at first.
    /// let rule = Rule::RmsProp { alpha: 0.0, epsilon: 1e-8 };
    /// let layer = AffineLayer { weight: 0..1, bias: 1..2, inputs: 0..1 };
    /// let (mut x, gradient) = ([0.0f64, 0.0], [2.0, 1.0]);
    /// Centring::default().step((&[layer], &[2.0]), &mut Optimizer::new(rule, 2), &mut x, &gradient, (0.5, 1.0), &[(2, 1.0)]);
    /// assert!((x[1] + 0.5).abs() < 1e-6 && x[0] == 0.0, "what all rows share is the bias' affair");
    /// ```
    ///
    /// # Panics
    /// If a layer lies beyond the parameters or means.
    pub fn step(
        &mut self,
        (layers, means): (&[AffineLayer], &[F]),
        optimizer: &mut Optimizer<F>,
        parameters: &mut [F],
        gradient: &[F],
        rates: (f64, f64),
        shares: &[(usize, f64)],
    ) {
        let Self { gradient: centred, held } = self;
        centred.clear();
        centred.extend_from_slice(gradient);
        held.clear();
        for layer in layers {
            let of_bias = &gradient[layer.bias.clone()];
            let means_of_rows = means[layer.inputs.clone()].iter().cycle();
            let rows = centred[layer.weight.clone()].chunks_exact_mut(of_bias.len());
            for (row, &mean) in rows.zip(means_of_rows) {
                row.iter_mut().zip(of_bias).for_each(|(w, &b)| *w -= mean * b);
            }
            let start = held.len();
            held.resize(start + of_bias.len(), F::ZERO);
            layer.add(parameters, means, &mut held[start..], F::ONE);
        }
        optimizer.step_at_shares(parameters, centred, rates, shares);
        let mut held = &mut held[..];
        for layer in layers {
            let (own, rest) = held.split_at_mut(layer.bias.len());
            layer.add(parameters, means, own, F::of(-1.0));
            parameters[layer.bias.clone()].iter_mut().zip(&*own).for_each(|(b, &change)| *b += change);
            held = rest;
        }
    }
}

/// Appends the means of `x` `[.., width]` over its rows to `means`.
pub(crate) fn push_means<F: Real>(x: &[F], width: usize, means: &mut Vec<F>) {
    let start = means.len();
    means.resize(start + width, F::ZERO);
    add_rows(x, F::of(width as f64 / x.len().max(1) as f64), &mut means[start..]);
}

/// `sums` `[width]` ← `sums` + share · the sum of the rows of `x`. What is centred at need not be the mean to the last digit.
pub(crate) fn add_rows<F: Real>(x: &[F], share: F, sums: &mut [F]) {
    let width = sums.len();
    let lanes = LANES - LANES % width.min(LANES);
    if lanes <= width {
        for row in x.chunks_exact(width) {
            sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += share * x);
        }
        return;
    }
    // Few numbers in a row: several rows at once, so that one sum need not wait for the other.
    let mut several = [F::ZERO; LANES];
    let rows = x.chunks_exact(lanes);
    let rest = rows.remainder();
    rows.chain([rest]).for_each(|rows| several.iter_mut().zip(rows).for_each(|(sum, &x)| *sum += x));
    for row in several[..lanes].chunks_exact(width) {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += share * x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_every_width_are_added() {
        for width in [1, 2, 3, 4, 5, 12, 31, 32, 33, 63, 64, 65, 200] {
            let rows = 77;
            let x: Vec<f64> = (0..rows * width).map(|i| (i as f64).sin()).collect();
            let mut sums = vec![1.0; width];
            add_rows(&x, 0.5, &mut sums);
            for (i, &sum) in sums.iter().enumerate() {
                let expected = 1.0 + 0.5 * x.iter().skip(i).step_by(width).sum::<f64>();
                assert!((sum - expected).abs() < 1e-9, "{width}: {sum} {expected}");
            }
        }
    }
}

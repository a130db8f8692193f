//! Passes of a network that is a part of a larger differentiable function: its gradient by the input alone, and its
//! share of a second derivative along two directions.

use crate::kernels::{Scratch, affine_output, back, fit};
use crate::{Activation, MlpShape, Real, Workspace};
use multiversion::multiversion;

impl MlpShape {
    /// d_input `[B, in]` = d_outputᵀ ∂c/∂x, with d_output `[B, out]`: [`reverse`](Self::reverse) without the parameters.
    /// Must follow [`forward`](Self::forward); leaves ∂/∂a_l of the hidden layers in `workspace` for
    /// [`tangent_pair`](Self::tangent_pair).
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn input_gradient<F: Real>(
        &self,
        parameters: &[F],
        workspace: &mut Workspace<F>,
        d_output: &[F],
        d_input: &mut [F],
    ) {
        let rows = self.rows(parameters, &*d_input);
        assert_eq!(d_output.len(), rows * self.output(), "length of the output's gradient");
        fit(&mut workspace.slopes, self, rows);
        let Workspace { hidden, slopes } = workspace;
        let (last, below) = self.split();
        F::with_scratch(|Scratch { down: [lambda, _], transposed, .. }| {
            for l in (0..below.len()).rev() {
                let (done, above) = slopes.split_at_mut(l + 1);
                let (d, layer) = match above.first() {
                    Some(d) => (d.as_slice(), &below[l + 1]),
                    None => (d_output, last),
                };
                lambda.resize(rows * layer.input, F::ZERO);
                back(parameters, layer, d, lambda, transposed);
                self.activation().slope_times(&mut done[l], lambda, &hidden[l]);
            }
            let (d, layer) = match (slopes.first(), below.first()) {
                (Some(d), Some(layer)) => (d.as_slice(), layer),
                _ => (d_output, last),
            };
            back(parameters, layer, d, d_input, transposed);
        });
    }

    /// d_outputs `[2B, out]` = (∂c/∂x) ẋ for `directions` `[2B, in]`: B rows of a first direction, then B of a second.
    /// Returns Σ over all rows and hidden units of ∂/∂h · σ''(a) · ȧ₁ · ȧ₂, what the hidden layers add to the second derivative
    /// along both directions of the function whose gradient at the output [`input_gradient`](Self::input_gradient) was given;
    /// it must have come before, on the same parameters and input.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn tangent_pair<F: Real>(
        &self,
        parameters: &[F],
        directions: &[F],
        workspace: &Workspace<F>,
        d_outputs: &mut [F],
    ) -> f64 {
        let rows = self.rows(parameters, directions);
        assert_eq!(rows % 2, 0, "two directions need an even number of rows");
        assert_eq!(d_outputs.len(), rows * self.output(), "length of the output's tangents");
        let Workspace { hidden, slopes } = workspace;
        let (last, below) = self.split();
        F::with_scratch(|Scratch { tangents, hidden_tangents, transposed, sums, .. }| {
            fit(tangents, self, rows);
            fit(hidden_tangents, self, rows);
            let mut curved = 0.0;
            for (l, layer) in below.iter().enumerate() {
                let (done, rest) = hidden_tangents.split_at_mut(l);
                let x = done.last().map_or(directions, Vec::as_slice);
                affine_output(parameters, layer, x, &mut tangents[l], false, transposed, sums);
                let half = rows / 2 * layer.output;
                let (first, second) = tangents[l].split_at(half);
                let (out_first, out_second) = rest[0].split_at_mut(half);
                self.activation().slope_times(out_first, first, &hidden[l]);
                self.activation().slope_times(out_second, second, &hidden[l]);
                curved += curvature(self.activation(), &slopes[l], first, second, &hidden[l]);
            }
            let x = hidden_tangents.last().map_or(directions, Vec::as_slice);
            affine_output(parameters, last, x, d_outputs, false, transposed, sums);
            curved
        })
    }
}

/// Σ p · σ''(a)/σ'(a) · ȧ₁ · ȧ₂ with p = ∂/∂h · σ'(a).
fn curvature<F: Real>(activation: Activation, p: &[F], first: &[F], second: &[F], h: &[F]) -> f64 {
    match activation {
        Activation::Relu => 0.0,
        Activation::Tanh => weighted(p, first, second, h, |h| F::of(-2.0) * h),
        Activation::Elu => weighted(p, first, second, h, |h| if h > F::ZERO { F::ZERO } else { F::ONE }),
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn weighted<F: Real>(p: &[F], first: &[F], second: &[F], h: &[F], weight: impl Fn(F) -> F) -> f64 {
    // Sixteen sums, so that the loop vectorises in a fixed order.
    let mut sums = [F::ZERO; 16];
    let rows = p.chunks(16).zip(first.chunks(16)).zip(second.chunks(16)).zip(h.chunks(16));
    for (((p, first), second), h) in rows {
        for (((sum, &p), (&a, &b)), &h) in sums.iter_mut().zip(p).zip(first.iter().zip(second)).zip(h) {
            *sum += p * weight(h) * a * b;
        }
    }
    sums.into_iter().map(Real::wide).sum()
}

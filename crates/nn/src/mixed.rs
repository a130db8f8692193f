//! Passes along a direction, and the gradient of a function that has one in it: first and mixed second derivatives.

use crate::kernels::{Scratch, add_weight_gradient, affine_output, back, fit};
use crate::{MlpShape, Real, Workspace, product};

impl MlpShape {
    /// d_output `[B, out]` ← the derivative of the output along `d_input` `[B, in]`. Must follow
    /// [`forward`](Self::forward) or [`value_and_gradient`](Self::value_and_gradient) on the same parameters and input.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn tangent<F: Real>(
        &self,
        parameters: &[F],
        d_input: &[F],
        workspace: &Workspace<F>,
        d_output: &mut [F],
    ) {
        F::with_scratch(|scratch| {
            self.tangents(parameters, d_input, workspace, scratch);
            let Scratch { hidden_tangents, transposed, sums, .. } = scratch;
            let (last, _) = self.split();
            let x = hidden_tangents.last().map_or(d_input, Vec::as_slice);
            affine_output(parameters, last, x, d_output, false, transposed, sums);
        });
    }

    /// d_output `[B, out]` ← the derivative of the output along `d_parameters` at fixed input. Must follow
    /// [`forward`](Self::forward) on the same parameters and input. With [`reverse`](Self::reverse) it gives products
    /// with J Jᵀ, the matrix that turns a gradient at the outputs into the change it makes there.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn parameter_tangent<F: Real>(
        &self,
        parameters: &[F],
        d_parameters: &[F],
        input: &[F],
        workspace: &Workspace<F>,
        d_output: &mut [F],
    ) {
        let rows = self.rows(parameters, input);
        assert_eq!(d_parameters.len(), self.parameter_count(), "length of the direction");
        assert_eq!(d_output.len(), rows * self.output(), "length of the output's tangent");
        let hidden = &workspace.hidden;
        F::with_scratch(|Scratch { tangents, hidden_tangents, transposed, sums, down: [more, _] }| {
            fit(tangents, self, rows);
            fit(hidden_tangents, self, rows);
            let (last, below) = self.split();
            for (l, layer) in below.iter().enumerate() {
                let (done, rest) = hidden_tangents.split_at_mut(l);
                let x = if l == 0 { input } else { &hidden[l - 1] };
                affine_output(d_parameters, layer, x, &mut tangents[l], true, transposed, sums);
                if let Some(x_tangent) = done.last() {
                    more.resize(rows * layer.output, F::ZERO);
                    affine_output(parameters, layer, x_tangent, more, false, transposed, sums);
                    tangents[l].iter_mut().zip(more.iter()).for_each(|(t, &m)| *t += m);
                }
                self.activation().slope_times(&mut rest[0], &tangents[l], &hidden[l]);
            }
            let x = hidden.last().map_or(input, Vec::as_slice);
            affine_output(d_parameters, last, x, d_output, true, transposed, sums);
            if let Some(x_tangent) = hidden_tangents.last() {
                more.resize(d_output.len(), F::ZERO);
                affine_output(parameters, last, x_tangent, more, false, transposed, sums);
                d_output.iter_mut().zip(more.iter()).for_each(|(t, &m)| *t += m);
            }
        });
    }

    /// Leaves ȧ_l and ḣ_l of the hidden layers in the scratch.
    fn tangents<F: Real>(
        &self,
        parameters: &[F],
        d_input: &[F],
        workspace: &Workspace<F>,
        scratch: &mut Scratch<F>,
    ) {
        let rows = self.rows(parameters, d_input);
        let (hidden, Scratch { tangents, hidden_tangents, .. }) = (&workspace.hidden, scratch);
        fit(tangents, self, rows);
        fit(hidden_tangents, self, rows);
        let (_, below) = self.split();
        for (l, layer) in below.iter().enumerate() {
            let (done, rest) = hidden_tangents.split_at_mut(l);
            let x = done.last().map_or(d_input, Vec::as_slice);
            product::product(
                &mut tangents[l],
                x,
                &parameters[layer.weight.clone()],
                layer.input,
                layer.output,
            );
            self.activation().slope_times(&mut rest[0], &tangents[l], &hidden[l]);
        }
    }

    /// Adds to `d_parameters` the gradient of J = Σ_r α_r c(x_r) + β_r·∇c(x_r), with α `[B]` and β `[B, in]`, and
    /// writes ∂J/∂x = α ∇c + (∇²c) β to `d_input` `[B, in]`. Must follow
    /// [`value_and_gradient`](Self::value_and_gradient) on the same parameters and input.
    ///
    /// Reference: Pearlmutter 1994; estimators: the φ-gradient of ‖ĝ‖².
    ///
    /// # Panics
    /// If the network has more than one output or a length does not fit.
    #[allow(clippy::too_many_arguments)]
    pub fn parameter_gradient<F: Real>(
        &self,
        parameters: &[F],
        input: &[F],
        workspace: &Workspace<F>,
        alpha: &[F],
        beta: &[F],
        d_parameters: &mut [F],
        d_input: Option<&mut [F]>,
    ) {
        self.parameter_gradient_with_offset(
            parameters,
            input,
            workspace,
            alpha,
            beta,
            d_parameters,
            d_input,
            None,
        );
    }

    /// [`parameter_gradient`](Self::parameter_gradient) that also writes ∂J/∂offset, `[B, width of the first hidden
    /// layer]`, to `d_offset`.
    ///
    /// # Panics
    /// As [`parameter_gradient`](Self::parameter_gradient), or if `d_offset` is wanted of a network without hidden layers.
    #[allow(clippy::too_many_arguments)]
    pub fn parameter_gradient_with_offset<F: Real>(
        &self,
        parameters: &[F],
        input: &[F],
        workspace: &Workspace<F>,
        alpha: &[F],
        beta: &[F],
        d_parameters: &mut [F],
        d_input: Option<&mut [F]>,
        d_offset: Option<&mut [F]>,
    ) {
        assert!(d_offset.is_none() || !self.hidden().is_empty(), "an offset needs a hidden layer");
        let rows = self.rows(parameters, input);
        assert_eq!(self.output(), 1, "parameter_gradient needs a network with one output");
        assert_eq!((alpha.len(), beta.len()), (rows, input.len()), "lengths of alpha and beta");
        assert_eq!(d_parameters.len(), self.parameter_count(), "length of the parameters' gradient");
        let Workspace { hidden, slopes } = workspace;
        let (last, below) = self.split();
        F::with_scratch(|scratch| {
            self.tangents(parameters, beta, workspace, scratch);
            let Scratch { tangents, hidden_tangents, down: [q, next], transposed, sums } = scratch;

            // Output layer: ∂J/∂c = α, ∂J/∂ċ = 1.
            let (x, x_tangent) = match (hidden.last(), hidden_tangents.last()) {
                (Some(h), Some(t)) => (h.as_slice(), t.as_slice()),
                _ => (input, beta),
            };
            add_weight_gradient(d_parameters, last, x, alpha, sums);
            product::add_rows(&mut d_parameters[last.weight.clone()], x_tangent);
            product::add_rows(&mut d_parameters[last.bias.clone()], alpha);
            if below.is_empty() {
                if let Some(d_input) = d_input {
                    back(parameters, last, alpha, d_input, transposed);
                }
                return;
            }
            q.resize(rows * last.input, F::ZERO);
            back(parameters, last, alpha, q, transposed);

            for (l, layer) in below.iter().enumerate().rev() {
                // q holds μ_l = ∂J/∂h_l and becomes ∂J/∂a_l; slopes hold ∂J/∂ȧ_l.
                self.activation().curve(q, &slopes[l], &tangents[l], &hidden[l]);
                let (x, x_tangent) = match l {
                    0 => (input, beta),
                    _ => (hidden[l - 1].as_slice(), hidden_tangents[l - 1].as_slice()),
                };
                add_weight_gradient(d_parameters, layer, x, q, sums);
                add_weight_gradient(d_parameters, layer, x_tangent, &slopes[l], sums);
                product::add_rows(&mut d_parameters[layer.bias.clone()], q);
                if l > 0 {
                    next.resize(rows * layer.input, F::ZERO);
                    back(parameters, layer, q, next, transposed);
                    std::mem::swap(q, next);
                }
            }
            if let Some(d_offset) = d_offset {
                d_offset.copy_from_slice(q);
            }
            if let Some(d_input) = d_input {
                assert_eq!(d_input.len(), input.len(), "length of the input's gradient");
                back(parameters, &below[0], q, d_input, transposed);
            }
        });
    }
}

//! The fused passes of a multilayer perceptron, as plain functions over slices.
//!
//! With a_l = h_{l−1} W_l + b_l, h_l = σ(a_l), h_0 = x and the linear output c = h_{L−1} W_L + b_L:
//!
//! | pass | computes | needs before it |
//! | --- | --- | --- |
//! | [`forward`](MlpShape::forward) | c | – |
//! | [`reverse`](MlpShape::reverse) | Σ_r d_rᵀ ∂c_r/∂W and ∂/∂x | `forward` |
//! | [`value_and_gradient`](MlpShape::value_and_gradient) | c and ∇ₓc of a scalar net | – |
//!
//! In `composite.rs`:
//!
//! | pass | computes | needs before it |
//! | --- | --- | --- |
//! | [`input_gradient`](MlpShape::input_gradient) | dᵀ∂c/∂x alone, of any number of outputs | `forward` |
//! | [`tangent_pair`](MlpShape::tangent_pair) | (∂c/∂x) ẋ along two directions, and what the hidden layers curve between them | `input_gradient` |
//!
//! In `mixed.rs`:
//!
//! | pass | computes | needs before it |
//! | --- | --- | --- |
//! | [`tangent`](MlpShape::tangent) | (∂c/∂x) ẋ | `forward` or `value_and_gradient` |
//! | [`parameter_tangent`](MlpShape::parameter_tangent) | (∂c/∂W) Ẇ | `forward` |
//! | [`parameter_gradient`](MlpShape::parameter_gradient) | ∂/∂W Σ_r (α_r c_r + β_r·∇c_r), and ∂/∂x | `value_and_gradient` |
//!
//! The last is a mixed second derivative in one tangent pass and one reverse pass (Pearlmutter 1994, "Fast exact
//! multiplication by the Hessian"): β·∇c is the derivative of c along β, so its gradient is the reverse of a tangent.

use crate::input::{Gradient, Input};
use crate::shape::{Layer, MlpShape};
use crate::{Real, product, thin};
use std::ops::Range;

/// What one network's passes leave for one another, `[B, width]` for each hidden layer. Grows to the largest batch it has
/// seen and is then reused: no pass allocates after its first call at a batch size.
#[derive(Debug, Clone, Default)]
pub struct Workspace<F> {
    /// h_l.
    pub(crate) hidden: Vec<Vec<F>>,
    /// p_l = ∂c/∂a_l.
    pub(crate) slopes: Vec<Vec<F>>,
}

/// Arrays that no pass leaves for another. One set a thread, so that they stay in its cache from call to call, however
/// many workspaces take turns.
#[derive(Debug, Default)]
pub struct Scratch<F> {
    /// ȧ_l of each hidden layer.
    pub(crate) tangents: Vec<Vec<F>>,
    /// ḣ_l of each hidden layer.
    pub(crate) hidden_tangents: Vec<Vec<F>>,
    /// A gradient on its way down, and the next.
    pub(crate) down: [Vec<F>; 2],
    /// The output layer's transposed weight, and sums of the same size.
    pub(crate) transposed: Vec<F>,
    pub(crate) sums: Vec<F>,
}

impl<F: Real> Workspace<F> {
    /// An empty workspace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The activations `[B, width]` of the last hidden layer that the last forward pass left; none where there is no such layer.
    #[must_use]
    pub fn last_hidden(&self) -> &[F] {
        self.hidden.last().map_or(&[], Vec::as_slice)
    }

    /// Takes the activations that the forward passes of `shape` have left in rows `rows` of `other` into its own rows from `at` on; those
    /// before stay.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn take_rows(&mut self, shape: &MlpShape, other: &Self, rows: Range<usize>, at: usize) {
        grow(&mut self.hidden, shape, at + rows.len());
        for ((own, theirs), width) in self.hidden.iter_mut().zip(&other.hidden).zip(shape.hidden()) {
            let theirs = &theirs[rows.start * width..rows.end * width];
            own[at * width..][..theirs.len()].copy_from_slice(theirs);
        }
    }

    /// The activations h_l `[B, width]` of hidden layer `layer` that the last forward pass left.
    #[must_use]
    pub fn hidden(&self, layer: usize) -> &[F] {
        &self.hidden[layer]
    }
}

/// Room for `rows` rows at least.
fn grow<F: Real>(arrays: &mut Vec<Vec<F>>, shape: &MlpShape, rows: usize) {
    arrays.resize_with(shape.hidden().len(), Vec::new);
    for (array, &width) in arrays.iter_mut().zip(shape.hidden()) {
        if array.len() < rows * width {
            array.resize(rows * width, F::ZERO);
        }
    }
}

pub(crate) fn fit<F: Real>(arrays: &mut Vec<Vec<F>>, shape: &MlpShape, rows: usize) {
    arrays.resize_with(shape.hidden().len(), Vec::new);
    for (array, &width) in arrays.iter_mut().zip(shape.hidden()) {
        array.resize(rows * width, F::ZERO);
    }
}

/// The output of layer `layer` before activation, without its bias when `bias` is not wanted.
pub(crate) fn affine_output<F: Real>(
    parameters: &[F],
    layer: &Layer,
    x: &[F],
    out: &mut [F],
    bias: bool,
    transposed: &mut Vec<F>,
    zeros: &mut Vec<F>,
) {
    let weight = &parameters[layer.weight.clone()];
    let n = layer.output;
    if n <= thin::WIDEST {
        thin::transpose(transposed, weight, n);
        let bias = if bias {
            &parameters[layer.bias.clone()]
        } else {
            zeros.clear();
            zeros.resize(n, F::ZERO);
            zeros
        };
        thin::affine(out, x, transposed, bias);
    } else {
        product::product(out, x, weight, layer.input, n);
        if bias {
            add_bias(out, &parameters[layer.bias.clone()]);
        }
    }
}

fn add_bias<F: Real>(out: &mut [F], bias: &[F]) {
    for row in out.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(x, &b)| *x += b);
    }
}

/// dst `[B, in]` = d `[B, out]` · Wᵀ of a layer.
pub(crate) fn back<F: Real>(
    parameters: &[F],
    layer: &Layer,
    d: &[F],
    dst: &mut [F],
    transposed: &mut Vec<F>,
) {
    let weight = &parameters[layer.weight.clone()];
    if layer.output <= thin::WIDEST {
        thin::transpose(transposed, weight, layer.output);
        thin::back(dst, d, transposed, layer.output);
    } else {
        product::product_transposed(dst, d, weight, layer.output, layer.input);
    }
}

/// The weight's share of `d_parameters` += hᵀ · d of a layer.
pub(crate) fn add_weight_gradient<F: Real>(
    d_parameters: &mut [F],
    layer: &Layer,
    h: &[F],
    d: &[F],
    sums: &mut Vec<F>,
) {
    Input::Dense(h).weight_gradient(Gradient::Add, &mut d_parameters[layer.weight.clone()], layer, d, sums);
}

impl MlpShape {
    pub(crate) fn rows<'a, F: Real>(&self, parameters: &[F], input: impl Into<Input<'a, F>>) -> usize {
        assert_eq!(parameters.len(), self.parameter_count(), "length of the parameter vector");
        input.into().count(self.input())
    }

    /// output `[B, out]` ← the network's value at input `[B, in]`. Leaves the hidden activations in `workspace`.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn forward<'a, F: Real>(
        &self,
        parameters: &[F],
        input: impl Into<Input<'a, F>>,
        workspace: &mut Workspace<F>,
        output: &mut [F],
    ) {
        self.forward_with_offset(parameters, input, None, workspace, output);
    }

    /// [`forward`](Self::forward) with `offset` `[B, width of the first hidden layer]` added to that layer before its
    /// activation: what a second input contributes by which no derivative is wanted. It is computed once, however many
    /// inputs share it.
    ///
    /// # Panics
    /// If a length does not fit, or an offset is given to a network without hidden layers.
    pub fn forward_with_offset<'a, F: Real>(
        &self,
        parameters: &[F],
        input: impl Into<Input<'a, F>>,
        offset: Option<&[F]>,
        workspace: &mut Workspace<F>,
        output: &mut [F],
    ) {
        let input = input.into();
        fit(&mut workspace.hidden, self, self.rows(parameters, input));
        self.forward_from(parameters, input, offset, (workspace, 0), output);
    }

    /// [`forward`](Self::forward) of rows that follow `first` others in `workspace`, whose activations stay there: a
    /// [`reverse`](Self::reverse) then goes through all of them. Memory there only grows.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn forward_behind<'a, F: Real>(
        &self,
        parameters: &[F],
        input: impl Into<Input<'a, F>>,
        first: usize,
        workspace: &mut Workspace<F>,
        output: &mut [F],
    ) {
        let input = input.into();
        grow(&mut workspace.hidden, self, first + self.rows(parameters, input));
        self.forward_from(parameters, input, None, (workspace, first), output);
    }

    fn forward_from<F: Real>(
        &self,
        parameters: &[F],
        input: Input<'_, F>,
        offset: Option<&[F]>,
        (workspace, first): (&mut Workspace<F>, usize),
        output: &mut [F],
    ) {
        let rows = self.rows(parameters, input);
        assert_eq!(output.len(), rows * self.output(), "length of the output");
        assert!(offset.is_none() || !self.hidden().is_empty(), "an offset needs a hidden layer");
        let (last, below) = self.split();
        let own = |width: usize| first * width..(first + rows) * width;
        for (l, layer) in below.iter().enumerate() {
            let (done, rest) = workspace.hidden.split_at_mut(l);
            let x = done.last().map_or(input, |h| Input::from(&h[own(layer.input)]));
            let h = &mut rest[0][own(layer.output)];
            x.product(h, &parameters[layer.weight.clone()], layer, offset.filter(|_| l == 0));
            self.activation().add_bias_and_activate(h, &parameters[layer.bias.clone()]);
        }
        match workspace.hidden.last().map_or(input, |h| Input::from(&h[own(last.input)])) {
            Input::Dense(x) => F::with_scratch(|Scratch { transposed, sums, .. }| {
                affine_output(parameters, last, x, output, true, transposed, sums);
            }),
            Input::Rows(rows) => {
                rows.product(output, &parameters[last.weight.clone()], last.output);
                add_bias(output, &parameters[last.bias.clone()]);
            }
        }
    }

    /// Sends `d_output` `[B, out]` back through the network: adds its gradient to `d_parameters` and writes its
    /// gradient to `d_input` `[B, in]`. Must follow [`forward`](Self::forward) on the same parameters and input.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn reverse<'a, F: Real>(
        &self,
        parameters: &[F],
        input: impl Into<Input<'a, F>>,
        workspace: &Workspace<F>,
        d_output: &[F],
        d_parameters: &mut [F],
        d_input: Option<&mut [F]>,
    ) {
        let input = input.into();
        self.reverse_with(Gradient::Add, parameters, input, workspace, d_output, d_parameters, d_input);
    }

    /// [`reverse`](Self::reverse) that writes the network's gradient to `d_parameters` in place of what was there: large
    /// networks at small batches spend a tenth of a step clearing the gradient first.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn reverse_replacing<'a, F: Real>(
        &self,
        parameters: &[F],
        input: impl Into<Input<'a, F>>,
        workspace: &Workspace<F>,
        d_output: &[F],
        d_parameters: &mut [F],
        d_input: Option<&mut [F]>,
    ) {
        for layer in self.layers() {
            d_parameters[layer.bias.clone()].fill(F::ZERO);
        }
        let input = input.into();
        self.reverse_with(Gradient::Replace, parameters, input, workspace, d_output, d_parameters, d_input);
    }

    #[allow(clippy::too_many_arguments)]
    fn reverse_with<F: Real>(
        &self,
        how: Gradient,
        parameters: &[F],
        input: Input<'_, F>,
        workspace: &Workspace<F>,
        d_output: &[F],
        d_parameters: &mut [F],
        d_input: Option<&mut [F]>,
    ) {
        let rows = self.rows(parameters, input);
        assert_eq!(d_output.len(), rows * self.output(), "length of the output's gradient");
        assert_eq!(d_parameters.len(), self.parameter_count(), "length of the parameters' gradient");
        let hidden = &workspace.hidden;
        F::with_scratch(|Scratch { down, transposed, sums, .. }| {
            let [current, next] = down;
            for (l, layer) in self.layers().iter().enumerate().rev() {
                let d: &[F] = if l + 1 == self.layers().len() { d_output } else { current };
                let h = |l: usize| &hidden[l][..rows * self.hidden()[l]];
                let x = if l == 0 { input } else { Input::from(h(l - 1)) };
                x.weight_gradient(how, &mut d_parameters[layer.weight.clone()], layer, d, sums);
                product::add_rows(&mut d_parameters[layer.bias.clone()], d);
                if l > 0 {
                    next.resize(rows * layer.input, F::ZERO);
                    back(parameters, layer, d, next, transposed);
                    self.activation().multiply_by_slope(next, h(l - 1));
                    std::mem::swap(current, next);
                }
            }
            if let Some(d_input) = d_input {
                assert_eq!(d_input.len(), rows * self.input(), "length of the input's gradient");
                let first = &self.layers()[0];
                let d: &[F] = if self.layers().len() == 1 { d_output } else { current };
                back(parameters, first, d, d_input, transposed);
            }
        });
    }

    /// values `[B]` ← c(x) and gradient `[B, in]` ← ∇ₓc(x) of a network with one output.
    ///
    /// # Panics
    /// If the network has more than one output or a length does not fit.
    pub fn value_and_gradient<F: Real>(
        &self,
        parameters: &[F],
        input: &[F],
        workspace: &mut Workspace<F>,
        values: &mut [F],
        gradient: &mut [F],
    ) {
        self.value_and_gradient_with_offset(parameters, input, None, workspace, values, gradient);
    }

    /// [`value_and_gradient`](Self::value_and_gradient) after [`forward_with_offset`](Self::forward_with_offset).
    ///
    /// # Panics
    /// As those two.
    pub fn value_and_gradient_with_offset<F: Real>(
        &self,
        parameters: &[F],
        input: &[F],
        offset: Option<&[F]>,
        workspace: &mut Workspace<F>,
        values: &mut [F],
        gradient: &mut [F],
    ) {
        assert_eq!(self.output(), 1, "value_and_gradient needs a network with one output");
        assert_eq!(gradient.len(), input.len(), "length of the gradient");
        self.forward_with_offset(parameters, input, offset, workspace, values);
        let rows = values.len();
        fit(&mut workspace.slopes, self, rows);
        let Workspace { hidden, slopes } = workspace;
        let (last, below) = self.split();
        let seed = &parameters[last.weight.clone()];
        if below.is_empty() {
            gradient.chunks_exact_mut(seed.len()).for_each(|row| row.copy_from_slice(seed));
            return;
        }
        F::with_scratch(|Scratch { down: [lambda, _], transposed, .. }| {
            for l in (0..below.len()).rev() {
                let width = below[l].output;
                if l + 1 == below.len() {
                    self.activation().slope_times_row(&mut slopes[l], seed, &hidden[l]);
                } else {
                    lambda.resize(rows * width, F::ZERO);
                    back(parameters, &below[l + 1], &slopes[l + 1], lambda, transposed);
                    self.activation().slope_times(&mut slopes[l], lambda, &hidden[l]);
                }
            }
            back(parameters, &below[0], &slopes[0], gradient, transposed);
        });
    }

    pub(crate) fn split(&self) -> (&Layer, &[Layer]) {
        let layers = self.layers();
        (&layers[layers.len() - 1], &layers[..layers.len() - 1])
    }
}

//! r_φ(z; context): the free-form part of a control variate, a network of ReLU units that sees the pixels and the lower
//! layers' hard samples beside z. Their part of the first layer is computed once for all z.

use crate::vae::number::{Number, add, fit};
use crate::vae::pixels::Context;
use crate::vae::weights::glorot;
use rand::Rng;
use relax_nn::{Activation, MlpShape, Rows, Workspace};

/// Shape of r_φ: parameters are those of the network from z on, then the context's weights `[context, first hidden]`.
#[derive(Debug, Clone)]
pub(crate) struct FreeFormShape {
    net: MlpShape,
    context: usize,
}

impl FreeFormShape {
    /// r of `latent` relaxed variables and `context` numbers, with at least one hidden layer.
    pub fn new(latent: usize, context: usize, hidden: &[usize]) -> Self {
        Self { net: MlpShape::new(latent, hidden, 1, Activation::Relu), context }
    }

    pub fn parameter_count(&self) -> usize {
        self.net.parameter_count() + self.context * self.net.hidden()[0]
    }

    /// Glorot's weights; those of the output layer are 0, so that r is 0 at first.
    pub fn initial<F: Number>(&self, rng: &mut impl Rng) -> Vec<F> {
        let mut parameters = vec![relax_nn::Real::of(0.0); self.parameter_count()];
        let (first, inputs) = (self.net.hidden()[0], self.net.input() + self.context);
        for slice in self.net.layout() {
            match slice.shape[..] {
                [input, output] if output > 1 || input != self.last() => {
                    let input = if slice.range.start == 0 { inputs } else { input };
                    glorot(&mut parameters, slice.range, input, output, rng);
                }
                _ => {}
            }
        }
        glorot(&mut parameters, self.net.parameter_count()..self.parameter_count(), inputs, first, rng);
        parameters
    }

    fn last(&self) -> usize {
        self.net.hidden()[self.net.hidden().len() - 1]
    }
}

/// r at P points and what its passes leave for one another.
#[derive(Debug, Clone, Default)]
pub(crate) struct FreeForm<F> {
    workspace: Workspace<F>,
    offset: Vec<F>,
    d_offset: Vec<F>,
    /// r(z), `[P]`.
    pub value: Vec<F>,
    /// ∇r(z), `[P, K]`.
    pub gradient: Vec<F>,
}

impl<F: Number> FreeForm<F> {
    /// r and ∇r at `z` `[P, K]`; `context` has B rows and serves every B-th point.
    pub fn evaluate(&mut self, shape: &FreeFormShape, parameters: &[F], z: &[F], context: &Context<'_, F>) {
        let (net, from_context) = parameters.split_at(shape.net.parameter_count());
        self.take_offset(shape, from_context, z.len() / shape.net.input(), context);
        fit(&mut self.gradient, z.len());
        shape.net.value_and_gradient_with_offset(
            net,
            z,
            Some(&self.offset),
            &mut self.workspace,
            &mut self.value,
            &mut self.gradient,
        );
    }

    /// r alone at `z`.
    pub fn values(&mut self, shape: &FreeFormShape, parameters: &[F], z: &[F], context: &Context<'_, F>) {
        let (net, from_context) = parameters.split_at(shape.net.parameter_count());
        self.take_offset(shape, from_context, z.len() / shape.net.input(), context);
        let (offset, value) = (Some(self.offset.as_slice()), &mut self.value);
        shape.net.forward_with_offset(net, z, offset, &mut self.workspace, value);
    }

    /// What the context gives to the first layer at each point.
    fn take_offset(
        &mut self,
        shape: &FreeFormShape,
        from_context: &[F],
        points: usize,
        context: &Context<'_, F>,
    ) {
        let first = shape.net.hidden()[0];
        fit(&mut self.offset, points * first);
        let (own, copies) = self.offset.split_at_mut(context.count() * first);
        context.product(own, from_context, first);
        copies.chunks_exact_mut(own.len()).for_each(|copy| copy.copy_from_slice(own));
        fit(&mut self.value, points);
    }

    /// `gradient` ← ∂/∂φ Σ α·r(z) + β·∇r(z). Must follow [`evaluate`](Self::evaluate) on the same arguments.
    #[allow(clippy::too_many_arguments)]
    pub fn parameter_gradient(
        &mut self,
        shape: &FreeFormShape,
        parameters: &[F],
        z: &[F],
        context: &Context<'_, F>,
        alpha: &[F],
        beta: &[F],
        gradient: &mut [F],
    ) {
        let split = shape.net.parameter_count();
        let (d_net, d_context) = gradient.split_at_mut(split);
        d_net.fill(relax_nn::Real::of(0.0));
        fit(&mut self.d_offset, self.offset.len());
        shape.net.parameter_gradient_with_offset(
            &parameters[..split],
            z,
            &self.workspace,
            alpha,
            beta,
            d_net,
            None,
            Some(&mut self.d_offset),
        );
        let first = shape.net.hidden()[0];
        let (own, copies) = self.d_offset.split_at_mut(context.count() * first);
        copies.chunks_exact(own.len()).for_each(|copy| add(own, copy));
        context.outer(d_context, own, first);
    }
}

//! The simplest [`Model`]: one node with the same logits for every sample, and f row by row.

use crate::estimator::model::{Family, Layer, Model, Place};
use crate::{ControlVariate, EstimatorError, Real};
use std::convert::Infallible;

/// f of one row `[K]`: of zeros and ones, or of soft outcomes if it is differentiable. Any `FnMut(&[F]) -> F` is one that can only be
/// called.
pub trait Objective<F> {
    /// f(x).
    fn value(&mut self, x: &[F]) -> F;

    /// `gradient` ← ∇f(x), `[K]`: for Concrete, MuProp, REBAR and relaxed-REBAR.
    ///
    /// # Errors
    /// [`EstimatorError::NotDifferentiable`], the default.
    fn gradient(&mut self, x: &[F], gradient: &mut [F]) -> Result<(), EstimatorError> {
        let _ = (x, gradient);
        Err(EstimatorError::NotDifferentiable)
    }

    /// `out` ← the derivative of ∇f(x) along `tangent`, `[K]`: to learn the temperature.
    ///
    /// # Errors
    /// [`EstimatorError::NotDifferentiable`], the default.
    fn hessian_vector(&mut self, x: &[F], tangent: &[F], out: &mut [F]) -> Result<(), EstimatorError> {
        let _ = (x, tangent, out);
        Err(EstimatorError::NotDifferentiable)
    }
}

impl<F, O: FnMut(&[F]) -> F> Objective<F> for O {
    fn value(&mut self, x: &[F]) -> F {
        self(x)
    }
}

/// One node with the same logits for every sample, an [`Objective`], and a control variate or none.
///
/// NVIL's baseline is 0: there is no input that it could depend on.
pub struct OneNode<F, O, C = NoControlVariate> {
    layers: [Layer; 1],
    /// The logits, `[K]`.
    pub logits: Vec<F>,
    /// f.
    pub f: O,
    /// r(z).
    pub control_variate: C,
    /// d/dφ, `[P]`: added to by [`Model::fit_control_variate`]; the caller uses and clears it.
    pub d_parameters: Vec<F>,
}

impl<F: Real, O: Objective<F>> OneNode<F, O> {
    /// A node of the family and logits given, without a control variate.
    pub fn new(family: Family, logits: Vec<F>, f: O) -> Self {
        OneNode::with_control_variate(family, logits, f, NoControlVariate)
    }
}

impl<F: Real, O: Objective<F>, C: ControlVariate<F>> OneNode<F, O, C> {
    /// A node with the control variate that RELAX and relaxed-REBAR are to use.
    pub fn with_control_variate(family: Family, logits: Vec<F>, f: O, control_variate: C) -> Self {
        let layer = Layer { family, width: logits.len(), choices: 1 };
        Self::of_layer(layer, logits, f, control_variate)
    }

    /// A node that is any layer, of several choices too.
    ///
    /// # Panics
    /// If there is not one logit per number of the layer.
    pub fn of_layer(layer: Layer, logits: Vec<F>, f: O, control_variate: C) -> Self {
        assert_eq!(logits.len(), layer.width, "one logit per number of the layer");
        let d_parameters = vec![F::ZERO; control_variate.parameters()];
        Self { layers: [layer], logits, f, control_variate, d_parameters }
    }
}

impl<F: Real, O: Objective<F>, C: ControlVariate<F, Error = Infallible>> Model<F> for OneNode<F, O, C> {
    type Error = EstimatorError;

    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn logits(&mut self, _: usize, _: &[Vec<F>], logits: &mut [F]) -> Result<(), EstimatorError> {
        logits.chunks_exact_mut(self.logits.len()).for_each(|row| row.copy_from_slice(&self.logits));
        Ok(())
    }

    fn value(&mut self, samples: &[Vec<F>], f: &mut [F]) -> Result<(), EstimatorError> {
        for (f, row) in f.iter_mut().zip(samples[0].chunks_exact(self.logits.len())) {
            *f = self.f.value(row);
        }
        Ok(())
    }

    fn value_and_gradient(
        &mut self,
        _: Place<'_, F>,
        x: &[F],
        f: &mut [F],
        gradient: &mut [F],
    ) -> Result<(), EstimatorError> {
        let k = self.logits.len();
        let mut rows = f.iter_mut().zip(x.chunks_exact(k)).zip(gradient.chunks_exact_mut(k));
        rows.try_for_each(|((f, x), gradient)| {
            *f = self.f.value(x);
            self.f.gradient(x, gradient)
        })
    }

    fn hessian_vector(
        &mut self,
        _: Place<'_, F>,
        x: &[F],
        tangent: &[F],
        out: &mut [F],
    ) -> Result<(), EstimatorError> {
        let k = self.logits.len();
        let mut rows = x.chunks_exact(k).zip(tangent.chunks_exact(k)).zip(out.chunks_exact_mut(k));
        rows.try_for_each(|((x, tangent), out)| self.f.hessian_vector(x, tangent, out))
    }

    fn control_variate(
        &mut self,
        _: Place<'_, F>,
        z: &[F],
        value: &mut [F],
        gradient: &mut [F],
    ) -> Result<(), EstimatorError> {
        if self.d_parameters.is_empty() {
            return Err(EstimatorError::NoControlVariate);
        }
        let Ok(()) = self.control_variate.value_and_gradient(z, &[], value, gradient);
        Ok(())
    }

    fn fit_control_variate(
        &mut self,
        _: Place<'_, F>,
        z: &[F],
        alpha: &[F],
        beta: &[F],
    ) -> Result<(), EstimatorError> {
        let Ok(()) = self.control_variate.parameter_gradient(z, &[], alpha, beta, &mut self.d_parameters);
        Ok(())
    }

    fn baseline(&mut self, _: usize, _: &[Vec<F>], values: &mut [F]) -> Result<(), EstimatorError> {
        values.fill(F::ZERO);
        Ok(())
    }
}

/// No control variate: 0, without parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoControlVariate;

impl<F: Real> ControlVariate<F> for NoControlVariate {
    type Error = Infallible;

    fn parameters(&self) -> usize {
        0
    }

    fn value_and_gradient(
        &mut self,
        _: &[F],
        _: &[F],
        value: &mut [F],
        gradient: &mut [F],
    ) -> Result<(), Infallible> {
        value.fill(F::ZERO);
        gradient.fill(F::ZERO);
        Ok(())
    }

    fn parameter_gradient(
        &mut self,
        _: &[F],
        _: &[F],
        _: &[F],
        _: &[F],
        _: &mut [F],
    ) -> Result<(), Infallible> {
        Ok(())
    }
}

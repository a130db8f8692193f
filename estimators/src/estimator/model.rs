//! What an estimator is told about a stochastic computation: [`Model`].

use crate::{EstimatorError, Link, Real};

/// What a node's variables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// K independent variables of 0 or 1.
    Bernoulli,
    /// One choice among K, as a row of zeros with a single 1; or several side by side.
    Categorical,
}

/// One layer of stochastic variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// What they are.
    pub family: Family,
    /// K: how many logits they have.
    pub width: usize,
    /// Independent choices side by side, each among K/`choices`; 1 for Bernoulli variables.
    pub choices: usize,
}

impl Layer {
    /// `width` independent Bernoulli variables.
    #[must_use]
    pub const fn bernoulli(width: usize) -> Self {
        Self { family: Family::Bernoulli, width, choices: 1 }
    }

    /// One choice among `width`.
    #[must_use]
    pub const fn categorical(width: usize) -> Self {
        Self::choices(1, width)
    }

    /// `count` independent choices side by side, each among `width`. They are relaxed together, so that f and the control variate are
    /// called no more often than for one.
    #[must_use]
    pub const fn choices(count: usize, width: usize) -> Self {
        Self { family: Family::Categorical, width: count * width, choices: count }
    }

    /// How many numbers are one row of the functions of [`bernoulli`](crate::bernoulli) and [`categorical`](crate::categorical).
    #[must_use]
    pub fn row_width(self) -> usize {
        self.width / self.choices
    }

    /// The map from relaxed samples to soft outcomes.
    #[must_use]
    pub fn link(self) -> Link {
        match self.family {
            Family::Bernoulli => Link::Sigmoid,
            Family::Categorical => Link::Softmax,
        }
    }
}

/// Where in a layered model something is evaluated. A model of one layer need not look at it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a, F> {
    /// The layer, 0 being the first that is sampled.
    pub layer: usize,
    /// Hard samples of the layers below, `[B, K]` each.
    pub below: &'a [Vec<F>],
    /// Uniforms of the layers above, `[B, K]` each: what stands above a soft outcome is relaxed with this noise.
    pub noise_above: &'a [Vec<F>],
}

/// A stochastic computation: layers of discrete variables b, each with logits that may depend on the layers below, and f(b).
///
/// A black box implements [`layers`](Self::layers), [`logits`](Self::logits) and [`value`](Self::value). The other methods are for
/// estimators that need more, and by default report that they are missing.
///
/// # Shapes
/// Samples, logits, gradients of a layer: `[B, K]` with the layer's K; values: `[B]`.
pub trait Model<F: Real> {
    /// Why an evaluation can fail.
    type Error: From<EstimatorError>;

    /// The layers, in the order in which they are sampled.
    fn layers(&self) -> &[Layer];

    /// The logits of layer `layer`, given hard samples of all layers below.
    ///
    /// # Errors
    /// If they cannot be computed.
    fn logits(&mut self, layer: usize, below: &[Vec<F>], logits: &mut [F]) -> Result<(), Self::Error>;

    /// f at hard samples of all layers.
    ///
    /// # Errors
    /// If it cannot be computed.
    fn value(&mut self, samples: &[Vec<F>], f: &mut [F]) -> Result<(), Self::Error>;

    /// f, and its gradient by x, where the layer of `place` has the soft outcome x, the layers below are hard and those above are
    /// relaxed with their noise: for Concrete, MuProp, REBAR and relaxed-REBAR.
    ///
    /// # Errors
    /// If f is not differentiable (the default) or cannot be computed.
    fn value_and_gradient(
        &mut self,
        place: Place<'_, F>,
        x: &[F],
        f: &mut [F],
        gradient: &mut [F],
    ) -> Result<(), Self::Error> {
        let _ = (place, x, f, gradient);
        Err(EstimatorError::NotDifferentiable.into())
    }

    /// The derivative of [`value_and_gradient`](Self::value_and_gradient)'s gradient along `tangent`: to learn the temperature.
    ///
    /// # Errors
    /// If f is not differentiable (the default) or cannot be computed.
    fn hessian_vector(
        &mut self,
        place: Place<'_, F>,
        x: &[F],
        tangent: &[F],
        out: &mut [F],
    ) -> Result<(), Self::Error> {
        let _ = (place, x, tangent, out);
        Err(EstimatorError::NotDifferentiable.into())
    }

    /// The control variate r(z) of this layer and its gradient by the relaxed sample z: for RELAX and relaxed-REBAR.
    ///
    /// # Errors
    /// If there is none (the default) or it cannot be computed.
    fn control_variate(
        &mut self,
        place: Place<'_, F>,
        z: &[F],
        value: &mut [F],
        gradient: &mut [F],
    ) -> Result<(), Self::Error> {
        let _ = (place, z, value, gradient);
        Err(EstimatorError::NoControlVariate.into())
    }

    /// Adds d/dφ Σ_b (α_b·r(z_b) + β_b·∇r(z_b)) to where the model keeps the gradient of its control variates.
    ///
    /// # Errors
    /// If there is no control variate (the default) or it cannot be computed.
    fn fit_control_variate(
        &mut self,
        place: Place<'_, F>,
        z: &[F],
        alpha: &[F],
        beta: &[F],
    ) -> Result<(), Self::Error> {
        let _ = (place, z, alpha, beta);
        Err(EstimatorError::NoControlVariate.into())
    }

    /// c at hard samples of all layers, `[B]`: for the surrogate. It must not have seen this batch's f.
    ///
    /// # Errors
    /// If there is none (the default) or it cannot be computed.
    fn surrogate(&mut self, samples: &[Vec<F>], c: &mut [F]) -> Result<(), Self::Error> {
        let _ = (samples, c);
        Err(EstimatorError::NoSurrogate.into())
    }

    /// ∂E\[c\]/∂l of layer `layer` in closed form: `logits` `[B, K]` with equal rows in every group, `gradient` `[B, K]`. Returns whether
    /// there is one; if not (the default), it is estimated from free samples.
    ///
    /// # Errors
    /// If it cannot be computed.
    fn surrogate_gradient(
        &mut self,
        layer: usize,
        logits: &[F],
        gradient: &mut [F],
    ) -> Result<bool, Self::Error> {
        let _ = (layer, logits, gradient);
        Ok(false)
    }

    /// The baseline B `[B]` of this layer, which must not depend on its b: for NVIL.
    ///
    /// # Errors
    /// If there is none (the default) or it cannot be computed.
    fn baseline(&mut self, layer: usize, below: &[Vec<F>], values: &mut [F]) -> Result<(), Self::Error> {
        let _ = (layer, below, values);
        Err(EstimatorError::NoBaseline.into())
    }
}

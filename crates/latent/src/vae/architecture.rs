//! Which networks a binary variational auto-encoder is made of, and where their weights lie in one flat vector.

use relax_nn::{Activation, MlpShape, NamedSlice};
use std::ops::Range;

/// Widths of a variational auto-encoder with layers of Bernoulli latent variables b¹ … b^L; b¹ is next to the pixels.
///
/// ```text
/// q(b¹|x) = Bernoulli(E₁(x − x̄))        q(bˡ|bˡ⁻¹) = Bernoulli(E_l(2bˡ⁻¹ − 1))
/// p(x|b¹) = Bernoulli(D₁(2b¹ − 1) + bias)  p(bˡ⁻¹|bˡ) = Bernoulli(D_l(2bˡ − 1))    p(b^L) = Bernoulli(learned logits)
/// ```
/// with x̄ the mean of the training pixels and `bias` its logit, clipped and fixed. E and D are affine, or have hidden layers
/// of tanh units. Source: Tucker et al. 2017 (REBAR), section 4; Mnih & Rezende 2016.
///
/// ```
/// use relax_latent::vae::Architecture;
/// let linear = Architecture::linear1(784);
/// assert_eq!(linear.parameter_count(), (784 * 200 + 200) + (200 * 784 + 784) + 200);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Architecture {
    /// Number of pixels.
    pub pixels: usize,
    /// Number of latent variables in each layer, from the pixels upwards.
    pub latent: Vec<usize>,
    /// Widths of the tanh layers inside each encoder (reversed in each decoder); none for affine maps.
    pub hidden: Vec<usize>,
}

impl Architecture {
    /// The published one-layer linear model: 784 – 200 – 784 for 784 pixels.
    #[must_use]
    pub fn linear1(pixels: usize) -> Self {
        Self { pixels, latent: vec![200], hidden: Vec::new() }
    }

    /// The published two-layer linear model: 784 – 200 – 200, 200 – 200 – 784.
    #[must_use]
    pub fn linear2(pixels: usize) -> Self {
        Self { pixels, latent: vec![200, 200], hidden: Vec::new() }
    }

    /// The published one-layer nonlinear model: two layers of 200 tanh units, then an affine map, in both directions.
    #[must_use]
    pub fn nonlinear(pixels: usize) -> Self {
        Self { pixels, latent: vec![200], hidden: vec![200, 200] }
    }

    /// L.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.latent.len()
    }

    /// Width of what layer `layer` (from 0) lies on: the pixels, or the layer of latent variables below.
    #[must_use]
    pub fn below(&self, layer: usize) -> usize {
        if layer == 0 { self.pixels } else { self.latent[layer - 1] }
    }

    /// The networks' shapes and their places in the flat parameter vector.
    #[must_use]
    pub(crate) fn layout(&self) -> Layout {
        let mut end = 0;
        let mut take = |len: usize| {
            end += len;
            end - len..end
        };
        let reversed: Vec<usize> = self.hidden.iter().rev().copied().collect();
        let mut part = |input, hidden: &[usize], output| {
            let shape = MlpShape::new(input, hidden, output, Activation::Tanh);
            let at = take(shape.parameter_count());
            Part { shape, at }
        };
        let encoders =
            (0..self.layers()).map(|l| part(self.below(l), &self.hidden, self.latent[l])).collect();
        let decoders = (0..self.layers()).map(|l| part(self.latent[l], &reversed, self.below(l))).collect();
        let prior = take(self.latent.last().copied().unwrap_or(0));
        Layout { encoders, decoders, prior }
    }

    /// Length of the flat parameter vector.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.layout().prior.end
    }

    /// The named arrays of the flat parameter vector, in order: `encoder.1.0.weight` … `prior`.
    #[must_use]
    pub fn named_slices(&self) -> Vec<NamedSlice> {
        let layout = self.layout();
        let mut slices = Vec::new();
        for (kind, parts) in [("encoder", &layout.encoders), ("decoder", &layout.decoders)] {
            for (l, part) in parts.iter().enumerate() {
                slices.extend(part.shape.layout().into_iter().map(|slice| NamedSlice {
                    name: format!("{kind}.{}.{}", l + 1, slice.name),
                    range: part.at.start + slice.range.start..part.at.start + slice.range.end,
                    shape: slice.shape,
                }));
            }
        }
        let shape = vec![layout.prior.len()];
        slices.push(NamedSlice { name: "prior".to_owned(), range: layout.prior, shape });
        slices
    }
}

/// One network and its place in the flat parameter vector.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub shape: MlpShape,
    pub at: Range<usize>,
}

impl Part {
    /// Its own parameters.
    pub fn of<'a, F>(&self, parameters: &'a [F]) -> &'a [F] {
        &parameters[self.at.clone()]
    }

    /// Its own parameters, to write to.
    pub fn of_mut<'a, F>(&self, parameters: &'a mut [F]) -> &'a mut [F] {
        &mut parameters[self.at.clone()]
    }
}

/// All networks of a model.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub encoders: Vec<Part>,
    pub decoders: Vec<Part>,
    pub prior: Range<usize>,
}

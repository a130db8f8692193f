//! One pass from the pixels up through hard samples of all layers and down again: the bound and its derivatives by
//! the decoder's outputs.

use crate::vae::architecture::Layout;
use crate::vae::elementwise::{cross_entropy, to_signs};
use crate::vae::number::{Number, clear, fit, one};
use crate::vae::pixels::Pixels;
use crate::vae::weights::Weights;
use relax_estimators::bernoulli;
use relax_nn::{Input, Workspace};

/// What one layer of latent variables leaves on the way, `[R, K]` unless said otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct LayerPath<F> {
    /// Logits of q(b|below).
    pub logits: Vec<F>,
    /// Unconditional relaxed sample.
    pub z: Vec<F>,
    /// Hard sample.
    pub b: Vec<F>,
    /// 2b − 1, which the decoder and the next encoder read.
    pub signs: Vec<F>,
    /// σ(a) − b = −score.
    pub minus_score: Vec<F>,
    /// σ(o) − t of the decoder that this layer feeds, `[R, width below]`.
    pub output_slope: Vec<F>,
    output: Vec<F>,
    /// −log p(below|b), `[R]`.
    pub reconstruction: Vec<F>,
    /// −log q(b|below), `[R]`.
    pub minus_log_q: Vec<F>,
    encoder: Workspace<F>,
    decoder: Workspace<F>,
}

/// A pass with hard samples. f = −(log p(x, b) − log q(b|x)), the loss whose expectation is minus the bound.
#[derive(Debug, Clone, Default)]
pub(crate) struct Path<F> {
    pub layers: Vec<LayerPath<F>>,
    /// f, `[R]`.
    pub f: Vec<F>,
    /// σ(prior logits) − b, `[R, K_L]`.
    pub prior_slope: Vec<F>,
    prior_rows: Vec<F>,
}

impl<F: Number> Path<F> {
    /// Samples layers `from`… given the ones below it, and evaluates everything that depends on them.
    ///
    /// `x` is `[R, pixels]`, `pixels` the same about its mean, `uniforms[l]` the noise u of layer l, `[R, K_l]`.
    pub fn run(
        &mut self,
        weights: &Weights<F>,
        x: &[F],
        pixels: &Pixels<F>,
        from: usize,
        uniforms: &[Vec<F>],
    ) {
        let Layout { encoders, decoders, prior } = &weights.layout;
        let theta = &weights.parameters;
        let rows = x.len() / weights.architecture.pixels;
        self.layers.resize_with(encoders.len(), LayerPath::default);
        for l in from..encoders.len() {
            let (below, rest) = self.layers.split_at_mut(l);
            let layer = &mut rest[0];
            let width = encoders[l].shape.output();
            for array in
                [&mut layer.logits, &mut layer.z, &mut layer.b, &mut layer.signs, &mut layer.minus_score]
            {
                fit(array, rows * width);
            }
            let (input, target) = match below.last() {
                None => (Input::Rows(pixels), x),
                Some(below) => (Input::from(&below.signs), below.b.as_slice()),
            };
            encoders[l].shape.forward(encoders[l].of(theta), input, &mut layer.encoder, &mut layer.logits);
            bernoulli::relaxed_sample(&layer.logits, &uniforms[l], &mut layer.z);
            bernoulli::hard_sample(&layer.z, &mut layer.b);
            to_signs(&layer.b, &mut layer.signs);
            clear(&mut layer.minus_log_q, rows);
            cross_entropy(
                &layer.logits,
                &layer.b,
                width,
                one(),
                &mut layer.minus_log_q,
                &mut layer.minus_score,
            );

            let below_width = decoders[l].shape.output();
            fit(&mut layer.output, rows * below_width);
            fit(&mut layer.output_slope, rows * below_width);
            let decoder = decoders[l].of(theta);
            decoders[l].shape.forward(decoder, &layer.signs, &mut layer.decoder, &mut layer.output);
            if l == 0 {
                weights.add_output_bias(&mut layer.output);
            }
            clear(&mut layer.reconstruction, rows);
            cross_entropy(
                &layer.output,
                target,
                below_width,
                one(),
                &mut layer.reconstruction,
                &mut layer.output_slope,
            );
        }
        self.f.clear();
        self.f.resize(rows, relax_nn::Real::of(0.0));
        for layer in &self.layers {
            for ((f, &r), &q) in self.f.iter_mut().zip(&layer.reconstruction).zip(&layer.minus_log_q) {
                *f += r - q;
            }
        }
        let Some(top) = self.layers.last() else { return };
        let prior = &theta[prior.clone()];
        weights.repeat_prior(rows, &mut self.prior_rows);
        fit(&mut self.prior_slope, rows * prior.len());
        cross_entropy(&self.prior_rows, &top.b, prior.len(), one(), &mut self.f, &mut self.prior_slope);
    }

    /// Takes the layers below `layer` from another pass, so that [`run`](Self::run) may go on from there.
    pub fn copy_below(&mut self, other: &Self, layer: usize) {
        self.layers.resize_with(other.layers.len(), LayerPath::default);
        for (to, from) in self.layers.iter_mut().zip(&other.layers[..layer]) {
            for (to, from) in [
                (&mut to.b, &from.b),
                (&mut to.signs, &from.signs),
                (&mut to.reconstruction, &from.reconstruction),
                (&mut to.minus_log_q, &from.minus_log_q),
            ] {
                to.clone_from(from);
            }
        }
    }

    /// What the layers below `layer` contribute to f, `[R]`: a constant for the control variate of `layer`.
    pub fn loss_below(&self, layer: usize, loss: &mut Vec<F>) {
        clear(loss, self.f.len());
        for below in &self.layers[..layer] {
            for ((f, &r), &q) in loss.iter_mut().zip(&below.reconstruction).zip(&below.minus_log_q) {
                *f += r - q;
            }
        }
    }

    /// The share of decoder `layer` in `gradient` ← Σ over rows of ∂f/∂θ.
    pub fn decoder_gradient(&self, weights: &Weights<F>, layer: usize, gradient: &mut [F]) {
        let (part, layer) = (&weights.layout.decoders[layer], &self.layers[layer]);
        part.shape.reverse_replacing(
            part.of(&weights.parameters),
            &layer.signs,
            &layer.decoder,
            &layer.output_slope,
            part.of_mut(gradient),
            None,
        );
    }

    /// The share of the prior in `gradient` ← Σ over rows of ∂f/∂θ.
    pub fn prior_gradient(&self, weights: &Weights<F>, gradient: &mut [F]) {
        let prior = &mut gradient[weights.layout.prior.clone()];
        prior.fill(relax_nn::Real::of(0.0));
        relax_nn::product::add_rows(prior, &self.prior_slope);
    }

    /// The share of encoder `layer` in `gradient` ← Σ over rows of ĝᵀ ∂logits/∂θ, for ĝ = `logit_gradient` `[R, K]`.
    pub fn encoder_gradient(
        &self,
        weights: &Weights<F>,
        layer: usize,
        pixels: &Pixels<F>,
        logit_gradient: &[F],
        gradient: &mut [F],
    ) {
        let part = &weights.layout.encoders[layer];
        let input = if layer == 0 { Input::Rows(pixels) } else { Input::from(&self.layers[layer - 1].signs) };
        part.shape.reverse_replacing(
            part.of(&weights.parameters),
            input,
            &self.layers[layer].encoder,
            logit_gradient,
            part.of_mut(gradient),
            None,
        );
    }
}

//! The bound with one layer and all above it relaxed, h(z) = f(…, σ_λ(z), …), with its gradient by z and the second
//! derivatives that train the temperature: what REBAR, Concrete and MuProp know of f.

use crate::vae::elementwise::{cross_entropy, dot, entropy_curvature, soften, to_signs};
use crate::vae::number::{Number, add, clear, fit, one, zero};
use crate::vae::path::Path;
use crate::vae::weights::Weights;
use relax_nn::Workspace;

/// What one relaxed layer leaves on the way, `[P, K]` unless said otherwise.
#[derive(Debug, Clone, Default)]
struct LayerState<F> {
    /// Logits of the relaxed layer, given relaxed values below it; unused in the lowest relaxed layer.
    logits: Vec<F>,
    z: Vec<F>,
    /// s = σ_λ(z).
    soft: Vec<F>,
    signs: Vec<F>,
    /// σ(a) − s.
    logit_slope: Vec<F>,
    output: Vec<F>,
    /// σ(o) − t, `[P, width below]`.
    output_slope: Vec<F>,
    /// t, where it is not the lowest layer's.
    targets: Vec<F>,
    /// ∂h/∂s.
    soft_adjoint: Vec<F>,
    /// ∂h/∂z.
    adjoint: Vec<F>,
    /// ∂h/∂a.
    logit_adjoint: Vec<F>,
    encoder: Workspace<F>,
    decoder: Workspace<F>,
    /// Tangents along two directions, `[2P, K]`.
    z_tangent: Vec<F>,
    soft_tangent: Vec<F>,
    logit_tangent: Vec<F>,
    output_tangent: Vec<F>,
}

/// The relaxed bound of layer `layer` at P points: P is a multiple of the number of rows of the pass with hard samples,
/// whose lower layers, logits of this layer, and noise of the layers above it are held fixed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relaxed<F> {
    layer: usize,
    /// 1/λ.
    sharpness: F,
    layers: Vec<LayerState<F>>,
    /// h(z), `[P]`.
    pub value: Vec<F>,
    scratch: Vec<F>,
    prior_rows: Vec<F>,
}

/// Where the relaxed values of the layers above come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Above {
    /// The noise of the hard pass: z = a + logit u.
    Sampled,
    /// No noise, as in a mean-field pass: z = a.
    Mean,
}

impl<F: Number> Relaxed<F> {
    /// h at `z` `[P, K]` and ∂h/∂z.
    #[allow(clippy::too_many_arguments)]
    pub fn evaluate(
        &mut self,
        weights: &Weights<F>,
        hard: &Path<F>,
        x: &[F],
        layer: usize,
        temperature: f64,
        above: Above,
        z: &[F],
    ) {
        self.layer = layer;
        self.sharpness = F::of(1.0 / temperature);
        self.forward(weights, hard, x, above, z);
        self.reverse(weights);
    }

    /// ∂h/∂z, `[P, K]`.
    pub fn gradient(&self) -> &[F] {
        &self.layers[self.layer].adjoint
    }

    /// ∂h/∂s with s = σ_λ(z), `[P, K]`.
    pub fn soft_gradient(&self) -> &[F] {
        &self.layers[self.layer].soft_adjoint
    }

    fn forward(&mut self, weights: &Weights<F>, hard: &Path<F>, x: &[F], above: Above, z: &[F]) {
        let theta = &weights.parameters;
        let (encoders, decoders) = (&weights.layout.encoders, &weights.layout.decoders);
        let points = z.len() / encoders[self.layer].shape.output();
        hard.loss_below(self.layer, &mut self.scratch);
        repeat(&self.scratch, points, &mut self.value);
        self.layers.resize_with(encoders.len(), LayerState::default);
        for l in self.layer..encoders.len() {
            let (below, rest) = self.layers.split_at_mut(l);
            let state = &mut rest[0];
            let width = encoders[l].shape.output();
            for array in [&mut state.soft, &mut state.signs, &mut state.logit_slope] {
                fit(array, points * width);
            }
            let hard_layer = &hard.layers[l];
            if l == self.layer {
                state.z.clear();
                state.z.extend_from_slice(z);
                repeat(&hard_layer.logits, points * width, &mut state.logits);
                let target = if l == 0 { x } else { &hard.layers[l - 1].b };
                repeat(target, points * decoders[l].shape.output(), &mut state.targets);
            } else {
                let lower = &below[l - 1];
                fit(&mut state.logits, points * width);
                let encoder = encoders[l].of(theta);
                encoders[l].shape.forward(encoder, &lower.signs, &mut state.encoder, &mut state.logits);
                state.z.clone_from(&state.logits);
                if above == Above::Sampled {
                    let noise = hard_layer.z.iter().zip(&hard_layer.logits).cycle();
                    state.z.iter_mut().zip(noise).for_each(|(z, (&hard_z, &a))| *z += hard_z - a);
                }
                state.targets.clone_from(&lower.soft);
            }
            soften(&state.z, self.sharpness, &mut state.soft);
            to_signs(&state.soft, &mut state.signs);
            let minus = -one::<F>();
            cross_entropy(&state.logits, &state.soft, width, minus, &mut self.value, &mut state.logit_slope);
            let below_width = decoders[l].shape.output();
            fit(&mut state.output, points * below_width);
            fit(&mut state.output_slope, points * below_width);
            let decoder = decoders[l].of(theta);
            decoders[l].shape.forward(decoder, &state.signs, &mut state.decoder, &mut state.output);
            if l == 0 {
                weights.add_output_bias(&mut state.output);
            }
            cross_entropy(
                &state.output,
                &state.targets,
                below_width,
                one(),
                &mut self.value,
                &mut state.output_slope,
            );
        }
        let Some(top) = self.layers.last() else { return };
        weights.repeat_prior(points, &mut self.prior_rows);
        fit(&mut self.scratch, self.prior_rows.len());
        let width = weights.layout.prior.len();
        cross_entropy(&self.prior_rows, &top.soft, width, one(), &mut self.value, &mut self.scratch);
    }

    /// ∂h/∂z of all relaxed layers, from the top down.
    fn reverse(&mut self, weights: &Weights<F>) {
        let theta = &weights.parameters;
        let (encoders, decoders) = (&weights.layout.encoders, &weights.layout.decoders);
        for l in (self.layer..encoders.len()).rev() {
            let (rest, above) = self.layers.split_at_mut(l + 1);
            let state = &mut rest[l];
            // ∂h/∂(2s − 1) through the decoder, and through the encoder above.
            fit(&mut state.adjoint, state.soft.len());
            let decoder = decoders[l].of(theta);
            decoders[l].shape.input_gradient(
                decoder,
                &mut state.decoder,
                &state.output_slope,
                &mut state.adjoint,
            );
            if let Some(above) = above.first_mut() {
                fit(&mut self.scratch, state.soft.len());
                let encoder = encoders[l + 1].of(theta);
                let shape = &encoders[l + 1].shape;
                shape.input_gradient(encoder, &mut above.encoder, &above.logit_adjoint, &mut self.scratch);
                add(&mut state.adjoint, &self.scratch);
            }
            // ∂h/∂s: twice that, the layer's own logits in log q, and its part as an outcome of the layer above.
            let outcome = above.first().map_or(self.prior_rows.as_slice(), |above| above.output.as_slice());
            let two = F::of(2.0);
            fit(&mut state.soft_adjoint, state.soft.len());
            let outs = state.adjoint.iter_mut().zip(&mut state.soft_adjoint);
            let values = state.logits.iter().zip(outcome).zip(&state.soft);
            for ((d, by_soft), ((&a, &o), &s)) in outs.zip(values) {
                *by_soft = two * *d + a - o;
                *d = *by_soft * s * (one::<F>() - s) * self.sharpness;
            }
            if l > self.layer {
                fit(&mut state.logit_adjoint, state.soft.len());
                let slopes = state.adjoint.iter().zip(&state.logit_slope);
                state.logit_adjoint.iter_mut().zip(slopes).for_each(|(out, (&z, &q))| *out = z - q);
            }
        }
    }

    /// Σ over points of α·h(z) + β·∇h(z), differentiated by log λ; α is `[P]`, β `[P, K]`.
    /// Must follow [`evaluate`](Self::evaluate).
    pub fn temperature_gradient(&mut self, weights: &Weights<F>, alpha: &[F], beta: &[F]) -> f64 {
        let mut total = 0.0;
        for state in &self.layers[self.layer..] {
            let width = state.z.len() / alpha.len();
            let rows = state.adjoint.chunks_exact(width).zip(state.z.chunks_exact(width));
            for ((d, z), &alpha) in rows.zip(alpha) {
                if alpha != zero() {
                    total -= alpha.wide() * dot(d, z);
                }
            }
        }
        total + self.mixed(weights, beta)
    }

    /// The second derivative of Σ h along z → z + εβ and log λ → log λ + δ: a tangent pass along either, and at every unit that
    /// is not linear its second derivative times both tangents, weighted by the gradient there.
    fn mixed(&mut self, weights: &Weights<F>, beta: &[F]) -> f64 {
        let theta = &weights.parameters;
        let (encoders, decoders) = (&weights.layout.encoders, &weights.layout.decoders);
        let m = self.sharpness;
        let mut total = 0.0;
        for l in self.layer..encoders.len() {
            let (below, rest) = self.layers.split_at_mut(l);
            let state = &mut rest[0];
            let len = state.soft.len();
            clear(&mut state.z_tangent, 2 * len);
            if l == self.layer {
                state.z_tangent[..len].copy_from_slice(beta);
            } else {
                // ȧ = the encoder's tangent; ż = ȧ, for the noise is fixed.
                let lower = &below[l - 1];
                let encoder = encoders[l].of(theta);
                fit(&mut state.logit_tangent, 2 * len);
                double(&lower.soft_tangent, &mut self.scratch);
                let shape = &encoders[l].shape;
                total += shape.tangent_pair(encoder, &self.scratch, &state.encoder, &mut state.logit_tangent);
                state.z_tangent.copy_from_slice(&state.logit_tangent);
            }
            fit(&mut state.soft_tangent, 2 * len);
            total += soft_tangents(state, m);
            if l > self.layer {
                // −log q has the opposite sign of a reconstruction.
                let (first, second) = state.logit_tangent.split_at(len);
                total -= entropy_curvature(&state.logit_slope, &state.soft, first, second);
                let (soft_first, soft_second) = state.soft_tangent.split_at(len);
                total += dot(soft_first, second) + dot(soft_second, first);
            }
            let out = state.output_slope.len();
            fit(&mut state.output_tangent, 2 * out);
            double(&state.soft_tangent, &mut self.scratch);
            let decoder = decoders[l].of(theta);
            let shape = &decoders[l].shape;
            total += shape.tangent_pair(decoder, &self.scratch, &state.decoder, &mut state.output_tangent);
            let (first, second) = state.output_tangent.split_at(out);
            total += entropy_curvature(&state.output_slope, &state.targets, first, second);
            if l > self.layer {
                let lower = &below[l - 1].soft_tangent;
                let (soft_first, soft_second) = lower.split_at(lower.len() / 2);
                total -= dot(soft_first, second) + dot(soft_second, first);
            }
        }
        total
    }
}

/// ṡ along both directions from ż, and the second derivative of s = σ(z·m), m = e^−log λ, weighted by ∂h/∂z.
///
/// Along β m is fixed; along log λ ṁ = −m. With t = z·m: ∂h/∂t·[(1 − 2s)·ṫ₁ṫ₂ + ṁ₂ż₁], and ∂h/∂t·m = ∂h/∂z.
fn soft_tangents<F: Number>(state: &mut LayerState<F>, m: F) -> f64 {
    let len = state.soft.len();
    let (z_first, z_second) = state.z_tangent.split_at(len);
    let (s_first, s_second) = state.soft_tangent.split_at_mut(len);
    let rows = s_first.chunks_mut(512).zip(s_second.chunks_mut(512));
    let inputs = z_first.chunks(512).zip(z_second.chunks(512));
    let values = state.z.chunks(512).zip(state.soft.chunks(512)).zip(state.adjoint.chunks(512));
    let mut total = 0.0;
    for (((s1, s2), (z1, z2)), ((z, s), d)) in rows.zip(inputs).zip(values) {
        total += soft_tangents_part((s1, s2), (z1, z2), (z, s, d), m).wide();
    }
    total
}

#[multiversion::multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma",
    "x86_64+avx2+fma"
))]
fn soft_tangents_part<F: Number>(
    out: (&mut [F], &mut [F]),
    tangents: (&[F], &[F]),
    values: (&[F], &[F], &[F]),
    m: F,
) -> F {
    let mut sums = [zero::<F>(); 16];
    let two = F::of(2.0);
    let outs = out.0.chunks_mut(16).zip(out.1.chunks_mut(16));
    let tangents = tangents.0.chunks(16).zip(tangents.1.chunks(16));
    let values = values.0.chunks(16).zip(values.1.chunks(16)).zip(values.2.chunks(16));
    for (((s1, s2), (z1, z2)), ((z, s), d)) in outs.zip(tangents).zip(values) {
        let outs = s1.iter_mut().zip(s2).zip(sums.iter_mut());
        let ins = z1.iter().zip(z2).zip(z.iter().zip(s).zip(d));
        for (((s1, s2), sum), ((&z1, &z2), ((&z, &s), &d))) in outs.zip(ins) {
            let slope = s * (one::<F>() - s);
            let (t1, t2) = (z1 * m, (z2 - z) * m);
            (*s1, *s2) = (slope * t1, slope * t2);
            // d = ∂h/∂z = ∂h/∂t·m
            *sum += d * ((one::<F>() - two * s) * z1 * t2 - z1);
        }
    }
    sums.into_iter().sum::<F>()
}

/// `out` ← 2x: the tangent of 2s − 1.
fn double<F: Number>(x: &[F], out: &mut Vec<F>) {
    out.clear();
    out.extend(x.iter().map(|&x| x + x));
}

/// `out` ← `rows` over and over, `len` numbers in all.
fn repeat<F: Number>(rows: &[F], len: usize, out: &mut Vec<F>) {
    out.clear();
    while out.len() < len {
        out.extend_from_slice(rows);
    }
}

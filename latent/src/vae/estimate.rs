//! One unbiased sample of the bound's gradient at the logits of every layer, by any of the estimators, and the gradient that
//! trains their control variates.
//!
//! Layer l's estimator sees the whole f; its control variate keeps the lower layers' hard samples and relaxes layer l and
//! all above. What c does with the logits beside z (they are in log q) counts as constant: that is unbiased.

use crate::vae::baseline::{Baseline, Centre};
use crate::vae::control::Control;
use crate::vae::elementwise::dot;
use crate::vae::free_form::FreeForm;
use crate::vae::number::{Number, clear, fit, one, zero};
use crate::vae::path::Path;
use crate::vae::relaxed::{Above, Relaxed};
use crate::vae::settings::{Coupling, Method, Settings};
use crate::vae::weights::Weights;
use rand::Rng;
use relax_estimators::{
    Node, bernoulli, noise, relax, relax_adjoint, relax_coupled, relax_coupled_adjoint, squared_norm_upstream,
};

/// ĝ of a batch, and everything on the way to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Estimate<F> {
    /// The pass with hard samples; R = samples·B rows, all first samples before all second ones.
    pub path: Path<F>,
    /// x − x̄, `[R, pixels]`.
    pub centred: Vec<F>,
    /// ĝ of each layer, `[R, K]`: the gradient of the mean of f over rows is their mean.
    pub gradients: Vec<Vec<F>>,
    /// Mean over rows of what the running means follow, for each layer.
    pub signals: Vec<f64>,
    x: Vec<F>,
    u: Vec<Vec<F>>,
    v: Vec<Vec<F>>,
    antithetic: Path<F>,
    relaxed: Relaxed<F>,
    free_form: FreeForm<F>,
    baseline: Baseline<F>,
    context: Vec<F>,
    z: Vec<F>,
    w: Vec<F>,
    score: Vec<F>,
    signal: Vec<F>,
    c: Vec<F>,
    c_gradient: Vec<F>,
    upstream: Vec<F>,
    alpha: Vec<F>,
    beta: Vec<F>,
}

impl<F: Number> Estimate<F> {
    /// Draws noise from `rng` and fills `path`, `gradients` and `signals` for the images `x` `[B, pixels]`; adds the gradient
    /// of the control variates' objectives to `d_control` if one is given.
    #[allow(clippy::too_many_arguments)]
    pub fn run(
        &mut self,
        weights: &Weights<F>,
        control: &Control<F>,
        centres: &[Centre],
        settings: &Settings,
        x: &[F],
        rng: &mut impl Rng,
        mut d_control: Option<&mut [F]>,
    ) {
        let architecture = &weights.architecture;
        let (method, layers) = (settings.method, architecture.layers());
        let batch = x.len() / architecture.pixels;
        let rows = batch * method.samples();
        self.x.clear();
        (0..method.samples()).for_each(|_| self.x.extend_from_slice(x));
        weights.centre(&self.x, &mut self.centred);
        for noise_of in [&mut self.u, &mut self.v] {
            noise_of.resize_with(layers, Vec::new);
            for (noise, &width) in noise_of.iter_mut().zip(&architecture.latent) {
                fit(noise, rows * width);
                noise::fill_uniform(rng, noise);
            }
        }
        if method == Method::DisArm {
            reflect_second_half(&mut self.u[0]);
        }
        self.path.run(weights, &self.x, &self.centred, 0, &self.u);
        self.gradients.resize_with(layers, Vec::new);
        clear_signals(&mut self.signals, layers);
        for (layer, centre) in centres.iter().enumerate() {
            let len = rows * architecture.latent[layer];
            fit(&mut self.score, len);
            let LayerRef { logits, b } = layer_of(&self.path, layer);
            bernoulli::score(logits, b, &mut self.score);
            clear(&mut self.gradients[layer], len);
            let centre = F::of(centre.value());
            let d_control = d_control.as_deref_mut();
            match method {
                Method::Reinforce => {
                    self.take_f_less(layer, centre);
                    self.score_times_signal(layer);
                }
                Method::Nvil | Method::MuProp => {
                    self.baselined(weights, control, layer, centre, method, d_control);
                }
                Method::Concrete => self.concrete(weights, layer, settings.temperature),
                Method::Rebar | Method::Relax | Method::RelaxedRebar => {
                    self.controlled(weights, control, layer, centre, settings, d_control);
                }
                Method::DisArm => self.antithetic_pair(weights, layer),
                Method::LeaveOneOut => {
                    self.signal.clear();
                    let f = &self.path.f;
                    let others = f[batch..].iter().chain(&f[..batch]);
                    self.signal.extend(f.iter().zip(others).map(|(&f, &other)| f - other));
                    self.score_times_signal(layer);
                }
            }
        }
    }

    /// signal ← f − `baseline`; its mean before that is what the running mean follows.
    fn take_f_less(&mut self, layer: usize, baseline: F) {
        self.signals[layer] = mean(&self.path.f);
        self.signal.clear();
        self.signal.extend(self.path.f.iter().map(|&f| f - baseline));
    }

    /// ĝ += s·signal.
    fn score_times_signal(&mut self, layer: usize) {
        let width = self.score.len() / self.signal.len();
        let rows = self.gradients[layer].chunks_exact_mut(width).zip(self.score.chunks_exact(width));
        for ((g, s), &signal) in rows.zip(&self.signal) {
            g.iter_mut().zip(s).for_each(|(g, &s)| *g += s * signal);
        }
    }

    /// NVIL, and MuProp: the same after the Taylor expansion has been taken off f.
    fn baselined(
        &mut self,
        weights: &Weights<F>,
        control: &Control<F>,
        layer: usize,
        centre: F,
        method: Method,
        d_control: Option<&mut [F]>,
    ) {
        self.signal.clone_from(&self.path.f);
        if method == Method::MuProp {
            let LayerRef { logits, b } = layer_of(&self.path, layer);
            self.relaxed.evaluate(weights, &self.path, &self.x, layer, 1.0, Above::Mean, logits);
            let width = logits.len() / self.signal.len();
            fit(&mut self.w, logits.len());
            bernoulli::probabilities(logits, &mut self.w);
            let slopes = self.relaxed.soft_gradient();
            for (row, signal) in self.signal.iter_mut().enumerate() {
                let at = row * width..(row + 1) * width;
                let terms = slopes[at.clone()].iter().zip(&b[at.clone()]).zip(&self.w[at]);
                let linear = terms.map(|((&d, &b), &mean)| d * (b - mean)).sum::<F>();
                *signal = *signal - self.relaxed.value[row] - linear;
            }
            // At λ = 1 and z = a: ∂h/∂z = ∂h/∂s·θ(1 − θ), the gradient of the expansion's mean.
            self.gradients[layer].copy_from_slice(self.relaxed.gradient());
        }
        self.signals[layer] = mean(&self.signal);
        self.signal.iter_mut().for_each(|f| *f -= centre);
        if let Some((shape, at)) = &control.layers[layer].baseline {
            self.take_context(layer, control.layers[layer].context);
            let parameters = &control.parameters[at.clone()];
            self.baseline.evaluate(shape, parameters, &self.context);
            if let Some(d_control) = d_control {
                let targets = self.signal.iter().copied();
                let d = &mut d_control[at.clone()];
                self.baseline.gradient(shape, parameters, &self.context, targets, d);
            }
            self.signal.iter_mut().zip(&self.baseline.value).for_each(|(f, &v)| *f -= v);
        }
        self.score_times_signal(layer);
    }

    /// ĝ = ∇h(z).
    fn concrete(&mut self, weights: &Weights<F>, layer: usize, temperature: f64) {
        let z = &self.path.layers[layer].z;
        self.relaxed.evaluate(weights, &self.path, &self.x, layer, temperature, Above::Sampled, z);
        self.gradients[layer].copy_from_slice(self.relaxed.gradient());
    }

    /// REBAR, RELAX and both together: c = centre + η·h + r.
    fn controlled(
        &mut self,
        weights: &Weights<F>,
        control: &Control<F>,
        layer: usize,
        centre: F,
        settings: &Settings,
        d_control: Option<&mut [F]>,
    ) {
        let rows = self.path.f.len();
        let coupled = settings.coupling == Coupling::Coupled;
        let LayerRef { logits, b } = layer_of(&self.path, layer);
        let hard_z = &self.path.layers[layer].z;
        let len = hard_z.len();

        // z, and z̃ after it unless the two are one.
        self.z.clear();
        self.z.extend_from_slice(hard_z);
        fit(&mut self.w, len);
        if coupled {
            bernoulli::conditional_coupled(logits, hard_z, b, &mut self.w);
        } else {
            fit(&mut self.z, 2 * len);
            let z_tilde = &mut self.z[len..];
            bernoulli::conditional_independent(logits, b, &self.v[layer], z_tilde, &mut self.w);
        }

        // c and ∇c at all points.
        let shapes = &control.layers[layer];
        let points = self.z.len() / (len / rows);
        clear(&mut self.c, points);
        clear(&mut self.c_gradient, self.z.len());
        let relaxation = control.gain_and_temperature(layer);
        if let Some((gain, temperature)) = relaxation {
            let Self { relaxed, path, x, z, .. } = self;
            relaxed.evaluate(weights, path, x, layer, temperature, Above::Sampled, z);
            add_scaled(&mut self.c, gain, &self.relaxed.value);
            add_scaled(&mut self.c_gradient, gain, self.relaxed.gradient());
        }
        if let Some((shape, at)) = &shapes.free_form {
            self.take_context(layer, shapes.context);
            self.free_form.evaluate(shape, &control.parameters[at.clone()], &self.z, &self.context);
            add_scaled(&mut self.c, one(), &self.free_form.value);
            add_scaled(&mut self.c_gradient, one(), &self.free_form.gradient);
        }

        // A constant part belongs to c as well; the relaxed bound needs none.
        self.take_f_less(layer, if relaxation.is_some() { zero() } else { centre });
        let node = Node::bernoulli(&self.score, &self.w);
        let gradient = &mut self.gradients[layer];
        if coupled {
            relax_coupled(&node, &self.signal, &self.c, &self.c_gradient, gradient);
        } else {
            let (at_z, at_z_tilde) = self.c_gradient.split_at(len);
            relax(&node, &self.signal, &self.c[rows..], at_z, at_z_tilde, gradient);
        }

        // φ descends the mean of ‖ĝ‖².
        let Some(d_control) = d_control else { return };
        fit(&mut self.upstream, len);
        squared_norm_upstream(&self.gradients[layer], rows, &mut self.upstream);
        clear(&mut self.alpha, points);
        fit(&mut self.beta, self.z.len());
        if coupled {
            relax_coupled_adjoint(&node, &self.upstream, &mut self.alpha, &mut self.beta);
        } else {
            let (at_z, at_z_tilde) = self.beta.split_at_mut(len);
            relax_adjoint(&node, &self.upstream, &mut self.alpha[rows..], at_z, at_z_tilde);
        }
        if let (Some((gain, _)), Some(at)) = (relaxation, &shapes.relaxation) {
            let by_gain = dot(&self.alpha, &self.relaxed.value) + dot(&self.beta, self.relaxed.gradient());
            let by_log_temperature =
                gain.wide() * self.relaxed.temperature_gradient(weights, &self.alpha, &self.beta);
            d_control[at.start] += F::of(by_gain);
            d_control[at.start + 1] += F::of(by_log_temperature);
        }
        if let Some((shape, at)) = &shapes.free_form {
            self.free_form.parameter_gradient(
                shape,
                &control.parameters[at.clone()],
                &self.z,
                &self.context,
                &self.alpha,
                &self.beta,
                &mut d_control[at.clone()],
            );
        }
    }

    /// DisARM (Dong, Mnih & Tucker 2020): ĝ = ½(f(b) − f(b̃))·(−1)^b̃·[b ≠ b̃]·σ(|a|), b̃ from the noise 1 − u.
    ///
    /// The lowest layer's pairs are the two halves of the pass. In a higher layer each sample gets a partner that shares
    /// the layers below.
    fn antithetic_pair(&mut self, weights: &Weights<F>, layer: usize) {
        let half = self.path.f.len() / 2;
        if layer > 0 {
            let (own, above) = self.v.split_at_mut(layer);
            let _ = own;
            above[0].iter_mut().zip(&self.u[layer]).for_each(|(v, &u)| *v = one::<F>() - u);
            self.antithetic.copy_below(&self.path, layer);
            self.antithetic.run(weights, &self.x, &self.centred, layer, &self.v);
        }
        let this = layer_of(&self.path, layer);
        let width = this.b.len() / self.path.f.len();
        let gradient = &mut self.gradients[layer];
        for row in 0..self.path.f.len() {
            let (partner, partner_f, partner_b) = if layer > 0 {
                (row, &self.antithetic.f, self.antithetic.layers[layer].b.as_slice())
            } else {
                ((row + half) % (2 * half), &self.path.f, this.b)
            };
            let difference = (self.path.f[row] - partner_f[partner]) * F::of(0.5);
            let at = row * width..(row + 1) * width;
            let other = &partner_b[partner * width..(partner + 1) * width];
            let values = this.logits[at.clone()].iter().zip(&this.b[at.clone()]).zip(other);
            for (g, ((&a, &b), &other)) in gradient[at].iter_mut().zip(values) {
                // b ≠ b̃: the sign is + where b̃ = 0.
                let magnitude = if a < zero() { -a } else { a };
                *g = (b - other) * difference * relax_estimators::Real::sigmoid(magnitude);
            }
        }
    }

    /// context ← \[x − x̄, 2b − 1 of the lower layers\], `[R, width]`.
    fn take_context(&mut self, layer: usize, width: usize) {
        let pixels = width
            - self.path.layers[..layer].iter().map(|l| l.signs.len() / self.path.f.len()).sum::<usize>();
        if layer == 0 {
            self.context.clone_from(&self.centred);
            return;
        }
        self.context.clear();
        for row in 0..self.path.f.len() {
            self.context.extend_from_slice(&self.centred[row * pixels..(row + 1) * pixels]);
            for below in &self.path.layers[..layer] {
                let k = below.signs.len() / self.path.f.len();
                self.context.extend_from_slice(&below.signs[row * k..(row + 1) * k]);
            }
        }
    }
}

struct LayerRef<'a, F> {
    logits: &'a [F],
    b: &'a [F],
}

fn layer_of<F>(path: &Path<F>, layer: usize) -> LayerRef<'_, F> {
    let layer = &path.layers[layer];
    LayerRef { logits: &layer.logits, b: &layer.b }
}

fn clear_signals(signals: &mut Vec<f64>, layers: usize) {
    signals.clear();
    signals.resize(layers, f64::NAN);
}

fn mean<F: Number>(values: &[F]) -> f64 {
    values.iter().map(|&x| x.wide()).sum::<f64>() / values.len() as f64
}

fn add_scaled<F: Number>(to: &mut [F], scale: F, from: &[F]) {
    to.iter_mut().zip(from).for_each(|(t, &f)| *t += scale * f);
}

/// u of the second half of the rows ← 1 − u of the first.
fn reflect_second_half<F: Number>(u: &mut [F]) {
    let (first, second) = u.split_at_mut(u.len() / 2);
    second.iter_mut().zip(first).for_each(|(v, &mut u)| *v = one::<F>() - u);
}

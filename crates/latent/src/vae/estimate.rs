//! One unbiased sample of the bound's gradient at the logits of every layer, by any of the estimators, and the gradient that
//! trains their control variates.
//!
//! Layer l's estimator sees the whole f; its control variate keeps the lower layers' hard samples and relaxes layer l and
//! all above. What c does with the logits beside z (they are in log q) counts as constant: that is unbiased.

use crate::vae::baseline::{Baseline, Centre};
use crate::vae::control::Control;
use crate::vae::elementwise::dot;
use crate::vae::free_form::FreeForm;
use crate::vae::number::{Number, add, clear, fit, one, zero};
use crate::vae::path::{LayerPath, Path};
use crate::vae::pixels::{Context, Pixels};
use crate::vae::relaxed::{Above, Relaxed};
use crate::vae::settings::Settings;
use crate::vae::surrogate::{Calls, Sample, Surrogate, beside};
use crate::vae::weights::Weights;
use rand::Rng;
use relax_estimators::{
    Baseline as KnownBaseline, Coupling, Estimator, Node, Projection, bernoulli, disarm, muprop, noise,
    reinforce, relax, relax_adjoint, relax_coupled, relax_coupled_adjoint, squared_norm_upstream,
};

/// ĝ of a batch, and everything on the way to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Estimate<F> {
    /// The pass with hard samples; R = samples·B rows, all first samples before all second ones.
    pub path: Path<F>,
    /// x − x̄.
    pub pixels: Pixels<F>,
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
    pub surrogate: Surrogate<F>,
    /// Of each layer, what the surrogate's next gain is made of.
    pub statistics: Vec<(f64, f64)>,
    /// 2b − 1 of all layers below one, `[R, width]`.
    signs_below: Vec<F>,
    z: Vec<F>,
    w: Vec<F>,
    score: Vec<F>,
    signal: Vec<F>,
    /// The baselines of the rows.
    known: Vec<F>,
    c: Vec<F>,
    c_gradient: Vec<F>,
    upstream: Vec<F>,
    pub alpha: Vec<F>,
    beta: Vec<F>,
}

impl<F: Number> Estimate<F> {
    /// Draws noise from `rng` and fills `path`, `gradients` and `signals` for the images `x` `[B, pixels]`; writes the gradient
    /// of the control variates' objectives to `d_control` if it is given.
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
        let rows = batch * method.needs().samples;
        self.x.clear();
        (0..method.needs().samples).for_each(|_| self.x.extend_from_slice(x));
        self.pixels.read(&self.x, &weights.pixel_mean);
        for noise_of in [&mut self.u, &mut self.v] {
            noise_of.resize_with(layers, Vec::new);
            for (noise, &width) in noise_of.iter_mut().zip(&architecture.latent) {
                fit(noise, rows * width);
                noise::fill_uniform(rng, noise);
            }
        }
        if method == Estimator::DisArm {
            let (first, second) = self.u[0].split_at_mut(batch * architecture.latent[0]);
            reflect(first, second);
        }
        self.path.run(weights, &self.x, &self.pixels, 0, &self.u);
        self.gradients.resize_with(layers, Vec::new);
        clear_signals(&mut self.signals, layers);
        self.statistics.resize(layers, (0.0, 0.0));
        for (layer, centre) in centres.iter().enumerate() {
            let len = rows * architecture.latent[layer];
            fit(&mut self.score, len);
            let LayerRef { logits, b } = layer_of(&self.path, layer);
            bernoulli::score(logits, b, &mut self.score);
            clear(&mut self.gradients[layer], len);
            let centre = F::of(centre.value());
            let d_control = d_control.as_deref_mut();
            match method {
                Estimator::Reinforce | Estimator::Baseline => {
                    self.signals[layer] = mean(&self.path.f);
                    let gradient = &mut self.gradients[layer];
                    reinforce(&self.score, &self.path.f, KnownBaseline::Constant(centre), gradient);
                }
                Estimator::Nvil | Estimator::MuProp => {
                    self.baselined(weights, control, layer, centre, method, d_control);
                }
                Estimator::Concrete => self.concrete(weights, layer, settings.temperature),
                Estimator::Rebar(_) | Estimator::Relax(_) | Estimator::RelaxedRebar(_) => {
                    self.controlled(weights, control, layer, centre, settings, d_control);
                }
                Estimator::DisArm => self.antithetic_pair(weights, layer),
                Estimator::Surrogate { .. } => self.surrogate(control, layer, rng, d_control),
                Estimator::LeaveOneOut { .. } => {
                    let f = &self.path.f;
                    self.known.clear();
                    self.known.extend(f[batch..].iter().chain(&f[..batch]));
                    let gradient = &mut self.gradients[layer];
                    reinforce(&self.score, f, KnownBaseline::Values(&self.known), gradient);
                }
            }
        }
    }

    /// NVIL, and MuProp: the same after the Taylor expansion has been taken off f.
    fn baselined(
        &mut self,
        weights: &Weights<F>,
        control: &Control<F>,
        layer: usize,
        centre: F,
        method: Estimator,
        d_control: Option<&mut [F]>,
    ) {
        let logits = &self.path.layers[layer].logits;
        let width = logits.len() / self.path.f.len();
        // What is left of f for the baseline.
        self.signal.clone_from(&self.path.f);
        if method == Estimator::MuProp {
            self.relaxed.evaluate(weights, &self.path, &self.x, layer, 1.0, Above::Mean, logits);
            let rows = self.relaxed.soft_gradient().chunks_exact(width).zip(self.score.chunks_exact(width));
            for ((signal, (slope, s)), &at_mean) in self.signal.iter_mut().zip(rows).zip(&self.relaxed.value)
            {
                *signal = *signal - at_mean - slope.iter().zip(s).map(|(&d, &s)| d * s).sum::<F>();
            }
        }
        self.signals[layer] = mean(&self.signal);
        self.signal.iter_mut().for_each(|f| *f -= centre);
        self.known.clear();
        self.known.resize(self.path.f.len(), centre);
        if let Some((shape, at)) = &control.layers[layer].baseline {
            self.take_signs_below(layer);
            let context = Context { pixels: &self.pixels, beside: &self.signs_below };
            let parameters = &control.parameters[at.clone()];
            self.baseline.evaluate(shape, parameters, &context);
            if let Some(d_control) = d_control {
                let targets = self.signal.iter().copied();
                let d = &mut d_control[at.clone()];
                self.baseline.gradient(shape, parameters, &context, targets, d);
            }
            add(&mut self.known, &self.baseline.value);
        }
        let gradient = &mut self.gradients[layer];
        if method == Estimator::MuProp {
            self.signal.clone_from(&self.path.f);
            self.signal.iter_mut().zip(&self.known).for_each(|(f, &known)| *f -= known);
            let (value, slope) = (&self.relaxed.value, self.relaxed.soft_gradient());
            muprop(&self.score, Projection::Identity, &self.signal, value, slope, gradient);
        } else {
            reinforce(&self.score, &self.path.f, KnownBaseline::Values(&self.known), gradient);
        }
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
        let coupled = settings.method.coupling() == Some(Coupling::Coupled);
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
            self.take_signs_below(layer);
            let context = Context { pixels: &self.pixels, beside: &self.signs_below };
            self.free_form.evaluate(shape, &control.parameters[at.clone()], &self.z, &context);
            add_scaled(&mut self.c, one(), &self.free_form.value);
            add_scaled(&mut self.c_gradient, one(), &self.free_form.gradient);
        }

        // A constant part belongs to c as well; the relaxed bound needs none.
        let constant = if relaxation.is_some() { zero() } else { centre };
        self.signals[layer] = mean(&self.path.f);
        self.signal.clear();
        self.signal.extend(self.path.f.iter().map(|&f| f - constant));
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
            d_control[at.start] = F::of(by_gain);
            d_control[at.start + 1] = F::of(by_log_temperature);
        }
        if let Some((shape, at)) = &shapes.free_form {
            self.free_form.parameter_gradient(
                shape,
                &control.parameters[at.clone()],
                &self.z,
                &Context { pixels: &self.pixels, beside: &self.signs_below },
                &self.alpha,
                &self.beta,
                &mut d_control[at.clone()],
            );
        }
    }

    /// The surrogate; its regression sees this batch after ĝ has been made of it.
    fn surrogate(
        &mut self,
        control: &Control<F>,
        layer: usize,
        rng: &mut impl Rng,
        d_control: Option<&mut [F]>,
    ) {
        let Some((shape, at)) = &control.layers[layer].surrogate else { return };
        let parameters = &control.parameters[at.clone()];
        self.signals[layer] = mean(&self.path.f);
        self.take_signs_below(layer);
        let Self { path, pixels, signs_below, score, surrogate, gradients, statistics, .. } = self;
        let LayerPath { logits, signs, .. } = &path.layers[layer];
        let context = Context { pixels, beside: signs_below };
        let sample = Sample { logits, signs, score, f: &path.f, context };
        let gain = F::of(control.gains[layer].gain());
        statistics[layer] = surrogate.estimate(shape, parameters, gain, &sample, rng, &mut gradients[layer]);
        if let Some(d_control) = d_control {
            surrogate.regression(shape, parameters, (signs, &path.f), &context, &mut d_control[at.clone()]);
        }
    }

    /// The gradient of the regression of every layer's c on past calls.
    pub fn replay(&mut self, control: &Control<F>, calls: &Calls<F>, d_control: &mut [F]) {
        for (layer, shapes) in control.layers.iter().enumerate() {
            let Some((shape, at)) = &shapes.surrogate else { continue };
            let parameters = &control.parameters[at.clone()];
            let below = calls.signs[..layer].iter().map(Vec::as_slice);
            beside(below, calls.f.len(), &mut self.signs_below);
            let context = Context { pixels: &calls.pixels, beside: &self.signs_below };
            let signs = &calls.signs[layer];
            self.surrogate.evaluate(shape, parameters, signs, &context);
            let d = &mut d_control[at.clone()];
            self.surrogate.regression(shape, parameters, (signs, &calls.f), &context, d);
        }
    }

    /// The calls just made.
    pub fn take_calls(&self, calls: &mut Calls<F>) {
        calls.pixels.clone_from(&self.pixels);
        calls.signs.resize_with(self.path.layers.len(), Vec::new);
        for (to, layer) in calls.signs.iter_mut().zip(&self.path.layers) {
            to.clone_from(&layer.signs);
        }
        calls.f.clone_from(&self.path.f);
    }

    /// DisARM. The lowest layer's pairs are the two halves of the pass. In a higher layer each sample gets a partner that
    /// shares the layers below.
    fn antithetic_pair(&mut self, weights: &Weights<F>, layer: usize) {
        let this = layer_of(&self.path, layer);
        let gradient = &mut self.gradients[layer];
        if layer == 0 {
            let rows = self.path.f.len() / 2;
            let len = this.b.len() / 2;
            let (f, partner_f) = self.path.f.split_at(rows);
            let (b, partner_b) = this.b.split_at(len);
            let (first, second) = gradient.split_at_mut(len);
            disarm(&this.logits[..len], b, partner_b, f, partner_f, first);
            second.copy_from_slice(first);
        } else {
            reflect(&self.u[layer], &mut self.v[layer]);
            self.antithetic.copy_below(&self.path, layer);
            self.antithetic.run(weights, &self.x, &self.pixels, layer, &self.v);
            let partner = &self.antithetic;
            let this = layer_of(&self.path, layer);
            disarm(this.logits, this.b, &partner.layers[layer].b, &self.path.f, &partner.f, gradient);
        }
    }

    fn take_signs_below(&mut self, layer: usize) {
        let below = self.path.layers[..layer].iter().map(|layer| layer.signs.as_slice());
        beside(below, self.path.f.len(), &mut self.signs_below);
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

/// v ← 1 − u.
fn reflect<F: Number>(u: &[F], v: &mut [F]) {
    v.iter_mut().zip(u).for_each(|(v, &u)| *v = one::<F>() - u);
}

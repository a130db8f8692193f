//! All estimators behind one call: [`Estimator::estimate`], for Bernoulli and categorical nodes, single or layered.
//!
//! A layered model gets one estimate per layer: layer l's is made with layer l's score and the whole f. Its control variate keeps
//! the layers below at their hard samples and relaxes l and what stands above it.

mod buffers;
mod learn;
mod model;
mod one_node;
mod surrogate;
mod tuning;

pub use buffers::Estimate;
pub use model::{Family, Layer, Model, Place};
pub use one_node::{NoControlVariate, Objective, OneNode};
pub use tuning::{Tuning, TuningGradient};

use crate::{
    Baseline, Coupling, Estimator, Real, bernoulli, categorical, concrete, disarm, disarm_categorical,
    leave_one_out, muprop, noise, nvil, reinforce, relax, relax_coupled,
};
use buffers::{Buffers, Point, repeated};
use rand::Rng;
use surrogate::surrogate_layers;

impl Estimator {
    /// Samples `rows` times from `model` and estimates ∂E\[f\]/∂l for every layer, with the settings `tuning`, one per layer.
    ///
    /// The result lies in `estimate`: [`Estimate::gradient`], [`f`](Estimate::f), [`sample`](Estimate::sample).
    /// # Errors
    /// If the model fails, or lacks what this estimator needs.
    /// # Panics
    /// If there is not one tuning per layer, or a layer has no variables.
    pub fn estimate<F: Real, M: Model<F>>(
        self,
        model: &mut M,
        tuning: &[Tuning],
        rows: usize,
        rng: &mut impl Rng,
        estimate: &mut Estimate<F>,
    ) -> Result<(), M::Error> {
        self.draw(model, rows, rng, estimate)?;
        model.value(&estimate.samples, &mut estimate.f)?;
        self.gradients(model, tuning, rng, estimate)
    }

    /// The first part of [`estimate`](Self::estimate): noise, samples and scores. What comes next is f of the samples, in
    /// [`Estimate::f_mut`], by whatever way it is to be had, and then [`gradients`](Self::gradients).
    ///
    /// # Errors
    /// If the logits cannot be computed.
    /// # Panics
    /// If a layer has no variables.
    pub fn draw<F: Real, M: Model<F>>(
        self,
        model: &mut M,
        rows: usize,
        rng: &mut impl Rng,
        estimate: &mut Estimate<F>,
    ) -> Result<(), M::Error> {
        let layers = model.layers().len();
        assert!(model.layers().iter().all(|layer| layer.width > 0), "a layer without variables");
        estimate.resize(model.layers(), rows);
        for l in 0..layers {
            let layer = model.layers()[l];
            noise::fill_uniform(rng, &mut estimate.noise[l]);
            let (below, from_here) = estimate.samples.split_at_mut(l);
            let node = &mut estimate.nodes[l];
            model.logits(l, below, &mut node.logits)?;
            node.sample(layer, &estimate.noise[l], self == Self::DisArm, &mut from_here[0]);
        }
        Ok(())
    }

    /// The second part of [`estimate`](Self::estimate): ĝ of the samples drawn and of their f.
    ///
    /// # Errors
    /// If the model fails, or lacks what this estimator needs.
    /// # Panics
    /// If there is not one tuning per layer.
    pub fn gradients<F: Real, M: Model<F>>(
        self,
        model: &mut M,
        tuning: &[Tuning],
        rng: &mut impl Rng,
        estimate: &mut Estimate<F>,
    ) -> Result<(), M::Error> {
        let layers = model.layers().len();
        assert!(tuning.len() == layers, "{} tunings for {layers} layers", tuning.len());
        if let Self::Surrogate { group, passes } = self {
            return surrogate_layers(model, tuning, group, passes, rng, estimate);
        }
        for (l, tuning) in tuning.iter().enumerate() {
            self.estimate_layer(model, l, tuning, rng, estimate)?;
        }
        Ok(())
    }

    fn estimate_layer<F: Real, M: Model<F>>(
        self,
        model: &mut M,
        l: usize,
        tuning: &Tuning,
        rng: &mut impl Rng,
        estimate: &mut Estimate<F>,
    ) -> Result<(), M::Error> {
        if self == Self::DisArm {
            return antithetic_layer(model, l, estimate);
        }
        let layer = model.layers()[l];
        let Estimate { rows, f, f_other, samples, noise, nodes, .. } = estimate;
        let node = &mut nodes[l];
        let place = Place { layer: l, below: &samples[..l], noise_above: &noise[l + 1..] };
        match self {
            Self::Reinforce => reinforce(&node.score, f, Baseline::None, &mut node.gradient),
            Self::Baseline => {
                let baseline = Baseline::Constant(F::from_f64(tuning.baseline));
                reinforce(&node.score, f, baseline, &mut node.gradient);
            }
            Self::Nvil => {
                model.baseline(l, &samples[..l], f_other)?;
                nvil(&node.score, f, f_other, tuning.baseline, tuning.scale, &mut node.gradient);
            }
            Self::LeaveOneOut { group } => {
                leave_one_out(f, group, f_other)?;
                reinforce(&node.score, f, Baseline::Values(f_other), &mut node.gradient);
            }
            Self::MuProp => {
                model.value_and_gradient(place, &node.probs, f_other, &mut node.scratch)?;
                let mut gradient = std::mem::take(&mut node.gradient);
                let mut each = std::mem::take(&mut node.each);
                let [each_f, each_mean] = &mut each;
                let each_f = repeated(f, layer.choices, each_f);
                let each_mean = node.expanded(layer, f_other, each_mean);
                let projection = node.projection(layer.family);
                muprop(&node.score, projection, each_f, each_mean, &node.scratch, &mut gradient);
                (node.gradient, node.each) = (gradient, each);
            }
            Self::Concrete => {
                let mut point = std::mem::take(&mut node.at[0]);
                let outcome = self.evaluate(model, place, tuning, &mut point);
                node.at[0] = point;
                outcome?;
                let mut gradient = std::mem::take(&mut node.gradient);
                let each = *rows * layer.choices;
                concrete(node.projection(layer.family), &node.at[0].h_slope, each, &mut gradient);
                node.gradient = gradient;
            }
            Self::Rebar(coupling) | Self::Relax(coupling) | Self::RelaxedRebar(coupling) => {
                self.relax_layer(model, place, layer, tuning, coupling, f, node, rng)?;
            }
            Self::DisArm | Self::Surrogate { .. } => {}
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn relax_layer<F: Real, M: Model<F>>(
        self,
        model: &mut M,
        place: Place<'_, F>,
        layer: Layer,
        tuning: &Tuning,
        coupling: Coupling,
        f: &[F],
        node: &mut Buffers<F>,
        rng: &mut impl Rng,
    ) -> Result<(), M::Error> {
        let mut at = std::mem::take(&mut node.at);
        let [at_z, at_z_tilde] = &mut at;
        if layer.family == Family::Bernoulli {
            bernoulli::hard_sample(&at_z.z, &mut node.scratch);
        }
        match (coupling, layer.family) {
            (Coupling::Coupled, Family::Bernoulli) => {
                bernoulli::conditional_coupled(&node.logits, &at_z.z, &node.scratch, &mut node.w);
            }
            (Coupling::Coupled, Family::Categorical) => {
                categorical::conditional_coupled(&at_z.z, &node.index, &mut node.w);
            }
            (Coupling::Independent, family) => {
                noise::fill_uniform(rng, &mut node.scratch_too);
                let (v, z_tilde, w) = (&node.scratch_too, &mut at_z_tilde.z, &mut node.w);
                if family == Family::Bernoulli {
                    bernoulli::conditional_independent(&node.logits, &node.scratch, v, z_tilde, w);
                } else {
                    categorical::conditional_independent(&node.log_probs, &node.index, v, z_tilde, w);
                }
            }
        }
        let mut outcome = self.evaluate(model, place, tuning, at_z);
        if coupling == Coupling::Independent && outcome.is_ok() {
            outcome = self.evaluate(model, place, tuning, at_z_tilde);
        }
        if outcome.is_ok() {
            let mut gradient = std::mem::take(&mut node.gradient);
            let mut each = std::mem::take(&mut node.each);
            let [each_f, each_c] = &mut each;
            let f = repeated(f, layer.choices, each_f);
            let whole = node.node(layer.family);
            match coupling {
                Coupling::Coupled => {
                    let c = repeated(&at_z.c, layer.choices, each_c);
                    relax_coupled(&whole, f, c, &at_z.slope, &mut gradient);
                }
                Coupling::Independent => {
                    let c_tilde = repeated(&at_z_tilde.c, layer.choices, each_c);
                    relax(&whole, f, c_tilde, &at_z.slope, &at_z_tilde.slope, &mut gradient);
                }
            }
            (node.gradient, node.each) = (gradient, each);
        }
        node.at = at;
        outcome
    }

    /// h, r and c = η·h + r at a relaxed sample.
    fn evaluate<F: Real, M: Model<F>>(
        self,
        model: &mut M,
        place: Place<'_, F>,
        tuning: &Tuning,
        point: &mut Point<F>,
    ) -> Result<(), M::Error> {
        let Point { z, relaxed, f_gradient, h, h_slope, c, slope, .. } = point;
        if self.learns_control_variate() {
            model.control_variate(place, z, c, slope)?;
        } else {
            c.fill(F::ZERO);
            slope.fill(F::ZERO);
        }
        if self.relaxes_f() || self == Self::Concrete {
            let sigma = tuning.relaxation(model.layers()[place.layer]);
            sigma.apply(z, relaxed);
            model.value_and_gradient(place, relaxed, h, f_gradient)?;
            sigma.multiply_jacobian(relaxed, f_gradient, h_slope);
            let gain = F::from_f64(tuning.gain);
            c.iter_mut().zip(h.iter()).for_each(|(c, &h)| *c += gain * h);
            slope.iter_mut().zip(h_slope.iter()).for_each(|(s, &h)| *s += gain * h);
        }
        Ok(())
    }
}

/// DisARM for one layer: the second path starts from the opposite tosses here and goes on with the same noise above.
fn antithetic_layer<F: Real, M: Model<F>>(
    model: &mut M,
    l: usize,
    estimate: &mut Estimate<F>,
) -> Result<(), M::Error> {
    let layer = model.layers()[l];
    let Estimate { f, f_other, samples, others, noise, nodes, upper, .. } = estimate;
    for (other, sample) in others.iter_mut().zip(&samples[..l]) {
        other.copy_from_slice(sample);
    }
    // Bernoulli logits are tossed as they are; of a categorical node `alpha` still holds the stick logits.
    nodes[l].toss(layer, &noise[l], false, &mut others[l]);
    nodes[l].toss(layer, &noise[l], true, &mut others[l]);
    for (m, u) in noise.iter().enumerate().skip(l + 1) {
        let above = model.layers()[m];
        upper.resize(f.len(), above);
        let (below, from_here) = others.split_at_mut(m);
        model.logits(m, below, &mut upper.logits)?;
        upper.sample(above, u, true, &mut from_here[0]);
    }
    model.value(others, f_other)?;
    let Buffers { logits, alpha, bits, other_bits, gradient, each: [each, each_other], .. } = &mut nodes[l];
    let (f, f_other) = (repeated(f, layer.choices, each), repeated(f_other, layer.choices, each_other));
    match layer.family {
        Family::Bernoulli => disarm(logits, bits, other_bits, f, f_other, gradient),
        Family::Categorical => disarm_categorical(alpha, bits, other_bits, f, f_other, gradient),
    }
    Ok(())
}

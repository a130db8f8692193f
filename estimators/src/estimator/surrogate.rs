//! The surrogate for all layers of a model: paid samples as leave-one-out has them, then free ones of every layer.

use super::{Estimate, Model, Tuning, buffers};
use crate::{Baseline, EstimatorError, Real, combine, leave_one_out, noise, reinforce, surrogate_correction};
use rand::Rng;

/// ĝ = A − η·B for every layer. c is evaluated at the paid samples once, and at `passes` batches of free ones.
pub(super) fn surrogate_layers<F: Real, M: Model<F>>(
    model: &mut M,
    tuning: &[Tuning],
    group: usize,
    passes: usize,
    rng: &mut impl Rng,
    estimate: &mut Estimate<F>,
) -> Result<(), M::Error> {
    let Estimate { rows, f, f_other, samples, nodes, surrogate, .. } = estimate;
    let rows = *rows;
    leave_one_out(f, group, f_other)?;
    surrogate.resize(model.layers(), rows, group);
    model.surrogate(samples, &mut surrogate.c)?;
    leave_one_out(&surrogate.c, group, &mut surrogate.baseline)?;
    if !closed_form(model, group, nodes, surrogate)? {
        if group * passes < 2 {
            return Err(EstimatorError::Groups { samples: group * passes, group }.into());
        }
        free(model, group, passes, rng, rows, surrogate)?;
    }
    for (l, (node, tuning)) in nodes.iter_mut().zip(tuning).enumerate() {
        let (a, b) = (&mut surrogate.a[l], &mut surrogate.b[l]);
        reinforce(&node.score, f, Baseline::Values(f_other), a);
        let free = &surrogate.gradients[l];
        surrogate_correction(&node.score, &surrogate.c, &surrogate.baseline, free, group, b);
        combine(a, b, F::from_f64(tuning.gain), &mut node.gradient);
    }
    Ok(())
}

/// ∂E\[c\]/∂l of all layers, if the model knows it of all.
fn closed_form<F: Real, M: Model<F>>(
    model: &mut M,
    group: usize,
    nodes: &mut [buffers::Buffers<F>],
    surrogate: &mut buffers::Surrogate<F>,
) -> Result<bool, M::Error> {
    for (l, (node, gradient)) in nodes.iter_mut().zip(&mut surrogate.gradients).enumerate() {
        let k = model.layers()[l].width;
        if !model.surrogate_gradient(l, &node.logits, &mut node.scratch)? {
            return Ok(false);
        }
        for (to, from) in gradient.chunks_exact_mut(k).zip(node.scratch.chunks_exact(k * group)) {
            to.copy_from_slice(&from[..k]);
        }
    }
    Ok(true)
}

/// ∂E\[c\]/∂l of all layers from free samples. Every pass has the rows of the paid batch, so that a model's row keeps its meaning.
fn free<F: Real, M: Model<F>>(
    model: &mut M,
    group: usize,
    passes: usize,
    rng: &mut impl Rng,
    rows: usize,
    surrogate: &mut buffers::Surrogate<F>,
) -> Result<(), M::Error> {
    let layers = model.layers().len();
    for (l, sums) in surrogate.sums.iter_mut().enumerate() {
        sums.begin(rows / group, model.layers()[l].width);
    }
    for _ in 0..passes {
        for l in 0..layers {
            let layer = model.layers()[l];
            surrogate.noise.resize(rows * layer.width, F::ZERO);
            noise::fill_uniform(rng, &mut surrogate.noise);
            let (below, from_here) = surrogate.samples.split_at_mut(l);
            let node = &mut surrogate.nodes[l];
            model.logits(l, below, &mut node.logits)?;
            node.sample(layer, &surrogate.noise, false, &mut from_here[0]);
        }
        model.surrogate(&surrogate.samples, &mut surrogate.free_c)?;
        for (sums, node) in surrogate.sums.iter_mut().zip(&surrogate.nodes) {
            sums.add(&node.score, &surrogate.free_c, group);
        }
    }
    for (sums, gradient) in surrogate.sums.iter().zip(&mut surrogate.gradients) {
        sums.finish(gradient)?;
    }
    Ok(())
}

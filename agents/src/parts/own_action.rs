//! The own action's part of a model's control variate where it is RELAX's: with c(z) = q(s, σ_λ(z)), the model and V themselves being
//! the differentiable f of relaxed REBAR.
//!
//! ```text
//! q̃(z) = q(s, σ_λ(z)) = r̂ + γ(1 − d̂)·V(ŝ') − V(s)       one-hot features replaced by softmax(z/λ), factor by factor
//! B₂   = −s(b)·(q̃(z̃) − EA) + ∇q̃(z) − ∇q̃(z̃)               z ~ p(z), b = H(z), z̃ ~ p(z | b)
//! ```
//! Grathwohl et al. 2018, eq. 8, and Tucker et al. 2017 (REBAR's c = f∘σ_λ), with the learned q in f's place. E\[B₂\] = 0 whatever
//! model and V are, as long as neither has seen the batch. q̃ is cut off at the bound of its version as q is, and what is
//! differentiated is that function: no derivative beyond. EA, made of other actions than the own one, is there so that the
//! baseline −s·EA, which has a gain of its own, does not enter twice.

use super::candidates::Beyond;
use super::correction::Correction;
use super::guard::VERSIONS;
use super::lookahead::{Actions, Terms};
use super::normalize::Normalizer;
use super::world_model::{ModelScratch, Slopes, WorldModel};
use crate::distribution::Samples;
use relax_estimators::{Link, Relaxation};
use relax_nn::{MlpShape, Workspace};
use std::ops::Range;

/// q̃ at one shard's relaxed samples, and what becomes of it.
#[derive(Debug, Default)]
pub struct OwnAction {
    /// B₂ `[r, P]` of each version of q̃.
    pub b: [Vec<f32>; VERSIONS],
    /// z, then z̃ where its noise is its own: `[m, K]`, m = r or 2r.
    points: Vec<f32>,
    /// q̃ `[m]` and ∇q̃ `[m, K]`, without bounds.
    q: Vec<f32>,
    gradient: Vec<f32>,
    /// σ_λ(z) of r rows, `[r, K]`.
    relaxed: Vec<f32>,
    prediction: ModelScratch,
    slopes: Slopes,
    tail: Tail,
    /// q̃ and ∇q̃ within a bound.
    bounded: (Vec<f32>, Vec<f32>),
}

/// V's network with the two sums of its correction beside it as outputs, all of which are differentiated at once.
#[derive(Debug, Default)]
struct Tail {
    parameters: Vec<f32>,
    workspace: Workspace<f32>,
    next: Vec<f32>,
    rewards: Vec<f32>,
    outputs: Vec<f32>,
    by_outputs: Vec<f32>,
}

impl OwnAction {
    /// Sets z, and z̃ if its noise is its own, `[m, K]`.
    pub fn place(&mut self, points: &[f32]) {
        self.points.clear();
        self.points.extend_from_slice(points);
    }

    /// q̃ and its derivative by z at the points, for `states` `[r, D]` in the environment's own units, whose V is `values` `[r]`, and
    /// for choices; of numbers, which nothing has to relax, there is none.
    pub fn evaluate(
        &mut self,
        model: &WorldModel,
        (states, values): (&[f32], &[f32]),
        actions: Actions<'_>,
        temperature: f32,
        beyond: Beyond<'_>,
        normalizer: &Normalizer,
    ) {
        let Self { points, q, gradient, relaxed, prediction, slopes, tail, .. } = self;
        q.clear();
        gradient.clear();
        let Actions::Choices { sizes, probs, .. } = actions else { return };
        let shape = tail.start(beyond);
        model.start(states, prediction);
        for z in points.chunks_exact_mut(probs.len()) {
            // What has no probability, such as a masked choice, has no share in a soft action either.
            z.iter_mut().zip(probs).filter(|(_, p)| **p == 0.0).for_each(|(z, _)| *z = f32::NEG_INFINITY);
            relaxed.resize(z.len(), 0.0);
            each_factor(sizes, z.len(), temperature, |of, relaxation| {
                relaxation.apply(&z[of.clone()], &mut relaxed[of]);
            });
            model.predict(states, relaxed, prediction);
            tail.evaluate(&shape, beyond, normalizer, values, (prediction, slopes), q);
            model.back(prediction, slopes);
            let first = gradient.len();
            gradient.resize(first + z.len(), 0.0);
            each_factor(sizes, z.len(), temperature, |of, relaxation| {
                let out = &mut gradient[first..][of.clone()];
                relaxation.multiply_jacobian(&relaxed[of.clone()], &slopes.features[of], out);
            });
        }
    }

    /// B₂ of all versions, of q̃ within ± each of `bounds`, given their EA.
    pub fn correct(&mut self, samples: &mut Samples, terms: &[Terms; VERSIONS], bounds: [f32; VERSIONS]) {
        let Self { b, q, gradient, bounded: (values, slopes), .. } = self;
        for ((b, terms), bound) in b.iter_mut().zip(terms).zip(bounds) {
            values.clear();
            values.extend(
                q.iter().zip(terms.mean.iter().cycle()).map(|(q, mean)| q.clamp(-bound, bound) - mean),
            );
            slopes.clone_from(gradient);
            let width = gradient.len() / q.len().max(1);
            for (row, q) in slopes.chunks_exact_mut(width.max(1)).zip(&*q) {
                if q.abs() >= bound {
                    row.fill(0.0);
                }
            }
            b.resize(samples.moments.score.len(), 0.0);
            samples.correction(values, slopes, b);
            b.iter_mut().for_each(|b| *b = -*b);
        }
    }
}

/// Shows every row's factors: where each lies in an array `[r, K]` of `len` numbers, and its σ_λ.
fn each_factor(
    sizes: &[usize],
    len: usize,
    temperature: f32,
    mut see: impl FnMut(Range<usize>, Relaxation<f32>),
) {
    let mut start = 0;
    while start < len {
        for &width in sizes {
            see(start..start + width, Relaxation { link: Link::Softmax, width, temperature });
            start += width;
        }
    }
}

impl Tail {
    /// Lays out the weights: V's, with those of its correction's two sums in the last layer.
    fn start(&mut self, Beyond { shape, parameters, correction, .. }: Beyond<'_>) -> MlpShape {
        let width = shape.hidden().last().copied().unwrap_or(shape.input());
        let (below, last) = parameters.split_at(parameters.len() - width - 1);
        let sums = correction.map_or([&[][..]; 2], |Correction { weights, .. }| {
            let (first, second) = weights.split_at(weights.len() / 2);
            [first, second]
        });
        self.parameters.clear();
        self.parameters.extend_from_slice(below);
        for (i, &v) in last.iter().enumerate() {
            self.parameters.push(v);
            // The last of each is the constant.
            self.parameters.extend(sums.map(|sum| match i == width {
                true => sum.last().copied().unwrap_or(0.0),
                false => sum.get(i).copied().unwrap_or(0.0),
            }));
        }
        MlpShape::new(shape.input(), shape.hidden(), 3, shape.activation())
    }

    /// Appends q̃ of r rows, and leaves its derivatives by ŝ', r̂ and 1 − d̂ in `slopes`.
    fn evaluate(
        &mut self,
        shape: &MlpShape,
        Beyond { gamma, correction, .. }: Beyond<'_>,
        normalizer: &Normalizer,
        values: &[f32],
        (prediction, slopes): (&ModelScratch, &mut Slopes),
        q: &mut Vec<f32>,
    ) {
        let Self { parameters, workspace, next, rewards, outputs, by_outputs } = self;
        next.clone_from(&prediction.next);
        rewards.clone_from(&prediction.reward);
        normalizer.both(next, rewards);
        outputs.resize(3 * values.len(), 0.0);
        shape.forward(parameters, &*next, workspace, outputs);
        by_outputs.clear();
        slopes.going_on.clear();
        for (row, &[value, first, second]) in outputs.as_chunks::<3>().0.iter().enumerate() {
            let (mut later, mut by) = (value, [1.0, 0.0, 0.0]);
            if let Some(Correction { bound, lambda, shares, more, .. }) = correction {
                let share = shares[row] + more;
                if share > 0.0 {
                    let sum = first + share * second;
                    later += lambda * sum.clamp(-bound, bound);
                    if sum.abs() < bound {
                        by = [1.0, lambda, lambda * share];
                    }
                }
            }
            let going_on = gamma * prediction.going_on[row];
            q.push(rewards[row] + going_on * later - values[row]);
            by_outputs.extend(by.map(|by| going_on * by));
            slopes.going_on.push(gamma * later);
        }
        slopes.next.resize(next.len(), 0.0);
        shape.input_gradient(parameters, workspace, by_outputs, &mut slopes.next);
        normalizer.observations_back(next, &mut slopes.next);
        slopes.reward.clear();
        slopes.reward.resize(values.len(), 1.0);
        normalizer.rewards_back(rewards, &mut slopes.reward);
    }
}

#[cfg(test)]
mod tests;

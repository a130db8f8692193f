//! One of K choices; the noise is K uniforms, the action argmax of logits + Gumbel noise.

use super::{Distribution, Head, Kind, Moments, Shard, fit};
use crate::ActionRange;
use crate::parts::lookahead;
use crate::rollout::ActionBuffer;
use relax_envs::{Actions, EnvRng, Space};
use relax_estimators::Coupling;
use relax_estimators::{
    Node, categorical, correction, correction_coupled, relax_adjoint, relax_coupled_adjoint,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ops::Range;
use std::sync::Arc;

/// The distribution over K choices with logits for parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Categorical {
    /// K.
    pub choices: usize,
}

impl Categorical {
    /// Its line of the table.
    pub const KIND: Kind = Kind {
        name: "categorical",
        for_space: |space, _| match space {
            Space::Discrete { n, .. } => Some(Arc::new(Self { choices: *n })),
            _ => None,
        },
        load: |settings| Ok(Arc::new(serde_json::from_value::<Self>(settings)?)),
    };
}

impl Distribution for Categorical {
    fn name(&self) -> &'static str {
        Self::KIND.name
    }

    fn settings(&self) -> Value {
        serde_json::json!(self)
    }

    fn width(&self) -> usize {
        self.choices
    }

    fn parameters(&self) -> usize {
        self.choices
    }

    fn action_buffer(&self) -> ActionBuffer {
        ActionBuffer::Discrete(Vec::new())
    }

    fn draw(&self, rng: &mut EnvRng, noise: &mut [f32]) {
        noise.iter_mut().for_each(|u| *u = rng.uniform_open_f32());
    }

    fn act(
        &self,
        head: Head<'_>,
        noise: &[f32],
        scratch: &mut Vec<f32>,
        actions: &mut ActionBuffer,
        rows: Range<usize>,
    ) {
        // The constant that normalises the logits cannot change which is largest.
        categorical::relaxed_sample(head.output, noise, fit(scratch, noise.len()));
        categorical::hard_sample(scratch, self.choices, actions.choice_rows_mut(rows));
    }

    fn greedy(&self, head: Head<'_>, actions: &mut ActionBuffer, rows: Range<usize>) {
        categorical::hard_sample(head.output, self.choices, actions.choice_rows_mut(rows));
    }

    fn execute<'a>(
        &self,
        actions: &'a ActionBuffer,
        rows: Range<usize>,
        _: &'a mut ActionRange,
    ) -> Actions<'a> {
        Actions::Discrete(actions.choice_rows(rows))
    }

    fn shard(&self) -> Option<Box<dyn Shard>> {
        Some(Box::new(CategoricalShard::new(self.choices)))
    }

    fn takes_masks(&self) -> bool {
        true
    }

    fn relaxes(&self) -> bool {
        true
    }
}

/// The buffers of one shard of a categorical distribution, or of one factor of several.
#[derive(Debug, Default)]
pub(super) struct CategoricalShard {
    k: usize,
    choice: Vec<u32>,
    log_probs: Vec<f32>,
    probs: Vec<f32>,
    /// z, then z̃ if the noise is independent.
    points: Vec<f32>,
    w: Vec<f32>,
    v: Vec<f32>,
    /// Whether a choice is impossible (its logit is −∞).
    impossible: bool,
    /// Gradients at the points with 0 for impossible choices.
    gradients: Vec<f32>,
}

impl CategoricalShard {
    pub(super) fn new(k: usize) -> Self {
        Self { k, ..Self::default() }
    }

    /// As [`Shard::prepare`], with the rows' choices.
    pub(super) fn prepare_choices(
        &mut self,
        logits: &[f32],
        choices: impl Iterator<Item = u32>,
        moments: &mut Moments,
    ) {
        let (k, len) = (self.k, logits.len());
        self.choice.clear();
        self.choice.extend(choices);
        categorical::log_softmax(logits, k, fit(&mut self.log_probs, len));
        categorical::probabilities(&self.log_probs, fit(&mut self.probs, len));
        categorical::score(&self.probs, &self.choice, &mut moments.score);
        categorical::log_prob(&self.log_probs, &self.choice, &mut moments.log_prob);
        let Moments { entropy, entropy_gradient, .. } = moments;
        categorical::entropy_and_gradient(&self.log_probs, &self.probs, k, entropy, entropy_gradient);
        self.impossible = self.log_probs.iter().fold(false, |any, &l| any | (l == f32::NEG_INFINITY));
    }

    /// Probabilities `[r, K]` of the rows last prepared.
    pub(super) fn probs(&self) -> &[f32] {
        &self.probs
    }

    /// Sets the numbers of impossible choices, whose z is −∞ whatever the noise, to 0 in `[m, K]`, m = r or 2r.
    fn skip_impossible(&self, numbers: &mut [f32]) {
        for numbers in numbers.chunks_exact_mut(self.log_probs.len()) {
            for (x, &l) in numbers.iter_mut().zip(&self.log_probs) {
                if l == f32::NEG_INFINITY {
                    *x = 0.0;
                }
            }
        }
    }
}

impl Shard for CategoricalShard {
    fn prepare(&mut self, head: Head<'_>, actions: &ActionBuffer, rows: Range<usize>, moments: &mut Moments) {
        self.prepare_choices(head.output, actions.choice_rows(rows).iter().copied(), moments);
    }

    fn fresh(&self, samples: usize) -> Option<lookahead::Actions<'_>> {
        let sizes = std::slice::from_ref(&self.k);
        Some(lookahead::Actions::Choices { sizes, probs: &self.probs, taken: &self.choice, samples })
    }

    fn information(&self) -> Vec<f64> {
        let probs: Vec<f64> = self.probs[..self.k].iter().map(|&x| f64::from(x)).collect();
        let rows = probs.iter().enumerate();
        rows.flat_map(|(i, p)| {
            probs.iter().enumerate().map(move |(j, q)| p * (f64::from(u8::from(i == j)) - q))
        })
        .collect()
    }

    fn points(&mut self, kind: Coupling, noise: &[f32], rng: &mut EnvRng) -> &[f32] {
        let len = noise.len();
        let independent = kind == Coupling::Independent;
        let mut points = std::mem::take(&mut self.points);
        fit(&mut points, if independent { 2 * len } else { len });
        let (z, z_tilde) = points.split_at_mut(len);
        categorical::relaxed_sample(&self.log_probs, noise, z);
        let w = fit(&mut self.w, len);
        if independent {
            fit(&mut self.v, len).iter_mut().for_each(|v| *v = rng.uniform_open_f32());
            categorical::conditional_independent(&self.log_probs, &self.choice, &self.v, z_tilde, w);
        } else {
            categorical::conditional_coupled(z, &self.choice, w);
        }
        if self.impossible {
            // A constant stands for −∞, on which no control variate could be evaluated.
            self.skip_impossible(&mut points);
        }
        self.points = points;
        &self.points
    }

    fn correction(&mut self, moments: &Moments, values: &[f32], gradients: &[f32], out: &mut [f32]) {
        let r = self.choice.len();
        let mut own = std::mem::take(&mut self.gradients);
        let gradients = if self.impossible {
            own.clear();
            own.extend_from_slice(gradients);
            self.skip_impossible(&mut own);
            &own
        } else {
            gradients
        };
        let node = Node::categorical(&moments.score, &self.w, &self.probs);
        if values.len() == r {
            correction_coupled(&node, values, gradients, out);
        } else {
            let (at_z, at_z_tilde) = gradients.split_at(r * self.k);
            correction(&node, &values[r..], at_z, at_z_tilde, out);
        }
        self.gradients = own;
    }

    fn adjoint(&mut self, moments: &Moments, upstream: &[f32], alpha: &mut [f32], beta: &mut [f32]) {
        let r = self.choice.len();
        let node = Node::categorical(&moments.score, &self.w, &self.probs);
        if alpha.len() == r {
            relax_coupled_adjoint(&node, upstream, alpha, beta);
        } else {
            let (at_z, at_z_tilde) = beta.split_at_mut(r * self.k);
            alpha[..r].fill(0.0);
            relax_adjoint(&node, upstream, &mut alpha[r..], at_z, at_z_tilde);
        }
        if self.impossible {
            self.skip_impossible(beta);
        }
    }
}

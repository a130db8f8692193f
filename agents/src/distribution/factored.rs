//! Several choices at once, each with a distribution of its own given the state: MultiDiscrete and MultiBinary actions.

use super::categorical::CategoricalShard;
use super::{Distribution, Head, Kind, Moments, Shard, fit};
use crate::ActionRange;
use crate::parts::lookahead;
use crate::rollout::ActionBuffer;
use relax_envs::{Actions, EnvRng, Space};
use relax_estimators::Coupling;
use relax_estimators::categorical;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ops::Range;
use std::sync::Arc;

/// F independent categorical distributions side by side: K = P = the sum of their sizes, the factors' logits one after the
/// other. Each factor has a relaxed sample and a ĝ of its own; the control variate sees all relaxed samples at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factored {
    /// Choices of each factor.
    pub sizes: Vec<usize>,
    /// The environment takes yes or no (every factor has two choices) rather than indices.
    pub binary: bool,
}

impl Factored {
    /// Its line of the table.
    pub const KIND: Kind = Kind {
        name: "factored",
        for_space: |space, _| match space {
            Space::MultiDiscrete { nvec } => Some(Arc::new(Self { sizes: nvec.clone(), binary: false })),
            Space::MultiBinary { n } => Some(Arc::new(Self { sizes: vec![2; *n], binary: true })),
            _ => None,
        },
        load: |settings| Ok(Arc::new(serde_json::from_value::<Self>(settings)?)),
    };

    /// The choice with the largest of each factor's numbers `[rows, K]`, into `choices` `[rows, F]`.
    fn largest(&self, z: &[f32], choices: &mut [u32]) {
        let rows = z.chunks_exact(self.width()).zip(choices.chunks_exact_mut(self.sizes.len()));
        for (z, choices) in rows {
            let mut start = 0;
            for (&k, choice) in self.sizes.iter().zip(choices) {
                categorical::hard_sample(&z[start..start + k], k, std::slice::from_mut(choice));
                start += k;
            }
        }
    }
}

impl Distribution for Factored {
    fn name(&self) -> &'static str {
        Self::KIND.name
    }

    fn settings(&self) -> Value {
        serde_json::json!(self)
    }

    fn width(&self) -> usize {
        self.sizes.iter().sum()
    }

    fn parameters(&self) -> usize {
        self.width()
    }

    fn action_buffer(&self) -> ActionBuffer {
        ActionBuffer::Factored { values: Vec::new(), dim: self.sizes.len() }
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
        categorical::relaxed_sample(head.output, noise, fit(scratch, noise.len()));
        self.largest(scratch, actions.choice_rows_mut(rows));
    }

    fn greedy(&self, head: Head<'_>, actions: &mut ActionBuffer, rows: Range<usize>) {
        self.largest(head.output, actions.choice_rows_mut(rows));
    }

    fn execute<'a>(
        &self,
        actions: &'a ActionBuffer,
        rows: Range<usize>,
        range: &'a mut ActionRange,
    ) -> Actions<'a> {
        let (choices, dim) = (actions.choice_rows(rows), self.sizes.len());
        if self.binary { range.flags(choices, dim) } else { range.indices(choices, dim) }
    }

    fn shard(&self) -> Option<Box<dyn Shard>> {
        let factors = self.sizes.iter().scan(0, |start, &k| {
            *start += k;
            Some(Factor::new(*start - k, k))
        });
        let (factors, width) = (factors.collect(), self.width());
        Some(Box::new(FactoredShard {
            factors,
            sizes: self.sizes.clone(),
            width,
            probs: Vec::new(),
            taken: Vec::new(),
            points: Vec::new(),
            gathered: Vec::new(),
        }))
    }

    fn takes_masks(&self) -> bool {
        true
    }

    fn relaxes(&self) -> bool {
        true
    }
}

/// One factor: columns `start .. start + k` of the rows' numbers.
#[derive(Debug)]
struct Factor {
    start: usize,
    k: usize,
    shard: CategoricalShard,
    moments: Moments,
    /// What the factor's own categorical distribution answered, `[r, k]` or `[m, k]`, and `[m]`.
    out: Vec<f32>,
    alpha: Vec<f32>,
}

impl Factor {
    fn new(start: usize, k: usize) -> Self {
        let shard = CategoricalShard::new(k);
        Self { start, k, shard, moments: Moments::default(), out: Vec::new(), alpha: Vec::new() }
    }

    /// The factor's columns of `[rows, width]`.
    fn gather(&self, wide: &[f32], width: usize, to: &mut Vec<f32>) {
        to.clear();
        for row in wide.chunks_exact(width) {
            to.extend_from_slice(&row[self.start..self.start + self.k]);
        }
    }

    /// Writes `from` into the factor's columns of `[rows, width]`.
    fn scatter(&self, from: &[f32], width: usize, wide: &mut [f32]) {
        for (row, from) in wide.chunks_exact_mut(width).zip(from.chunks_exact(self.k)) {
            row[self.start..self.start + self.k].copy_from_slice(from);
        }
    }
}

#[derive(Debug)]
struct FactoredShard {
    factors: Vec<Factor>,
    sizes: Vec<usize>,
    /// K.
    width: usize,
    /// Probabilities `[r, K]`, and the choices taken `[r, F]`.
    probs: Vec<f32>,
    taken: Vec<u32>,
    points: Vec<f32>,
    /// One factor's columns.
    gathered: Vec<f32>,
}

impl Shard for FactoredShard {
    fn prepare(&mut self, head: Head<'_>, actions: &ActionBuffer, rows: Range<usize>, moments: &mut Moments) {
        let (r, width, count) = (rows.len(), self.width, self.factors.len());
        let choices = actions.choice_rows(rows);
        moments.log_prob.fill(0.0);
        moments.entropy.fill(0.0);
        self.taken.clear();
        self.taken.extend_from_slice(choices);
        fit(&mut self.probs, r * width);
        for (f, factor) in self.factors.iter_mut().enumerate() {
            factor.gather(head.output, width, &mut self.gathered);
            factor.moments.fit(r, factor.k);
            let own = choices.iter().skip(f).step_by(count).copied();
            factor.shard.prepare_choices(&self.gathered, own, &mut factor.moments);
            factor.scatter(factor.shard.probs(), width, &mut self.probs);
            factor.scatter(&factor.moments.score, width, &mut moments.score);
            factor.scatter(&factor.moments.entropy_gradient, width, &mut moments.entropy_gradient);
            moments.log_prob.iter_mut().zip(&factor.moments.log_prob).for_each(|(l, own)| *l += own);
            moments.entropy.iter_mut().zip(&factor.moments.entropy).for_each(|(h, own)| *h += own);
        }
    }

    fn fresh(&self, samples: usize) -> Option<lookahead::Actions<'_>> {
        let Self { sizes, probs, taken, .. } = self;
        Some(lookahead::Actions::Choices { sizes, probs, taken, samples })
    }

    fn information(&self) -> Vec<f64> {
        let mut information = vec![0.0; self.width * self.width];
        for factor in &self.factors {
            for (i, row) in factor.shard.information().chunks_exact(factor.k).enumerate() {
                let at = (factor.start + i) * self.width + factor.start;
                information[at..at + factor.k].copy_from_slice(row);
            }
        }
        information
    }

    fn points(&mut self, kind: Coupling, noise: &[f32], rng: &mut EnvRng) -> &[f32] {
        for factor in &mut self.factors {
            factor.gather(noise, self.width, &mut self.gathered);
            let points = factor.shard.points(kind, &self.gathered, rng);
            fit(&mut self.points, points.len() / factor.k * self.width);
            for (row, from) in self.points.chunks_exact_mut(self.width).zip(points.chunks_exact(factor.k)) {
                row[factor.start..factor.start + factor.k].copy_from_slice(from);
            }
        }
        &self.points
    }

    fn correction(&mut self, _: &Moments, values: &[f32], gradients: &[f32], out: &mut [f32]) {
        for factor in &mut self.factors {
            factor.gather(gradients, self.width, &mut self.gathered);
            fit(&mut factor.out, factor.moments.score.len());
            factor.shard.correction(&factor.moments, values, &self.gathered, &mut factor.out);
            factor.scatter(&factor.out, self.width, out);
        }
    }

    fn adjoint(&mut self, _: &Moments, upstream: &[f32], alpha: &mut [f32], beta: &mut [f32]) {
        let m = alpha.len();
        alpha.fill(0.0);
        for factor in &mut self.factors {
            factor.gather(upstream, self.width, &mut self.gathered);
            fit(&mut factor.alpha, m);
            fit(&mut factor.out, m * factor.k);
            factor.shard.adjoint(&factor.moments, &self.gathered, &mut factor.alpha, &mut factor.out);
            alpha.iter_mut().zip(&factor.alpha).for_each(|(a, own)| *a += own);
            factor.scatter(&factor.out, self.width, beta);
        }
    }
}

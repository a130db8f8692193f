//! K independent Gaussians a = μ + σε; the noise is ε.

use super::{Distribution, Head, Kind, Moments, Options, Shard, fit};
use crate::ActionRange;
use crate::parts::lookahead;
use crate::rollout::ActionBuffer;
use relax_envs::{Actions, EnvRng, Space};
use relax_estimators::Coupling;
use relax_estimators::{GaussianNode, gaussian, lax_adjoint, lax_correction};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ops::Range;
use std::sync::Arc;

/// K independent Gaussians; the parameters are K means, then K log-standard-deviations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gaussian {
    /// K.
    pub dim: usize,
    /// log σ is an output of the network like μ, rather than K numbers of its own (the parameter vector's tail).
    pub state_dependent: bool,
    /// log σ at the start, of each action, and 0 of those beyond its end; a trained one is among the weights.
    #[serde(skip)]
    pub initial_log_std: Vec<f64>,
    /// The bounds that actions are clipped to, `[K, 2]`, or none; known while it learns.
    #[serde(skip)]
    pub bounds: Vec<[f32; 2]>,
}

/// Bounds further from each other than this many units say that there are none.
const WIDEST: f64 = 1e6;

/// As many standard deviations beyond a bound one sample in forty is anything but the bound.
const BEYOND: f32 = 2.0;

/// Half of what lies between two bounds, so that a Gaussian explores all of it; 1 where they are no bounds, or no distance
/// apart.
fn half_range(low: f32, high: f32) -> f64 {
    let range = f64::from(high) - f64::from(low);
    if range > 0.0 && range <= WIDEST { range / 2.0 } else { 1.0 }
}

impl Gaussian {
    /// Its line of the table.
    pub const KIND: Kind = Kind {
        name: "gaussian",
        for_space: |space, options: &Options| match space {
            Space::Box { low, high, .. } => Some(Arc::new(Self {
                dim: space.flat_dim(),
                state_dependent: options.state_dependent_std,
                initial_log_std: low
                    .iter()
                    .zip(high)
                    .map(|(&low, &high)| {
                        options.initial_log_std.unwrap_or_else(|| half_range(low, high).ln())
                    })
                    .collect(),
                bounds: low.iter().zip(high).map(|(&low, &high)| [low, high]).collect(),
            })),
            _ => None,
        },
        load: |settings| Ok(Arc::new(serde_json::from_value::<Self>(settings)?)),
    };
}

impl Distribution for Gaussian {
    fn name(&self) -> &'static str {
        Self::KIND.name
    }

    fn settings(&self) -> Value {
        serde_json::json!(self)
    }

    fn width(&self) -> usize {
        self.dim
    }

    fn parameters(&self) -> usize {
        2 * self.dim
    }

    fn tail(&self) -> usize {
        if self.state_dependent { 0 } else { self.dim }
    }

    fn initialise(&self, weights: &mut [f32]) {
        // The last `dim` numbers of the vector: the tail, or the output layer's biases of the log σ.
        let start = weights.len() - self.dim;
        weights[start..].fill(0.0);
        for (weight, &log_std) in weights[start..].iter_mut().zip(&self.initial_log_std) {
            *weight = log_std as f32;
        }
    }

    fn pull(&self, head: Head<'_>, weight: f32, gradient: &mut [f32]) {
        let rows = head.output.chunks_exact(self.outputs()).zip(gradient.chunks_exact_mut(self.outputs()));
        for (output, gradient) in rows {
            let (mean, own) = output.split_at(self.dim);
            let log_std = if own.is_empty() { head.tail } else { own };
            for (((d, &mean), log_std), &[low, high]) in
                gradient.iter_mut().zip(mean).zip(log_std).zip(&self.bounds)
            {
                let (half, slack) = (half_range(low, high) as f32, BEYOND * log_std.exp());
                *d -= weight * (mean - mean.max(low - slack).min(high + slack)) / (half * half);
            }
        }
    }

    fn action_buffer(&self) -> ActionBuffer {
        ActionBuffer::Box { values: Vec::new(), dim: self.dim }
    }

    fn draw(&self, rng: &mut EnvRng, noise: &mut [f32]) {
        noise.iter_mut().for_each(|e| *e = rng.standard_normal() as f32);
    }

    fn act(
        &self,
        head: Head<'_>,
        noise: &[f32],
        _: &mut Vec<f32>,
        actions: &mut ActionBuffer,
        rows: Range<usize>,
    ) {
        let k = self.dim;
        let inputs = head.output.chunks_exact(self.outputs()).zip(noise.chunks_exact(k));
        for (actions, (output, noise)) in actions.value_rows_mut(rows).chunks_exact_mut(k).zip(inputs) {
            let (mean, own) = output.split_at(k);
            let log_std = if own.is_empty() { head.tail } else { own };
            for (i, action) in actions.iter_mut().enumerate() {
                *action = mean[i] + log_std[i].exp() * noise[i];
            }
        }
    }

    fn greedy(&self, head: Head<'_>, actions: &mut ActionBuffer, rows: Range<usize>) {
        let outputs = head.output.chunks_exact(self.outputs());
        for (actions, output) in actions.value_rows_mut(rows).chunks_exact_mut(self.dim).zip(outputs) {
            actions.copy_from_slice(&output[..self.dim]);
        }
    }

    /// Clipped to the bounds of the space, here and nowhere before: estimators see the action that was drawn.
    fn execute<'a>(
        &self,
        actions: &'a ActionBuffer,
        rows: Range<usize>,
        range: &'a mut ActionRange,
    ) -> Actions<'a> {
        // `clamp` would hide NaN from the environment's own check no more than this does.
        range.map(actions.value_rows(rows), self.dim, |value, low, high| value.max(low).min(high))
    }

    fn shard(&self) -> Option<Box<dyn Shard>> {
        Some(Box::new(GaussianShard { k: self.dim, outputs: self.outputs(), ..GaussianShard::default() }))
    }

    fn relaxes(&self) -> bool {
        true
    }

    fn is_reparametrised(&self) -> bool {
        true
    }
}

#[derive(Debug, Default)]
struct GaussianShard {
    k: usize,
    outputs: usize,
    /// The actions.
    points: Vec<f32>,
    mean: Vec<f32>,
    log_std: Vec<f32>,
    std: Vec<f32>,
    eps: Vec<f32>,
    split: [Vec<f32>; 2],
}

/// `[r, 2K]` from two `[r, K]`.
fn interleave(k: usize, first: &[f32], second: &[f32], joined: &mut [f32]) {
    for (row, (a, b)) in joined.chunks_exact_mut(2 * k).zip(first.chunks_exact(k).zip(second.chunks_exact(k)))
    {
        row[..k].copy_from_slice(a);
        row[k..].copy_from_slice(b);
    }
}

impl Shard for GaussianShard {
    fn prepare(&mut self, head: Head<'_>, actions: &ActionBuffer, rows: Range<usize>, moments: &mut Moments) {
        let (k, len) = (self.k, rows.len() * self.k);
        self.mean.clear();
        self.log_std.clear();
        for row in head.output.chunks_exact(self.outputs) {
            self.mean.extend_from_slice(&row[..k]);
            self.log_std.extend_from_slice(if row.len() > k { &row[k..] } else { head.tail });
        }
        gaussian::standard_deviation(&self.log_std, fit(&mut self.std, len));
        let taken = actions.value_rows(rows);
        gaussian::noise_of(&self.mean, &self.std, taken, fit(&mut self.eps, len));
        let [mean, log_std] = &mut self.split;
        gaussian::score(&self.eps, &self.std, fit(mean, len), fit(log_std, len));
        interleave(k, mean, log_std, &mut moments.score);
        gaussian::log_prob(&self.eps, &self.log_std, k, &mut moments.log_prob);
        gaussian::entropy(&self.log_std, k, &mut moments.entropy);
        for row in moments.entropy_gradient.chunks_exact_mut(2 * k) {
            row[..k].fill(0.0);
            row[k..].fill(1.0);
        }
        self.points.clear();
        self.points.extend_from_slice(taken);
    }

    fn fresh(&self, samples: usize) -> Option<lookahead::Actions<'_>> {
        Some(lookahead::Actions::Numbers { mean: &self.mean, std: &self.std, taken: &self.points, samples })
    }

    fn information(&self) -> Vec<f64> {
        let (k, p) = (self.k, 2 * self.k);
        let mut information = vec![0.0; p * p];
        for (i, &std) in self.std[..k].iter().enumerate() {
            information[i * p + i] = f64::from(std).powi(-2);
            information[(k + i) * p + k + i] = 2.0;
        }
        information
    }

    /// The actions: z̃ = z = a, whatever the noise.
    fn points(&mut self, _: Coupling, _: &[f32], _: &mut EnvRng) -> &[f32] {
        &self.points
    }

    fn correction(&mut self, _: &Moments, values: &[f32], gradients: &[f32], out: &mut [f32]) {
        let node = GaussianNode { eps: &self.eps, std: &self.std };
        let [mean, log_std] = &mut self.split;
        let (mean, log_std) = (fit(mean, self.eps.len()), fit(log_std, self.eps.len()));
        lax_correction(&node, values, gradients, mean, log_std);
        interleave(self.k, mean, log_std, out);
    }

    fn adjoint(&mut self, _: &Moments, upstream: &[f32], alpha: &mut [f32], beta: &mut [f32]) {
        let k = self.k;
        let node = GaussianNode { eps: &self.eps, std: &self.std };
        let [mean, log_std] = &mut self.split;
        let (mean, log_std) = (fit(mean, self.eps.len()), fit(log_std, self.eps.len()));
        let halves = mean.chunks_exact_mut(k).zip(log_std.chunks_exact_mut(k));
        for ((m, l), row) in halves.zip(upstream.chunks_exact(2 * k)) {
            m.copy_from_slice(&row[..k]);
            l.copy_from_slice(&row[k..]);
        }
        lax_adjoint(&node, mean, log_std, alpha, beta);
    }
}

//! K independent Gaussians u = μ + σε of which the environment is given tanh(u), stretched to its bounds.
//!
//! An action is kept as the number u *before* the squash, in rollouts and replays: of an action at its bound atanh would only
//! be infinity. Scores, points of a control variate and relaxed samples are those of the Gaussian at u, since what follows it
//! does not depend on the parameters. Densities and entropies are those of tanh(u), per unit of (−1, 1)ᴷ:
//!
//! ```text
//! log π(a) = log N(u; μ, σ) − Σ log(1 − tanh²u),       log(1 − tanh²u) = 2(log 2 − |u| − log(1 + e^{−2|u|}))
//! H        = H(N) + E[Σ log(1 − tanh²u)]
//! ```
//! Nothing in them is infinite at saturation. The expectation has no closed form: a row's entropy and its gradient are unbiased
//! estimates from its one u. Haarnoja et al. 2018, appendix C.

use super::gaussian::Gaussian;
use super::{Distribution, Head, Kind, Moments, Shard, fit};
use crate::ActionRange;
use crate::rollout::ActionBuffer;
use relax_envs::{Actions, EnvRng};
use relax_estimators::Coupling;
use relax_nn::activation::tanh_f32;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::f32::consts::{LN_2, TAU};
use std::ops::Range;
use std::sync::Arc;

/// log σ is cut off at these, as is usual for this distribution: a σ beyond them is 0, or a coin between the bounds.
const LOG_STD: Range<f32> = -20.0..2.0;
/// The largest numbers below 1 in size, whose atanh is finite.
const ALMOST_ONE: f32 = 1.0 - f32::EPSILON / 2.0;

/// K independent Gaussians before a tanh; the parameters are those of the [`Gaussian`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SquashedGaussian(pub Gaussian);

impl SquashedGaussian {
    /// Bounds of log σ, at which it is cut off.
    pub const LOG_STD: [f32; 2] = [LOG_STD.start, LOG_STD.end];
    /// Its line of the table. It is no agent's default: an agent that acts with it says so itself.
    pub const KIND: Kind = Kind {
        name: "squashed-gaussian",
        for_space: |_, _| None,
        load: |settings| Ok(Arc::new(serde_json::from_value::<Self>(settings)?)),
    };
}

/// log(1 − tanh²u), finite for every finite u.
fn log_slope(u: f32) -> f32 {
    let u = u.abs();
    2.0 * (LN_2 - u - (-2.0 * u).exp().ln_1p())
}

impl Distribution for SquashedGaussian {
    fn name(&self) -> &'static str {
        Self::KIND.name
    }

    fn settings(&self) -> Value {
        serde_json::json!(self)
    }

    fn width(&self) -> usize {
        self.0.width()
    }

    fn parameters(&self) -> usize {
        self.0.parameters()
    }

    fn tail(&self) -> usize {
        self.0.tail()
    }

    fn initialise(&self, weights: &mut [f32]) {
        self.0.initialise(weights);
    }

    fn action_buffer(&self) -> ActionBuffer {
        self.0.action_buffer()
    }

    fn draw(&self, rng: &mut EnvRng, noise: &mut [f32]) {
        self.0.draw(rng, noise);
    }

    fn act(
        &self,
        head: Head<'_>,
        noise: &[f32],
        _: &mut Vec<f32>,
        actions: &mut ActionBuffer,
        rows: Range<usize>,
    ) {
        let k = self.width();
        let inputs = head.output.chunks_exact(self.outputs()).zip(noise.chunks_exact(k));
        for (actions, (output, noise)) in actions.value_rows_mut(rows).chunks_exact_mut(k).zip(inputs) {
            let (mean, own) = output.split_at(k);
            let log_std = if own.is_empty() { head.tail } else { own };
            for (i, action) in actions.iter_mut().enumerate() {
                *action = mean[i] + log_std[i].clamp(LOG_STD.start, LOG_STD.end).exp() * noise[i];
            }
        }
    }

    fn greedy(&self, head: Head<'_>, actions: &mut ActionBuffer, rows: Range<usize>) {
        self.0.greedy(head, actions, rows);
    }

    fn anywhere(&self, noise: &[f32], actions: &mut ActionBuffer, rows: Range<usize>) {
        for (action, x) in actions.value_rows_mut(rows).iter_mut().zip(noise) {
            *action = x.clamp(-ALMOST_ONE, ALMOST_ONE).atanh();
        }
    }

    fn execute<'a>(
        &self,
        actions: &'a ActionBuffer,
        rows: Range<usize>,
        range: &'a mut ActionRange,
    ) -> Actions<'a> {
        range.map(actions.value_rows(rows), self.width(), |u, low, high| {
            (low + 0.5 * (u.tanh() + 1.0) * (high - low)).clamp(low, high)
        })
    }

    fn shard(&self) -> Option<Box<dyn Shard>> {
        let (k, outputs, inner) = (self.width(), self.outputs(), self.0.shard()?);
        let buffers = Default::default();
        Some(Box::new(SquashedShard { k, outputs, inner, free: Vec::new(), buffers }))
    }

    fn relaxes(&self) -> bool {
        true
    }

    fn is_reparametrised(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct SquashedShard {
    k: usize,
    outputs: usize,
    /// The Gaussian's.
    inner: Box<dyn Shard>,
    /// `[r, 2K]`: 0 where log σ is cut off and so has no gradient, else 1.
    free: Vec<f32>,
    buffers: [Vec<f32>; 2],
}

impl Shard for SquashedShard {
    fn prepare(&mut self, head: Head<'_>, actions: &ActionBuffer, rows: Range<usize>, moments: &mut Moments) {
        let (k, [output, tail]) = (self.k, &mut self.buffers);
        let cut = |x: &mut [f32]| x.iter_mut().for_each(|l| *l = l.clamp(LOG_STD.start, LOG_STD.end));
        output.clear();
        output.extend_from_slice(head.output);
        tail.clear();
        tail.extend_from_slice(head.tail);
        cut(tail);
        self.free.clear();
        for row in output.chunks_exact_mut(self.outputs) {
            let own = if row.len() > k { &row[k..] } else { head.tail };
            self.free.extend(std::iter::repeat_n(1.0, k));
            self.free.extend(own.iter().map(|l| f32::from(u8::from(LOG_STD.contains(l)))));
            cut(&mut row[k..]);
        }
        self.inner.prepare(Head { output, tail }, actions, rows.clone(), moments);
        times(&mut moments.score, &self.free);
        let taken = actions.value_rows(rows).chunks_exact(k);
        for (row, u) in taken.enumerate() {
            let slope: f32 = u.iter().copied().map(log_slope).sum();
            moments.log_prob[row] -= slope;
            moments.entropy[row] += slope;
            let mean = &output[row * self.outputs..];
            let gradient = &mut moments.entropy_gradient[2 * k * row..2 * k * (row + 1)];
            for (i, u) in u.iter().enumerate() {
                let by_u = -2.0 * tanh_f32(*u);
                gradient[i] += by_u;
                gradient[k + i] += by_u * (u - mean[i]);
            }
        }
        times(&mut moments.entropy_gradient, &self.free);
    }

    fn information(&self) -> Vec<f64> {
        let mut information = self.inner.information();
        let p = 2 * self.k;
        for (i, row) in information.chunks_exact_mut(p).enumerate() {
            row.iter_mut().for_each(|x| *x *= f64::from(self.free[i]));
        }
        information
    }

    fn points(&mut self, kind: Coupling, noise: &[f32], rng: &mut EnvRng) -> &[f32] {
        self.inner.points(kind, noise, rng)
    }

    fn correction(&mut self, moments: &Moments, values: &[f32], gradients: &[f32], out: &mut [f32]) {
        self.inner.correction(moments, values, gradients, out);
        times(out, &self.free);
    }

    fn adjoint(&mut self, moments: &Moments, upstream: &[f32], alpha: &mut [f32], beta: &mut [f32]) {
        let [own, _] = &mut self.buffers;
        own.clear();
        own.extend_from_slice(upstream);
        times(own, &self.free);
        self.inner.adjoint(moments, own, alpha, beta);
    }
}

fn times(x: &mut [f32], factors: &[f32]) {
    x.iter_mut().zip(factors).for_each(|(x, f)| *x *= f);
}

/// Actions as differentiable functions of the network's outputs, for a critic to be climbed through them.
#[derive(Debug, Default)]
pub struct SquashedDraw {
    /// tanh(u), `[B, K]`.
    pub actions: Vec<f32>,
    /// log π of them, `[B]`.
    pub log_prob: Vec<f32>,
    /// σε where log σ is free, 0 where it is cut off; `[B, K]`.
    spread: Vec<f32>,
    /// 1 where log σ is free, 0 where it is cut off; `[B, K]`.
    free: Vec<f32>,
}

impl SquashedDraw {
    /// Draws an action for every row of `output` `[B, 2K]` (means, then log σ) with the noise `[B, K]`, standard normal.
    pub fn draw(&mut self, output: &[f32], noise: &[f32], k: usize) {
        let len = noise.len();
        fit(&mut self.actions, len);
        fit(&mut self.spread, len);
        fit(&mut self.free, len);
        fit(&mut self.log_prob, len / k);
        for (row, (output, noise)) in output.chunks_exact(2 * k).zip(noise.chunks_exact(k)).enumerate() {
            let (mean, log_std) = output.split_at(k);
            let mut log_prob = 0.0;
            for i in 0..k {
                let (cut, e) = (log_std[i].clamp(LOG_STD.start, LOG_STD.end), noise[i]);
                let spread = cut.exp() * e;
                let u = mean[i] + spread;
                let (at, free) = (row * k + i, f32::from(u8::from(LOG_STD.contains(&log_std[i]))));
                self.actions[at] = tanh_f32(u);
                self.spread[at] = free * spread;
                self.free[at] = free;
                log_prob -= 0.5 * e * e + cut + 0.5 * TAU.ln() + log_slope(u);
            }
            self.log_prob[row] = log_prob;
        }
    }

    /// The gradient `[B, 2K]` by the network's outputs of Σ (weight·log π(a) + value·a), with `value` `[B, K]`, the noise held
    /// fixed.
    pub fn pull_back(&self, weight: f32, value: &[f32], k: usize, gradient: &mut [f32]) {
        let rows = gradient.chunks_exact_mut(2 * k).zip(self.actions.chunks_exact(k));
        for (row, (gradient, actions)) in rows.enumerate() {
            for (i, a) in actions.iter().enumerate() {
                let at = row * k + i;
                let by_u = 2.0 * weight * a + value[at] * (1.0 - a * a);
                gradient[i] = by_u;
                gradient[k + i] = by_u * self.spread[at] - weight * self.free[at];
            }
        }
    }
}

//! Â(s, a), the advantage of a choice, fitted to what followed it without a Q or a model: direct advantage estimation.
//!
//! ```text
//! Â(s, a) = f(s, a) − Σ_i p_i f(s, i)                                     (so that E_π Â(s, ·) = 0, whatever f is)
//! L = ½ mean over t of (R̂_t − V(s_t) − Σ_{k≥t} (γλ)^{k−t} Â(s_k, a_k))²
//! ```
//! The advantages of the actions taken are what is left of a return once its expectation is known (Pan, Gürtler, Neitz & Schölkopf
//! 2022, "Direct Advantage Estimation", eq. 10 and 11). Deviations: λ-returns in place of n-step ones, and V is fitted by itself.

use super::later::later_sums;
use super::networks::{self, Network};
use super::target_network::TargetNetwork;
use crate::AgentError;
use crate::compute::{Compute, add_up, shard_count, shard_rows};
use crate::config::OptimizerKind;
use crate::rollout::Rollout;
use relax_envs::EnvRng;
use relax_nn::{StateDict, Workspace};

/// What one bound makes of Â at the rows of a shard.
#[derive(Debug, Clone, Default)]
pub struct Advantages {
    /// C = Â(s, a) of the choice taken, `[r]`: E\[C | s\] = 0.
    pub c: Vec<f32>,
    /// G = ∇_l E_π Â(s, ·) with Â held fixed, `[r, K]`.
    pub g: Vec<f32>,
}

#[derive(Debug, Default)]
struct Shard {
    workspace: Workspace<f32>,
    /// f `[r, K]`, and the probabilities that the choices were drawn with.
    f: Vec<f32>,
    probs: Vec<f32>,
    d_f: Vec<f32>,
    gradient: Vec<f32>,
}

/// f, and the batch it was last evaluated on.
#[derive(Debug)]
pub struct AdvantageFunction {
    net: TargetNetwork,
    shards: Vec<Shard>,
    /// Residuals of L `[rows]`, and sums by slot.
    residuals: Vec<f32>,
    later: Vec<f32>,
    sums: Vec<f32>,
}

impl AdvantageFunction {
    /// A fresh one, nearly 0 everywhere, for observations of `dim` numbers and one of `choices` choices.
    ///
    /// # Errors
    /// If the network cannot be made.
    pub fn new(
        dim: usize,
        choices: usize,
        network: &Network<'_>,
        optimizer: OptimizerKind,
        rng: &mut EnvRng,
    ) -> Result<Self, AgentError> {
        let shape = networks::shape(dim, network, choices)?;
        Ok(Self {
            net: TargetNetwork::alone(shape, 0.01, optimizer, rng),
            shards: Vec::new(),
            residuals: Vec::new(),
            later: Vec::new(),
            sums: Vec::new(),
        })
    }

    /// f at all rows of `batch`.
    pub fn evaluate(&mut self, batch: &Rollout, compute: &Compute) {
        let rows = batch.rows();
        self.shards.resize_with(shard_count(rows), Shard::default);
        self.forward(batch, compute);
    }

    fn forward(&mut self, batch: &Rollout, compute: &Compute) {
        let (net, rows) = (&self.net, batch.rows());
        compute.each(&mut self.shards, |i, shard| {
            let x = batch.seen(shard_rows(i, rows)).numbers();
            shard.f.resize(shard_rows(i, rows).len() * net.shape.output(), 0.0);
            net.shape.forward(&net.parameters, x, &mut shard.workspace, &mut shard.f);
        });
    }

    /// C and G of shard `i`, whose choices `taken` `[r]` were drawn with `probs` `[r, K]`, of Â within ±`bound`: it is centred once
    /// more when it has been cut off.
    pub fn expect(&self, i: usize, (probs, taken): (&[f32], &[u32]), bound: f32, into: &mut Advantages) {
        let k = self.net.shape.output();
        into.c.clear();
        into.g.clear();
        for ((p, f), &taken) in probs.chunks_exact(k).zip(self.shards[i].f.chunks_exact(k)).zip(taken) {
            let mean = mean(p, f);
            let start = into.g.len();
            into.g.extend(f.iter().map(|f| (f - mean).clamp(-bound, bound)));
            let cut = &mut into.g[start..];
            let again = self::mean(p, cut);
            into.c.push(cut[taken as usize] - again);
            for (g, &p) in cut.iter_mut().zip(p) {
                // What cannot be chosen is left out, whatever f says of it.
                *g = if p > 0.0 { p * (*g - again) } else { 0.0 };
            }
        }
    }

    /// Remembers with what probabilities `[r, K]` the choices of shard `i` were drawn, for the fit.
    pub fn remember(&mut self, i: usize, probs: &[f32]) {
        self.shards[i].probs.clear();
        self.shards[i].probs.extend_from_slice(probs);
    }

    /// Takes `steps` steps on L over the batch last evaluated, whose R̂ − V are `advantages` `[rows]`, with `decay` = γλ. Returns L before
    /// the first.
    ///
    /// # Errors
    /// If a gradient is not finite; the weights are then those before it.
    pub fn fit(
        &mut self,
        batch: &Rollout,
        (advantages, decay): (&[f32], f32),
        steps: usize,
        (rate, max_norm): (f64, f64),
        compute: &Compute,
    ) -> Result<f64, AgentError> {
        let (rows, taken) = (batch.rows(), batch.actions.choice_rows(0..batch.rows()));
        let mut loss = f64::NAN;
        for step in 0..steps {
            if step > 0 {
                self.forward(batch, compute);
            }
            self.find_residuals(batch, advantages, decay, taken);
            if step == 0 {
                let squares = self.residuals.iter().map(|&e| f64::from(e) * f64::from(e));
                loss = 0.5 * squares.sum::<f64>() / rows as f64;
            }
            self.accumulate(batch, decay);
            let (net, residuals) = (&self.net, &self.residuals);
            compute.each(&mut self.shards, |i, shard| {
                let own = shard_rows(i, rows);
                let x = batch.seen(own.clone()).numbers();
                shard.differentiate(&residuals[own.clone()], &taken[own], rows);
                shard.gradient.resize(net.parameters.len(), 0.0);
                let Shard { workspace, d_f, gradient, .. } = shard;
                net.shape.reverse_replacing(&net.parameters, x, workspace, d_f, gradient, None);
            });
            let all = 0..self.net.gradient.len();
            add_up(&mut self.net.gradient, all, self.shards.iter_mut().map(|shard| &mut shard.gradient));
            self.net.step(rate, max_norm, "gradient of the advantage function")?;
        }
        Ok(loss)
    }

    /// e_t = R̂_t − V(s_t) − Σ_{k≥t} decay^{k−t} Â_k.
    fn find_residuals(&mut self, batch: &Rollout, advantages: &[f32], decay: f32, taken: &[u32]) {
        let (rows, k) = (batch.rows(), self.net.shape.output());
        self.residuals.clear();
        for (i, shard) in self.shards.iter().enumerate() {
            let of_shard = shard.f.chunks_exact(k).zip(shard.probs.chunks_exact(k));
            let taken = &taken[shard_rows(i, rows)];
            self.residuals.extend(of_shard.zip(taken).map(|((f, p), &taken)| f[taken as usize] - mean(p, f)));
        }
        self.later.resize(rows, 0.0);
        later_sums(batch, &self.residuals, decay, &mut self.sums, &mut self.later);
        for ((e, later), advantage) in self.residuals.iter_mut().zip(&self.later).zip(advantages) {
            *e = advantage - (*e + later);
        }
    }

    /// Makes of e_t what Â_k is told: Σ_{t≤k} decay^{k−t} e_t, over the rows of the same episode.
    fn accumulate(&mut self, batch: &Rollout, decay: f32) {
        self.sums.fill(0.0);
        for row in 0..batch.rows() {
            let sum = &mut self.sums[batch.slot[row] as usize];
            *sum = self.residuals[row] + decay * *sum;
            self.residuals[row] = *sum;
            if batch.terminated[row] || batch.truncated[row] {
                *sum = 0.0;
            }
        }
    }

    /// Weights and optimiser.
    #[must_use]
    pub fn state(&self) -> StateDict {
        self.net.state()
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        self.net.restore(state)
    }
}

impl Shard {
    /// ∂L/∂f, where `told` `[r]` is what Â was told of the choices `taken`.
    fn differentiate(&mut self, told: &[f32], taken: &[u32], rows: usize) {
        let k = self.f.len() / taken.len().max(1);
        self.d_f.clear();
        for ((p, &told), &taken) in self.probs.chunks_exact(k.max(1)).zip(told).zip(taken) {
            let start = self.d_f.len();
            let d = -told / rows as f32;
            self.d_f.extend(p.iter().map(|p| -d * p));
            self.d_f[start + taken as usize] += d;
        }
    }
}

/// Σ_i p_i x_i; what cannot be chosen takes no part.
fn mean(p: &[f32], x: &[f32]) -> f32 {
    p.iter().zip(x).filter(|(p, _)| **p > 0.0).map(|(p, x)| p * x).sum()
}

#[cfg(test)]
mod tests;

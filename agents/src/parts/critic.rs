//! The state value V(s): evaluated on a batch, turned into advantages, fitted to returns.

use super::networks::{self, Network};
use super::returns::{Beyond, ReturnScratch, advantages, explained_variance};
use crate::AgentError;
use crate::compute::{Compute, shard_count, shard_rows, sum_into};
use crate::config::OptimizerKind;
use crate::rollout::Rollout;
use relax_envs::EnvRng;
use relax_nn::{Mlp, MlpShape, Optimizer, StateDict, Workspace, clip_scale, global_norm};

#[derive(Debug, Default)]
struct CriticShard {
    workspace: Workspace<f32>,
    values: Vec<f32>,
    d_values: Vec<f32>,
    gradient: Vec<f32>,
    squared_error: f64,
}

/// A value network that learns.
#[derive(Debug)]
pub struct Critic {
    net: Mlp<f32>,
    optimizer: Optimizer<f32>,
    gradient: Vec<f32>,
    shards: Vec<CriticShard>,
    /// For the observations beyond the batch.
    workspace: Workspace<f32>,
    truncated_values: Vec<f32>,
    next_values: Vec<f32>,
    scratch: ReturnScratch,
    values: Vec<f32>,
    advantages: Vec<f32>,
    returns: Vec<f32>,
}

impl Critic {
    /// A fresh value network.
    ///
    /// # Errors
    /// If the network cannot be made.
    pub fn new(
        observation_dim: usize,
        network: &Network<'_>,
        optimizer: OptimizerKind,
        rng: &mut EnvRng,
    ) -> Result<Self, AgentError> {
        let net = networks::network(networks::shape(observation_dim, network, 1)?, 1.0, rng)?;
        let len = net.shape().parameter_count();
        Ok(Self {
            optimizer: Optimizer::new(networks::rule(optimizer), len),
            gradient: vec![0.0; len],
            net,
            shards: Vec::new(),
            workspace: Workspace::new(),
            truncated_values: Vec::new(),
            next_values: Vec::new(),
            scratch: ReturnScratch::default(),
            values: Vec::new(),
            advantages: Vec::new(),
            returns: Vec::new(),
        })
    }

    /// Evaluates V on the batch and on what lies beyond it, and from that the λ-returns and advantages.
    pub fn evaluate(&mut self, batch: &Rollout, gamma: f64, lambda: f64, compute: &Compute) {
        let (rows, dim, shape) = (batch.rows(), batch.observation_dim, self.net.shape());
        self.shards.resize_with(shard_count(rows), CriticShard::default);
        self.truncated_values.resize(batch.truncated_rows.len(), 0.0);
        self.next_values.resize(batch.slots(), 0.0);
        let (truncated, next) = (&mut self.truncated_values, &mut self.next_values);
        self.net.read(|parameters| {
            compute.each(&mut self.shards, |i, shard| {
                let rows = shard_rows(i, rows);
                shard.values.resize(rows.len(), 0.0);
                let x = &batch.observations[rows.start * dim..rows.end * dim];
                shape.forward(parameters, x, &mut shard.workspace, &mut shard.values);
            });
            shape.forward(parameters, &batch.final_observations, &mut self.workspace, truncated);
            shape.forward(parameters, &batch.next_observations, &mut self.workspace, next);
        });
        self.values.clear();
        self.shards.iter().for_each(|shard| self.values.extend_from_slice(&shard.values));
        self.advantages.resize(rows, 0.0);
        advantages(
            batch,
            &self.values,
            Beyond { truncated: &self.truncated_values, next: &self.next_values },
            gamma as f32,
            lambda as f32,
            &mut self.scratch,
            &mut self.advantages,
        );
        self.returns.clear();
        self.returns.extend(self.advantages.iter().zip(&self.values).map(|(a, v)| a + v));
    }

    /// What the passes over the shards of the batch last evaluated left, until V is fitted.
    pub fn workspaces(&self) -> impl Iterator<Item = &Workspace<f32>> {
        self.shards.iter().map(|shard| &shard.workspace)
    }

    /// Calls `f` with V's network and weights.
    pub fn read<R>(&self, f: impl FnOnce(&MlpShape, &[f32]) -> R) -> R {
        self.net.read(|parameters| f(self.net.shape(), parameters))
    }

    /// Takes `gain`·`x` `[rows]` off the returns that [`fit`](Self::fit) aims at.
    pub fn correct_returns(&mut self, gain: f32, x: &[f32]) {
        self.returns.iter_mut().zip(x).for_each(|(r, x)| *r -= gain * x);
    }

    /// V(s_t) `[rows]` of the last batch evaluated, before it was fitted to it.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// R̂_t − V(s_t) `[rows]` of the last batch evaluated.
    #[must_use]
    pub fn advantages(&self) -> &[f32] {
        &self.advantages
    }

    /// R̂_t `[rows]` of the last batch evaluated.
    #[must_use]
    pub fn returns(&self) -> &[f32] {
        &self.returns
    }

    /// Share of the returns' variance that V explained before it was fitted to them.
    #[must_use]
    pub fn explained_variance(&self) -> f64 {
        explained_variance(&self.values, &self.advantages)
    }

    /// Subtracts the mean of the advantages and divides by their standard deviation.
    pub fn normalize_advantages(&mut self) {
        let n = self.advantages.len() as f64;
        let mean = self.advantages.iter().map(|&a| f64::from(a)).sum::<f64>() / n;
        let variance = self.advantages.iter().map(|&a| (f64::from(a) - mean).powi(2)).sum::<f64>() / n;
        let scale = 1.0 / (variance.sqrt() + 1e-8);
        self.advantages.iter_mut().for_each(|a| *a = ((f64::from(*a) - mean) * scale) as f32);
    }

    /// Takes `epochs` steps on ½ mean (V − R̂)² over the batch last evaluated, R̂ held fixed. Returns the loss before the
    /// first of them.
    ///
    /// # Errors
    /// If a gradient is not finite; the network then keeps its last good weights.
    pub fn fit(
        &mut self,
        batch: &Rollout,
        epochs: usize,
        learning_rate: f64,
        max_norm: f64,
        compute: &Compute,
    ) -> Result<f64, AgentError> {
        let (rows, dim) = (batch.rows(), batch.observation_dim);
        let mut loss = f64::NAN;
        for epoch in 0..epochs {
            let (shape, returns) = (self.net.shape(), &self.returns);
            self.net.read(|parameters| {
                compute.each(&mut self.shards, |i, shard| {
                    let rows_here = shard_rows(i, rows);
                    let x = &batch.observations[rows_here.start * dim..rows_here.end * dim];
                    if epoch > 0 {
                        // In the first epoch the activations that `evaluate` left are still those of these weights.
                        shape.forward(parameters, x, &mut shard.workspace, &mut shard.values);
                    }
                    let errors = shard.values.iter().zip(&returns[rows_here]).map(|(v, r)| v - r);
                    shard.d_values.clear();
                    shard.d_values.extend(errors);
                    shard.squared_error = shard.d_values.iter().map(|&e| f64::from(e) * f64::from(e)).sum();
                    shard.d_values.iter_mut().for_each(|e| *e /= rows as f32);
                    shard.gradient.clear();
                    shard.gradient.resize(parameters.len(), 0.0);
                    let CriticShard { workspace, d_values, gradient, .. } = shard;
                    shape.reverse(parameters, x, workspace, d_values, gradient, None);
                });
            });
            if epoch == 0 {
                loss = 0.5 * self.shards.iter().map(|shard| shard.squared_error).sum::<f64>() / rows as f64;
            }
            sum_into(&mut self.gradient, self.shards.iter().map(|shard| shard.gradient.as_slice()));
            let norm = global_norm(&self.gradient);
            if !norm.is_finite() {
                return Err(AgentError::NotFinite { what: "critic's gradient" });
            }
            let (optimizer, gradient) = (&mut self.optimizer, &self.gradient);
            self.net.write(|x| optimizer.step(x, gradient, learning_rate, clip_scale(norm, max_norm)));
        }
        Ok(loss)
    }

    /// Weights and optimiser.
    #[must_use]
    pub fn state(&self) -> StateDict {
        networks::state(&self.net, &self.optimizer)
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        networks::restore(&mut self.net, &mut self.optimizer, state)
    }
}

//! The action value Q(s, a), trained on replayed transitions.

use super::networks::{self, Network};
use super::replay::Minibatch;
use super::target_network::TargetNetwork;
use crate::AgentError;
use crate::config::OptimizerKind;
use relax_envs::EnvRng;
use relax_nn::Workspace;

/// A network on observation and action, with its target network.
#[derive(Debug)]
pub struct QCritic {
    /// The network.
    pub net: TargetNetwork,
    workspace: Workspace<f32>,
    /// `[B, D + K]`.
    input: Vec<f32>,
    values: Vec<f32>,
    targets: Vec<f32>,
    input_gradient: Vec<f32>,
}

impl QCritic {
    /// A fresh critic of observations of `observation_dim` numbers and actions of `action_dim`.
    ///
    /// # Errors
    /// If the network cannot be made.
    pub fn new(
        observation_dim: usize,
        action_dim: usize,
        network: &Network<'_>,
        optimizer: OptimizerKind,
        rng: &mut EnvRng,
    ) -> Result<Self, AgentError> {
        let shape = networks::shape(observation_dim + action_dim, network, 1)?;
        Ok(Self {
            net: TargetNetwork::new(shape, 1.0, optimizer, rng),
            workspace: Workspace::new(),
            input: Vec::new(),
            values: Vec::new(),
            targets: Vec::new(),
            input_gradient: Vec::new(),
        })
    }

    /// Adds to the network's gradient that of `weight`·½ mean (Q(s, a) − y)², with
    ///
    /// ```text
    /// y = r + γ Q'(s', a')      (y = r where s' is terminal; Q': the target network; no gradient through y)
    /// ```
    /// and a' `[B, K]` the actions to be taken in s'. Returns ½ mean (Q − y)².
    pub fn add_td_gradient(
        &mut self,
        batch: &Minibatch,
        next_actions: &[f32],
        gamma: f32,
        weight: f32,
    ) -> f64 {
        let Self { net, workspace, input, values, targets, .. } = self;
        let rows = batch.rewards.len();
        targets.resize(rows, 0.0);
        values.resize(rows, 0.0);
        join(&batch.next_observations, next_actions, rows, input);
        net.shape.forward(&net.target, &*input, workspace, targets);
        for ((y, r), going_on) in targets.iter_mut().zip(&batch.rewards).zip(&batch.going_on) {
            *y = r + gamma * going_on * *y;
        }
        join(&batch.observations, &batch.actions, rows, input);
        net.shape.forward(&net.parameters, &*input, workspace, values);
        let mut total = 0.0;
        for (q, y) in values.iter_mut().zip(targets.iter()) {
            let error = *q - y;
            total += f64::from(error) * f64::from(error);
            *q = weight * error / rows as f32;
        }
        net.shape.reverse(&net.parameters, &*input, workspace, values, &mut net.gradient, None);
        0.5 * total / rows as f64
    }

    /// ∇_a Q(s, a) `[B, K]` at observations `[B, D]` and `actions` `[B, K]`, by the trained network. Returns mean Q.
    pub fn action_gradient(&mut self, observations: &[f32], actions: &[f32], gradient: &mut [f32]) -> f64 {
        let Self { net, workspace, input, values, input_gradient, .. } = self;
        let rows = values.len();
        let (width, k) = (net.shape.input(), actions.len() / rows);
        join(observations, actions, rows, input);
        input_gradient.resize(input.len(), 0.0);
        net.shape.value_and_gradient(&net.parameters, input, workspace, values, input_gradient);
        for (to, from) in gradient.chunks_exact_mut(k).zip(input_gradient.chunks_exact(width)) {
            to.copy_from_slice(&from[width - k..]);
        }
        values.iter().map(|&q| f64::from(q)).sum::<f64>() / rows as f64
    }
}

/// joined `[B, D + K]` ← observations `[B, D]` beside actions `[B, K]`.
pub(super) fn join(observations: &[f32], actions: &[f32], rows: usize, joined: &mut Vec<f32>) {
    let (dim, k) = (observations.len() / rows, actions.len() / rows);
    joined.clear();
    for (s, a) in observations.chunks_exact(dim).zip(actions.chunks_exact(k)) {
        joined.extend_from_slice(s);
        joined.extend_from_slice(a);
    }
}

//! An actor μ(s) = tanh(network(s)) in [−1, 1]ᴷ, which climbs a critic: DDPG's and TD3's.

use super::exploration::Exploration;
use super::networks::{self, Network};
use super::target_network::TargetNetwork;
use crate::config::{ExplorationConfig, OptimizerKind};
use crate::distribution::Deterministic;
use crate::{ActingPolicy, AgentError};
use relax_envs::EnvRng;
use relax_nn::{Activation, StateDict, Workspace};
use std::sync::Arc;

/// The actor with its target network and its exploration.
#[derive(Debug)]
pub struct DeterministicActor {
    net: TargetNetwork,
    exploration: Exploration,
    workspace: Workspace<f32>,
    /// The last actions asked for, `[B, K]`.
    pub actions: Vec<f32>,
    zeros: Vec<f32>,
}

impl DeterministicActor {
    /// A fresh actor for minibatches of `size` observations of `observation_dim` numbers.
    ///
    /// # Errors
    /// If a layer has no width.
    pub fn new(
        (observation_dim, action_dim, size): (usize, usize, usize),
        network: &Network<'_>,
        optimizer: OptimizerKind,
        exploration: &ExplorationConfig,
        rng: &mut EnvRng,
    ) -> Result<Self, AgentError> {
        let shape = networks::shape(observation_dim, network, action_dim)?;
        Ok(Self {
            net: TargetNetwork::new(shape, 0.01, optimizer, rng),
            exploration: Exploration::new(exploration),
            workspace: Workspace::new(),
            actions: vec![0.0; size * action_dim],
            zeros: vec![0.0; size * action_dim],
        })
    }

    /// μ'(s) of the target network into `actions`.
    pub fn target_actions(&mut self, observations: &[f32]) {
        let Self { net, workspace, actions, zeros, .. } = self;
        net.shape.forward(&net.target, observations, workspace, actions);
        Activation::Tanh.add_bias_and_activate(actions, zeros);
    }

    /// μ(s) into `actions`.
    pub fn own_actions(&mut self, observations: &[f32]) {
        let Self { net, workspace, actions, zeros, .. } = self;
        net.shape.forward(&net.parameters, observations, workspace, actions);
        Activation::Tanh.add_bias_and_activate(actions, zeros);
    }

    /// One step up mean Q, from `gradient` `[B, K]` = ∇_a Q at the actions of [`own_actions`](Self::own_actions) at the same
    /// observations; what it holds is used up. Returns the norm of the weights' gradient.
    ///
    /// # Errors
    /// If the gradient is not finite.
    pub fn climb(
        &mut self,
        observations: &[f32],
        gradient: &mut [f32],
        rate: f64,
        max_norm: f64,
    ) -> Result<f64, AgentError> {
        let Self { net, workspace, actions, .. } = self;
        let rows = gradient.len() / net.shape.output();
        gradient.iter_mut().for_each(|g| *g /= -(rows as f32));
        Activation::Tanh.multiply_by_slope(gradient, actions);
        let (shape, parameters) = (&net.shape, &net.parameters);
        shape.reverse(parameters, observations, workspace, gradient, &mut net.gradient, None);
        net.step(rate, max_norm, "policy gradient")
    }

    /// target ← target + τ (parameters − target).
    pub fn follow(&mut self, tau: f32) {
        self.net.follow(tau);
    }

    /// A copy to act with.
    #[must_use]
    pub fn snapshot(&self) -> ActingPolicy {
        let distribution = Arc::new(Deterministic { dim: self.net.shape.output() });
        let (shape, parameters) = (self.net.shape.clone(), self.net.parameters.clone());
        ActingPolicy::new(shape, distribution, parameters, "actor.parameters")
    }

    /// Brings a copy up to date: its weights, and how it explores.
    pub fn refresh(&self, policy: &mut ActingPolicy, is_warming_up: bool) {
        policy.set_parameters(&self.net.parameters);
        policy.set_exploration(if is_warming_up { Exploration::Uniform } else { self.exploration });
    }

    /// Both networks' weights and the optimiser.
    #[must_use]
    pub fn state(&self) -> StateDict {
        self.net.state()
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit; the networks are then unchanged.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        self.net.restore(state)
    }
}

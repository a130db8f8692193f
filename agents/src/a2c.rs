//! Advantage actor-critic: the policy gradient with a learned state value as baseline.
//!
//! Estimator at the action distribution's parameters: ĝ_t = s_t·(R̂_t − V(s_t)), s = ∂log π/∂l, R̂ the λ-return.
//!
//! Mnih et al. 2016 (A3C), synchronous. Deviations from the paper: separate networks for policy and value, so that the
//! critic can be fitted with a learning rate and a number of steps of its own; the policy steps before the critic is
//! fitted to the batch, so that the baseline does not depend on the batch's actions; Adam by default.

use crate::config::{AgentConfig, LearnerConfig};
use crate::distribution::Distribution;
use crate::parts::critic::Critic;
use crate::parts::policy::Policy;
use crate::{ActingPolicy, Agent, AgentError, Compute, Metrics, Rollout, role};
use relax_envs::EnvRng;
use relax_estimators::{Baseline, mean_squared_norm, reinforce};
use relax_nn::StateDict;
use std::sync::Arc;

/// The A2C agent.
pub struct A2c {
    learner: LearnerConfig,
    policy: Policy<()>,
    critic: Critic,
}

impl A2c {
    /// A fresh agent for observations of `observation_dim` numbers.
    ///
    /// # Errors
    /// If a network cannot be made.
    pub fn new(
        observation_dim: usize,
        distribution: Arc<dyn Distribution>,
        agent: &AgentConfig,
        learner: &LearnerConfig,
        seed: u64,
    ) -> Result<Self, AgentError> {
        let rng = |index| EnvRng::from_seed_sequence(seed, &[role::WEIGHTS, index]);
        Ok(Self {
            policy: Policy::new(
                observation_dim,
                distribution,
                &agent.policy_network(),
                learner.optimizer,
                &mut rng(0),
            )?,
            critic: Critic::new(observation_dim, &agent.critic_network(), learner.optimizer, &mut rng(1))?,
            learner: learner.clone(),
        })
    }
}

impl Agent for A2c {
    fn acting_policy(&self) -> ActingPolicy {
        self.policy.snapshot()
    }

    fn refresh(&self, policy: &mut ActingPolicy) {
        self.policy.refresh(policy);
    }

    fn improve_policy(
        &mut self,
        batch: &Rollout,
        progress: f64,
        compute: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError> {
        let learner = &self.learner;
        self.critic.evaluate(batch, learner.gamma, learner.lambda, compute);
        metrics.explained_variance = self.critic.explained_variance();
        if learner.normalize_advantages {
            self.critic.normalize_advantages();
        }

        let advantages = self.critic.advantages();
        let sums = self.policy.gradient(batch, compute, learner.entropy as f32, |_, rows, shard| {
            let advantages = &advantages[rows];
            reinforce(&shard.samples.moments.score, advantages, Baseline::None, &mut shard.estimate);
            shard.sums.weighted_log_prob = shard.samples.weighted_log_prob(advantages);
            shard.sums.squared_norm = mean_squared_norm(&shard.estimate, 1);
            shard.sums.squared_norm_a2c = shard.sums.squared_norm;
        })?;

        metrics.take(&sums, batch.rows());
        metrics.learning_rate = learner.annealed(learner.learning_rate, progress);
        metrics.policy_gradient_norm = self.policy.step(metrics.learning_rate, learner.max_grad_norm)?;
        Ok(())
    }

    fn fit_critics(
        &mut self,
        batch: &Rollout,
        progress: f64,
        compute: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError> {
        let learner = &self.learner;
        let rate = learner.annealed(learner.value_learning_rate, progress);
        metrics.value_loss =
            self.critic.fit(batch, learner.value_epochs, rate, learner.critic_max_grad_norm, compute)?;
        Ok(())
    }

    fn last_gradient(&self, estimates: &mut Vec<f32>) -> Option<&[f32]> {
        Some(self.policy.last_gradient(estimates))
    }

    fn last_advantages(&self) -> Option<&[f32]> {
        Some(self.critic.advantages())
    }

    fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_all("policy", self.policy.state());
        state.insert_all("critic", self.critic.state());
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        self.policy.restore(&state.subset("policy"))?;
        self.critic.restore(&state.subset("critic"))
    }
}

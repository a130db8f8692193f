//! Advantage actor-critic: the policy gradient with a learned state value as baseline.
//!
//! Estimator at the action distribution's parameters: ĝ_t = s_t·(R̂_t − V(s_t)), s = ∂log π/∂l, R̂ the λ-return. With
//! `agent.baseline_window` the baseline is V with a correction in closed form ([`baseline`](crate::parts::baseline)).
//!
//! Mnih et al. 2016 (A3C), synchronous. Deviations from the paper: separate networks for policy and value, so that the
//! critic can be fitted with a learning rate and a number of steps of its own; the policy steps before the critic is
//! fitted to the batch, so that the baseline does not depend on the batch's actions; Adam by default.

use crate::config::{
    ActivationKind, BOUNDS_LOSS, OptimizerKind, distribution_options, extras, keys, networks, observed,
    scaling, value_epochs,
};
use crate::encoders::{refuse_device, refuse_unknown};
use crate::parts::baseline::CorrectedBaseline;
use crate::parts::critic::Critic;
use crate::parts::normalize::{Moved, Normalized};
use crate::parts::policy::Policy;
use crate::{
    ActingPolicy, Agent, AgentError, AgentSpec, Compute, Metrics, Refusal, Rollout, RolloutShape, Task,
    distribution, role,
};
use relax_envs::EnvRng;
use relax_estimators::{Baseline, mean_squared_norm, reinforce};
use relax_nn::StateDict;

keys! {
    /// `[agent]` of A2C.
    pub struct A2cKeys {
        /// What observations pass through before the hidden layers: "auto" (a CNN for pictures, nothing for others), "mlp" (nothing), "small-cnn", "nature-cnn", or one registered.
        encoder: String = "auto".to_owned(),
        /// What an encoder computes on: "cpu", "cuda" or "metal", of several with a number ("cuda:1"); the latter need a build with that feature.
        device: String = "cpu".to_owned(),
        /// Share of the learning rates at which an encoder's weights move (0: they stay as they start); if left out, 0.1 for "nature-cnn"
        /// and 1 for all others.
        #[serde(skip_serializing_if = "Option::is_none")]
        encoder_rate: Option<f64> = None,
        /// Widths of the hidden layers of the policy, the critic and the control variate.
        hidden: Vec<usize> = vec![64, 64],
        /// Activation of the hidden layers: "tanh", "relu" or "elu".
        activation: ActivationKind = ActivationKind::Tanh,
        /// Widths of the hidden layers of the critics V, r and Q, where they differ from `hidden`.
        #[serde(skip_serializing_if = "Option::is_none")]
        critic_hidden: Option<Vec<usize>> = None,
        /// Continuous actions: log of the standard deviation that a Gaussian policy starts with; if left out, that of half the
        /// action's range, or 0 where the action has no bounds.
        #[serde(skip_serializing_if = "Option::is_none")]
        initial_log_std: Option<f64> = None,
        /// Continuous actions: the standard deviation is an output of the policy network instead of one number per action.
        state_dependent_std: bool = false,
        /// Past batches that a correction of the baseline V is fitted to, in closed form; 0: V alone.
        baseline_window: usize = 0,
    }
}
networks!(A2cKeys);
observed!(A2cKeys);
distribution_options!(A2cKeys);

keys! {
    /// `[learner]` of A2C.
    pub struct A2cLearner {
        /// Step size of the policy's optimiser.
        learning_rate: f64 = 3e-3,
        /// Step size of the critic's optimiser.
        value_learning_rate: f64 = 3e-3,
        /// Optimiser of all networks: "adam", "rmsprop" or "rmsprop-tf".
        optimizer: OptimizerKind = OptimizerKind::Adam,
        /// Discount factor γ in [0, 1].
        gamma: f64 = 0.99,
        /// λ of the λ-return (GAE) in [0, 1]; 1: Monte-Carlo return, bootstrapped only where a rollout or time limit cuts it.
        lambda: f64 = 0.95,
        /// Weight of the entropy bonus in the policy gradient.
        entropy: f64 = 0.0,
        /// Weight of the pull that brings the mean of a continuous action back from far beyond its bounds, where all samples
        /// are the same action; 0: none.
        bounds_loss: f64 = BOUNDS_LOSS,
        /// Largest global norm of the policy gradient; 0 switches clipping off.
        max_grad_norm: f64 = 0.5,
        /// Largest global norm of the critic's and the control variate's gradients; 0 switches clipping off.
        critic_max_grad_norm: f64 = 0.5,
        /// Gradient steps of the critic per batch; they run while the next batch is played.
        value_epochs: usize = 16,
        /// Gradient steps of a critic that knows nothing yet, on the first batch; over the first quarter of the run they fall linearly to
        /// `value_epochs`. If left out, `value_epochs` throughout.
        #[serde(skip_serializing_if = "Option::is_none")]
        initial_value_epochs: Option<usize> = None,
        /// Subtract the mean and divide by the standard deviation of the batch's advantages (A2C's habit; biased).
        normalize_advantages: bool = false,
        /// Scale the learning rates linearly down to 0 over the run, so that what is learned stays.
        anneal: bool = true,
        /// Multiple of the rewards that the agent learns from; logs and evaluation show the environment's own.
        reward_scale: f64 = 1.0,
        /// Shift and scale observations that are numbers to mean 0 and deviation 1 over all training so far; frozen in evaluation.
        normalize_observations: bool = true,
        /// Divide rewards by the standard deviation of the discounted return over all training so far.
        normalize_rewards: bool = true,
        /// Rewrite V as the scales of observations and rewards move, so that it goes on saying what it said (PopArt).
        preserve_values: bool = false,
    }
}
scaling!(A2cLearner, preserve_values);
extras!(A2cLearner);
value_epochs!(A2cLearner);

/// A2C's line of the registry.
pub(crate) fn spec() -> AgentSpec {
    AgentSpec::new("a2c", "advantage actor-critic", |agent: &A2cKeys, learner: &A2cLearner, task| {
        let made = Box::new(A2c::new(task, agent, learner)?);
        let observed = agent.observed(task.observations)?;
        Ok(Normalized::around(made, task.observations, observed.normalization(learner.normalization())))
    })
    .check(|agent: &A2cKeys, learner: &A2cLearner, rollout| {
        refuse_unknown(&agent.encoder)?;
        refuse_device(&agent.device)?;
        learner.refuse_idle_preserving()?;
        refuse_single_rows(learner.normalize_advantages, rollout)?;
        let corrected = agent.baseline_window > 0;
        refuse_normalized(learner.normalize_advantages && corrected, "agent.baseline_window")
    })
    .dissect(|_: &A2cKeys, learner: &A2cLearner| refuse_tied_rows(learner.normalize_advantages))
    .describe(|agent: &A2cKeys| match agent.baseline_window {
        0 => "a2c".into(),
        window => format!("a2c, baseline of {window} batches"),
    })
}

/// Normalised advantages tie the rows of a batch to one another: a variance has no parts by state and action then.
pub(crate) fn refuse_tied_rows(normalize_advantages: bool) -> Result<(), Refusal> {
    let refusal = || {
        Refusal::new(
            "learner.normalize_advantages",
            "learner.normalize_advantages ties the rows of a batch to one another: its variance has no parts by state and action",
            "--set learner.normalize_advantages=false",
        )
    };
    if normalize_advantages { Err(refusal()) } else { Ok(()) }
}

/// One row's advantage less its mean is always 0: nothing would be learned.
pub(crate) fn refuse_single_rows(normalize_advantages: bool, rollout: RolloutShape) -> Result<(), Refusal> {
    if !normalize_advantages || rollout.episodes || rollout.envs * rollout.steps > 1 {
        return Ok(());
    }
    Err(Refusal::new(
        "learner.normalize_advantages",
        "`learner.normalize_advantages` with batches of one row (rollout.envs and rollout.steps are 1) makes every advantage 0",
        "raise rollout.envs or rollout.steps, or set learner.normalize_advantages = false",
    ))
}

/// What has learned the advantages' own size (`what`) cannot have them divided by another in every batch.
pub(crate) fn refuse_normalized(both: bool, what: &str) -> Result<(), Refusal> {
    if !both {
        return Ok(());
    }
    Err(Refusal::new(
        "learner.normalize_advantages",
        format!(
            "`learner.normalize_advantages` does not go with {what}, which knows the advantages' own size"
        ),
        "set learner.normalize_advantages = false; learner.normalize_rewards keeps them near 1",
    ))
}

/// The A2C agent.
pub struct A2c {
    learner: A2cLearner,
    policy: Policy<Vec<f32>>,
    critic: Critic,
    baseline: Option<CorrectedBaseline>,
}

impl A2c {
    /// A fresh agent.
    ///
    /// # Errors
    /// If a network cannot be made.
    pub fn new(task: Task<'_>, agent: &A2cKeys, learner: &A2cLearner) -> Result<Self, AgentError> {
        let (dim, observed) = (task.observations.flat_dim(), agent.observed(task.observations)?);
        let distribution = distribution::for_space(task.actions, &agent.distribution())?;
        let rng = |index| EnvRng::from_seed_sequence(task.seed, &[role::WEIGHTS, index]);
        let network = agent.policy_network();
        let critic = Critic::new(observed.clone(), &agent.critic_network(), learner.optimizer, &mut rng(1))?;
        let window = agent.baseline_window;
        if window > 0 {
            observed.refuse("agent.baseline_window")?;
        }
        Ok(Self {
            policy: Policy::new(observed, distribution, &network, learner.optimizer, &mut rng(0))?,
            baseline: (window > 0).then(|| CorrectedBaseline::new(window, dim, &critic)),
            critic,
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

        let (plain, corrected) = (self.critic.advantages(), self.baseline.is_some());
        let mut advantages = plain;
        if let Some(baseline) = &mut self.baseline {
            metrics.gain = baseline.gain();
            baseline.correct(batch, &self.critic);
            advantages = baseline.advantages();
        }
        let sums = self.policy.gradient(batch, compute, learner.extras(), |_, rows, shard| {
            let (plain, advantages) = (&plain[rows.clone()], &advantages[rows]);
            reinforce(&shard.samples.moments.score, advantages, Baseline::None, &mut shard.estimate);
            shard.sums.weighted_log_prob = shard.samples.weighted_log_prob(advantages);
            shard.sums.squared_norm = mean_squared_norm(&shard.estimate, 1);
            shard.sums.squared_norm_a2c = shard.sums.squared_norm;
            if corrected {
                shard.extra.resize(shard.estimate.len(), 0.0);
                reinforce(&shard.samples.moments.score, plain, Baseline::None, &mut shard.extra);
                shard.sums.squared_norm_a2c = mean_squared_norm(&shard.extra, 1);
            }
        })?;

        metrics.take(&sums, batch.rows());
        metrics.learning_rate = learner.annealed(learner.learning_rate, progress);
        metrics.policy_gradient_norm = self.policy.step(metrics.learning_rate, learner.max_grad_norm)?;
        self.policy.initialise_encoder(batch);
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
        let (epochs, max_norm) = (learner.value_epochs_at(progress), learner.critic_max_grad_norm);
        metrics.value_loss = self.critic.fit(batch, epochs, rate, max_norm, compute)?;
        if let Some(baseline) = &mut self.baseline {
            baseline.fit(batch, &self.critic, (learner.gamma, learner.lambda), compute);
        }
        Ok(())
    }

    fn last_gradient(&self, estimates: &mut Vec<f32>) -> Option<&[f32]> {
        Some(self.policy.last_gradient(estimates))
    }

    fn last_advantages(&self) -> Option<&[f32]> {
        Some(self.baseline.as_ref().map_or(self.critic.advantages(), CorrectedBaseline::advantages))
    }

    fn keep_values(&mut self, moved: &Moved) {
        self.critic.keep(moved);
        if let Some(baseline) = &mut self.baseline {
            baseline.keep(moved);
        }
    }

    fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_all("policy", self.policy.state());
        state.insert_all("critic", self.critic.state());
        if let Some(baseline) = &self.baseline {
            state.insert_all("horizon", baseline.state());
        }
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        self.policy.restore(&state.subset("policy"))?;
        self.critic.restore(&state.subset("critic"))?;
        match &mut self.baseline {
            Some(baseline) => baseline.restore(&state.subset("horizon")),
            None => Ok(()),
        }
    }
}

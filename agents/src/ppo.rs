//! Proximal policy optimisation: several epochs of minibatch steps on each batch, held near the policy that drew it.
//!
//! With ρ_t(θ) = π_θ(a_t)/π_old(a_t) and A_t = R̂_t − V(s_t), R̂ the λ-return, every step climbs a minibatch's mean of
//!
//! ```text
//! min(ρ_t A_t, clip(ρ_t, 1 − ε, 1 + ε) A_t)
//! ```
//! whose gradient at the action distribution's parameters is ρ_t·A_t·s_t where the clip does not bind, and 0 where it does;
//! s = ∂log π/∂l.
//!
//! The first step of a batch has ρ = 1: its ĝ is A2C's on a minibatch drawn at random, unbiased as far as λ = 1 and plain
//! advantages make A2C's, and it is what [`last_gradient`](Agent::last_gradient) shows. From the second step on, the
//! surrogate is *no unbiased estimate* of anything's gradient: the states were visited by the old policy, the clip cuts rows
//! out by their own actions, and the batch is used again. `normalize_advantages`, on by default, biases the first step too.
//!
//! Schulman et al. 2017. Deviations: separate networks for policy and value; the critic's steps follow all of the policy's,
//! each on the whole batch, so that V knows nothing of the batch's actions; advantages are normalised over the batch, not over
//! each minibatch.

use crate::config::{
    ActivationKind, BOUNDS_LOSS, OptimizerKind, distribution_options, extras, keys, networks, observed,
    scaling,
};
use crate::encoders::{refuse_device, refuse_unknown};
use crate::parts::critic::Critic;
use crate::parts::normalize::{Moved, Normalized};
use crate::parts::policy::Policy;
use crate::{ActingPolicy, ActionBuffer, Agent, AgentError, AgentSpec, Compute, Metrics, Refusal, Rollout};
use crate::{RolloutShape, Task, a2c, certify::Problem, distribution, role};
use relax_envs::EnvRng;
use relax_estimators::{Baseline, mean_squared_norm, reinforce};
use relax_nn::{StateDict, StateTensor};
use std::ops::Range;

keys! {
    /// `[agent]` of PPO.
    pub struct PpoKeys {
        /// What observations pass through before the hidden layers: "auto" (a CNN for pictures, nothing for others), "mlp" (nothing), "small-cnn", "nature-cnn", or one registered.
        encoder: String = "auto".to_owned(),
        /// What an encoder computes on: "cpu", "cuda" or "metal", of several with a number ("cuda:1"); the latter need a build with that feature.
        device: String = "cpu".to_owned(),
        /// Share of the learning rates at which an encoder's weights move (0: they stay as they start); if left out, 0.1 for "nature-cnn"
        /// and 1 for all others.
        #[serde(skip_serializing_if = "Option::is_none")]
        encoder_rate: Option<f64> = None,
        /// Widths of the hidden layers of the policy and the critic.
        hidden: Vec<usize> = vec![64, 64],
        /// Activation of the hidden layers: "tanh", "relu" or "elu".
        activation: ActivationKind = ActivationKind::Tanh,
        /// Widths of the hidden layers of the critic, where they differ from `hidden`.
        #[serde(skip_serializing_if = "Option::is_none")]
        critic_hidden: Option<Vec<usize>> = None,
        /// Continuous actions: log of the standard deviation that a Gaussian policy starts with; if left out, that of half the
        /// action's range, or 0 where the action has no bounds.
        #[serde(skip_serializing_if = "Option::is_none")]
        initial_log_std: Option<f64> = None,
        /// Continuous actions: the standard deviation is an output of the policy network instead of one number per action.
        state_dependent_std: bool = false,
    }
}
networks!(PpoKeys);
observed!(PpoKeys);
distribution_options!(PpoKeys);

keys! {
    /// `[learner]` of PPO.
    pub struct PpoLearner {
        /// Step size of the policy's optimiser.
        learning_rate: f64 = 3e-4,
        /// Step size of the critic's optimiser.
        value_learning_rate: f64 = 3e-3,
        /// Optimiser of both networks: "adam", "rmsprop" or "rmsprop-tf".
        optimizer: OptimizerKind = OptimizerKind::Adam,
        /// Discount factor γ in [0, 1]; if left out, the one whose horizon 1/(1 − γ) is the environment's time limit, from 0.99 to 0.999.
        gamma: f64 = 0.99,
        /// λ of the λ-return (GAE) in [0, 1]; 1: Monte-Carlo return, bootstrapped only where a rollout or time limit cuts it.
        lambda: f64 = 0.95,
        /// ε: from where on a ratio of new to old probability is no longer pushed away from 1.
        clip: f64 = 0.2,
        /// Times that the policy's steps go through a batch.
        policy_epochs: usize = 10,
        /// Parts of a batch, drawn anew in every epoch; the policy takes a step on each.
        minibatches: usize = 16,
        /// Weight of the entropy bonus in the policy gradient.
        entropy: f64 = 0.0,
        /// Weight of the pull that brings the mean of a continuous action back from far beyond its bounds, where all samples
        /// are the same action; 0: none.
        bounds_loss: f64 = BOUNDS_LOSS,
        /// Largest global norm of the policy gradient; 0 switches clipping off.
        max_grad_norm: f64 = 0.5,
        /// Largest global norm of the critic's gradient; 0 switches clipping off.
        critic_max_grad_norm: f64 = 0.5,
        /// Gradient steps of the critic per batch.
        value_epochs: usize = 16,
        /// Subtract the mean and divide by the standard deviation of the batch's advantages (PPO's habit; biased).
        normalize_advantages: bool = true,
        /// Scale the learning rates linearly down to 0 over the run, so that a solved policy stays solved.
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
scaling!(PpoLearner, preserve_values);
extras!(PpoLearner);

/// PPO's line of the registry.
pub(crate) fn spec() -> AgentSpec {
    AgentSpec::new("ppo", "proximal policy optimisation", |agent: &PpoKeys, learner: &PpoLearner, task| {
        let made = Box::new(Ppo::new(task, agent, learner)?);
        let observed = agent.observed(task.observations)?;
        Ok(Normalized::around(made, task.observations, observed.normalization(learner.normalization())))
    })
    .rollout(RolloutShape { episodes: false, envs: 8, steps: 256 })
    .discount_by_limit()
    .check(|agent: &PpoKeys, learner: &PpoLearner, rollout| {
        refuse_unknown(&agent.encoder)?;
        refuse_device(&agent.device)?;
        learner.refuse_idle_preserving()?;
        a2c::refuse_single_rows(learner.normalize_advantages, rollout)?;
        check(learner)
    })
    .dissect(|_: &PpoKeys, learner: &PpoLearner| {
        a2c::refuse_tied_rows(learner.normalize_advantages)?;
        match learner.minibatches {
            1 => Ok(()),
            _ => Err(Refusal::new(
                "learner.minibatches",
                "PPO's first step, the unbiased one, is taken on a part of the batch; its variance is split on all of it",
                "--set learner.minibatches=1",
            )),
        }
    })
    .certified(&[("", Problem::Enumerable), ("encoder = 'certify'", Problem::Enumerable), ("", Problem::LinearQuadratic), ("", Problem::MultiDiscrete)])
}

fn check(learner: &PpoLearner) -> Result<(), Refusal> {
    let refuse = |key: &str, found: String, right| Err(Refusal::range(key, &found, right));
    if !(learner.clip.is_finite() && learner.clip > 0.0) {
        return refuse("learner.clip", format!("{:?}", learner.clip), "a finite number above 0");
    }
    for (key, count) in
        [("learner.policy_epochs", learner.policy_epochs), ("learner.minibatches", learner.minibatches)]
    {
        if count == 0 {
            return refuse(key, count.to_string(), "1 or more");
        }
    }
    Ok(())
}

/// The PPO agent.
pub struct Ppo {
    learner: PpoLearner,
    /// Each shard's own: what its rows' scores are multiplied by.
    policy: Policy<Vec<f32>>,
    critic: Critic,
    minibatches: Minibatches,
    /// log π_old(a) of the batch's rows.
    old_log_probs: Vec<f32>,
    /// ĝ of the first step's rows, and the gradient of the weights that they made.
    first: (Vec<f32>, Vec<f32>),
    seed: u64,
    updates: u64,
}

impl Ppo {
    /// A fresh agent.
    ///
    /// # Errors
    /// If a network cannot be made, or the distribution of actions has no score.
    pub fn new(task: Task<'_>, agent: &PpoKeys, learner: &PpoLearner) -> Result<Self, AgentError> {
        let (dim, observed) = (task.observations.flat_dim(), agent.observed(task.observations)?);
        let distribution = distribution::for_space(task.actions, &agent.distribution())?;
        let rng = |index| EnvRng::from_seed_sequence(task.seed, &[role::WEIGHTS, index]);
        let (network, of_critic, optimizer) =
            (agent.policy_network(), agent.critic_network(), learner.optimizer);
        Ok(Self {
            minibatches: Minibatches::new(learner.minibatches, dim, distribution.action_buffer()),
            policy: Policy::new(observed.clone(), distribution, &network, optimizer, &mut rng(0))?,
            critic: Critic::new(observed, &of_critic, optimizer, &mut rng(1))?,
            learner: learner.clone(),
            old_log_probs: Vec::new(),
            first: Default::default(),
            seed: task.seed,
            updates: 0,
        })
    }

    /// Remembers log π(a) of every row, minibatch by minibatch, as the coming epoch sees them: computed in the same shards,
    /// it is equal to the bit, and the first step's ratio exactly 1.
    fn remember(&mut self, batch: &Rollout, compute: &Compute) -> Result<(), AgentError> {
        self.old_log_probs.resize(batch.rows(), 0.0);
        for i in 0..self.minibatches.count() {
            let minibatch = self.minibatches.gather(i, batch);
            self.policy.visit(minibatch, compute, |_, _, _| ())?;
            let log_probs = self.policy.shards_mut().iter().flat_map(|shard| &shard.samples.moments.log_prob);
            for (&row, &log_prob) in self.minibatches.rows(i).iter().zip(log_probs) {
                self.old_log_probs[row as usize] = log_prob;
            }
        }
        Ok(())
    }
}

impl Agent for Ppo {
    fn acting_policy(&self) -> ActingPolicy {
        let mut policy = self.policy.snapshot();
        // Minibatches mix the rows: nobody goes on from what it makes of them.
        policy.set_stamp(0);
        policy
    }

    fn refresh(&self, policy: &mut ActingPolicy) {
        self.policy.refresh(policy);
        policy.set_stamp(0);
    }

    /// All epochs of the policy, with the critic as it was before the batch. The figures are those of the first step.
    fn improve_policy(
        &mut self,
        batch: &Rollout,
        progress: f64,
        compute: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError> {
        let (gamma, lambda) = (self.learner.gamma, self.learner.lambda);
        self.critic.evaluate(batch, gamma, lambda, compute);
        metrics.explained_variance = self.critic.explained_variance();
        if self.learner.normalize_advantages {
            self.critic.normalize_advantages();
        }
        metrics.learning_rate = self.learner.annealed(self.learner.learning_rate, progress);
        let key = [role::MINIBATCHES, self.updates as u32, (self.updates >> 32) as u32];
        let mut rng = EnvRng::from_seed_sequence(self.seed, &key);
        self.minibatches.begin(batch.rows());

        for epoch in 0..self.learner.policy_epochs {
            self.minibatches.shuffle(&mut rng);
            if epoch == 0 {
                self.remember(batch, compute)?;
            }
            for i in 0..self.minibatches.count() {
                let Self { learner, policy, critic, minibatches, old_log_probs, first, .. } = self;
                minibatches.gather(i, batch);
                let (minibatch, rows) = (&minibatches.gathered, minibatches.rows(i));
                let (advantages, clip) = (critic.advantages(), learner.clip as f32);
                let sums = policy.gradient(minibatch, compute, learner.extras(), |_, range, shard| {
                    let (weights, moments) = (&mut shard.extra, &shard.samples.moments);
                    weights.clear();
                    weights.extend(rows[range].iter().zip(&moments.log_prob).map(|(&row, log_prob)| {
                        let row = row as usize;
                        clipped((log_prob - old_log_probs[row]).exp(), advantages[row], clip)
                    }));
                    reinforce(&moments.score, weights, Baseline::None, &mut shard.estimate);
                    shard.sums.weighted_log_prob = shard.samples.weighted_log_prob(weights);
                    shard.sums.squared_norm = mean_squared_norm(&shard.estimate, 1);
                    shard.sums.squared_norm_a2c = shard.sums.squared_norm;
                })?;
                if (epoch, i) == (0, 0) {
                    metrics.take(&sums, minibatch.rows());
                    first.1.clear();
                    first.1.extend_from_slice(policy.last_gradient(&mut first.0));
                }
                let norm = policy.step(metrics.learning_rate, learner.max_grad_norm)?;
                if (epoch, i) == (0, 0) {
                    metrics.policy_gradient_norm = norm;
                }
            }
        }
        self.policy.initialise_encoder(batch);
        self.updates += 1;
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

    /// The first step's, whose rows are those of its minibatch in the batch's order: all rows if there is one minibatch.
    fn last_gradient(&self, estimates: &mut Vec<f32>) -> Option<&[f32]> {
        estimates.clear();
        estimates.extend_from_slice(&self.first.0);
        Some(&self.first.1)
    }

    fn last_advantages(&self) -> Option<&[f32]> {
        Some(self.critic.advantages())
    }

    fn keep_values(&mut self, moved: &Moved) {
        self.critic.keep(moved);
    }

    fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_all("policy", self.policy.state());
        state.insert_all("critic", self.critic.state());
        state.insert("updates", StateTensor::U64(vec![self.updates]));
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let [updates] = state.u64_array("updates")?;
        self.policy.restore(&state.subset("policy"))?;
        self.critic.restore(&state.subset("critic"))?;
        self.updates = updates;
        Ok(())
    }
}

/// What the score is multiplied by in the gradient of min(ρA, clip(ρ, 1 − ε, 1 + ε)A).
fn clipped(ratio: f32, advantage: f32, clip: f32) -> f32 {
    let binds = if advantage > 0.0 { ratio > 1.0 + clip } else { ratio < 1.0 - clip };
    if binds { 0.0 } else { ratio * advantage }
}

/// A batch's rows in parts that differ by at most one row in size, drawn anew for every epoch.
#[derive(Debug)]
struct Minibatches {
    asked: usize,
    /// The rows, part after part; each part in the batch's order, so that the only part of one is the batch as it is.
    order: Vec<u32>,
    gathered: Rollout,
}

impl Minibatches {
    fn new(asked: usize, observation_dim: usize, actions: ActionBuffer) -> Self {
        Self { asked, order: Vec::new(), gathered: Rollout::new(0, observation_dim, 0, actions) }
    }

    /// Takes on a batch of `rows` rows.
    fn begin(&mut self, rows: usize) {
        self.order.clear();
        self.order.extend(0..rows as u32);
    }

    /// How many there are: as many as asked for, unless the batch has fewer rows.
    fn count(&self) -> usize {
        self.asked.clamp(1, self.order.len().max(1))
    }

    fn range(&self, i: usize) -> Range<usize> {
        let (rows, count) = (self.order.len(), self.count());
        i * rows / count..(i + 1) * rows / count
    }

    /// The batch's rows that make up part `i`.
    fn rows(&self, i: usize) -> &[u32] {
        &self.order[self.range(i)]
    }

    /// Draws the parts anew: Fisher and Yates's shuffle.
    fn shuffle(&mut self, rng: &mut EnvRng) {
        for i in (1..self.order.len()).rev() {
            self.order.swap(i, rng.integers(0, i as i64 + 1) as usize);
        }
        for i in 0..self.count() {
            let range = self.range(i);
            self.order[range].sort_unstable();
        }
    }

    /// Part `i` as a batch of observations, masks and actions; it has nothing else.
    fn gather(&mut self, i: usize, batch: &Rollout) -> &Rollout {
        let range = self.range(i);
        self.gathered.clear();
        self.gathered.set_mask_dim(batch.mask_dim);
        self.gathered.keep_bytes(batch.layout());
        self.gathered.take_observations(batch, &self.order[range.clone()]);
        for &row in &self.order[range] {
            let row = row as usize;
            self.gathered.slot.push(batch.slot[row]);
            self.gathered.masks.extend_from_slice(batch.mask_rows(row..row + 1).unwrap_or_default());
            self.gathered.actions.extend(&batch.actions, row..row + 1);
        }
        &self.gathered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_every_row_once_in_even_parts() {
        let mut parts = Minibatches::new(4, 1, ActionBuffer::Discrete(Vec::new()));
        let mut rng = EnvRng::from_seed_sequence(0, &[role::MINIBATCHES]);
        parts.begin(30);
        let mut firsts: Vec<Vec<u32>> = Vec::new();
        for _ in 0..3 {
            parts.shuffle(&mut rng);
            let sizes: Vec<usize> = (0..parts.count()).map(|i| parts.rows(i).len()).collect();
            assert_eq!(sizes, [7, 8, 7, 8]);
            assert!((0..4).all(|i| parts.rows(i).is_sorted()));
            firsts.push(parts.rows(0).to_vec());
            let mut all = parts.order.clone();
            all.sort_unstable();
            assert!(all.iter().copied().eq(0..30));
        }
        assert!(firsts[0] != firsts[1] && firsts[1] != firsts[2]);
        parts.begin(3);
        assert_eq!(parts.count(), 3, "no part is empty");
    }

    #[test]
    fn the_clip_binds_only_away_from_the_old_policy() {
        for (ratio, advantage, expected) in [
            (1.0, 2.0, 2.0),
            (1.1, 2.0, 2.2),
            (1.3, 2.0, 0.0),
            (0.5, 2.0, 1.0),
            (0.5, -2.0, 0.0),
            (1.3, -2.0, -2.6),
        ] {
            let found = clipped(ratio, advantage, 0.2);
            assert!((found - expected).abs() < 1e-6, "{ratio}, {advantage}: {found}");
        }
    }
}

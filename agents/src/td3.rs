//! Twin delayed deep deterministic policy gradient: DDPG with two critics, whose smaller value is the target, a target action
//! blurred with noise, and an actor that moves less often than they do.
//!
//! ```text
//! critics  ½ mean (Qᵢ(s, a) − y)², i = 1, 2,   y = r + γ min(Q₁'(s', a'), Q₂'(s', a'))      y = r where s' is terminal
//!          a' = clip(μ'(s') + clip(σε, −c, c), −1, 1)                                      primes: target networks
//! actor    −mean Q₁(s, μ(s)), with every `policy_delay`-th step of the critics; the target networks follow then
//! ```
//! Fujimoto et al. 2018, algorithm 1. Actions are in [−1, 1] here, tanh of the actor's output, and are stretched to the
//! action space on their way into the environment. Deviations from the paper: orthogonal initial weights; exploration by an
//! Ornstein–Uhlenbeck process (independent noise, the paper's, is `agent.exploration.process = "gaussian"`), because a step's
//! noise that the next one undoes never gets a slow task anywhere; normalised observations and rewards; a truncated episode is
//! bootstrapped. The gradient steps of a rollout come after it: with `rollout.envs = rollout.steps = 1` that is the paper's one
//! step, one update.

use crate::config::{
    ActivationKind, ExplorationConfig, ExplorationKind, OptimizerKind, ReplayConfig, keys, networks, scaling,
};
use crate::distribution::Deterministic;
use crate::parts::exploration::Exploration;
use crate::parts::networks;
use crate::parts::normalize::Normalizer;
use crate::parts::replay::{Minibatch, Replay};
use crate::parts::target_network::TargetNetwork;
use crate::parts::twin_critics::TwinCritics;
use crate::{
    ActingPolicy, ActionRange, Agent, AgentError, AgentSpec, Compute, Metrics, Refusal, Rollout,
    RolloutShape, Task, role,
};
use relax_envs::EnvRng;
use relax_nn::{Activation, StateDict, StateTensor, Workspace};
use std::sync::Arc;

keys! {
    /// `[agent]` of TD3.
    pub struct Td3Keys {
        /// Widths of the hidden layers of actor and critics.
        hidden: Vec<usize> = vec![64, 64],
        /// Activation of the hidden layers: "tanh", "relu" or "elu".
        activation: ActivationKind = ActivationKind::Relu,
        /// Widths of the hidden layers of the critics, where they differ from `hidden`.
        #[serde(skip_serializing_if = "Option::is_none")]
        critic_hidden: Option<Vec<usize>> = None,
        /// How it explores.
        exploration: ExplorationConfig = ExplorationConfig {
            process: ExplorationKind::OrnsteinUhlenbeck, std: 0.2, theta: 0.15
        },
    }
}
networks!(Td3Keys);

keys! {
    /// `[learner]` of TD3.
    pub struct Td3Learner {
        /// Step size of the actor's optimiser.
        learning_rate: f64 = 1e-3,
        /// Step size of the critics' optimisers.
        value_learning_rate: f64 = 1e-3,
        /// Optimiser of all networks: "adam", "rmsprop" or "rmsprop-tf".
        optimizer: OptimizerKind = OptimizerKind::Adam,
        /// Discount factor γ in [0, 1].
        gamma: f64 = 0.99,
        /// Steps of the critics for each of the actor and the target networks.
        policy_delay: u64 = 2,
        /// σ: standard deviation of the noise on target actions, as a share of half the action range.
        target_noise: f64 = 0.2,
        /// c: where that noise is cut off.
        target_noise_clip: f64 = 0.5,
        /// Largest global norm of the policy gradient; 0 switches clipping off.
        max_grad_norm: f64 = 0.0,
        /// Largest global norm of each critic's gradient; 0 switches clipping off.
        critic_max_grad_norm: f64 = 0.0,
        /// Scale the learning rates linearly down to 0 over the run.
        anneal: bool = false,
        /// Multiple of the rewards that the agent learns from; logs and evaluation show the environment's own.
        reward_scale: f64 = 1.0,
        /// Shift and scale observations that are numbers to mean 0 and deviation 1 over all training so far; frozen in evaluation.
        normalize_observations: bool = true,
        /// Divide rewards by the standard deviation of the discounted return over all training so far.
        normalize_rewards: bool = true,
        /// Stored experience.
        replay: ReplayConfig = ReplayConfig::default(),
    }
}
scaling!(Td3Learner);

/// TD3's line of the registry.
pub(crate) fn spec() -> AgentSpec {
    let summary = "DDPG with two critics, whose smaller value is the target, and a slower actor";
    AgentSpec::new("td3", summary, |agent: &Td3Keys, learner: &Td3Learner, task| {
        // What is drawn from the replay is normalised at use, by the agent itself.
        Ok(Box::new(Td3::new(task, agent, learner)?))
    })
    // One step, then one gradient step: the published schedule.
    .rollout(RolloutShape { episodes: false, envs: 1, steps: 1 })
    .check(|_: &Td3Keys, learner: &Td3Learner, _| check(learner))
    .dissect(|_: &Td3Keys, _: &Td3Learner| {
        Err(Refusal::new(
            "agent.kind",
            "agent.kind = \"td3\" has no estimator of a policy gradient to dissect",
            "reinforce, a2c, relax-a2c and relax-ddpg have one",
        ))
    })
}

fn check(learner: &Td3Learner) -> Result<(), Refusal> {
    if learner.replay.updates_per_step <= 0.0 {
        let message = "`learner.replay.updates_per_step` is 0, so that TD3 would never learn";
        return Err(Refusal::new("learner.replay.updates_per_step", message, "leave it out, or take 1"));
    }
    if learner.policy_delay == 0 {
        return Err(Refusal::range("learner.policy_delay", "0", "1 or more"));
    }
    for (key, value) in [
        ("learner.target_noise", learner.target_noise),
        ("learner.target_noise_clip", learner.target_noise_clip),
    ] {
        if !(value.is_finite() && value >= 0.0) {
            return Err(Refusal::range(key, &format!("{value:?}"), "a finite number, 0 or more"));
        }
    }
    Ok(())
}

/// The TD3 agent.
pub struct Td3 {
    learner: Td3Learner,
    exploration: Exploration,
    actor: TargetNetwork,
    critics: TwinCritics,
    normalizer: Normalizer,
    /// Of the environment's own numbers.
    replay: Replay,
    /// Draws the minibatches, and the noise of target actions.
    rngs: [EnvRng; 2],
    env_steps: u64,
    updates: u64,
    /// Loss and gradient norm of the actor's last step, which not every update takes.
    last: [f64; 2],
    minibatch: Minibatch,
    workspace: Workspace<f32>,
    /// `[B, K]`: actions, the critic's gradient by them, and zeros.
    actions: Vec<f32>,
    gradient: Vec<f32>,
    zeros: Vec<f32>,
    /// y `[B]`.
    targets: Vec<f32>,
}

impl Td3 {
    /// A fresh agent.
    ///
    /// # Errors
    /// If a network cannot be made, or the action space is no box with finite bounds.
    pub fn new(task: Task<'_>, agent: &Td3Keys, learner: &Td3Learner) -> Result<Self, AgentError> {
        ActionRange::check_bounded("td3", task.actions)?;
        let rng = |index| EnvRng::from_seed_sequence(task.seed, &[role::WEIGHTS, index]);
        let (dim, k) = (task.observations.flat_dim(), task.actions.flat_dim());
        let shape = networks::shape(dim, &agent.policy_network(), k)?;
        let size = learner.replay.batch_size;
        Ok(Self {
            exploration: Exploration::new(&agent.exploration),
            actor: TargetNetwork::new(shape, 0.01, learner.optimizer, &mut rng(0)),
            critics: TwinCritics::new(dim, k, &agent.critic_network(), learner.optimizer, [rng(1), rng(2)])?,
            normalizer: Normalizer::new(task.observations, learner.normalization()),
            replay: Replay::new(learner.replay.capacity, dim, k),
            rngs: [role::REPLAY, role::NEXT_ACTIONS]
                .map(|role| EnvRng::from_seed_sequence(task.seed, &[role])),
            env_steps: 0,
            updates: 0,
            last: [f64::NAN; 2],
            minibatch: Minibatch::default(),
            workspace: Workspace::new(),
            actions: vec![0.0; size * k],
            gradient: vec![0.0; size * k],
            zeros: vec![0.0; size * k],
            targets: vec![0.0; size],
            learner: learner.clone(),
        })
    }

    /// One gradient step of the critics on a fresh minibatch, and the actor's if it is due.
    fn update(&mut self, progress: f64, metrics: &mut Metrics) -> Result<(), AgentError> {
        let Self { learner, actor, critics, minibatch, workspace, actions, targets, .. } = self;
        let [draws, noise] = &mut self.rngs;
        self.replay.sample(learner.replay.batch_size, draws, minibatch);
        self.normalizer.minibatch(minibatch);

        actor.shape.forward(&actor.target, &minibatch.next_observations, workspace, actions);
        Activation::Tanh.add_bias_and_activate(actions, &self.zeros);
        let (std, clip) = (learner.target_noise as f32, learner.target_noise_clip as f32);
        for a in &mut *actions {
            let blur = (std * noise.standard_normal() as f32).clamp(-clip, clip);
            *a = (*a + blur).clamp(-1.0, 1.0);
        }
        critics.next_values(minibatch, actions, targets);
        let gamma = learner.gamma as f32;
        for ((y, r), going_on) in targets.iter_mut().zip(&minibatch.rewards).zip(&minibatch.going_on) {
            *y = r + gamma * going_on * *y;
        }
        let rate = learner.annealed(learner.value_learning_rate, progress);
        metrics.value_loss =
            critics.step(minibatch, &minibatch.actions, targets, rate, learner.critic_max_grad_norm)?;

        metrics.learning_rate = learner.annealed(learner.learning_rate, progress);
        if (self.updates + 1).is_multiple_of(learner.policy_delay) {
            self.improve_actor(metrics.learning_rate)?;
        }
        [metrics.policy_loss, metrics.policy_gradient_norm] = self.last;
        Ok(())
    }

    /// One gradient step of the actor on the minibatch that the critics have just learned from; the targets follow.
    fn improve_actor(&mut self, rate: f64) -> Result<(), AgentError> {
        let Self { learner, actor, critics, minibatch, workspace, actions, gradient, zeros, .. } = self;
        let observations = &minibatch.observations;
        actor.shape.forward(&actor.parameters, observations, workspace, actions);
        Activation::Tanh.add_bias_and_activate(actions, zeros);
        let value = critics.first_gradient(observations, actions, gradient);
        gradient.iter_mut().for_each(|g| *g /= -(learner.replay.batch_size as f32));
        Activation::Tanh.multiply_by_slope(gradient, actions);
        actor.shape.reverse(&actor.parameters, observations, workspace, gradient, &mut actor.gradient, None);
        let norm = actor.step(rate, learner.max_grad_norm, "policy gradient")?;
        self.last = [-value, norm];
        actor.follow(learner.replay.tau as f32);
        critics.follow(learner.replay.tau as f32);
        Ok(())
    }
}

impl Agent for Td3 {
    fn acting_policy(&self) -> ActingPolicy {
        let distribution = Arc::new(Deterministic { dim: self.actor.shape.output() });
        let (shape, parameters) = (self.actor.shape.clone(), self.actor.parameters.clone());
        let mut policy = ActingPolicy::new(shape, distribution, parameters, "actor.parameters");
        self.refresh(&mut policy);
        policy
    }

    fn refresh(&self, policy: &mut ActingPolicy) {
        policy.set_parameters(&self.actor.parameters);
        let warming_up = self.env_steps < self.learner.replay.warm_up_steps;
        self.normalizer.scale(policy);
        policy.set_exploration(if warming_up { Exploration::Uniform } else { self.exploration });
    }

    /// Stores the batch and takes all gradient steps that are due: actor and critics learn together.
    fn improve_policy(
        &mut self,
        batch: &Rollout,
        progress: f64,
        _: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError> {
        self.normalizer.begin(batch);
        self.normalizer.end(batch);
        self.replay.extend(batch);
        self.env_steps += batch.rows() as u64;
        let due = self.learner.replay.updates_due(self.env_steps);
        while self.updates < due {
            self.update(progress, metrics)?;
            self.updates += 1;
        }
        Ok(())
    }

    fn fit_critics(&mut self, _: &Rollout, _: f64, _: &Compute, _: &mut Metrics) -> Result<(), AgentError> {
        Ok(())
    }

    fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_all("actor", self.actor.state());
        state.insert_all("critics", self.critics.state());
        state.insert_all("replay", self.replay.state());
        self.normalizer.save(&mut state);
        state.insert("streams", StateTensor::U64(self.rngs.iter().flat_map(EnvRng::state).collect()));
        state.insert("counters", StateTensor::U64(vec![self.env_steps, self.updates]));
        state.insert("last_policy_step", StateTensor::F64(self.last.to_vec()));
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let [env_steps, updates] = self.learner.replay.counters(state)?;
        let words: [u64; 12] = state.u64_array("streams")?;
        let last = state.f64_array("last_policy_step")?;
        let mut rngs = self.rngs.clone();
        for (rng, words) in rngs.iter_mut().zip(words.as_chunks::<6>().0) {
            *rng = EnvRng::from_state(*words).map_err(|error| AgentError::Config(error.to_string()))?;
        }
        self.actor.restore(&state.subset("actor"))?;
        self.critics.restore(&state.subset("critics"))?;
        self.replay.restore(&state.subset("replay"))?;
        self.normalizer.restore(state)?;
        self.rngs = rngs;
        (self.env_steps, self.updates, self.last) = (env_steps, updates, last);
        Ok(())
    }
}

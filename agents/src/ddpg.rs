//! Deep deterministic policy gradient: a critic Q(s, a) learned from replayed experience, and an actor that climbs it.
//!
//! ```text
//! critic   ½ mean (Q(s, a) − y)²,  y = r + γ Q'(s', μ'(s'))        primes: target networks; y = r where s' is terminal
//! actor    −mean Q(s, μ(s)),       gradient −mean ∇_aQ(s, μ(s)) ∂μ/∂θ
//! ```
//! Lillicrap et al. 2016, algorithm 1. Actions are in [−1, 1] here, tanh of the actor's output, and are stretched to the
//! action space on their way into the environment. Deviations from the paper, each of them common since: the action enters
//! the critic at its first layer; orthogonal initial weights; no weight decay and no batch normalisation; Gaussian
//! exploration by default (the Ornstein–Uhlenbeck process is `agent.exploration.process`); the first steps are uniformly
//! random; a truncated episode is bootstrapped. The gradient steps of a rollout come after it: with
//! `rollout.envs = rollout.steps = 1` that is the paper's one step, one update.

use crate::config::{
    ActivationKind, ExplorationConfig, ExplorationKind, OptimizerKind, ReplayConfig, keys, networks, scaling,
};
use crate::distribution::Deterministic;
use crate::parts::exploration::Exploration;
use crate::parts::networks;
use crate::parts::normalize::Normalizer;
use crate::parts::q_critic::QCritic;
use crate::parts::replay::{Minibatch, Replay};
use crate::parts::target_network::TargetNetwork;
use crate::{
    ActingPolicy, ActionRange, Agent, AgentError, AgentSpec, Compute, Metrics, Refusal, Rollout,
    RolloutShape, Task, role,
};
use relax_envs::EnvRng;
use relax_nn::{Activation, StateDict, StateTensor, Workspace};
use std::sync::Arc;

keys! {
    /// `[agent]` of DDPG.
    pub struct DdpgKeys {
        /// Widths of the hidden layers of the policy, the critic and the control variate.
        hidden: Vec<usize> = vec![64, 64],
        /// Activation of the hidden layers: "tanh", "relu" or "elu".
        activation: ActivationKind = ActivationKind::Relu,
        /// Widths of the hidden layers of the critics V, r and Q, where they differ from `hidden`.
        #[serde(skip_serializing_if = "Option::is_none")]
        critic_hidden: Option<Vec<usize>> = None,
        /// How it explores: by default so that neighbouring steps push the same way, since white noise moves no car in a valley.
        exploration: ExplorationConfig = ExplorationConfig {
            process: ExplorationKind::OrnsteinUhlenbeck,
            std: 0.2,
            ..ExplorationConfig::default()
        },
    }
}
networks!(DdpgKeys);

keys! {
    /// `[learner]` of DDPG.
    pub struct DdpgLearner {
        /// Step size of the policy's optimiser.
        learning_rate: f64 = 1e-3,
        /// Step size of the critic's optimiser.
        value_learning_rate: f64 = 1e-3,
        /// Optimiser of all networks: "adam", "rmsprop" or "rmsprop-tf".
        optimizer: OptimizerKind = OptimizerKind::Adam,
        /// Discount factor γ in [0, 1].
        gamma: f64 = 0.99,
        /// Largest global norm of the policy gradient; 0 switches clipping off.
        max_grad_norm: f64 = 0.5,
        /// Largest global norm of the critic's and the control variate's gradients; 0 switches clipping off.
        critic_max_grad_norm: f64 = 0.5,
        /// Scale the learning rates linearly down to 0 over the run.
        anneal: bool = false,
        /// Multiple of the rewards that the agent learns from; logs and evaluation show the environment's own.
        reward_scale: f64 = 1.0,
        /// Shift and scale observations that are numbers to mean 0 and deviation 1 over all training so far; frozen in evaluation.
        normalize_observations: bool = true,
        /// Divide rewards by the standard deviation of the discounted return over all training so far.
        normalize_rewards: bool = true,
        /// Stored experience.
        replay: ReplayConfig = ReplayConfig { batch_size: 128, ..ReplayConfig::default() },
    }
}

scaling!(DdpgLearner);

/// DDPG's line of the registry.
pub(crate) fn spec() -> AgentSpec {
    let summary = "deep deterministic policy gradient, from replayed experience";
    AgentSpec::new("ddpg", summary, |agent: &DdpgKeys, learner: &DdpgLearner, task| {
        // What is drawn from the replay is normalised at use, by the agent itself.
        Ok(Box::new(Ddpg::new(task, agent, learner)?))
    })
    // One step, then one gradient step: the published schedule.
    .rollout(RolloutShape { episodes: false, envs: 1, steps: 1 })
    .check(|_: &DdpgKeys, learner: &DdpgLearner, _| {
        if learner.replay.updates_per_step > 0.0 {
            return Ok(());
        }
        let message = "`learner.replay.updates_per_step` is 0, so that DDPG would never learn";
        Err(Refusal::new("learner.replay.updates_per_step", message, "leave it out, or take 1"))
    })
    .dissect(|_: &DdpgKeys, _: &DdpgLearner| {
        Err(Refusal::new(
            "agent.kind",
            "agent.kind = \"ddpg\" has no estimator of a policy gradient to dissect",
            "reinforce, a2c, relax-a2c and relax-ddpg have one",
        ))
    })
}

/// The DDPG agent.
pub struct Ddpg {
    learner: DdpgLearner,
    exploration: Exploration,
    actor: TargetNetwork,
    critic: QCritic,
    normalizer: Normalizer,
    /// Of the environment's own numbers.
    replay: Replay,
    /// Draws the minibatches.
    rng: EnvRng,
    env_steps: u64,
    updates: u64,
    minibatch: Minibatch,
    workspace: Workspace<f32>,
    /// `[B, K]`: actions, the critic's gradient by them, and zeros.
    actions: Vec<f32>,
    gradient: Vec<f32>,
    zeros: Vec<f32>,
}

impl Ddpg {
    /// A fresh agent.
    ///
    /// # Errors
    /// If a network cannot be made.
    pub fn new(task: Task<'_>, agent: &DdpgKeys, learner: &DdpgLearner) -> Result<Self, AgentError> {
        let rng = |index| EnvRng::from_seed_sequence(task.seed, &[role::WEIGHTS, index]);
        ActionRange::check_bounded("ddpg", task.actions)?;
        let (observation_dim, action_dim) = (task.observations.flat_dim(), task.actions.flat_dim());
        let shape = networks::shape(observation_dim, &agent.policy_network(), action_dim)?;
        let size = learner.replay.batch_size * action_dim;
        Ok(Self {
            exploration: Exploration::new(&agent.exploration),
            actor: TargetNetwork::new(shape, 0.01, learner.optimizer, &mut rng(0)),
            critic: QCritic::new(
                observation_dim,
                action_dim,
                &agent.critic_network(),
                learner.optimizer,
                &mut rng(1),
            )?,
            normalizer: Normalizer::new(task.observations, learner.normalization()),
            replay: Replay::new(learner.replay.capacity, observation_dim, action_dim),
            rng: EnvRng::from_seed_sequence(task.seed, &[role::REPLAY]),
            env_steps: 0,
            updates: 0,
            minibatch: Minibatch::default(),
            workspace: Workspace::new(),
            actions: vec![0.0; size],
            gradient: vec![0.0; size],
            zeros: vec![0.0; size],
            learner: learner.clone(),
        })
    }

    /// One gradient step of both networks on a fresh minibatch.
    fn update(&mut self, progress: f64, metrics: &mut Metrics) -> Result<(), AgentError> {
        let Self { learner, actor, critic, minibatch, workspace, actions, gradient, zeros, .. } = self;
        let (replay, rate) = (&learner.replay, |rate| learner.annealed(rate, progress));
        self.replay.sample(replay.batch_size, &mut self.rng, minibatch);
        self.normalizer.minibatch(minibatch);

        actor.shape.forward(&actor.target, &minibatch.next_observations, workspace, actions);
        Activation::Tanh.add_bias_and_activate(actions, zeros);
        metrics.value_loss = critic.add_td_gradient(minibatch, actions, learner.gamma as f32, 1.0);
        critic.net.step(
            rate(learner.value_learning_rate),
            learner.critic_max_grad_norm,
            "critic's gradient",
        )?;

        actor.shape.forward(&actor.parameters, &minibatch.observations, workspace, actions);
        Activation::Tanh.add_bias_and_activate(actions, zeros);
        metrics.policy_loss = -critic.action_gradient(&minibatch.observations, actions, gradient);
        gradient.iter_mut().for_each(|g| *g /= -(replay.batch_size as f32));
        Activation::Tanh.multiply_by_slope(gradient, actions);
        let x = &minibatch.observations;
        actor.shape.reverse(&actor.parameters, x, workspace, gradient, &mut actor.gradient, None);
        metrics.learning_rate = rate(learner.learning_rate);
        metrics.policy_gradient_norm =
            actor.step(metrics.learning_rate, learner.max_grad_norm, "policy gradient")?;

        actor.follow(replay.tau as f32);
        critic.net.follow(replay.tau as f32);
        Ok(())
    }
}

impl Agent for Ddpg {
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

    /// Stores the batch and takes all gradient steps that are due: actor and critic learn together.
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
        state.insert_all("critic", self.critic.net.state());
        state.insert_all("replay", self.replay.state());
        self.normalizer.save(&mut state);
        state.insert("replay_stream", StateTensor::U64(self.rng.state().to_vec()));
        state.insert("counters", StateTensor::U64(vec![self.env_steps, self.updates]));
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let [env_steps, updates] = self.learner.replay.counters(state)?;
        let rng = EnvRng::from_state(state.u64_array("replay_stream")?);
        self.actor.restore(&state.subset("actor"))?;
        self.critic.net.restore(&state.subset("critic"))?;
        self.replay.restore(&state.subset("replay"))?;
        self.normalizer.restore(state)?;
        self.rng = rng.map_err(|error| AgentError::Config(error.to_string()))?;
        (self.env_steps, self.updates) = (env_steps, updates);
        Ok(())
    }
}

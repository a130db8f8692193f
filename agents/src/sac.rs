//! Soft actor-critic: a stochastic policy that climbs twin critics and its own entropy, at a temperature that is learned.
//!
//! ```text
//! critics      ½ mean (Qᵢ(s, a) − y)², i = 1, 2,   y = r + γ (min(Q₁'(s', a'), Q₂'(s', a')) − α log π(a'|s')),   a' ~ π(·|s')
//! actor        mean α log π(a|s) − min(Q₁(s, a), Q₂(s, a)),   a = tanh(μ + σε), differentiated at fixed ε
//! temperature  −log α · mean (log π(a|s) + H̄),   H̄ = `target_entropy` a dimension     primes: target networks
//! ```
//! Haarnoja et al. 2018, "Soft actor-critic algorithms and applications", algorithm 1; log π is per unit of (−1, 1)ᴷ, to which
//! the bounds of the action space are stretched. Deviations from the paper: the temperature's loss is linear in log α, as in the
//! authors' code; log σ is cut off at −20 and 2, as there; orthogonal initial weights; normalised observations and rewards; the
//! noise ε of neighbouring steps is correlated (`agent.exploration.theta = 1` draws it afresh, the paper's), which leaves every
//! action's distribution as it is, and gets a slow task somewhere (Eberhard et al. 2023); the steps of the warm-up are the first
//! policy's, with that noise, and uniformly random only if the noise is fresh, because fresh noise gets nowhere; a
//! truncated episode is bootstrapped. The gradient steps of a rollout come after it.

use crate::config::{ActivationKind, OptimizerKind, ReplayConfig, keys, networks, scaling};
use crate::distribution::{Gaussian, SquashedDraw, SquashedGaussian};
use crate::parts::experience::Experience;
use crate::parts::exploration::Exploration;
use crate::parts::networks;
use crate::parts::streams;
use crate::parts::target_network::TargetNetwork;
use crate::parts::twin_critics::TwinCritics;
use crate::{
    ActingPolicy, ActionRange, Agent, AgentError, AgentSpec, Compute, Metrics, Refusal, Rollout,
    RolloutShape, Task, role,
};
use relax_envs::EnvRng;
use relax_nn::{Activation, Optimizer, StateDict, Workspace};
use std::sync::Arc;

keys! {
    /// `[agent.exploration]` of SAC.
    pub struct SacExploration {
        /// Share of the noise behind the actions that a step forgets, above 0 and at most 1; 1: every step has noise of its own.
        theta: f64 = 0.15,
    }
}

keys! {
    /// `[agent]` of SAC.
    pub struct SacKeys {
        /// Widths of the hidden layers of actor and critics.
        hidden: Vec<usize> = vec![64, 64],
        /// Activation of the hidden layers: "tanh", "relu" or "elu".
        activation: ActivationKind = ActivationKind::Relu,
        /// Widths of the hidden layers of the critics, where they differ from `hidden`.
        #[serde(skip_serializing_if = "Option::is_none")]
        critic_hidden: Option<Vec<usize>> = None,
        /// How the noise of neighbouring steps hangs together.
        exploration: SacExploration = SacExploration::default(),
    }
}
networks!(SacKeys);

keys! {
    /// `[learner]` of SAC.
    pub struct SacLearner {
        /// Step size of the actor's optimiser.
        learning_rate: f64 = 1e-3,
        /// Step size of the critics' optimisers.
        value_learning_rate: f64 = 1e-3,
        /// Step size of the optimiser of log α.
        temperature_learning_rate: f64 = 1e-3,
        /// Optimiser of all networks and of the temperature: "adam", "rmsprop" or "rmsprop-tf".
        optimizer: OptimizerKind = OptimizerKind::Adam,
        /// Discount factor γ in [0, 1].
        gamma: f64 = 0.99,
        /// α at the start, above 0; with a small one it stops exploring before it has found anything.
        initial_temperature: f64 = 1.0,
        /// Entropy that the temperature aims at, in nats for each number of an action in (−1, 1); log 2 is uniform.
        target_entropy: f64 = -1.0,
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
scaling!(SacLearner);

/// SAC's line of the registry.
pub(crate) fn spec() -> AgentSpec {
    let summary = "soft actor-critic: stochastic, twin critics, a learned temperature";
    AgentSpec::new("sac", summary, |agent: &SacKeys, learner: &SacLearner, task| {
        // What is drawn from the replay is normalised at use, by the agent itself.
        Ok(Box::new(Sac::new(task, agent, learner)?))
    })
    // One step, then one gradient step: the published schedule.
    .rollout(RolloutShape { episodes: false, envs: 1, steps: 1 })
    .check(|agent: &SacKeys, learner: &SacLearner, _| check(agent, learner))
    .without_estimator()
    .reports(&["temperature"])
}

fn check(agent: &SacKeys, learner: &SacLearner) -> Result<(), Refusal> {
    learner.replay.check_learning("SAC")?;
    let theta = agent.exploration.theta;
    if !(theta > 0.0 && theta <= 1.0) {
        let right = "above 0 and at most 1: with 0 there would be no noise";
        return Err(Refusal::range("agent.exploration.theta", &format!("{theta:?}"), right));
    }
    Ok(())
}

/// The SAC agent.
pub struct Sac {
    learner: SacLearner,
    exploration: Exploration,
    distribution: Arc<SquashedGaussian>,
    /// It needs no target network, and has none.
    actor: TargetNetwork,
    critics: TwinCritics,
    /// log α and its optimiser.
    log_temperature: [f32; 1],
    temperature_optimizer: Optimizer<f32>,
    /// Of actions before the squash.
    experience: Experience,
    /// Draws the minibatches, and the noise of actions after and at stored states.
    rngs: [EnvRng; 2],
    workspace: Workspace<f32>,
    /// What the actor says `[B, 2K]`, and the gradient by it.
    output: Vec<f32>,
    d_output: Vec<f32>,
    /// `[B, K]`: noise, the critics' gradient by the actions, and zeros.
    noise: Vec<f32>,
    gradient: Vec<f32>,
    zeros: Vec<f32>,
    draw: SquashedDraw,
    /// y `[B]`.
    targets: Vec<f32>,
}

impl Sac {
    /// A fresh agent.
    ///
    /// # Errors
    /// If a network cannot be made, or the action space is no box with finite bounds.
    pub fn new(task: Task<'_>, agent: &SacKeys, learner: &SacLearner) -> Result<Self, AgentError> {
        ActionRange::check_bounded("sac", task.actions)?;
        let rng = |index| EnvRng::from_seed_sequence(task.seed, &[role::WEIGHTS, index]);
        let (dim, k) = (task.observations.flat_dim(), task.actions.flat_dim());
        let gaussian =
            Gaussian { dim: k, state_dependent: true, initial_log_std: Vec::new(), bounds: Vec::new() };
        let distribution = Arc::new(SquashedGaussian(gaussian));
        let shape = networks::policy_shape(dim, &agent.policy_network(), &*distribution)?;
        let (size, theta) = (learner.replay.batch_size, agent.exploration.theta);
        Ok(Self {
            // Its standard deviation settles at 1.
            exploration: Exploration::OrnsteinUhlenbeck {
                theta: theta as f32,
                std: (theta * (2.0 - theta)).sqrt() as f32,
            },
            distribution,
            actor: TargetNetwork::alone(shape, 0.01, learner.optimizer, &mut rng(0)),
            critics: TwinCritics::new(dim, k, &agent.critic_network(), learner.optimizer, [rng(1), rng(2)])?,
            log_temperature: [learner.initial_temperature.ln() as f32],
            temperature_optimizer: Optimizer::new(networks::rule(learner.optimizer), 1),
            experience: Experience::new(&task, k, &learner.replay, learner.normalization()),
            rngs: [role::REPLAY, role::NEXT_ACTIONS]
                .map(|role| EnvRng::from_seed_sequence(task.seed, &[role])),
            workspace: Workspace::new(),
            output: vec![0.0; 2 * size * k],
            d_output: vec![0.0; 2 * size * k],
            noise: vec![0.0; size * k],
            gradient: vec![0.0; size * k],
            zeros: vec![0.0; size * k],
            draw: SquashedDraw::default(),
            targets: vec![0.0; size],
            learner: learner.clone(),
        })
    }

    fn has_fresh_noise(&self) -> bool {
        matches!(self.exploration, Exploration::OrnsteinUhlenbeck { theta: 1.0, .. })
    }

    /// Draws an action for every row of `observations`.
    fn act(&mut self, next: bool) {
        let Self { actor, experience, workspace, output, noise, draw, .. } = self;
        let minibatch = &experience.minibatch;
        let observations = if next { &minibatch.next_observations } else { &minibatch.observations };
        actor.shape.forward(&actor.parameters, observations, workspace, output);
        noise.iter_mut().for_each(|e| *e = self.rngs[1].standard_normal() as f32);
        draw.draw(output, noise, self.distribution.0.dim);
    }

    /// One gradient step of the critics, the actor and the temperature on a fresh minibatch.
    fn update(&mut self, progress: f64, metrics: &mut Metrics) -> Result<(), AgentError> {
        let size = self.learner.replay.batch_size;
        self.experience.draw(&mut self.rngs[0]);
        Activation::Tanh.add_bias_and_activate(&mut self.experience.minibatch.actions, &self.zeros);
        let temperature = self.log_temperature[0].exp();
        metrics.temperature = f64::from(temperature);

        self.act(true);
        let Self { learner, critics, experience, targets, draw, .. } = self;
        let minibatch = &experience.minibatch;
        critics.next_values(minibatch, &draw.actions, targets);
        let gamma = learner.gamma as f32;
        let rewards = minibatch.rewards.iter().zip(&minibatch.going_on);
        for ((y, log_prob), (r, going_on)) in targets.iter_mut().zip(&draw.log_prob).zip(rewards) {
            *y = r + gamma * going_on * (*y - temperature * log_prob);
        }
        let rate = learner.annealed(learner.value_learning_rate, progress);
        metrics.value_loss =
            critics.step(minibatch, &minibatch.actions, targets, rate, learner.critic_max_grad_norm)?;

        self.act(false);
        let Self { learner, actor, critics, experience, workspace, d_output, gradient, draw, .. } = self;
        let observations = &experience.minibatch.observations;
        let value = critics.smaller_gradient(observations, &draw.actions, gradient);
        gradient.iter_mut().for_each(|g| *g /= -(size as f32));
        draw.pull_back(temperature / size as f32, gradient, self.distribution.0.dim, d_output);
        let (parameters, to) = (&actor.parameters, &mut actor.gradient);
        actor.shape.reverse(parameters, observations, workspace, d_output, to, None);
        metrics.learning_rate = learner.annealed(learner.learning_rate, progress);
        metrics.policy_gradient_norm =
            actor.step(metrics.learning_rate, learner.max_grad_norm, "policy gradient")?;
        metrics.entropy = -draw.log_prob.iter().map(|&l| f64::from(l)).sum::<f64>() / size as f64;
        metrics.policy_loss = -f64::from(temperature) * metrics.entropy - value;

        let target = learner.target_entropy * self.distribution.0.dim as f64;
        let by_log_temperature = [(metrics.entropy - target) as f32];
        let rate = learner.annealed(learner.temperature_learning_rate, progress);
        self.temperature_optimizer.step(&mut self.log_temperature, &by_log_temperature, rate, 1.0);
        critics.follow(learner.replay.tau as f32);
        Ok(())
    }
}

impl Agent for Sac {
    fn acting_policy(&self) -> ActingPolicy {
        let (shape, parameters) = (self.actor.shape.clone(), self.actor.parameters.clone());
        let mut policy = ActingPolicy::new(shape, self.distribution.clone(), parameters, "actor.parameters");
        self.refresh(&mut policy);
        policy
    }

    fn refresh(&self, policy: &mut ActingPolicy) {
        policy.set_parameters(&self.actor.parameters);
        self.experience.normalizer.scale(policy);
        let is_uniform = self.has_fresh_noise() && self.experience.is_warming_up();
        policy.set_exploration(if is_uniform { Exploration::Uniform } else { self.exploration });
    }

    /// Stores the batch and takes all gradient steps that are due: actor and critics learn together.
    fn improve_policy(
        &mut self,
        batch: &Rollout,
        progress: f64,
        compute: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError> {
        self.experience.take(batch);
        self.catch_up(progress, compute, metrics)
    }

    fn is_behind(&self) -> bool {
        self.experience.due().is_some()
    }

    fn catch_up(
        &mut self,
        progress: f64,
        compute: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError> {
        while self.experience.due().is_some() && !compute.is_stopped() {
            self.update(progress, metrics)?;
            self.experience.done();
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
        state.insert_f32("log_temperature", &self.log_temperature);
        state.insert_all("temperature_optimizer", self.temperature_optimizer.state());
        self.experience.save(&mut state);
        streams::save(&mut state, "streams", &self.rngs);
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let rngs = streams::restore(state, "streams")?;
        let log_temperature = state.f32("log_temperature", 1)?[0];
        self.actor.restore(&state.subset("actor"))?;
        self.critics.restore(&state.subset("critics"))?;
        self.temperature_optimizer.restore(&state.subset("temperature_optimizer"))?;
        self.experience.restore(state)?;
        (self.rngs, self.log_temperature) = (rngs, [log_temperature]);
        Ok(())
    }
}

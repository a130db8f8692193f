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
use crate::parts::deterministic_actor::DeterministicActor;
use crate::parts::experience::Experience;
use crate::parts::streams;
use crate::parts::twin_critics::TwinCritics;
use crate::{
    ActingPolicy, ActionRange, Agent, AgentError, AgentSpec, Compute, Metrics, Rollout, RolloutShape, Task,
    role,
};
use relax_envs::EnvRng;
use relax_nn::{StateDict, StateTensor};

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
    let summary = "DDPG with two critics, their smaller value the target; slower actor";
    AgentSpec::new("td3", summary, |agent: &Td3Keys, learner: &Td3Learner, task| {
        // What is drawn from the replay is normalised at use, by the agent itself.
        Ok(Box::new(Td3::new(task, agent, learner)?))
    })
    // One step, then one gradient step: the published schedule.
    .rollout(RolloutShape { episodes: false, envs: 1, steps: 1 })
    .check(|_: &Td3Keys, learner: &Td3Learner, _| learner.replay.check_learning("TD3"))
    .without_estimator()
}

/// The TD3 agent.
pub struct Td3 {
    learner: Td3Learner,
    actor: DeterministicActor,
    critics: TwinCritics,
    experience: Experience,
    /// Draws the minibatches, and the noise of target actions.
    rngs: [EnvRng; 2],
    /// Loss and gradient norm of the actor's last step, which not every update takes.
    last: [f64; 2],
    /// The critic's gradient by the actions, `[B, K]`.
    gradient: Vec<f32>,
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
        let (dim, k, size) =
            (task.observations.flat_dim(), task.actions.flat_dim(), learner.replay.batch_size);
        let (network, critic_network) = (agent.policy_network(), agent.critic_network());
        Ok(Self {
            actor: DeterministicActor::new(
                (dim, k, size),
                &network,
                learner.optimizer,
                &agent.exploration,
                &mut rng(0),
            )?,
            critics: TwinCritics::new(dim, k, &critic_network, learner.optimizer, [rng(1), rng(2)])?,
            experience: Experience::new(&task, k, &learner.replay, learner.normalization()),
            rngs: [role::REPLAY, role::NEXT_ACTIONS]
                .map(|role| EnvRng::from_seed_sequence(task.seed, &[role])),
            last: [f64::NAN; 2],
            gradient: vec![0.0; size * k],
            targets: vec![0.0; size],
            learner: learner.clone(),
        })
    }

    /// Gradient step `number` of the critics, on a fresh minibatch, and the actor's if it is due.
    fn update(&mut self, number: u64, progress: f64, metrics: &mut Metrics) -> Result<(), AgentError> {
        let Self { learner, actor, critics, experience, targets, .. } = self;
        let [draws, noise] = &mut self.rngs;
        experience.draw(draws);
        let minibatch = &experience.minibatch;

        actor.target_actions(&minibatch.next_observations);
        let (std, clip) = (learner.target_noise as f32, learner.target_noise_clip as f32);
        for a in &mut actor.actions {
            let blur = (std * noise.standard_normal() as f32).clamp(-clip, clip);
            *a = (*a + blur).clamp(-1.0, 1.0);
        }
        critics.next_values(minibatch, &actor.actions, targets);
        let gamma = learner.gamma as f32;
        for ((y, r), going_on) in targets.iter_mut().zip(&minibatch.rewards).zip(&minibatch.going_on) {
            *y = r + gamma * going_on * *y;
        }
        let rate = learner.annealed(learner.value_learning_rate, progress);
        metrics.value_loss =
            critics.step(minibatch, &minibatch.actions, targets, rate, learner.critic_max_grad_norm)?;

        metrics.learning_rate = learner.annealed(learner.learning_rate, progress);
        if number.is_multiple_of(learner.policy_delay) {
            self.improve_actor(metrics.learning_rate)?;
        }
        [metrics.policy_loss, metrics.policy_gradient_norm] = self.last;
        Ok(())
    }

    /// One gradient step of the actor on the minibatch that the critics have just learned from; the targets follow.
    fn improve_actor(&mut self, rate: f64) -> Result<(), AgentError> {
        let Self { learner, actor, critics, experience, gradient, .. } = self;
        let observations = &experience.minibatch.observations;
        actor.own_actions(observations);
        let value = critics.first_gradient(observations, &actor.actions, gradient);
        self.last = [-value, actor.climb(observations, gradient, rate, learner.max_grad_norm)?];
        actor.follow(learner.replay.tau as f32);
        critics.follow(learner.replay.tau as f32);
        Ok(())
    }
}

impl Agent for Td3 {
    fn acting_policy(&self) -> ActingPolicy {
        let mut policy = self.actor.snapshot();
        self.refresh(&mut policy);
        policy
    }

    fn refresh(&self, policy: &mut ActingPolicy) {
        self.actor.refresh(policy, self.experience.is_warming_up());
        self.experience.normalizer.scale(policy);
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
        while let Some(number) = self.experience.due().filter(|_| !compute.is_stopped()) {
            self.update(number, progress, metrics)?;
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
        self.experience.save(&mut state);
        streams::save(&mut state, "streams", &self.rngs);
        state.insert("last_policy_step", StateTensor::F64(self.last.to_vec()));
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let (rngs, last) = (streams::restore(state, "streams")?, state.f64_array("last_policy_step")?);
        self.actor.restore(&state.subset("actor"))?;
        self.critics.restore(&state.subset("critics"))?;
        self.experience.restore(state)?;
        (self.rngs, self.last) = (rngs, last);
        Ok(())
    }
}

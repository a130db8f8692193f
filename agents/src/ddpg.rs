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
use crate::parts::deterministic_actor::DeterministicActor;
use crate::parts::experience::Experience;
use crate::parts::q_critic::QCritic;
use crate::parts::streams;
use crate::{
    ActingPolicy, ActionRange, Agent, AgentError, AgentSpec, Compute, Metrics, Rollout, RolloutShape, Task,
    role,
};
use relax_envs::EnvRng;
use relax_nn::StateDict;

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
    .check(|_: &DdpgKeys, learner: &DdpgLearner, _| learner.replay.check_learning("DDPG"))
    .without_estimator()
}

/// The DDPG agent.
pub struct Ddpg {
    learner: DdpgLearner,
    actor: DeterministicActor,
    critic: QCritic,
    experience: Experience,
    /// Draws the minibatches.
    rng: EnvRng,
    /// The critic's gradient by the actions, `[B, K]`.
    gradient: Vec<f32>,
}

impl Ddpg {
    /// A fresh agent.
    ///
    /// # Errors
    /// If a network cannot be made.
    pub fn new(task: Task<'_>, agent: &DdpgKeys, learner: &DdpgLearner) -> Result<Self, AgentError> {
        let rng = |index| EnvRng::from_seed_sequence(task.seed, &[role::WEIGHTS, index]);
        ActionRange::check_bounded("ddpg", task.actions)?;
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
            critic: QCritic::new(dim, k, &critic_network, learner.optimizer, &mut rng(1))?,
            experience: Experience::new(&task, k, &learner.replay, learner.normalization()),
            rng: EnvRng::from_seed_sequence(task.seed, &[role::REPLAY]),
            gradient: vec![0.0; size * k],
            learner: learner.clone(),
        })
    }

    /// One gradient step of both networks on a fresh minibatch.
    fn update(&mut self, progress: f64, metrics: &mut Metrics) -> Result<(), AgentError> {
        let Self { learner, actor, critic, experience, gradient, .. } = self;
        let rate = |rate| learner.annealed(rate, progress);
        experience.draw(&mut self.rng);
        let minibatch = &experience.minibatch;

        actor.target_actions(&minibatch.next_observations);
        metrics.value_loss = critic.add_td_gradient(minibatch, &actor.actions, learner.gamma as f32, 1.0);
        critic.net.step(
            rate(learner.value_learning_rate),
            learner.critic_max_grad_norm,
            "critic's gradient",
        )?;

        let observations = &minibatch.observations;
        actor.own_actions(observations);
        metrics.policy_loss = -critic.action_gradient(observations, &actor.actions, gradient);
        metrics.learning_rate = rate(learner.learning_rate);
        metrics.policy_gradient_norm =
            actor.climb(observations, gradient, metrics.learning_rate, learner.max_grad_norm)?;

        actor.follow(learner.replay.tau as f32);
        critic.net.follow(learner.replay.tau as f32);
        Ok(())
    }
}

impl Agent for Ddpg {
    fn acting_policy(&self) -> ActingPolicy {
        let mut policy = self.actor.snapshot();
        self.refresh(&mut policy);
        policy
    }

    fn refresh(&self, policy: &mut ActingPolicy) {
        self.actor.refresh(policy, self.experience.is_warming_up());
        self.experience.normalizer.scale(policy);
    }

    /// Stores the batch and takes all gradient steps that are due: actor and critic learn together.
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
        state.insert_all("critic", self.critic.net.state());
        self.experience.save(&mut state);
        streams::save(&mut state, "replay_stream", std::slice::from_ref(&self.rng));
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let [rng] = streams::restore(state, "replay_stream")?;
        self.actor.restore(&state.subset("actor"))?;
        self.critic.net.restore(&state.subset("critic"))?;
        self.experience.restore(state)?;
        self.rng = rng;
        Ok(())
    }
}

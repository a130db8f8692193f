//! The unbiased, adaptive counterpart of DDPG: an on-policy gradient whose control variate is a critic Q(s, a) learned from
//! replayed experience.
//!
//! Estimator at the Gaussian's parameters, for the executed, unclipped action a = μ + σε, written for μ:
//!
//! ```text
//! ĝ = A − η₁·F − η₂·B − η₃·E − η₄·D,   A = (ε/σ)(R̂ − V(s))                   (A2C's estimator)
//!     F = (ε/σ)·Σ_{k>t} (γλ)^{k−t} C_k,   C = Q(s, a) − E_π Q(s, ·)           (what the future actions did)
//!     B = (ε/σ)(Q(s, a) − V(s)) − ∇_aQ(s, a)                                  (what the action itself did)
//!     E = (ε/σ)(E_π Q(s, ·) − V(s))                                           (V's error, by Q)
//!     D = (ε/σ)(V₂(s) − V(s))                                                 (V's error, by past batches)
//! η = (0, 1, 0, 0):  ĝ = (ε/σ)(R̂ − Q(s, a)) + ∇_aQ(s, a)                      (LAX with c = Q)
//! ```
//! All four have mean 0. V₂ is V with its correction for the steps that remain in the rollout ([`horizon`](crate::parts::horizon)). The expectations are means over fresh actions. Q − V is clipped at eight times the usual δ in C and E, and B
//! scaled down at states where the fresh actions' is beyond that; other versions have tighter bounds ([`guard`](crate::parts::guard)).
//! ∇_aQ is DDPG's actor gradient, taken at the sampled action; the term before it removes its bias, for any Q that has not
//! seen the batch. `agent.correction = false` leaves that term out: ĝ = ∇_aQ alone, which is SVG(0) (Heess et al. 2015),
//! biased by what is wrong with Q.
//!
//! LAX: Grathwohl et al. 2018, eq. 7; Q-Prop (Gu et al. 2017) is the same idea with Q linearised at μ. Deviations from DDPG:
//! the policy's batches are on-policy, so only Q learns from replay; y = r + γ Q'(s', a') with a' drawn from the current
//! policy, which needs no target actor. The trajectory-wise term is that of Cheng, Yan & Boots 2020. The gains η are estimated from
//! earlier batches, and all are 0 while those say that they do harm; with η = 0 this is A2C.

mod fit;

use crate::a2c::refuse_normalized;
use crate::config::{
    ActivationKind, BOUNDS_LOSS, CriticConfig, Gain, GainName, OptimizerKind, ReplayConfig,
    distribution_options, extras, keys, networks, scaling,
};
use crate::distribution;
use crate::parts::control_variate::ControlVariateShard;
use crate::parts::critic::Critic;
use crate::parts::expected_q::ExpectedQ;
use crate::parts::experience::Experience;
use crate::parts::gains::{self, Products};
use crate::parts::guard::VERSIONS;
use crate::parts::horizon::Horizon;
use crate::parts::later::Futures;
use crate::parts::normalize::normalized;
use crate::parts::policy::{Policy, PolicyShard};
use crate::parts::q_critic::QCritic;
use crate::parts::streams;
use crate::parts::versions::Versions;
use crate::{
    ActingPolicy, ActingScratch, ActionBuffer, Agent, AgentError, AgentSpec, Compute, Metrics, Rollout, Task,
    role,
};
use relax_envs::EnvRng;
use relax_estimators::{Baseline, mean_squared_norm, reinforce};
use relax_nn::{StateDict, StateTensor};

/// M: fresh actions in each of two hypercubes, over which E_π Q is a mean.
const FRESH: usize = 4;

/// One shard's own.
#[derive(Debug, Default)]
struct Shard {
    own: ControlVariateShard,
    ahead: ExpectedQ,
    /// F, B, E and D of one row.
    row: [Vec<f32>; 4],
    products: [Products<4>; VERSIONS],
}

keys! {
    /// `[agent]` of RELAX-DDPG.
    pub struct RelaxDdpgKeys {
        /// Widths of the hidden layers of the policy, the critic and the control variate.
        hidden: Vec<usize> = vec![64, 64],
        /// Activation of the hidden layers: "tanh", "relu" or "elu".
        activation: ActivationKind = ActivationKind::Tanh,
        /// Widths of the hidden layers of the critics V, r and Q, where they differ from `hidden`.
        #[serde(skip_serializing_if = "Option::is_none")]
        critic_hidden: Option<Vec<usize>> = None,
        /// "adaptive", or a fixed multiple of the control variate's residual.
        gain: Gain = Gain::Named(GainName::Adaptive),
        /// false leaves out the term that makes it unbiased, which gives SVG(0), DDPG's stochastic relative.
        correction: bool = true,
        /// Number of the last batches of which V's correction is made that is a better baseline than V; 0: none.
        baseline_window: usize = 12,
        /// Continuous actions: log of the standard deviation that a Gaussian policy starts with; if left out, that of half the
        /// action's range, or 0 where the action has no bounds.
        #[serde(skip_serializing_if = "Option::is_none")]
        initial_log_std: Option<f64> = None,
        /// Continuous actions: the standard deviation is an output of the policy network instead of one number per action.
        state_dependent_std: bool = false,
    }
}
networks!(RelaxDdpgKeys);
distribution_options!(RelaxDdpgKeys);

impl RelaxDdpgKeys {
    /// Batches that V's correction is made of: none where it has no gain.
    fn window(&self) -> usize {
        match (self.gain, self.correction) {
            (Gain::Named(_), true) => self.baseline_window,
            _ => 0,
        }
    }
}

keys! {
    /// `[learner]` of RELAX-DDPG.
    pub struct RelaxDdpgLearner {
        /// Step size of the policy's optimiser.
        learning_rate: f64 = 3e-3,
        /// Step size of the critic's optimiser.
        value_learning_rate: f64 = 3e-3,
        /// Step size of the optimiser of the control variate Q.
        control_variate_learning_rate: f64 = 3e-3,
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
        /// A2C's habit, which the control variates do not go with: true is refused.
        normalize_advantages: bool = false,
        /// Scale the learning rates linearly down to 0 over the run, so that what is learned stays.
        anneal: bool = true,
        /// Multiple of the rewards that the agent learns from; logs and evaluation show the environment's own.
        reward_scale: f64 = 1.0,
        /// Shift and scale observations that are numbers to mean 0 and deviation 1 over all training so far; frozen in evaluation.
        normalize_observations: bool = true,
        /// Divide rewards by the standard deviation of the discounted return over all training so far.
        normalize_rewards: bool = true,
        /// Stored experience.
        replay: ReplayConfig = ReplayConfig {
            capacity: 100_000,
            updates_per_step: 0.3,
            tau: 0.03,
            ..ReplayConfig::default()
        },
        /// What the critic Q is trained on.
        critic: CriticConfig = CriticConfig::default(),
    }
}

scaling!(RelaxDdpgLearner);
extras!(RelaxDdpgLearner);

/// RELAX-DDPG's line of the registry.
pub(crate) fn spec() -> AgentSpec {
    let summary = "unbiased DDPG: its critic as an on-policy gradient's control variate";
    AgentSpec::new("relax-ddpg", summary, |agent: &RelaxDdpgKeys, learner: &RelaxDdpgLearner, task| {
        // What is drawn from the replay is normalised at use, by the agent itself.
        Ok(Box::new(RelaxDdpg::new(task, agent, learner)?))
    })
    .check(|_: &RelaxDdpgKeys, learner: &RelaxDdpgLearner, _| {
        refuse_normalized(learner.normalize_advantages, "agent.kind = \"relax-ddpg\"")
    })
    .describe(|agent: &RelaxDdpgKeys| match agent.correction {
        false => "relax-ddpg without its correction".into(),
        true => format!("relax-ddpg, gain {}", agent.gain),
    })
}

/// The RELAX-DDPG agent.
pub struct RelaxDdpg {
    agent: RelaxDdpgKeys,
    learner: RelaxDdpgLearner,
    policy: Policy<Shard>,
    critic: Critic,
    q: QCritic,
    versions: Versions<4>,
    horizon: Horizon,
    experience: Experience,
    /// The newest batch, normalised.
    batch: Option<Rollout>,
    /// Draws the minibatches, and the noise of the actions a'.
    rngs: [EnvRng; 2],
    /// The policy as of now, and what it does after the minibatch.
    current: ActingPolicy,
    scratch: ActingScratch,
    noise: Vec<f32>,
    next_actions: ActionBuffer,
    /// C and F of the batch at hand.
    futures: Futures,
    /// V₂ − V at the newest batch's rows.
    missed: Vec<f32>,
    /// Version and η of the newest batch.
    used: (usize, [f64; 4]),
    seed: u64,
    updates: u64,
}

impl RelaxDdpg {
    /// A fresh agent.
    ///
    /// # Errors
    /// If the actions are not continuous or a network cannot be made.
    pub fn new(
        task: Task<'_>,
        agent: &RelaxDdpgKeys,
        learner: &RelaxDdpgLearner,
    ) -> Result<Self, AgentError> {
        let dim = task.observations.flat_dim();
        let distribution = distribution::for_space(task.actions, &agent.distribution())?;
        if !distribution.is_reparametrised() {
            let message = "agent.kind = \"relax-ddpg\" acts in Box spaces; \"relax-a2c\" and \"a2c\" also in Discrete ones";
            return Err(AgentError::Config(message.into()));
        }
        let rng = |index| EnvRng::from_seed_sequence(task.seed, &[role::WEIGHTS, index]);
        let (k, next_actions) = (distribution.width(), distribution.action_buffer());
        let policy = Policy::new(dim, distribution, &agent.policy_network(), learner.optimizer, &mut rng(0))?;
        let critic = Critic::new(dim, &agent.critic_network(), learner.optimizer, &mut rng(1))?;
        Ok(Self {
            current: policy.snapshot(),
            policy,
            horizon: critic.read(|shape, _| Horizon::new(agent.window(), dim, shape)),
            critic,
            q: QCritic::new(dim, k, &agent.critic_network(), learner.optimizer, &mut rng(2))?,
            versions: Versions::default(),
            experience: Experience::new(&task, k, &learner.replay, learner.normalization()),
            batch: None,
            rngs: [role::REPLAY, role::NEXT_ACTIONS]
                .map(|role| EnvRng::from_seed_sequence(task.seed, &[role])),
            scratch: ActingScratch::default(),
            noise: vec![0.0; learner.replay.batch_size * k],
            next_actions,
            futures: Futures::default(),
            missed: Vec::new(),
            used: (0, [0.0; 4]),
            seed: task.seed,
            updates: 0,
            agent: agent.clone(),
            learner: learner.clone(),
        })
    }
}

impl Agent for RelaxDdpg {
    fn acting_policy(&self) -> ActingPolicy {
        let mut policy = self.policy.snapshot();
        self.experience.normalizer.scale(&mut policy);
        policy
    }

    fn refresh(&self, policy: &mut ActingPolicy) {
        self.policy.refresh(policy);
        self.experience.normalizer.scale(policy);
    }

    fn improve_policy(
        &mut self,
        batch: &Rollout,
        progress: f64,
        compute: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError> {
        // B at a fixed gain takes V's error off too.
        self.used = self.versions.choose(self.agent.gain, [1.0, 1.0, 0.0, 0.0]);
        let (version, gains) = self.used;
        let present = if self.agent.window() > 0 { 4 } else { 3 };
        metrics.gain = Versions::logged(self.agent.gain, gains, present);
        let bounds = self.versions.bounds();
        self.experience.normalizer.begin(batch);
        let stored = batch;
        let batch = normalized(&mut self.batch, batch, &self.experience.normalizer);
        let learner = &self.learner;
        self.horizon.begin(batch);
        self.critic.evaluate(batch, learner.gamma, learner.lambda, compute);
        metrics.explained_variance = self.critic.explained_variance();
        // V's own passes over the rows are in its workspaces.
        self.horizon.missed(&self.critic, &mut self.missed);

        let (net, correction) = (&self.q.net, self.agent.correction);
        let (k, dim) = (self.policy.distribution().width(), batch.observation_dim);
        let (advantages, values) = (self.critic.advantages(), self.critic.values());
        let (seed, updates) = (self.seed, self.updates);
        self.policy.visit(batch, compute, |i, rows, shard| {
            let key = [role::LOOKAHEAD, updates as u32, (updates >> 32) as u32, i as u32];
            let mut rng = EnvRng::from_seed_sequence(seed, &key);
            let observations = &batch.observations[rows.start * dim..rows.end * dim];
            let Some(actions) = shard.samples.fresh(FRESH) else { return };
            let q = (&net.shape, &net.parameters[..]);
            shard.extra.ahead.evaluate(q, (observations, &values[rows]), actions, bounds, &mut rng);
        })?;
        let decay = (learner.gamma * learner.lambda) as f32;
        let shards = self.policy.shards();
        let of = |version: usize| shards.iter().map(move |shard| &shard.extra.ahead.terms[version].c[..]);
        self.futures.collect(batch, decay, of);

        let (futures, missed) = (&self.futures.later, &self.missed);
        let p = self.policy.distribution().parameters();
        let sums = self.policy.gradient(batch, compute, learner.extras(), |_, rows, shard| {
            let observations = &batch.observations[rows.start * dim..rows.end * dim];
            let actions = &batch.actions.values()[rows.start * k..rows.end * k];
            let PolicyShard { samples, estimate, sums, extra, .. } = shard;
            let Shard { own, ahead, row: [of_future, of_own, of_error, of_correction], products } = extra;
            own.place(observations, dim, actions, k);
            own.a.resize(estimate.len(), 0.0);
            reinforce(&samples.moments.score, &advantages[rows.clone()], Baseline::None, &mut own.a);
            sums.weighted_log_prob = samples.weighted_log_prob(&advantages[rows.clone()]);
            sums.squared_norm_a2c = mean_squared_norm(&own.a, 1);
            own.correct_beyond(samples, &net.shape, &net.parameters, &values[rows.clone()]);
            for (of, (terms, products)) in ahead.terms.iter().zip(products).enumerate() {
                *products = Products::default();
                let missed = &missed[rows.clone()];
                for (row, &later) in futures[of][rows.clone()].iter().enumerate() {
                    let range = row * p..(row + 1) * p;
                    let s = &samples.moments.score[range.clone()];
                    let (a, b) = (&own.a[range.clone()], &own.b[range.clone()]);
                    of_future.clear();
                    of_future.extend(s.iter().map(|s| -s * later));
                    of_own.clear();
                    of_own.extend(b.iter().map(|b| -b * terms.share[row]));
                    of_error.clear();
                    of_error.extend(s.iter().map(|s| -s * terms.mean[row]));
                    of_correction.clear();
                    of_correction.extend(s.iter().map(|s| -s * missed[row]));
                    let b: [&[f32]; 4] = [of_future, of_own, of_error, of_correction];
                    products.add(a, b);
                    if of == version {
                        gains::combine(a, b, gains, &mut estimate[range]);
                    }
                }
            }
            if !correction {
                own.reparametrised(samples, estimate);
            }
            sums.squared_norm = mean_squared_norm(estimate, 1);
        })?;

        metrics.take(&sums, batch.rows());
        metrics.learning_rate = learner.annealed(learner.learning_rate, progress);
        metrics.policy_gradient_norm = self.policy.step(metrics.learning_rate, learner.max_grad_norm)?;
        let mut products = [Products::default(); VERSIONS];
        for shard in self.policy.shards() {
            products.iter_mut().zip(&shard.extra.products).for_each(|(sum, own)| sum.merge(own));
        }
        let error = self.futures.mean_squared_delta(batch, self.critic.advantages(), decay);
        self.versions.update(&products, error, metrics.variance_ratio);
        self.updates += 1;
        self.experience.normalizer.end(stored);
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
        let Some(own) = &self.batch else { return Ok(()) };
        // Neither what follows by chance nor the action's own part is V's to learn.
        let (version, [gain, ..]) = self.used;
        let Futures { c, later, .. } = &self.futures;
        self.critic.correct_returns(gain as f32, &c[version], &later[version]);
        let rate = learner.annealed(learner.value_learning_rate, progress);
        metrics.value_loss =
            self.critic.fit(own, learner.value_epochs, rate, learner.critic_max_grad_norm, compute)?;
        self.horizon.take(own, self.futures.c[version].iter().map(|c| gain as f32 * c));
        let (horizon, gamma, lambda) = (&mut self.horizon, learner.gamma as f32, learner.lambda as f32);
        self.critic.read(|shape, parameters| horizon.fit_scaled(shape, parameters, (gamma, lambda), compute));

        self.experience.store(batch);
        self.fit_q(Some(batch), progress, compute, metrics)
    }

    fn may_leave_off(&self) -> bool {
        self.learner.critic.variance == 0.0
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
        self.fit_q(None, progress, compute, metrics)
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
        state.insert_all("q", self.q.net.state());
        self.experience.save(&mut state);
        self.versions.save(&mut state);
        state.insert_all("horizon", self.horizon.state());
        state.insert("updates", StateTensor::U64(vec![self.updates]));
        streams::save(&mut state, "streams", &self.rngs);
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        self.versions.restore(state)?;
        let [updates] = state.u64_array("updates")?;
        let rngs = streams::restore(state, "streams")?;
        self.policy.restore(&state.subset("policy"))?;
        self.critic.restore(&state.subset("critic"))?;
        self.q.net.restore(&state.subset("q"))?;
        self.experience.restore(state)?;
        self.horizon.restore(&state.subset("horizon"))?;
        (self.rngs, self.updates) = (rngs, updates);
        Ok(())
    }
}

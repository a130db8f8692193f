//! RELAX-A2C with `control_variate = "model"`: a trajectory-wise, action-dependent control variate made of a learned one-step
//! model and V.
//!
//! With δ_k = r_k + γV(s_{k+1}) − V(s_k), the λ-return's advantage R̂_t − V(s_t) = Σ_{k≥t} (γλ)^{k−t} δ_k, and each δ_k varies with
//! the action a_k. What the model knows of that, C_k = q(s_k, a_k) − E_π q(s_k, ·), has mean 0 given s_k
//! ([`lookahead`](crate::parts::lookahead) has the formulas), so it may be taken off:
//!
//! ```text
//! A  = s·(R̂ − V)                                  A2C's estimator
//! B₁ = −s·F,   F_t = Σ_{k>t} (γλ)^{k−t} C_k        the actions to come
//! B₂ = G − s·C,   G = ∇_l E_π q(s, ·)              the own action
//! B₃ = −s·EA,     EA = E_π q(s, ·)                 V's error, as far as one step ahead shows it: a better baseline
//! B₄ = −s·(V₂ − V)                                 V's error, as far as past batches show it
//! ĝ  = A + Σ η_i·B_i                               E[B_i] = 0, whatever the model and V are
//! ```
//! In q, V at the next state has a correction for the steps that remain in the rollout ([`horizon`](crate::parts::horizon)), unless
//! `learner.model.window` is 0: with it, EA shows V's errors further ahead than one step.
//!
//! Order in each batch, which keeps ĝ unbiased: 1. ĝ and the policy's step, with V, model and gains as they were before the batch;
//! 2. the gains' statistics and all normalisers; 3. the batch goes into the replay, and the model takes its steps; 4. V is fitted,
//! to R̂_t − η₁·Σ_{k≥t} (γλ)^{k−t} C_k: returns with less noise of the actions, at the gain that they have earned; 5. the
//! correction of V is fitted to the last batches, with V as it is now.
//!
//! Nothing is relaxed here unless `own_action = "relaxed"` makes B₂ of RELAX's samples ([`own_action`](crate::parts::own_action)):
//! with choices the expectation over actions is an exact sum; with numbers, or more than 32 combinations of choices, a mean over
//! fresh samples; `"per-factor"` makes it of a baseline for each of several choices
//! ([`factor_baselines`](crate::parts::factor_baselines)). It is a learned control variate in RELAX's place, related to Q-Prop and to the trajectory-wise control variates
//! of Cheng et al. 2020; [`RelaxA2c`](crate::RelaxA2c) is RELAX proper.

use crate::config::OwnActionKind;
use crate::distribution;
use crate::parts::candidates::Beyond;
use crate::parts::critic::Critic;
use crate::parts::factor_baselines::FactorBaselines;
use crate::parts::gains::{Products, combine};
use crate::parts::guard::VERSIONS;
use crate::parts::horizon::{Horizon, Present};
use crate::parts::later::Futures;
use crate::parts::lookahead::Lookahead;
use crate::parts::normalize::Normalizer;
use crate::parts::own_action::OwnAction;
use crate::parts::policy::Policy;
use crate::parts::replay::Replay;
use crate::parts::streams;
use crate::parts::versions::Versions;
use crate::parts::world_model::{ActionFeatures, WorldModel};
use crate::relax_a2c::{RelaxA2cKeys, RelaxA2cLearner};
use crate::{ActingPolicy, Agent, AgentError, Compute, Metrics, Rollout, Task, role};
use relax_envs::EnvRng;
use relax_estimators::{Baseline, mean_squared_norm, reinforce};
use relax_nn::{StateDict, StateTensor};

/// λ of a relaxed own action, if nothing is said.
const TEMPERATURE: f64 = 0.5;
/// What the model's learning rate ends at, as a share of what it starts at.
const LAST_RATE: f64 = 0.1;

/// One shard's own.
#[derive(Debug, Default)]
struct Shard {
    lookahead: Lookahead,
    own_action: OwnAction,
    factors: FactorBaselines,
    /// A `[r, P]`.
    a: Vec<f32>,
    /// The B_i of one row.
    b: [Vec<f32>; 4],
}

/// RELAX-A2C with the control variate of a learned model.
pub struct RelaxA2cModel {
    agent: RelaxA2cKeys,
    learner: RelaxA2cLearner,
    policy: Policy<Shard>,
    critic: Critic,
    model: WorldModel,
    normalizer: Normalizer,
    /// Of the environment's own numbers.
    replay: Replay,
    /// Draws the minibatches.
    rng: EnvRng,
    versions: Versions<4>,
    horizon: Horizon,
    seed: u64,
    updates: u64,
    /// The batch as V and the policy see it.
    own: Option<Rollout>,
    /// C and F of the batch at hand.
    futures: Futures,
    missed: Vec<f32>,
    /// Version and gains of the batch at hand.
    used: (usize, [f64; 4]),
}

impl RelaxA2cModel {
    /// A fresh agent.
    ///
    /// # Errors
    /// If the settings contradict one another, or a network cannot be made.
    pub fn new(task: Task<'_>, agent: &RelaxA2cKeys, learner: &RelaxA2cLearner) -> Result<Self, AgentError> {
        let observation_dim = task.observations.flat_dim();
        let distribution = distribution::for_space(task.actions, &agent.distribution())?;
        let features = ActionFeatures::new(task.actions);
        let rng = |index| EnvRng::from_seed_sequence(task.seed, &[role::WEIGHTS, index]);
        if distribution.shard().is_none_or(|shard| shard.fresh(learner.model.samples).is_none()) {
            let message = format!(
                "agent.control_variate = \"model\" takes expectations over actions, which a {} policy has not; \
                 \"residual\" needs none",
                distribution.name()
            );
            return Err(AgentError::Config(message));
        }
        let relaxed = agent.own_action == OwnActionKind::Relaxed;
        if relaxed && !(distribution.relaxes() && matches!(features, ActionFeatures::Choices(_))) {
            let message = format!(
                "agent.own_action = \"relaxed\" relaxes choices, which a {} policy does not make; \"expectation\" needs none",
                distribution.name()
            );
            return Err(AgentError::Config(message));
        }
        let several = matches!(&features, ActionFeatures::Choices(sizes) if sizes.len() > 1);
        if agent.own_action == OwnActionKind::PerFactor && !several {
            let message = format!(
                "agent.own_action = \"per-factor\" has a baseline for each of several choices, which a {} policy does not make; \
                 \"expectation\" needs none",
                distribution.name()
            );
            return Err(AgentError::Config(message));
        }
        let critic = Critic::new(observation_dim, &agent.critic_network(), learner.optimizer, &mut rng(1))?;
        let stored = features.stored();
        Ok(Self {
            policy: Policy::new(
                observation_dim,
                distribution,
                &agent.policy_network(),
                learner.optimizer,
                &mut rng(0),
            )?,
            horizon: critic.read(|shape, _| Horizon::new(learner.model.window, observation_dim, shape)),
            critic,
            model: WorldModel::new(observation_dim, features, &agent.critic_network(), &mut rng(2))?,
            normalizer: Normalizer::new(task.observations, learner.normalization()),
            replay: Replay::new(learner.model.capacity, observation_dim, stored),
            rng: EnvRng::from_seed_sequence(task.seed, &[role::REPLAY]),
            versions: Versions::default(),
            agent: agent.clone(),
            learner: learner.clone(),
            seed: task.seed,
            updates: 0,
            own: None,
            futures: Futures::default(),
            missed: Vec::new(),
            used: (0, [0.0; 4]),
        })
    }
}

impl Agent for RelaxA2cModel {
    fn acting_policy(&self) -> ActingPolicy {
        let mut policy = self.policy.snapshot();
        self.normalizer.scale(&mut policy);
        policy
    }

    fn refresh(&self, policy: &mut ActingPolicy) {
        self.policy.refresh(policy);
        self.normalizer.scale(policy);
    }

    fn improve_policy(
        &mut self,
        batch: &Rollout,
        progress: f64,
        compute: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError> {
        // B₃ and B₄ are about the same error of V: at a fixed gain one of them is enough.
        self.used = self.versions.choose(self.agent.gain, [1.0, 1.0, 1.0, 0.0]);
        let (version, gains) = self.used;
        let present = if self.learner.model.window > 0 { 4 } else { 3 };
        metrics.gain = Versions::logged(self.agent.gain, gains, present);
        let bounds = self.versions.bounds();

        self.normalizer.begin(batch);
        // A rollout of more or fewer slots than before, as a dissection of the variance makes them, needs another buffer.
        self.own.take_if(|own| own.slots() != batch.slots());
        let own = self.own.get_or_insert_with(|| {
            Rollout::new(batch.slots(), batch.observation_dim, batch.noise_dim, batch.actions.clone())
        });
        own.merge(std::iter::once(batch));
        self.normalizer.rollout(own);

        let learner = &self.learner;
        self.horizon.begin(own);
        self.critic.evaluate(own, learner.gamma, learner.lambda, compute);
        metrics.explained_variance = self.critic.explained_variance();
        let (dim, decay) = (batch.observation_dim, (learner.gamma * learner.lambda) as f32);
        let p = self.policy.distribution().parameters();
        let (advantages, values) = (self.critic.advantages(), self.critic.values());
        let (policy, model, normalizer, horizon) =
            (&mut self.policy, &self.model, &self.normalizer, &self.horizon);
        let (seed, updates, samples) = (self.seed, self.updates, learner.model.samples);
        let own_action_by = self.agent.own_action;
        let (noise_kind, temperature) =
            (self.agent.noise, self.agent.temperature.unwrap_or(TEMPERATURE) as f32);
        self.critic.read(|shape, parameters| {
            policy.visit(own, compute, |i, rows, shard| {
                let stream = |role| {
                    let key = [role, updates as u32, (updates >> 32) as u32, i as u32];
                    EnvRng::from_seed_sequence(seed, &key)
                };
                let mut rng = stream(role::LOOKAHEAD);
                if own_action_by == OwnActionKind::Relaxed {
                    let noise = &batch.noise[rows.start * batch.noise_dim..rows.end * batch.noise_dim];
                    let points = shard.samples.points(noise_kind, noise, &mut stream(role::CONDITIONAL));
                    shard.extra.own_action.place(points);
                }
                let states = &batch.observations[rows.start * dim..rows.end * dim];
                let Some(actions) = shard.samples.fresh(samples) else { return };
                let Shard { lookahead, own_action, factors, .. } = &mut shard.extra;
                let correction = horizon.correction(rows.clone(), learner.lambda as f32);
                let beyond = Beyond { shape, parameters, gamma: learner.gamma as f32, correction };
                let normalise =
                    |observations: &mut [f32], rewards: &mut [f32]| normalizer.both(observations, rewards);
                let at = (states, &values[rows]);
                lookahead.evaluate(model, at, actions, beyond, &mut rng, normalise);
                lookahead.expect(actions, bounds);
                let terms = &lookahead.terms;
                match own_action_by {
                    OwnActionKind::Expectation => {}
                    OwnActionKind::Relaxed => {
                        own_action.evaluate(model, at, actions, temperature, beyond, normalizer);
                        own_action.correct(&mut shard.samples, terms, bounds);
                    }
                    OwnActionKind::PerFactor => {
                        let taken = (actions, &shard.samples.moments.score[..]);
                        factors.evaluate(model, at, taken, beyond, (terms, bounds), normalise);
                    }
                }
            })
        })?;
        let shards = self.policy.shards();
        let of = |version: usize| shards.iter().map(move |shard| &shard.extra.lookahead.terms[version].c[..]);
        self.futures.collect(own, decay, of);

        // What V misses at the rows themselves; V's own passes over them are still in its workspaces.
        self.horizon.missed(&self.critic, &mut self.missed);

        let (futures, missed) = (&self.futures.later, &self.missed);
        let sums = self.policy.gradient(own, compute, learner.extras(), |_, rows, shard| {
            let Shard { lookahead, own_action, factors, a, b: [first, second, third, fourth] } =
                &mut shard.extra;
            let score = &shard.samples.moments.score;
            a.resize(score.len(), 0.0);
            reinforce(score, &advantages[rows.clone()], Baseline::None, a);
            shard.sums.weighted_log_prob = shard.samples.weighted_log_prob(&advantages[rows.clone()]);
            let missed = &missed[rows.clone()];
            for (of, (terms, future)) in lookahead.terms.iter_mut().zip(futures).enumerate() {
                terms.products = Products::default();
                for (row, &future) in future[rows.clone()].iter().enumerate() {
                    let range = row * p..(row + 1) * p;
                    let (s, a, g) = (&score[range.clone()], &a[range.clone()], &terms.g[range.clone()]);
                    first.clear();
                    first.extend(s.iter().map(|s| -s * future));
                    second.clear();
                    match own_action_by {
                        OwnActionKind::Expectation => {
                            second.extend(g.iter().zip(s).map(|(g, s)| g - s * terms.c[row]));
                        }
                        OwnActionKind::Relaxed => second.extend_from_slice(&own_action.b[of][range.clone()]),
                        OwnActionKind::PerFactor => second.extend_from_slice(&factors.b[of][range.clone()]),
                    }
                    third.clear();
                    third.extend(s.iter().map(|s| -s * terms.mean[row]));
                    fourth.clear();
                    fourth.extend(s.iter().map(|s| -s * missed[row]));
                    let b: [&[f32]; 4] = [first, second, third, fourth];
                    terms.products.add(a, b);
                    if of == version {
                        combine(a, b, gains, &mut shard.estimate[range]);
                    }
                }
            }
            shard.sums.squared_norm_a2c = mean_squared_norm(a, 1);
            shard.sums.squared_norm = mean_squared_norm(&shard.estimate, 1);
        })?;

        metrics.take(&sums, batch.rows());
        metrics.learning_rate = learner.annealed(learner.learning_rate, progress);
        metrics.policy_gradient_norm = self.policy.step(metrics.learning_rate, learner.max_grad_norm)?;

        let mut products = [Products::default(); VERSIONS];
        for shard in self.policy.shards() {
            let terms = &shard.extra.lookahead.terms;
            products.iter_mut().zip(terms).for_each(|(sum, terms)| sum.merge(&terms.products));
        }
        let error = self.futures.mean_squared_delta(own, self.critic.advantages(), decay);
        self.versions.update(&products, error, metrics.variance_ratio);
        self.normalizer.end(batch);
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
        let (learner, model) = (&self.learner, &self.learner.model);
        self.replay.extend(batch);
        self.model.observe(batch, &self.replay);
        let rate = model.learning_rate * (1.0 - (1.0 - LAST_RATE) * progress);
        for _ in 0..model.steps {
            metrics.control_variate_loss =
                self.model.learn(&self.replay, model.batch_size, rate, &mut self.rng)?;
        }

        let Some(own) = &self.own else { return Ok(()) };
        let (version, [gain, ..]) = self.used;
        let Futures { c, later, .. } = &self.futures;
        self.critic.correct_returns(gain as f32, &c[version], &later[version]);
        // Not annealed: the scales of observations and rewards move to the end, and a V that is behind them is so in all states alike, which
        // is most of a whole batch's variance where returns vary little.
        let rate = learner.value_learning_rate;
        let (epochs, max_norm) = (learner.value_epochs_at(progress), learner.critic_max_grad_norm);
        metrics.value_loss = self.critic.fit(own, epochs, rate, max_norm, compute)?;

        let unit = gain as f32 / self.normalizer.reward_factor();
        self.horizon.take(batch, self.futures.c[version].iter().map(|c| unit * c));
        if let Some(moved) = self.normalizer.advance() {
            self.critic.keep(moved);
        }

        let (horizon, normalizer) = (&mut self.horizon, &self.normalizer);
        let reward_factor = normalizer.reward_factor();
        self.critic.read(|shape, parameters| {
            let normalise =
                |observations: &mut [f32], rewards: &mut [f32]| normalizer.both(observations, rewards);
            let (gamma, lambda) = (learner.gamma as f32, learner.lambda as f32);
            horizon.fit(&Present { shape, parameters, gamma, lambda, reward_factor, normalise }, compute);
        });
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
        state.insert_all("model", self.model.state());
        state.insert_all("replay", self.replay.state());
        self.normalizer.save(&mut state);
        self.versions.save(&mut state);
        state.insert_all("horizon", self.horizon.state());
        streams::save(&mut state, "replay_stream", std::slice::from_ref(&self.rng));
        state.insert("updates", StateTensor::U64(vec![self.updates]));
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        self.versions.restore(state)?;
        let [updates] = state.u64_array("updates")?;
        let [rng] = streams::restore(state, "replay_stream")?;
        self.policy.restore(&state.subset("policy"))?;
        self.critic.restore(&state.subset("critic"))?;
        self.model.restore(&state.subset("model"))?;
        match state.has_any("replay") {
            true => self.replay.restore(&state.subset("replay"))?,
            // A checkpoint may leave it out: the model then learns from what comes.
            false => self.replay.forget(),
        }
        self.normalizer.restore(state)?;
        self.horizon.restore(&state.subset("horizon"))?;
        (self.rng, self.updates) = (rng, updates);
        Ok(())
    }
}

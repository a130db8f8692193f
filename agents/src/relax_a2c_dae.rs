//! RELAX-A2C with `control_variate = "dae"`: a trajectory-wise control variate of directly estimated advantages.
//!
//! ```text
//! A  = s·(R̂ − V)                                                  A2C's estimator
//! B₁ = −s·F,   F_t = Σ_{k>t} (γλ)^{k−t} Â(s_k, a_k)                the actions to come
//! B₂ = G − s·Â(s, a),   G = Σ_a ∇_l p_a · Â(s, a)                  the own action
//! ĝ  = A + η₁·B₁ + η₂·B₂                                           E[B_i] = 0, whatever Â is
//! ```
//! Â ([`advantage`](crate::parts::advantage)) is one network with an output a choice, centred by the policy's own probabilities; no model and no
//! replay. Everything else is as with a model ([`RelaxA2cModel`](crate::relax_a2c_model::RelaxA2cModel)): gains from past batches, bounds and a guard, V
//! fitted to returns without the choices' part. Order in each batch: ĝ and the policy's step, with V, Â and gains as they were before
//! it; then V and Â are fitted to it, Â as many steps as V.
//!
//! Pan, Gürtler, Neitz & Schölkopf 2022 estimate advantages in this way; to use them as a control variate is what is done with any
//! other q here.

use crate::distribution;
use crate::parts::advantage::{AdvantageFunction, Advantages};
use crate::parts::critic::Critic;
use crate::parts::gains::{Products, combine};
use crate::parts::guard::VERSIONS;
use crate::parts::later::Futures;
use crate::parts::lookahead::Actions;
use crate::parts::normalize::Moved;
use crate::parts::policy::Policy;
use crate::parts::versions::Versions;
use crate::relax_a2c::{RelaxA2cKeys, RelaxA2cLearner};
use crate::{ActingPolicy, Agent, AgentError, Compute, Metrics, Rollout, Task, role};
use relax_envs::{EnvRng, Space};
use relax_estimators::{Baseline, mean_squared_norm, reinforce};
use relax_nn::{StateDict, StateTensor};

/// One shard's own.
#[derive(Debug, Default)]
struct Shard {
    versions: [Advantages; VERSIONS],
    products: [Products<2>; VERSIONS],
    /// What its choices were drawn with, `[r, K]`.
    probs: Vec<f32>,
    /// A `[r, K]`.
    a: Vec<f32>,
    /// The B_i of one row.
    b: [Vec<f32>; 2],
}

/// RELAX-A2C with the control variate of directly estimated advantages.
pub struct RelaxA2cDae {
    agent: RelaxA2cKeys,
    learner: RelaxA2cLearner,
    policy: Policy<Shard>,
    critic: Critic,
    advantage: AdvantageFunction,
    versions: Versions<2>,
    updates: u64,
    /// C and F of the batch at hand.
    futures: Futures,
    /// Version and gains of the batch at hand.
    used: (usize, [f64; 2]),
}

impl RelaxA2cDae {
    /// A fresh agent.
    ///
    /// # Errors
    /// If the actions are not one of several choices, or a network cannot be made.
    pub fn new(task: Task<'_>, agent: &RelaxA2cKeys, learner: &RelaxA2cLearner) -> Result<Self, AgentError> {
        let Space::Discrete { n: choices, .. } = *task.actions else {
            return Err(AgentError::Config(
                "agent.control_variate = \"dae\" estimates the advantage of each of several choices, of which one is made; \
                 \"model\" is for several at once and for numbers"
                    .into(),
            ));
        };
        let dim = task.observations.flat_dim();
        let distribution = distribution::for_space(task.actions, &agent.distribution())?;
        let rng = |index| EnvRng::from_seed_sequence(task.seed, &[role::WEIGHTS, index]);
        let (network, of_critics, optimizer) =
            (agent.policy_network(), agent.critic_network(), learner.optimizer);
        Ok(Self {
            policy: Policy::new(dim, distribution, &network, optimizer, &mut rng(0))?,
            critic: Critic::new(dim, &of_critics, optimizer, &mut rng(1))?,
            advantage: AdvantageFunction::new(dim, choices, &of_critics, optimizer, &mut rng(2))?,
            versions: Versions::default(),
            agent: agent.clone(),
            learner: learner.clone(),
            updates: 0,
            futures: Futures::default(),
            used: (0, [0.0; 2]),
        })
    }

    /// γλ.
    fn decay(&self) -> f32 {
        (self.learner.gamma * self.learner.lambda) as f32
    }
}

impl Agent for RelaxA2cDae {
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
        self.used = self.versions.choose(self.agent.gain, [1.0, 1.0]);
        let (version, gains) = self.used;
        metrics.gain = Versions::logged(self.agent.gain, gains, 2);
        let (bounds, decay, learner) = (self.versions.bounds(), self.decay(), &self.learner);

        self.critic.evaluate(batch, learner.gamma, learner.lambda, compute);
        metrics.explained_variance = self.critic.explained_variance();
        self.advantage.evaluate(batch, compute);
        let (advantage, advantages) = (&self.advantage, self.critic.advantages());
        self.policy.visit(batch, compute, |i, _, shard| {
            let Some(Actions::Choices { probs, taken, .. }) = shard.samples.fresh(1) else { return };
            for (terms, bound) in shard.extra.versions.iter_mut().zip(bounds) {
                advantage.expect(i, (probs, taken), bound, terms);
            }
            shard.extra.probs.clear();
            shard.extra.probs.extend_from_slice(probs);
        })?;
        let shards = self.policy.shards();
        let of = |version: usize| shards.iter().map(move |shard| &shard.extra.versions[version].c[..]);
        self.futures.collect(batch, decay, of);

        let (futures, k) = (&self.futures.later, self.policy.distribution().parameters());
        let sums = self.policy.gradient(batch, compute, learner.extras(), |_, rows, shard| {
            let Shard { versions, products, a, b: [first, second], .. } = &mut shard.extra;
            let score = &shard.samples.moments.score;
            a.resize(score.len(), 0.0);
            reinforce(score, &advantages[rows.clone()], Baseline::None, a);
            shard.sums.weighted_log_prob = shard.samples.weighted_log_prob(&advantages[rows.clone()]);
            for (of, (terms, products)) in versions.iter().zip(products).enumerate() {
                *products = Products::default();
                for (row, &future) in futures[of][rows.clone()].iter().enumerate() {
                    let range = row * k..(row + 1) * k;
                    let (s, a, g) = (&score[range.clone()], &a[range.clone()], &terms.g[range.clone()]);
                    first.clear();
                    first.extend(s.iter().map(|s| -s * future));
                    second.clear();
                    second.extend(g.iter().zip(s).map(|(g, s)| g - s * terms.c[row]));
                    let b: [&[f32]; 2] = [first, second];
                    products.add(a, b);
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
        for (i, shard) in self.policy.shards().iter().enumerate() {
            products.iter_mut().zip(&shard.extra.products).for_each(|(sum, own)| sum.merge(own));
            self.advantage.remember(i, &shard.extra.probs);
        }
        let error = self.futures.mean_squared_delta(batch, self.critic.advantages(), decay);
        self.versions.update(&products, error, metrics.variance_ratio);
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
        let (decay, learner) = (self.decay(), &self.learner);
        let (epochs, max_norm) = (learner.value_epochs_at(progress), learner.critic_max_grad_norm);
        let rate = learner.annealed(learner.control_variate_learning_rate, progress);
        let advantages = (self.critic.advantages(), decay);
        metrics.control_variate_loss =
            self.advantage.fit(batch, advantages, epochs, (rate, max_norm), compute)?;

        let (version, [gain, _]) = self.used;
        let Futures { c, later, .. } = &self.futures;
        self.critic.correct_returns(gain as f32, &c[version], &later[version]);
        let rate = learner.annealed(learner.value_learning_rate, progress);
        metrics.value_loss = self.critic.fit(batch, epochs, rate, max_norm, compute)?;
        Ok(())
    }

    fn last_gradient(&self, estimates: &mut Vec<f32>) -> Option<&[f32]> {
        Some(self.policy.last_gradient(estimates))
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
        state.insert_all("control_variate", self.advantage.state());
        self.versions.save(&mut state);
        state.insert("updates", StateTensor::U64(vec![self.updates]));
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let [updates] = state.u64_array("updates")?;
        self.policy.restore(&state.subset("policy"))?;
        self.critic.restore(&state.subset("critic"))?;
        self.advantage.restore(&state.subset("control_variate"))?;
        self.versions.restore(state)?;
        self.updates = updates;
        Ok(())
    }
}

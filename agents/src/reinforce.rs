//! REINFORCE: the Monte-Carlo policy gradient, with a choice of baselines.
//!
//! Estimator at the action distribution's parameters: ĝ_t = s_t·(G_t − b), s = ∂log π/∂l, G the discounted return to
//! the end of the episode.
//!
//! Williams 1992; leave-one-out after Kool et al. 2019. Rows of an episode that the rollout cuts off in the middle have
//! no Monte-Carlo return: with a value baseline it is bootstrapped, otherwise those rows are left out. Whole episodes
//! (`rollout.mode = "episodes"`) have no such rows but at the very end of a run.

use crate::config::{AgentConfig, BaselineKind, LearnerConfig};
use crate::distribution::Distribution;
use crate::parts::critic::Critic;
use crate::parts::policy::Policy;
use crate::parts::returns::{Beyond, ReturnScratch, advantages, complete_rows};
use crate::{ActingPolicy, Agent, AgentError, Compute, Metrics, Rollout, role};
use relax_envs::EnvRng;
use relax_estimators::{Baseline, BaselineObjective, LearnedBaseline, mean_squared_norm, reinforce};
use relax_nn::{StateDict, StateTensor};
use std::sync::Arc;

/// The REINFORCE agent.
pub struct Reinforce {
    learner: LearnerConfig,
    policy: Policy<()>,
    baseline: State,
    returns: Vec<f32>,
    advantages: Vec<f32>,
    complete: Vec<bool>,
    scratch: (ReturnScratch, Vec<bool>, Vec<f32>),
}

/// The baseline and what it has learned.
enum State {
    None,
    Constant(f64),
    Learned(LearnedBaseline),
    Value(Box<Critic>),
    LeaveOneOut,
}

impl Reinforce {
    /// A fresh agent for observations of `observation_dim` numbers.
    ///
    /// # Errors
    /// If a network cannot be made.
    pub fn new(
        observation_dim: usize,
        distribution: Arc<dyn Distribution>,
        agent: &AgentConfig,
        learner: &LearnerConfig,
        seed: u64,
    ) -> Result<Self, AgentError> {
        let rng = |index| EnvRng::from_seed_sequence(seed, &[role::WEIGHTS, index]);
        let baseline = match agent.baseline {
            BaselineKind::None => State::None,
            BaselineKind::Constant => State::Constant(agent.constant_baseline),
            BaselineKind::Learned => State::Learned(LearnedBaseline::new(
                learner.value_learning_rate,
                BaselineObjective::SquaredError,
            )),
            BaselineKind::Value => State::Value(Box::new(Critic::new(
                observation_dim,
                &agent.critic_network(),
                learner.optimizer,
                &mut rng(1),
            )?)),
            BaselineKind::LeaveOneOut => State::LeaveOneOut,
        };
        Ok(Self {
            policy: Policy::new(
                observation_dim,
                distribution,
                &agent.policy_network(),
                learner.optimizer,
                &mut rng(0),
            )?,
            learner: learner.clone(),
            baseline,
            returns: Vec::new(),
            advantages: Vec::new(),
            complete: Vec::new(),
            scratch: Default::default(),
        })
    }

    /// Monte-Carlo returns without a value function; `complete` marks the rows that have one.
    fn monte_carlo(&mut self, batch: &Rollout) {
        let rows = batch.rows();
        let (scratch, ended, zeros) = &mut self.scratch;
        zeros.clear();
        zeros.resize(rows.max(batch.slots()), 0.0);
        self.returns.resize(rows, 0.0);
        let beyond =
            Beyond { truncated: &zeros[..batch.truncated_rows.len()], next: &zeros[..batch.slots()] };
        let gamma = self.learner.gamma as f32;
        advantages(batch, &zeros[..rows], beyond, gamma, 1.0, scratch, &mut self.returns);
        self.complete.resize(rows, false);
        complete_rows(batch, &mut self.complete, ended);
    }

    /// R̂ − b of every row into `advantages`; rows without a return get 0.
    fn subtract_baseline(&mut self, batch: &Rollout) -> Result<(), AgentError> {
        self.advantages.clear();
        self.advantages.extend_from_slice(&self.returns);
        match &self.baseline {
            State::None | State::Value(_) => {}
            State::Constant(b) => self.advantages.iter_mut().for_each(|a| *a -= *b as f32),
            State::Learned(b) => self.advantages.iter_mut().for_each(|a| *a -= b.value() as f32),
            State::LeaveOneOut => {
                if batch.slots() < 2 {
                    let message = "agent.baseline = \"leave-one-out\" needs at least 2 episodes a batch: raise rollout.envs";
                    return Err(AgentError::Config(message.into()));
                }
                // The other slots' return from the same time on; an episode that is over has 0.
                for level in batch.levels.windows(2) {
                    let returns = &self.returns[level[0]..level[1]];
                    let sum: f32 = returns.iter().sum();
                    for (a, own) in self.advantages[level[0]..level[1]].iter_mut().zip(returns) {
                        *a -= (sum - own) / (batch.slots() - 1) as f32;
                    }
                }
            }
        }
        for (a, complete) in self.advantages.iter_mut().zip(&self.complete) {
            if !complete {
                *a = 0.0;
            }
        }
        Ok(())
    }
}

impl Agent for Reinforce {
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
        if let State::Value(critic) = &mut self.baseline {
            critic.evaluate(batch, self.learner.gamma, 1.0, compute);
            metrics.explained_variance = critic.explained_variance();
            self.advantages.clear();
            self.advantages.extend_from_slice(critic.advantages());
        } else {
            self.monte_carlo(batch);
            self.subtract_baseline(batch)?;
        }

        let (learner, advantages) = (&self.learner, &self.advantages);
        let sums = self.policy.gradient(batch, compute, learner.entropy as f32, |_, rows, shard| {
            let advantages = &advantages[rows];
            reinforce(&shard.samples.moments.score, advantages, Baseline::None, &mut shard.estimate);
            shard.sums.weighted_log_prob = shard.samples.weighted_log_prob(advantages);
            shard.sums.squared_norm = mean_squared_norm(&shard.estimate, 1);
            shard.sums.squared_norm_a2c = f64::NAN;
        })?;

        metrics.take(&sums, batch.rows());
        metrics.learning_rate = learner.annealed(learner.learning_rate, progress);
        metrics.policy_gradient_norm = self.policy.step(metrics.learning_rate, learner.max_grad_norm)?;
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
        match &mut self.baseline {
            State::Value(critic) => {
                let rate = learner.annealed(learner.value_learning_rate, progress);
                metrics.value_loss =
                    critic.fit(batch, learner.value_epochs, rate, learner.critic_max_grad_norm, compute)?;
            }
            State::Learned(baseline) => {
                let returns =
                    self.returns.iter().zip(&self.complete).filter_map(|(r, &done)| done.then_some(*r));
                let returns: Vec<f32> = returns.collect();
                baseline.update(&vec![1.0; returns.len()], &returns);
            }
            State::None | State::Constant(_) | State::LeaveOneOut => {}
        }
        Ok(())
    }

    fn last_gradient(&self, estimates: &mut Vec<f32>) -> Option<&[f32]> {
        Some(self.policy.last_gradient(estimates))
    }

    fn last_advantages(&self) -> Option<&[f32]> {
        Some(&self.advantages)
    }

    fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_all("policy", self.policy.state());
        match &self.baseline {
            State::Value(critic) => state.insert_all("critic", critic.state()),
            State::Learned(baseline) => state.insert("baseline", StateTensor::F64(vec![baseline.value()])),
            State::None | State::Constant(_) | State::LeaveOneOut => {}
        }
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        self.policy.restore(&state.subset("policy"))?;
        match &mut self.baseline {
            State::Value(critic) => critic.restore(&state.subset("critic"))?,
            State::Learned(baseline) => {
                let [value] = state.f64_array("baseline")?;
                baseline.restore(value);
            }
            State::None | State::Constant(_) | State::LeaveOneOut => {}
        }
        Ok(())
    }
}

//! REINFORCE: the Monte-Carlo policy gradient, with a choice of baselines.
//!
//! Estimator at the action distribution's parameters: ĝ_t = s_t·(G_t − b), s = ∂log π/∂l, G the discounted return to
//! the end of the episode.
//!
//! Williams 1992; leave-one-out after Kool et al. 2019. Rows of an episode that the rollout cuts off in the middle have
//! no Monte-Carlo return: with a value baseline it is bootstrapped, otherwise those rows are left out. Whole episodes
//! (`rollout.mode = "episodes"`) have no such rows but at the very end of a run.

use crate::config::{
    ActivationKind, BOUNDS_LOSS, BaselineKind, OptimizerKind, distribution_options, extras, keys, networks,
    observed, scaling,
};
use crate::distribution;
use crate::encoders::{refuse_device, refuse_unknown};
use crate::parts::critic::Critic;
use crate::parts::normalize::Normalized;
use crate::parts::policy::Policy;
use crate::parts::returns::{Beyond, ReturnScratch, advantages, complete_rows};
use crate::{
    ActingPolicy, Agent, AgentError, AgentSpec, Compute, Metrics, Refusal, Rollout, RolloutShape, Task, role,
};
use relax_envs::EnvRng;
use relax_estimators::{Baseline, BaselineObjective, LearnedBaseline, mean_squared_norm, reinforce};
use relax_nn::{StateDict, StateTensor};

keys! {
    /// `[agent]` of REINFORCE.
    pub struct ReinforceKeys {
        /// What observations pass through before the hidden layers: "auto" (a CNN for pictures, nothing for others), "mlp" (nothing), "small-cnn", "nature-cnn", or one registered.
        encoder: String = "auto".to_owned(),
        /// What an encoder computes on: "cpu", "cuda" or "metal", of several with a number ("cuda:1"); the latter need a build with that feature.
        device: String = "cpu".to_owned(),
        /// Share of the learning rates at which an encoder's weights move (0: they stay as they start); if left out, 0.1 for "nature-cnn"
        /// and 1 for all others.
        #[serde(skip_serializing_if = "Option::is_none")]
        encoder_rate: Option<f64> = None,
        /// "none", "constant", "learned", "value" or "leave-one-out".
        baseline: BaselineKind = BaselineKind::Value,
        /// The number that `baseline = "constant"` subtracts.
        constant_baseline: f64 = 0.0,
        /// Widths of the hidden layers of the policy, the critic and the control variate.
        hidden: Vec<usize> = vec![64, 64],
        /// Activation of the hidden layers: "tanh", "relu" or "elu".
        activation: ActivationKind = ActivationKind::Tanh,
        /// Widths of the hidden layers of the critics V, r and Q, where they differ from `hidden`.
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
networks!(ReinforceKeys);
observed!(ReinforceKeys);
distribution_options!(ReinforceKeys);

keys! {
    /// `[learner]` of REINFORCE.
    pub struct ReinforceLearner {
        /// Step size of the policy's optimiser.
        learning_rate: f64 = 3e-3,
        /// Step size of the critic's optimiser.
        value_learning_rate: f64 = 3e-3,
        /// Optimiser of all networks: "adam", "rmsprop" or "rmsprop-tf".
        optimizer: OptimizerKind = OptimizerKind::Adam,
        /// Discount factor γ in [0, 1]. With no λ, it alone cuts off what is noise to an action.
        gamma: f64 = 0.97,
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
        /// Scale the learning rates linearly down to 0 over the run, so that what is learned stays.
        anneal: bool = true,
        /// Multiple of the rewards that the agent learns from; logs and evaluation show the environment's own.
        reward_scale: f64 = 1.0,
        /// Shift and scale observations that are numbers to mean 0 and deviation 1 over all training so far; frozen in evaluation.
        normalize_observations: bool = true,
        /// Divide rewards by the standard deviation of the discounted return over all training so far.
        normalize_rewards: bool = true,
    }
}
scaling!(ReinforceLearner);
extras!(ReinforceLearner);

/// REINFORCE's line of the registry.
pub(crate) fn spec() -> AgentSpec {
    AgentSpec::new("reinforce", "Monte-Carlo policy gradient", |agent: &ReinforceKeys, learner: &ReinforceLearner, task| {
        let made = Box::new(Reinforce::new(task, agent, learner)?);
        let observed = agent.observed(task.observations)?;
        Ok(Normalized::around(made, task.observations, observed.normalization(learner.normalization())))
    })
    .rollout(RolloutShape { episodes: true, ..RolloutShape::default() })
    .check(|agent: &ReinforceKeys, _: &ReinforceLearner, rollout| {
        refuse_unknown(&agent.encoder)?;
        refuse_device(&agent.device)?;
        if !rollout.episodes {
            return Err(Refusal::new(
                "rollout.mode",
                "agent.kind = \"reinforce\" learns from whole episodes",
                "leave rollout.mode out, or set it to \"episodes\"",
            ));
        }
        if agent.baseline == BaselineKind::LeaveOneOut && rollout.envs < 2 {
            return Err(Refusal::new(
                "rollout.envs",
                format!("agent.baseline = \"leave-one-out\" needs at least 2 episodes a batch, and rollout.envs is {}", rollout.envs),
                "raise rollout.envs, or take another baseline: --set agent.baseline=value",
            ));
        }
        Ok(())
    })
    .dissect(|agent: &ReinforceKeys, _: &ReinforceLearner| match agent.baseline {
        BaselineKind::LeaveOneOut => Err(Refusal::new(
            "agent.baseline",
            "agent.baseline = \"leave-one-out\" ties the rows of a batch to one another: its variance has no parts by state and action",
            "--set agent.baseline=value",
        )),
        _ => Ok(()),
    })
    .describe(|agent: &ReinforceKeys| {
        let baseline = format!("{:?}", agent.baseline).to_lowercase().replace("leaveoneout", "leave-one-out");
        format!("reinforce, baseline {baseline}")
    })
}

/// The REINFORCE agent.
pub struct Reinforce {
    learner: ReinforceLearner,
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
    /// A fresh agent.
    ///
    /// # Errors
    /// If a network cannot be made.
    pub fn new(
        task: Task<'_>,
        agent: &ReinforceKeys,
        learner: &ReinforceLearner,
    ) -> Result<Self, AgentError> {
        let observed = agent.observed(task.observations)?;
        let distribution = distribution::for_space(task.actions, &agent.distribution())?;
        let rng = |index| EnvRng::from_seed_sequence(task.seed, &[role::WEIGHTS, index]);
        let baseline = match agent.baseline {
            BaselineKind::None => State::None,
            BaselineKind::Constant => State::Constant(agent.constant_baseline),
            BaselineKind::Learned => State::Learned(LearnedBaseline::new(
                learner.value_learning_rate,
                BaselineObjective::SquaredError,
            )),
            BaselineKind::Value => State::Value(Box::new(Critic::new(
                observed.clone(),
                &agent.critic_network(),
                learner.optimizer,
                &mut rng(1),
            )?)),
            BaselineKind::LeaveOneOut => State::LeaveOneOut,
        };
        Ok(Self {
            policy: Policy::new(
                observed,
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
        let sums = self.policy.gradient(batch, compute, learner.extras(), |_, rows, shard| {
            let advantages = &advantages[rows];
            reinforce(&shard.samples.moments.score, advantages, Baseline::None, &mut shard.estimate);
            shard.sums.weighted_log_prob = shard.samples.weighted_log_prob(advantages);
            shard.sums.squared_norm = mean_squared_norm(&shard.estimate, 1);
            shard.sums.squared_norm_a2c = f64::NAN;
        })?;

        metrics.take(&sums, batch.rows());
        metrics.learning_rate = learner.annealed(learner.learning_rate, progress);
        metrics.policy_gradient_norm = self.policy.step(metrics.learning_rate, learner.max_grad_norm)?;
        self.policy.initialise_encoder(batch);
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

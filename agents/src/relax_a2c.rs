//! Actor-critic with a learned, action-dependent control variate in place of the baseline: RELAX for discrete actions,
//! LAX for continuous ones.
//!
//! Estimator at the action distribution's parameters, with c(s, z) = V(s) + η·r(s, z):
//!
//! ```text
//! ĝ_t = s_t·(R̂_t − c(s_t, z̃_t)) + Πᵀ[∇c(s_t, z_t) − w∘∇c(s_t, z̃_t)]  =  A_t − η·B_t
//! A_t = s_t·(R̂_t − V(s_t))                                            (A2C's estimator)
//! B_t = s_t·r(s_t, z̃_t) − Πᵀ[∇r(s_t, z_t) − w∘∇r(s_t, z̃_t)]            (E[B_t] = 0)
//! ```
//! Grathwohl et al. 2018 (RELAX), §3.3 and eq. 8. Deviations from the paper: c is split into V, fitted to returns, and
//! r, trained on the variance (`control_variate = "pure"` is the paper's single network); r enters with a gain η estimated from
//! earlier batches, without which an r that overfits raises the variance; the policy steps before V and r are fitted to
//! the batch, since an r that has seen the batch's noise is a bias; noise may be coupled (z̃ = z in value).
//!
//! Behind an encoder, r sees the features that V's made of the observation before V was fitted to the batch, as constants: z
//! enters r's hidden layers only, and the mixed second derivative never meets an encoder.

use crate::a2c::{refuse_normalized, refuse_single_rows, refuse_tied_rows};
use crate::config::{
    ActivationKind, BOUNDS_LOSS, ControlVariateKind, Gain, GainName, ModelConfig, OptimizerKind,
    OwnActionKind, VarianceObjective, distribution_options, extras, keys, networks, observed, scaling,
    value_epochs,
};
use crate::encoders::{refuse_device, refuse_unknown};
use crate::parts::control_variate::{ControlVariate, ControlVariateShard};
use crate::parts::critic::Critic;
use crate::parts::normalize::{Moved, Normalized};
use crate::parts::policy::{Policy, PolicyShard};
use crate::relax_a2c_dae::RelaxA2cDae;
use crate::relax_a2c_model::RelaxA2cModel;
use crate::{
    ActingPolicy, Agent, AgentError, AgentSpec, Compute, Metrics, Refusal, Rollout, Task, distribution, role,
};
use relax_envs::EnvRng;
use relax_estimators::{
    AdaptiveGain, Baseline, Coupling, combine, gain_statistics, mean_squared_norm, reinforce,
};
use relax_nn::{StateDict, StateTensor};

/// How fast the adaptive gain forgets earlier batches.
const GAIN_DECAY: f64 = 0.95;

keys! {
    /// `[agent]` of RELAX-A2C.
    pub struct RelaxA2cKeys {
        /// What observations pass through before the hidden layers: "auto" (a CNN for pictures, nothing for others), "mlp" (nothing), "small-cnn", "nature-cnn", or one registered.
        encoder: String = "auto".to_owned(),
        /// What an encoder computes on: "cpu", "cuda" or "metal", of several with a number ("cuda:1"); the latter need a build with that feature.
        device: String = "cpu".to_owned(),
        /// Share of the learning rates at which an encoder's weights move (0: they stay as they start); if left out, 0.1 for "nature-cnn"
        /// and 1 for all others.
        #[serde(skip_serializing_if = "Option::is_none")]
        encoder_rate: Option<f64> = None,
        /// Widths of the hidden layers of the policy, the critic and the control variate.
        hidden: Vec<usize> = vec![64, 64],
        /// Activation of the hidden layers: "tanh", "relu" or "elu".
        activation: ActivationKind = ActivationKind::Tanh,
        /// Widths of the hidden layers of the critics V, r and Q, where they differ from `hidden`.
        #[serde(skip_serializing_if = "Option::is_none")]
        critic_hidden: Option<Vec<usize>> = None,
        /// "residual" (c = V + r), "pure" (one network), "model" (a learned one-step model, trajectory-wise), or "dae" (directly estimated advantages of a single choice, trajectory-wise).
        control_variate: ControlVariateKind = ControlVariateKind::Residual,
        /// With a "model", the own action's part: by an "expectation" over actions, by "relaxed" samples of choices, the model differentiated, or "per-factor".
        own_action: OwnActionKind = OwnActionKind::Expectation,
        /// λ > 0 of a relaxed own action's softmax(z/λ), small being close to the choice itself; 0.5 if left out. Of no use without one, and refused.
        #[serde(skip_serializing_if = "Option::is_none")]
        temperature: Option<f64> = None,
        /// "coupled" (z̃ = z in value) or "independent" noise.
        noise: Coupling = Coupling::Coupled,
        /// Train the control variate on the variance at the distribution's "parameters" or of the "weights".
        variance_objective: VarianceObjective = VarianceObjective::Parameters,
        /// "adaptive", or a fixed multiple of the control variate's residual.
        gain: Gain = Gain::Named(GainName::Adaptive),
        /// Continuous actions: log of the standard deviation that a Gaussian policy starts with; if left out, that of half the
        /// action's range, or 0 where the action has no bounds.
        #[serde(skip_serializing_if = "Option::is_none")]
        initial_log_std: Option<f64> = None,
        /// Continuous actions: the standard deviation is an output of the policy network instead of one number per action.
        state_dependent_std: bool = false,
    }
}
networks!(RelaxA2cKeys);
observed!(RelaxA2cKeys);
distribution_options!(RelaxA2cKeys);

keys! {
    /// `[learner]` of RELAX-A2C.
    pub struct RelaxA2cLearner {
        /// Step size of the policy's optimiser.
        learning_rate: f64 = 3e-3,
        /// Step size of the critic's optimiser.
        value_learning_rate: f64 = 3e-3,
        /// Step size of the control variate's optimiser.
        control_variate_learning_rate: f64 = 1e-3,
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
        /// Gradient steps of a critic that knows nothing yet, on the first batch; over the first quarter of the run they fall linearly to
        /// `value_epochs`. If left out, `value_epochs` throughout.
        #[serde(skip_serializing_if = "Option::is_none")]
        initial_value_epochs: Option<usize> = None,
        /// Gradient steps of the control variate per batch; "dae" takes as many as V, and a "model" has its own.
        control_variate_epochs: usize = 1,
        /// Subtract the mean and divide by the standard deviation of the batch's advantages (A2C's habit; biased).
        normalize_advantages: bool = false,
        /// Scale the learning rates linearly down to 0 over the run, so that what is learned stays; with `control_variate = "model"` all but
        /// `value_learning_rate`.
        anneal: bool = true,
        /// Multiple of the rewards that the agent learns from; logs and evaluation show the environment's own.
        reward_scale: f64 = 1.0,
        /// Shift and scale observations that are numbers to mean 0 and deviation 1 over all training so far; frozen in evaluation.
        normalize_observations: bool = true,
        /// Divide rewards by the standard deviation of the discounted return over all training so far.
        normalize_rewards: bool = true,
        /// Rewrite V as the scales of observations and rewards move, so that it goes on saying what it said (PopArt).
        preserve_values: bool = false,
        /// The model behind `control_variate = "model"`.
        model: ModelConfig = ModelConfig::default(),
    }
}
scaling!(RelaxA2cLearner, preserve_values);
extras!(RelaxA2cLearner);
value_epochs!(RelaxA2cLearner);

/// RELAX-A2C's line of the registry.
pub(crate) fn spec() -> AgentSpec {
    let summary = "actor-critic with a learned action-dependent control variate";
    AgentSpec::new("relax-a2c", summary, |agent: &RelaxA2cKeys, learner: &RelaxA2cLearner, task| {
        if agent.control_variate == ControlVariateKind::Model {
            agent.observed(task.observations)?
                .refuse("agent.control_variate = \"model\"")?;
            // It keeps the environment's own numbers, and normalises what it draws from them itself.
            return Ok(Box::new(RelaxA2cModel::new(task, agent, learner)?));
        }
        let made: Box<dyn Agent> = if agent.control_variate == ControlVariateKind::Dae {
            agent.observed(task.observations)?
                .refuse("agent.control_variate = \"dae\"")?;
            Box::new(RelaxA2cDae::new(task, agent, learner)?)
        } else {
            Box::new(RelaxA2c::new(task, agent, learner)?)
        };
        let observed = agent.observed(task.observations)?;
        Ok(Normalized::around(made, task.observations, observed.normalization(learner.normalization())))
    })
    .check(|agent: &RelaxA2cKeys, learner: &RelaxA2cLearner, rollout| {
        refuse_unknown(&agent.encoder)?;
        refuse_device(&agent.device)?;
        learner.refuse_idle_preserving()?;
        refuse_single_rows(learner.normalize_advantages, rollout)?;
        let model = agent.control_variate == ControlVariateKind::Model;
        if agent.own_action != OwnActionKind::Expectation && !model {
            return Err(Refusal::new(
                "agent.own_action",
                "agent.own_action = \"relaxed\" or \"per-factor\" looks into a learned model, which only agent.control_variate = \"model\" has",
                "set agent.control_variate = \"model\"; the other control variates are relaxed without it",
            ));
        }
        if agent.own_action != OwnActionKind::Relaxed && agent.temperature.is_some() {
            return Err(Refusal::new(
                "agent.temperature",
                "agent.temperature is that of agent.own_action = \"relaxed\", which is not asked for",
                "leave it out, or set agent.control_variate = \"model\" and agent.own_action = \"relaxed\"",
            ));
        }
        refuse_normalized(learner.normalize_advantages && model, "agent.control_variate = \"model\"")?;
        let dae = agent.control_variate == ControlVariateKind::Dae;
        refuse_normalized(learner.normalize_advantages && dae, "agent.control_variate = \"dae\"")
    })
    .dissect(|_: &RelaxA2cKeys, learner: &RelaxA2cLearner| refuse_tied_rows(learner.normalize_advantages))
    .describe(|agent: &RelaxA2cKeys| {
        let word = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
        if agent.control_variate == ControlVariateKind::Model {
            return match agent.own_action {
                OwnActionKind::Expectation => format!("relax-a2c, a model's c, gain {}", agent.gain),
                OwnActionKind::PerFactor => format!("relax-a2c, a model's c per factor, gain {}", agent.gain),
                OwnActionKind::Relaxed => {
                    format!("relax-a2c, a model's relaxed c, {} noise, gain {}", word(&agent.noise), agent.gain)
                }
            };
        }
        if agent.control_variate == ControlVariateKind::Dae {
            return format!("relax-a2c, directly estimated advantages, gain {}", agent.gain);
        }
        let (form, noise) = (word(&agent.control_variate), word(&agent.noise));
        format!("relax-a2c, {form} c, {noise} noise, gain {}", agent.gain)
    })
}

/// The RELAX-A2C agent.
pub struct RelaxA2c {
    agent: RelaxA2cKeys,
    learner: RelaxA2cLearner,
    policy: Policy<ControlVariateShard>,
    critic: Critic,
    control_variate: ControlVariate,
    gain: AdaptiveGain,
    seed: u64,
    updates: u64,
    /// The policy's parameters that the batch was acted with; kept for the weights' variance objective.
    theta: Vec<f32>,
}

impl RelaxA2c {
    /// A fresh agent.
    ///
    /// # Errors
    /// If a network cannot be made.
    pub fn new(task: Task<'_>, agent: &RelaxA2cKeys, learner: &RelaxA2cLearner) -> Result<Self, AgentError> {
        let observed = agent.observed(task.observations)?;
        if agent.variance_objective == VarianceObjective::Weights {
            observed.refuse("agent.variance_objective = \"weights\"")?;
        }
        let distribution = distribution::for_space(task.actions, &agent.distribution())?;
        if !distribution.relaxes() {
            let message = format!(
                "agent.kind = \"relax-a2c\" needs relaxed samples, which a {} policy has not; \"a2c\" needs none",
                distribution.name()
            );
            return Err(AgentError::Config(message));
        }
        let rng = |index| EnvRng::from_seed_sequence(task.seed, &[role::WEIGHTS, index]);
        Ok(Self {
            control_variate: ControlVariate::new(
                observed.features(),
                distribution.width(),
                &agent.critic_network(),
                learner.optimizer,
                &mut rng(2),
            )?,
            policy: Policy::new(
                observed.clone(),
                distribution,
                &agent.policy_network(),
                learner.optimizer,
                &mut rng(0),
            )?,
            critic: Critic::new(observed, &agent.critic_network(), learner.optimizer, &mut rng(1))?,
            gain: AdaptiveGain::new(GAIN_DECAY)?,
            agent: agent.clone(),
            learner: learner.clone(),
            seed: task.seed,
            updates: 0,
            theta: Vec::new(),
        })
    }

    /// The multiple of r that enters this batch's ĝ, known before the batch was drawn.
    fn gain(&self) -> f64 {
        match self.agent.gain {
            Gain::Named(_) => self.gain.gain(),
            Gain::Fixed(gain) => gain,
        }
    }

    /// The multiple at which r is trained: an adaptive gain must not shrink the very signal that r learns from.
    fn training_gain(&self) -> f32 {
        match self.agent.gain {
            Gain::Named(_) => 1.0,
            Gain::Fixed(gain) => gain as f32,
        }
    }
}

impl Agent for RelaxA2c {
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
        metrics.gain = self.gain();
        let learner = &self.learner;
        self.critic.evaluate(batch, learner.gamma, learner.lambda, compute);
        metrics.explained_variance = self.critic.explained_variance();
        if learner.normalize_advantages {
            self.critic.normalize_advantages();
        }
        if self.agent.variance_objective == VarianceObjective::Weights {
            self.theta = self.policy.parameters();
        }

        let (noise_kind, form) = (self.agent.noise, self.agent.control_variate);
        let (k, gain) = (self.policy.distribution().width(), metrics.gain as f32);
        let (advantages, returns) = (self.critic.advantages(), self.critic.returns());
        let (policy, critic, seed, updates) = (&mut self.policy, &self.critic, self.seed, self.updates);
        let sums = self.control_variate.read(|shape, parameters| {
            policy.gradient(batch, compute, learner.extras(), |i, rows, shard| {
                let noise = &batch.noise[rows.start * k..rows.end * k];
                let mut rng = EnvRng::from_seed_sequence(
                    seed,
                    &[role::CONDITIONAL, updates as u32, (updates >> 32) as u32, i as u32],
                );
                let points = shard.samples.points(noise_kind, noise, &mut rng);
                shard.extra.place(critic.seen(batch, i), critic.features(), points, k);

                let extra = &mut shard.extra;
                extra.a.resize(shard.estimate.len(), 0.0);
                reinforce(
                    &shard.samples.moments.score,
                    &advantages[rows.clone()],
                    Baseline::None,
                    &mut extra.a,
                );
                shard.sums.weighted_log_prob = shard.samples.weighted_log_prob(&advantages[rows.clone()]);
                shard.sums.squared_norm_a2c = mean_squared_norm(&extra.a, 1);
                if form == ControlVariateKind::Pure {
                    reinforce(&shard.samples.moments.score, &returns[rows], Baseline::None, &mut extra.a);
                }
                shard.correct(shape, parameters);
                combine(&shard.extra.a, &shard.extra.b, gain, &mut shard.estimate);
                shard.sums.squared_norm = mean_squared_norm(&shard.estimate, 1);
                shard.sums.squared_norm_a = mean_squared_norm(&shard.extra.a, 1);
                shard.sums.gain = gain_statistics(&shard.extra.a, &shard.extra.b);
            })
        })?;

        metrics.take(&sums, batch.rows());
        metrics.learning_rate = learner.annealed(learner.learning_rate, progress);
        metrics.policy_gradient_norm = self.policy.step(metrics.learning_rate, learner.max_grad_norm)?;
        self.policy.initialise_encoder(batch);
        // Relative to ‖A‖²: the gain that minimises the mean *ratio* ‖A − ηB‖²/‖A‖² of past batches. Their scales differ
        // by orders of magnitude, and absolute averages would serve only the largest.
        self.gain.update(sums.gain.0 / sums.squared_norm_a, sums.gain.1 / sums.squared_norm_a);
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
        let learner = &self.learner;
        let rate = learner.annealed(learner.value_learning_rate, progress);
        let (epochs, max_norm) = (learner.value_epochs_at(progress), learner.critic_max_grad_norm);
        metrics.value_loss = self.critic.fit(batch, epochs, rate, max_norm, compute)?;

        let rate = learner.annealed(learner.control_variate_learning_rate, progress);
        for epoch in 0..learner.control_variate_epochs {
            let loss = self.control_variate_gradient(batch, compute, epoch > 0);
            if epoch == 0 {
                metrics.control_variate_loss = loss;
            }
            let shards = self.policy.shards_mut().iter_mut().map(|shard| &mut shard.extra);
            self.control_variate.step(shards, rate, self.learner.critic_max_grad_norm)?;
        }
        Ok(())
    }

    fn last_gradient(&self, estimates: &mut Vec<f32>) -> Option<&[f32]> {
        Some(self.policy.last_gradient(estimates))
    }

    fn last_advantages(&self) -> Option<&[f32]> {
        (self.agent.control_variate == ControlVariateKind::Residual).then(|| self.critic.advantages())
    }

    fn keep_values(&mut self, moved: &Moved) {
        self.critic.keep(moved);
    }

    fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_all("policy", self.policy.state());
        state.insert_all("critic", self.critic.state());
        state.insert_all("control_variate", self.control_variate.state());
        state.insert("gain", StateTensor::F64(self.gain.state().to_vec()));
        state.insert("updates", StateTensor::U64(vec![self.updates]));
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let (gain, [updates]) = (state.f64_array("gain")?, state.u64_array("updates")?);
        self.policy.restore(&state.subset("policy"))?;
        self.critic.restore(&state.subset("critic"))?;
        self.control_variate.restore(&state.subset("control_variate"))?;
        self.gain.restore(gain);
        self.updates = updates;
        Ok(())
    }
}

impl RelaxA2c {
    /// Leaves in every shard the gradient by r's weights of the variance objective, and returns the objective.
    /// In the first epoch r has not moved since the policy's step, and what that left is still valid.
    fn control_variate_gradient(&mut self, batch: &Rollout, compute: &Compute, moved: bool) -> f64 {
        let (gain, rows) = (self.training_gain(), batch.rows());
        let (policy, theta, objective) = (&mut self.policy, &self.theta, self.agent.variance_objective);
        self.control_variate.read(|shape, parameters| {
            compute.each(policy.shards_mut(), |_, shard| {
                if moved {
                    shard.correct(shape, parameters);
                }
                combine(&shard.extra.a, &shard.extra.b, gain, &mut shard.estimate);
                shard.sums.squared_norm = mean_squared_norm(&shard.estimate, 1);
            });
            // `estimate` times `scale` is the objective's derivative by ĝ.
            let (loss, scale) = match objective {
                VarianceObjective::Weights => (policy.weight_objective(batch, compute, theta), 1.0),
                VarianceObjective::Parameters => {
                    let total: f64 = policy.shards_mut().iter().map(|shard| shard.sums.squared_norm).sum();
                    (total / rows as f64, 2.0 / rows as f32)
                }
            };
            compute.each(policy.shards_mut(), |_, shard| {
                let PolicyShard { samples, estimate, extra, .. } = shard;
                extra.differentiate(shape, parameters, gain * scale, estimate, |q, alpha, beta| {
                    samples.adjoint(q, alpha, beta);
                });
            });
            loss
        })
    }
}

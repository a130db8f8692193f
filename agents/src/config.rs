//! The part of a run's configuration that agents read: `[agent]` and `[learner]`.

use crate::parts::networks::Network;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which algorithm learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AgentKind {
    /// Monte-Carlo policy gradient (Williams 1992).
    Reinforce,
    /// Advantage actor-critic, synchronous (Mnih et al. 2016).
    A2c,
    /// Actor-critic with a learned action-dependent control variate (Grathwohl et al. 2018).
    RelaxA2c,
    /// Deep deterministic policy gradient, from replayed experience (Lillicrap et al. 2016).
    Ddpg,
    /// The unbiased counterpart of DDPG: its critic as the control variate of an on-policy gradient.
    RelaxDdpg,
}

/// Activation of the hidden layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActivationKind {
    /// Hyperbolic tangent.
    #[default]
    Tanh,
    /// max(0, x).
    Relu,
    /// x for x > 0, else exp(x) − 1.
    Elu,
}

/// What REINFORCE subtracts from the return.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BaselineKind {
    /// Nothing.
    None,
    /// A number given in the configuration (`agent.constant_baseline`).
    Constant,
    /// One learned number.
    Learned,
    /// A learned state value V(s).
    #[default]
    Value,
    /// The mean return of the other episodes of the batch.
    LeaveOneOut,
}

/// How the control variate of RELAX is built (estimators: `c`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ControlVariateForm {
    /// c(s, z) = V(s) + r(s, z): V fitted to returns, r starts at exactly 0 and is trained on the variance.
    #[default]
    Residual,
    /// One network c(s, z) trained on the variance alone, as first published.
    Pure,
}

/// How z̃ is drawn given the action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoiseKind {
    /// From fresh noise.
    Independent,
    /// So that z̃ equals z in value: one evaluation of the control variate serves both terms.
    #[default]
    Coupled,
}

/// Which variance the control variate is trained on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VarianceObjective {
    /// Mean over samples of ‖ĝ_t‖² at the distribution's parameters.
    #[default]
    Parameters,
    /// ‖Σ_t J_tᵀ ĝ_t‖², the squared norm of the weight gradient.
    Weights,
}

/// How much of the residual r enters the estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Gain {
    /// `"adaptive"`: the variance-optimal multiple, estimated from past batches and clipped to [0, 1].
    Named(GainName),
    /// A fixed multiple, 1 for RELAX as published.
    Fixed(f64),
}

/// The named values of [`Gain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GainName {
    /// See [`Gain::Named`].
    Adaptive,
}

impl Default for Gain {
    fn default() -> Self {
        Self::Named(GainName::Adaptive)
    }
}

/// Which optimiser moves the weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam (Kingma & Ba 2015).
    #[default]
    Adam,
    /// RMSprop as in PyTorch: √v + ε, the average starting at 0.
    Rmsprop,
    /// RMSprop as in TensorFlow 1: √(v + ε), the average starting at 1.
    RmspropTf,
}

/// The random process behind exploring actions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExplorationKind {
    /// Independent from step to step.
    #[default]
    Gaussian,
    /// Pulled back to 0 by `theta` a step, so that neighbouring steps resemble each other (Lillicrap et al. 2016).
    OrnsteinUhlenbeck,
}

/// `[agent.exploration]`: DDPG's exploration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExplorationConfig {
    /// DDPG: "gaussian" or "ornstein-uhlenbeck" noise on the actions.
    pub process: ExplorationKind,
    /// DDPG: standard deviation of a step's fresh noise, as a share of half the action range.
    pub std: f64,
    /// DDPG: share of the Ornstein-Uhlenbeck process that a step forgets, in [0, 1].
    pub theta: f64,
}

impl Default for ExplorationConfig {
    fn default() -> Self {
        Self { process: ExplorationKind::Gaussian, std: 0.1, theta: 0.15 }
    }
}

/// `[learner.replay]`: learning from stored experience, for DDPG and RELAX-DDPG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayConfig {
    /// Transitions kept, the newest ones; 4·(2·observation + action + 1) + 1 bytes each.
    pub capacity: usize,
    /// Transitions drawn for each gradient step.
    pub batch_size: usize,
    /// Environment steps before the first gradient step; DDPG acts uniformly at random in them.
    pub warm_up_steps: u64,
    /// Gradient steps per environment step.
    pub updates_per_step: f64,
    /// Share by which the target networks move to the trained ones after each gradient step, in (0, 1].
    pub tau: f64,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self { capacity: 1_000_000, batch_size: 100, warm_up_steps: 1000, updates_per_step: 1.0, tau: 0.005 }
    }
}

impl ReplayConfig {
    /// Gradient steps that should have been taken after `env_steps`: none in the warm-up, and none for it later.
    #[must_use]
    pub fn updates_due(&self, env_steps: u64) -> u64 {
        (env_steps.saturating_sub(self.warm_up_steps) as f64 * self.updates_per_step) as u64
    }
}

/// `[learner.critic]`: what RELAX-DDPG's critic Q(s, a) is trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CriticConfig {
    /// RELAX-DDPG: weight of the temporal-difference error on replayed transitions.
    pub td: f64,
    /// RELAX-DDPG: weight of the estimator's variance on the newest batch, which costs a pass over all of it per step.
    pub variance: f64,
}

impl Default for CriticConfig {
    fn default() -> Self {
        Self { td: 1.0, variance: 0.0 }
    }
}

/// `[agent]`: the algorithm and its networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The algorithm: "reinforce", "a2c", "relax-a2c", "ddpg" or "relax-ddpg".
    pub kind: AgentKind,
    /// Widths of the hidden layers of the policy, the critic and the control variate.
    #[serde(default = "hidden")]
    pub hidden: Vec<usize>,
    /// Activation of the hidden layers: "tanh", "relu" or "elu".
    #[serde(default)]
    pub activation: ActivationKind,
    /// RELAX: "residual" (c = V + r) or "pure" (one network).
    #[serde(default)]
    pub form: ControlVariateForm,
    /// RELAX: "coupled" (z̃ = z in value) or "independent" noise.
    #[serde(default)]
    pub noise: NoiseKind,
    /// RELAX: train the control variate on the variance at the distribution's "parameters" or of the "weights".
    #[serde(default)]
    pub variance_objective: VarianceObjective,
    /// RELAX: "adaptive", or a fixed multiple of the residual.
    #[serde(default)]
    pub gain: Gain,
    /// REINFORCE: "none", "constant", "learned", "value" or "leave-one-out".
    #[serde(default)]
    pub baseline: BaselineKind,
    /// REINFORCE: the number that `baseline = "constant"` subtracts.
    #[serde(default)]
    pub constant_baseline: f64,
    /// Widths of the hidden layers of the critics V, r and Q, where they differ from `hidden`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critic_hidden: Option<Vec<usize>>,
    /// Continuous actions: log of the standard deviation that a Gaussian policy starts with.
    #[serde(default)]
    pub initial_log_std: f64,
    /// Continuous actions: the standard deviation is an output of the policy network instead of one number per action.
    #[serde(default)]
    pub state_dependent_std: bool,
    /// RELAX-DDPG: false leaves out the term that makes it unbiased, which gives SVG(0), DDPG's stochastic relative.
    #[serde(default = "yes")]
    pub correction: bool,
    /// DDPG: how it explores.
    #[serde(default)]
    pub exploration: ExplorationConfig,
}

impl AgentConfig {
    /// The algorithm `kind` with every default.
    #[must_use]
    pub fn new(kind: AgentKind) -> Self {
        Self {
            kind,
            hidden: hidden(),
            activation: ActivationKind::default(),
            form: ControlVariateForm::default(),
            noise: NoiseKind::default(),
            variance_objective: VarianceObjective::default(),
            gain: Gain::default(),
            baseline: BaselineKind::default(),
            constant_baseline: 0.0,
            critic_hidden: None,
            initial_log_std: 0.0,
            state_dependent_std: false,
            correction: true,
            exploration: ExplorationConfig::default(),
        }
    }

    /// The policy's network.
    #[must_use]
    pub fn policy_network(&self) -> Network<'_> {
        Network { hidden: &self.hidden, activation: self.activation }
    }

    /// The network of a critic.
    #[must_use]
    pub fn critic_network(&self) -> Network<'_> {
        Network { hidden: self.critic_hidden(), activation: self.activation }
    }

    /// Widths of the hidden layers of a critic.
    #[must_use]
    pub fn critic_hidden(&self) -> &[usize] {
        self.critic_hidden.as_deref().unwrap_or(&self.hidden)
    }
}

fn yes() -> bool {
    true
}

fn hidden() -> Vec<usize> {
    vec![64, 64]
}

/// `[learner]`: how fast and how hard everything is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerConfig {
    /// Step size of the policy's optimiser.
    pub learning_rate: f64,
    /// Step size of the critic's optimiser.
    pub value_learning_rate: f64,
    /// Step size of the control variate's optimiser.
    pub control_variate_learning_rate: f64,
    /// Optimiser of all networks: "adam", "rmsprop" or "rmsprop-tf".
    pub optimizer: OptimizerKind,
    /// Discount factor γ in [0, 1].
    pub gamma: f64,
    /// λ of the λ-return (GAE) in [0, 1]; 1: Monte-Carlo return, bootstrapped only where a rollout or time limit cuts it.
    pub lambda: f64,
    /// Weight of the entropy bonus in the policy gradient.
    pub entropy: f64,
    /// Largest global norm of the policy gradient; 0 switches clipping off.
    pub max_grad_norm: f64,
    /// Largest global norm of the critic's and the control variate's gradients; 0 switches clipping off.
    pub critic_max_grad_norm: f64,
    /// Gradient steps of the critic per batch.
    pub value_epochs: usize,
    /// Gradient steps of the control variate per batch.
    pub control_variate_epochs: usize,
    /// Subtract the mean and divide by the standard deviation of the batch's advantages (A2C's habit; biased).
    pub normalize_advantages: bool,
    /// Scale the learning rates linearly down to 0 over the run.
    pub anneal: bool,
    /// Multiple of the rewards that the agent learns from; logs and evaluation show the environment's own.
    pub reward_scale: f64,
    /// Shift and scale observations to mean 0 and deviation 1 over all training so far; frozen in evaluation.
    pub normalize_observations: bool,
    /// Divide rewards by the standard deviation of the discounted return over all training so far.
    pub normalize_rewards: bool,
    /// DDPG and RELAX-DDPG: stored experience.
    pub replay: ReplayConfig,
    /// RELAX-DDPG: what the critic is trained on.
    pub critic: CriticConfig,
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            value_learning_rate: 3e-3,
            control_variate_learning_rate: 1e-3,
            optimizer: OptimizerKind::Adam,
            gamma: 0.99,
            lambda: 1.0,
            entropy: 0.0,
            max_grad_norm: 0.5,
            critic_max_grad_norm: 0.5,
            value_epochs: 1,
            control_variate_epochs: 1,
            normalize_advantages: false,
            anneal: false,
            reward_scale: 1.0,
            normalize_observations: false,
            normalize_rewards: false,
            replay: ReplayConfig::default(),
            critic: CriticConfig::default(),
        }
    }
}

impl LearnerConfig {
    /// A learning rate after `progress` ∈ [0, 1] of the run.
    #[must_use]
    pub fn annealed(&self, rate: f64, progress: f64) -> f64 {
        if self.anneal { rate * (1.0 - progress).max(0.0) } else { rate }
    }
}

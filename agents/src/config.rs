//! The part of a run's configuration that agents read: `[agent]` and `[learner]`.

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

/// `[agent]`: the algorithm and its networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The algorithm: "reinforce", "a2c" or "relax-a2c".
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

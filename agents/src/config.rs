//! What the agents' keys are made of: the values that several agents share, each with its meaning. Which keys an agent has,
//! and what they are by default, stands in its own file.

mod macros;

pub(crate) use macros::{distribution_options, extras, keys, networks, observed, scaling, value_epochs};

use crate::Refusal;
use relax_nn::{StateDict, StateError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// How the control variate of RELAX-A2C is built (estimators: `c`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ControlVariateKind {
    /// c(s, z) = V(s) + r(s, z): V fitted to returns, r starts at exactly 0 and is trained on the variance.
    #[default]
    Residual,
    /// One network c(s, z) trained on the variance alone, as first published.
    Pure,
    /// One step of a learned model and V, for the own action and for all that follow; nothing is relaxed unless [`OwnActionKind`]
    /// says so.
    Model,
    /// Advantages of a single choice, estimated directly (Pan et al. 2022), for the own action and for all that follow; nothing is relaxed.
    Dae,
}

/// How the own action's part of a model's control variate is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OwnActionKind {
    /// By an expectation over actions: an exact sum, or a mean over fresh ones.
    #[default]
    Expectation,
    /// By relaxed samples of the choices made, the model being differentiated: relaxed REBAR with the model in f's place.
    Relaxed,
    /// By a baseline for each of several choices, given the others (Wu et al. 2018).
    PerFactor,
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

impl std::fmt::Display for Gain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(_) => f.write_str("adaptive"),
            Self::Fixed(gain) => write!(f, "{gain}"),
        }
    }
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
    /// "gaussian" or "ornstein-uhlenbeck" noise on the actions.
    pub process: ExplorationKind,
    /// Standard deviation of a step's fresh noise, as a share of half the action range.
    pub std: f64,
    /// Share of the Ornstein-Uhlenbeck process that a step forgets, in [0, 1].
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
    /// Transitions kept, the newest ones; 4·(2·observation + action + 1) + 1 bytes each, about an eighth of that where observations
    /// are bytes.
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

    /// Refuses a schedule by which the agent `name` never learns.
    ///
    /// # Errors
    /// If no gradient step is ever due.
    pub fn check_learning(&self, name: &str) -> Result<(), Refusal> {
        if self.updates_per_step > 0.0 {
            return Ok(());
        }
        let key = "learner.replay.updates_per_step";
        let message = format!("`{key}` is {}, so that {name} would never learn", self.updates_per_step);
        Err(Refusal::new(key, message, "leave it out, or take 1"))
    }

    /// The counters of a saved state, `[steps before the newest batch, steps, gradient steps]`, which belong to one another: between
    /// two batches no gradient step is due, and in the middle of an update none of an earlier batch.
    ///
    /// # Errors
    /// If they do not. Taken as they are, a damaged number would be made up for by gradient steps without end.
    pub fn counters(&self, state: &StateDict) -> Result<[u64; 3], StateError> {
        let [env_steps, updates] = state.u64_array("counters")?;
        let [before] = match state.get("behind") {
            Ok(_) => state.u64_array("behind")?,
            Err(_) => [env_steps],
        };
        let (least, most) = (self.updates_due(before), self.updates_due(env_steps));
        if before <= env_steps && (least..=most).contains(&updates) {
            return Ok([before, env_steps, updates]);
        }
        Err(StateError::Mismatch {
            name: "counters".to_owned(),
            expected: match least == most {
                true => format!("{most} gradient steps after {env_steps} steps"),
                false => format!("{least} to {most} gradient steps after {before} to {env_steps} steps"),
            },
            found: updates.to_string(),
        })
    }
}

/// `[learner.critic]`: what RELAX-DDPG's critic Q(s, a) is trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CriticConfig {
    /// Weight of the temporal-difference error on replayed transitions.
    pub td: f64,
    /// Weight of the estimator's variance on the newest batch, which costs a pass over all of it per step.
    pub variance: f64,
}

impl Default for CriticConfig {
    fn default() -> Self {
        Self { td: 1.0, variance: 0.0 }
    }
}

/// `[learner.model]`: the learned one-step model of RELAX-A2C's `control_variate = "model"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Transitions kept for the model, the newest ones; 4·(2·observation + action + 1) + 1 bytes each.
    pub capacity: usize,
    /// Gradient steps of the model per batch.
    pub steps: usize,
    /// Transitions drawn for each of the model's gradient steps.
    pub batch_size: usize,
    /// Step size of the model's Adam at the start; it falls to a tenth over the run.
    pub learning_rate: f64,
    /// Continuous actions: fresh actions in each of two Latin hypercubes per row.
    pub samples: usize,
    /// Past batches to which the correction of V for the steps that remain in a rollout is fitted; 0: none (the simple form).
    pub window: usize,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { capacity: 100_000, steps: 12, batch_size: 64, learning_rate: 3e-3, samples: 4, window: 12 }
    }
}

/// A learning rate after `progress` ∈ [0, 1] of the run: falling linearly to 0 if it is annealed.
#[must_use]
pub fn annealed(anneal: bool, rate: f64, progress: f64) -> f64 {
    if anneal { rate * (1.0 - progress).max(0.0) } else { rate }
}

/// Where an agent's observations and rewards are put on another scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Shift and scale observations to mean 0 and deviation 1 over all training so far.
    pub observations: bool,
    /// Divide rewards by the standard deviation of the discounted return over all training so far.
    pub rewards: bool,
    /// Multiple of the rewards that the agent learns from.
    pub reward_scale: f64,
    /// Discount factor of that return.
    pub gamma: f64,
    /// Rewrite critics as the scales move, so that they go on saying what they said.
    pub preserve_values: bool,
}

/// `learner.bounds_loss` of a configuration that does not say.
pub(crate) const BOUNDS_LOSS: f64 = 0.1;

/// Share of a run over which the critic's steps a batch fall from their initial number to their own.
const YOUNG: f64 = 0.25;

/// Gradient steps of a critic on a batch after `progress` ∈ [0, 1] of the run: `epochs`, or before a quarter of it linearly fewer from
/// `initial` to those.
#[must_use]
pub fn epochs_at(initial: Option<usize>, epochs: usize, progress: f64) -> usize {
    let initial = initial.map_or(epochs as f64, |initial| initial as f64);
    let young = (1.0 - progress / YOUNG).max(0.0);
    (epochs as f64 + (initial - epochs as f64) * young).round() as usize
}

#[cfg(test)]
mod tests {
    use super::epochs_at;

    #[test]
    fn a_critics_steps_fall_to_their_own_number_over_the_first_quarter() {
        let steps =
            |initial, epochs| [0.0, 0.0625, 0.125, 0.25, 0.6, 1.0].map(|p| epochs_at(initial, epochs, p));
        assert_eq!(steps(None, 16), [16; 6]);
        assert_eq!(steps(Some(48), 8), [48, 38, 28, 8, 8, 8]);
        assert_eq!(steps(Some(0), 10), [0, 3, 5, 10, 10, 10]);
    }
}

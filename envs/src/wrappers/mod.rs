//! Wrappers: environments around an environment. Each is an [`Env`] itself, generic over what it wraps.

mod clip_action;
mod discretize_action;
mod frame_stack;
mod normalize_observation;
mod normalize_reward;
mod observation_scale;
mod order_enforcing;
mod running_mean_std;
mod time_limit;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use clip_action::ClipAction;
pub use discretize_action::{Bins, DiscretizeAction};
pub use frame_stack::FrameStack;
pub use normalize_observation::NormalizeObservation;
pub use normalize_reward::NormalizeReward;
pub use observation_scale::{ObservationScale, PerElement};
pub use order_enforcing::OrderEnforcing;
pub use running_mean_std::RunningMeanStd;
pub use time_limit::TimeLimit;

use crate::{Env, EnvError, Kwargs};

/// A wrapper as configuration: `{ name = "FrameStack", size = 4 }`.
///
/// ```
/// use relax_envs::wrappers::WrapperConfig;
/// let env = relax_envs::make("Pendulum-v1", &Default::default())?;
/// let env = WrapperConfig::FrameStack { size: 4 }.wrap(env)?;
/// assert_eq!(env.observation_space().shape(), [4, 3]);
/// # Ok::<(), relax_envs::EnvError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", deny_unknown_fields)]
pub enum WrapperConfig {
    /// The last `size` observations, oldest first.
    FrameStack {
        /// How many observations, at least 1.
        size: usize,
    },
    /// Observations shifted and scaled to mean 0 and variance 1, by running statistics.
    NormalizeObservation {},
    /// Rewards divided by the standard deviation of the running discounted return.
    NormalizeReward {
        /// Discount of that return, in [0, 1].
        #[serde(default = "default_gamma")]
        gamma: f64,
    },
    /// Continuous actions clipped to the environment's bounds; the action space becomes unbounded.
    ClipAction {},
    /// Choices between parts of the range of each number of an action.
    DiscretizeAction {
        /// Parts: one number for all, or one for each.
        bins: Bins,
        /// One choice for each number, in place of one among all combinations.
        #[serde(default)]
        multidiscrete: bool,
    },
    /// Observations become `observation · scale + offset`.
    ObservationScale {
        /// One number for all elements, or one for each.
        #[serde(default = "PerElement::one")]
        scale: PerElement,
        /// One number for all elements, or one for each.
        #[serde(default = "PerElement::zero")]
        offset: PerElement,
    },
    /// Truncates an episode after this many steps.
    TimeLimit {
        /// Steps, at least 1.
        max_episode_steps: u32,
    },
    /// For `gym:…` environments: one of `gymnasium.wrappers` by its name, or any `module.Class`.
    Gymnasium {
        /// Such as "ClipReward".
        wrapper: String,
        /// Its keyword arguments.
        #[serde(default)]
        kwargs: Kwargs,
    },
}

fn default_gamma() -> f64 {
    0.99
}

impl WrapperConfig {
    /// Puts the wrapper around `env`.
    ///
    /// # Errors
    ///
    /// [`EnvError::Wrapper`] if a value is out of range or the environment's spaces do not suit the wrapper.
    pub fn wrap(&self, env: Box<dyn Env>) -> Result<Box<dyn Env>, EnvError> {
        Ok(match self {
            Self::FrameStack { size } => Box::new(FrameStack::new(env, *size)?),
            Self::NormalizeObservation {} => Box::new(NormalizeObservation::new(env)?),
            Self::NormalizeReward { gamma } => Box::new(NormalizeReward::new(env, *gamma)?),
            Self::ClipAction {} => Box::new(ClipAction::new(env)?),
            Self::DiscretizeAction { bins, multidiscrete } => {
                Box::new(DiscretizeAction::new(env, bins, *multidiscrete)?)
            }
            Self::ObservationScale { scale, offset } => Box::new(ObservationScale::new(env, scale, offset)?),
            Self::TimeLimit { max_episode_steps } => Box::new(TimeLimit::new(env, *max_episode_steps)?),
            Self::Gymnasium { wrapper, .. } => {
                return Err(EnvError::Wrapper {
                    wrapper: "Gymnasium",
                    reason: format!("{wrapper} is Python's; only environments `gym:…` take it"),
                });
            }
        })
    }
}

/// Forwards the methods of [`Env`] that a wrapper leaves as they are.
macro_rules! forward {
    ($($method:ident),*) => { $(forward!(@ $method);)* };
    (@ observation_space) => { fn observation_space(&self) -> &$crate::Space { self.env.observation_space() } };
    // Where the action space stays as it is, so does the mask of its actions.
    (@ action_space) => {
        fn action_space(&self) -> &$crate::Space { self.env.action_space() }
        fn action_mask(&self) -> Option<&[bool]> { self.env.action_mask() }
    };
    (@ attributes) => {
        fn attributes(&self) -> Vec<(&'static str, $crate::Attribute)> { self.env.attributes() }
        fn set_attribute(&mut self, name: &str, value: f64) -> Result<(), $crate::EnvError> {
            self.env.set_attribute(name, value)
        }
    };
    (@ running_statistics) => { fn running_statistics(&self) -> Option<String> { self.env.running_statistics() } };
    // With the options of Gymnasium's `reset(options=…)`, which are the wrapped environment's.
    (@ reset) => {
        fn reset(&mut self, rng: &mut $crate::EnvRng, observation: &mut [f32]) -> Result<(), $crate::EnvError> {
            self.env.reset(rng, observation)
        }
        fn reset_with(
            &mut self,
            options: &$crate::Kwargs,
            rng: &mut $crate::EnvRng,
            observation: &mut [f32],
        ) -> Result<(), $crate::EnvError> {
            self.env.reset_with(options, rng, observation)
        }
    };
    // Of a wrapper that has none of its own.
    (@ state) => {
        fn save_state(&self, state: &mut Vec<f64>) -> Result<(), $crate::EnvError> { self.env.save_state(state) }
        fn load_state(&mut self, state: &mut &[f64]) -> Result<(), $crate::EnvError> { self.env.load_state(state) }
    };
    (@ render) => { fn render(&self) -> Option<$crate::Frame> { self.env.render() } };
}
pub(crate) use forward;

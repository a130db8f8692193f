//! `DiscretizeAction`: choices in place of numbers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forward;
use crate::{ActionRef, Env, EnvError, EnvRng, Space, Step};

/// Parts of each number's range, for all numbers or for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Bins {
    /// As many for every number.
    All(usize),
    /// So many for each.
    Each(Vec<usize>),
}

/// Choices between parts of the range of each number of an action, which stand for their middles (Gymnasium's `DiscretizeAction`, bit
/// for bit). Several numbers make several choices at once, as Tang & Agrawal 2020 train on MuJoCo's worlds, or one among all
/// combinations.
#[derive(Clone, Debug)]
pub struct DiscretizeAction<E> {
    env: E,
    /// The middles of the parts, number by number.
    centres: Vec<Vec<f32>>,
    action: Vec<f32>,
    space: Space,
}

/// More combinations than this are no choice that anybody could learn.
const MOST: usize = 1 << 20;

impl<E: Env> DiscretizeAction<E> {
    /// Wraps `env`, whose actions must be a `Box` with finite bounds. `multidiscrete`: one choice for each number, otherwise one of all
    /// combinations.
    ///
    /// # Errors
    ///
    /// [`EnvError::Wrapper`] if they are not, or if a range would have no part.
    pub fn new(env: E, bins: &Bins, multidiscrete: bool) -> Result<Self, EnvError> {
        env.action_space().validate()?;
        let refuse = |reason| Err(EnvError::Wrapper { wrapper: "DiscretizeAction", reason });
        let Space::Box { low, high, .. } = env.action_space() else {
            return refuse(format!("needs actions in a Box, not in {}", env.action_space()));
        };
        if low.iter().chain(high).any(|bound| !bound.is_finite()) {
            return refuse(format!("needs finite bounds, not {}", env.action_space()));
        }
        let numbers = low.len();
        let bins = match bins {
            Bins::All(bins) => vec![*bins; numbers],
            Bins::Each(bins) => bins.clone(),
        };
        if bins.len() != numbers {
            let message = format!(
                "`bins` has {} numbers, but an action has {numbers}; give one number or {numbers}",
                bins.len()
            );
            return refuse(message);
        }
        if let Some(i) = bins.iter().position(|&bins| bins == 0) {
            return refuse(format!("`bins`[{i}] is 0, but a range has at least one part"));
        }
        let all = bins.iter().try_fold(1usize, |product, &bins| product.checked_mul(bins));
        let space = match (multidiscrete, all.filter(|&all| all <= MOST)) {
            (true, _) => Space::MultiDiscrete { nvec: bins.clone() },
            (false, Some(all)) => Space::discrete(all),
            (false, None) => {
                let message = format!(
                    "{bins:?} are more than {MOST} combinations to choose from; multidiscrete = true makes {} choices \
                     of them",
                    bins.len()
                );
                return refuse(message);
            }
        };
        let centres = low.iter().zip(high).zip(&bins).map(|((&low, &high), &bins)| centres(low, high, bins));
        Ok(Self { centres: centres.collect(), action: vec![0.0; numbers], space, env })
    }
}

/// Middles of `bins` equal parts, rounded as NumPy's `linspace` rounds their ends.
fn centres(low: f32, high: f32, bins: usize) -> Vec<f32> {
    let step = (high - low) / bins as f32;
    let end = |i: usize| if i == bins { high } else { i as f32 * step + low };
    (0..bins).map(|i| 0.5 * (end(i) + end(i + 1))).collect()
}

impl<E: Env> Env for DiscretizeAction<E> {
    forward!(observation_space, running_statistics, attributes, render, reset, state);

    fn action_space(&self) -> &Space {
        &self.space
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        if !self.space.contains(action) {
            return Err(EnvError::invalid_action("DiscretizeAction", &self.space, action.describe()));
        }
        match action {
            ActionRef::MultiDiscrete(indices) => {
                for ((value, centres), &index) in self.action.iter_mut().zip(&self.centres).zip(indices) {
                    *value = centres[index];
                }
            }
            ActionRef::Discrete(mut index) => {
                // The last number's part changes fastest.
                for (value, centres) in self.action.iter_mut().zip(&self.centres).rev() {
                    *value = centres[index % centres.len()];
                    index /= centres.len();
                }
            }
            ActionRef::Box(_) | ActionRef::MultiBinary(_) => {}
        }
        self.env.step(ActionRef::Box(&self.action), rng, observation)
    }
}

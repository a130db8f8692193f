//! `ClipAction`: continuous actions clipped to the environment's bounds.

use super::forward;
use crate::{ActionRef, Env, EnvError, EnvRng, Space, Step};

/// Clips each action to the wrapped environment's bounds, and offers an unbounded action space (Gymnasium's `ClipAction`).
#[derive(Clone, Debug)]
pub struct ClipAction<E> {
    env: E,
    low: Vec<f32>,
    high: Vec<f32>,
    clipped: Vec<f32>,
    space: Space,
}

impl<E: Env> ClipAction<E> {
    /// Wraps `env`, whose actions must be a `Box`.
    ///
    /// # Errors
    ///
    /// [`EnvError::Wrapper`] if they are not; [`EnvError::InvalidSpace`] if its bounds cross.
    pub fn new(env: E) -> Result<Self, EnvError> {
        env.action_space().validate()?;
        let Space::Box { low, high, shape } = env.action_space() else {
            return Err(EnvError::Wrapper {
                wrapper: "ClipAction",
                reason: format!("needs actions in a Box, not in {}", env.action_space()),
            });
        };
        let space = Space::uniform_box(f32::NEG_INFINITY, f32::INFINITY, shape);
        let (low, high) = (low.clone(), high.clone());
        Ok(Self { env, clipped: low.clone(), low, high, space })
    }
}

impl<E: Env> Env for ClipAction<E> {
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
        let ActionRef::Box(values) = action else {
            return Err(EnvError::invalid_action("ClipAction", &self.space, action.describe()));
        };
        if values.len() != self.clipped.len() {
            return Err(EnvError::invalid_action("ClipAction", &self.space, action.describe()));
        }
        let bounds = self.low.iter().zip(&self.high);
        for ((clipped, value), (&low, &high)) in self.clipped.iter_mut().zip(values).zip(bounds) {
            *clipped = value.clamp(low, high);
        }
        self.env.step(ActionRef::Box(&self.clipped), rng, observation)
    }
}

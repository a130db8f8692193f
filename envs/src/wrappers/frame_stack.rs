//! `FrameStack`: the last observations as one.

use super::forward;
use crate::{ActionRef, Env, EnvError, EnvRng, Space, StateReader, Step};

/// The last `size` observations, oldest first, shape `[size, …]`; a reset repeats the first one (Gymnasium's
/// `FrameStackObservation` with its default padding).
#[derive(Clone, Debug)]
pub struct FrameStack<E> {
    env: E,
    stack: Vec<f32>,
    dim: usize,
    space: Space,
}

impl<E: Env> FrameStack<E> {
    /// Wraps `env`, whose observations must be a `Box`.
    ///
    /// # Errors
    ///
    /// [`EnvError::Wrapper`] if they are not, or if `size` is 0 or too large to allocate.
    pub fn new(env: E, size: usize) -> Result<Self, EnvError> {
        const LARGEST: usize = 1 << 28;
        let refuse = |reason| Err(EnvError::Wrapper { wrapper: "FrameStack", reason });
        let Space::Box { low, high, shape } = env.observation_space() else {
            return refuse(format!("needs observations in a Box, not in {}", env.observation_space()));
        };
        if size == 0 || size.saturating_mul(low.len()) > LARGEST {
            return refuse(format!(
                "size must be at least 1 and the stack at most {LARGEST} values; size is {size}"
            ));
        }
        let shape = std::iter::once(size).chain(shape.iter().copied()).collect();
        let space = Space::Box { low: low.repeat(size), high: high.repeat(size), shape };
        let dim = low.len();
        Ok(Self { env, stack: vec![0.0; size * dim], dim, space })
    }

    /// The last frame of the stack, for the wrapped environment to write.
    fn newest(stack: &mut [f32], dim: usize) -> &mut [f32] {
        let start = stack.len() - dim;
        &mut stack[start..]
    }
}

impl<E: Env> Env for FrameStack<E> {
    forward!(action_space, running_statistics, attributes, render);

    fn observation_space(&self) -> &Space {
        &self.space
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        crate::error::check_length("observation", observation.len(), self.stack.len())?;
        self.env.reset(rng, Self::newest(&mut self.stack, self.dim))?;
        let newest = self.stack.len() - self.dim;
        for start in (0..newest).step_by(self.dim.max(1)) {
            self.stack.copy_within(newest.., start);
        }
        observation.copy_from_slice(&self.stack);
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        crate::error::check_length("observation", observation.len(), self.stack.len())?;
        // The newest frame is written only when the step has succeeded: an error leaves the stack as it was.
        let step = self.env.step(action, rng, Self::newest(observation, self.dim))?;
        self.stack.copy_within(self.dim.., 0);
        Self::newest(&mut self.stack, self.dim).copy_from_slice(Self::newest(observation, self.dim));
        observation.copy_from_slice(&self.stack);
        Ok(step)
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.extend(self.stack.iter().map(|&v| f64::from(v)));
        self.env.save_state(state)
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let mut reader = StateReader::new("FrameStack", state);
        let stack =
            self.stack.iter().map(|_| reader.float32("stacked observation")).collect::<Result<_, _>>()?;
        self.env.load_state(state)?;
        self.stack = stack;
        Ok(())
    }
}

//! `TimeLimit`: truncates an episode after a number of steps.

use super::forward;
use crate::{ActionRef, Env, EnvError, EnvRng, Kwargs, StateReader, Step};

/// Sets `truncated` in the step that reaches `max_episode_steps`, also when it terminates (Gymnasium's `TimeLimit`).
///
/// It refuses steps before a reset and after an end, so that an episode never runs on by mistake.
#[derive(Clone, Debug)]
pub struct TimeLimit<E> {
    env: E,
    max_episode_steps: u32,
    elapsed_steps: u32,
    running: bool,
}

impl<E: Env> TimeLimit<E> {
    /// Wraps `env`.
    ///
    /// # Errors
    ///
    /// [`EnvError::Wrapper`] if `max_episode_steps` is 0.
    pub fn new(env: E, max_episode_steps: u32) -> Result<Self, EnvError> {
        if max_episode_steps == 0 {
            return Err(EnvError::Wrapper {
                wrapper: "TimeLimit",
                reason: "max_episode_steps must be at least 1, but is 0".to_owned(),
            });
        }
        Ok(Self { env, max_episode_steps, elapsed_steps: 0, running: false })
    }

    /// The wrapped environment.
    pub fn inner(&self) -> &E {
        &self.env
    }

    /// Steps taken in this episode.
    pub fn elapsed_steps(&self) -> u32 {
        self.elapsed_steps
    }
}

impl<E: Env> Env for TimeLimit<E> {
    forward!(observation_space, action_space, running_statistics, attributes, render);

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        self.reset_with(&Kwargs::new(), rng, observation)
    }

    fn reset_with(
        &mut self,
        options: &Kwargs,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<(), EnvError> {
        self.running = false;
        self.env.reset_with(options, rng, observation)?;
        self.elapsed_steps = 0;
        self.running = true;
        Ok(())
    }

    #[inline]
    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        if !self.running {
            return Err(EnvError::needs_reset("TimeLimit"));
        }
        let mut step = self.env.step(action, rng, observation)?;
        self.elapsed_steps += 1;
        step.truncated |= self.elapsed_steps >= self.max_episode_steps;
        self.running = !step.ended();
        Ok(step)
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.extend([f64::from(self.elapsed_steps), f64::from(u8::from(self.running))]);
        self.env.save_state(state)
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let mut reader = StateReader::new("TimeLimit", state);
        let (elapsed_steps, running) = (reader.count("elapsed steps")?, reader.flag("running")?);
        if elapsed_steps > self.max_episode_steps || (running && elapsed_steps == self.max_episode_steps) {
            return Err(EnvError::invalid_state(
                "TimeLimit",
                format!("{elapsed_steps} steps have been taken of at most {}", self.max_episode_steps),
            ));
        }
        self.env.load_state(state)?;
        (self.elapsed_steps, self.running) = (elapsed_steps, running);
        Ok(())
    }
}

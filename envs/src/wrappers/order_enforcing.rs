//! `OrderEnforcing`: refuses steps while no episode runs.

use super::forward;
use crate::{ActionRef, Env, EnvError, EnvRng, Kwargs, StateReader, Step};

/// Refuses a step before the first reset and after an end. [`make`](crate::make) puts it around an environment that has
/// no time limit (with one, [`TimeLimit`](super::TimeLimit) does the same).
#[derive(Clone, Debug)]
pub struct OrderEnforcing<E> {
    env: E,
    running: bool,
}

impl<E: Env> OrderEnforcing<E> {
    /// Wraps `env`.
    pub fn new(env: E) -> Self {
        Self { env, running: false }
    }
}

impl<E: Env> Env for OrderEnforcing<E> {
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
            return Err(EnvError::needs_reset("OrderEnforcing"));
        }
        let step = self.env.step(action, rng, observation)?;
        self.running = !step.ended();
        Ok(step)
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.push(f64::from(u8::from(self.running)));
        self.env.save_state(state)
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let running = StateReader::new("OrderEnforcing", state).flag("running")?;
        self.env.load_state(state)?;
        self.running = running;
        Ok(())
    }
}

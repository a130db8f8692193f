//! `NormalizeReward`: rewards on the scale of the discounted return's standard deviation.

use super::{RunningMeanStd, forward};
use crate::{ActionRef, Env, EnvError, EnvRng, StateReader, Step};

/// `reward / √(variance + 10⁻⁸)`, where the variance is that of the running discounted return
/// `G ← γ·(1 − terminated)·G + reward` (Gymnasium's `NormalizeReward`). The mean is not subtracted: that would change
/// the task. As in Gymnasium the return runs on over truncations and resets.
#[derive(Clone, Debug)]
pub struct NormalizeReward<E> {
    env: E,
    gamma: f64,
    discounted_return: f64,
    statistics: RunningMeanStd,
    updating: bool,
}

impl<E: Env> NormalizeReward<E> {
    const EPSILON: f64 = 1e-8;

    /// Wraps `env`.
    ///
    /// # Errors
    ///
    /// [`EnvError::Wrapper`] if `gamma` is outside [0, 1].
    pub fn new(env: E, gamma: f64) -> Result<Self, EnvError> {
        if !(0.0..=1.0).contains(&gamma) {
            return Err(EnvError::Wrapper {
                wrapper: "NormalizeReward",
                reason: format!("gamma must lie in [0, 1], but is {gamma}"),
            });
        }
        Ok(Self { env, gamma, discounted_return: 0.0, statistics: RunningMeanStd::new(1), updating: true })
    }

    /// Whether new rewards change the statistics (they do unless this is called with `false`).
    pub fn set_updating(&mut self, updating: bool) {
        self.updating = updating;
    }

    /// The statistics of the discounted return so far.
    pub fn statistics(&self) -> &RunningMeanStd {
        &self.statistics
    }
}

impl<E: Env> Env for NormalizeReward<E> {
    forward!(observation_space, action_space, attributes, render, reset);

    fn running_statistics(&self) -> Option<String> {
        Some("NormalizeReward".to_owned())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        let mut step = self.env.step(action, rng, observation)?;
        let going_on = if step.terminated { 0.0 } else { 1.0 };
        self.discounted_return = self.discounted_return * self.gamma * going_on + step.reward;
        if self.updating {
            self.statistics.update([self.discounted_return]);
        }
        step.reward /= (self.statistics.variance()[0] + Self::EPSILON).sqrt();
        Ok(step)
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.push(self.discounted_return);
        self.statistics.save_state(state);
        self.env.save_state(state)
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let mut reader = StateReader::new("NormalizeReward", state);
        let discounted_return = reader.finite("discounted return")?;
        let statistics = RunningMeanStd::read_state(1, &mut reader)?;
        self.env.load_state(state)?;
        (self.discounted_return, self.statistics) = (discounted_return, statistics);
        Ok(())
    }
}

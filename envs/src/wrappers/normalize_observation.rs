//! `NormalizeObservation`: observations with mean 0 and variance 1, by running statistics.

use super::{RunningMeanStd, forward};
use crate::{ActionRef, Env, EnvError, EnvRng, Space, StateReader, Step};

/// `(observation − mean) / √(variance + 10⁻⁸)` with running statistics over everything seen, the current observation
/// included (Gymnasium's `NormalizeObservation`).
///
/// Deviation: the statistics are kept in `f64`; Gymnasium keeps them in `f32`, where they stop moving after some 10⁷
/// steps. Results agree to about 10⁻⁶ relative.
#[derive(Clone, Debug)]
pub struct NormalizeObservation<E> {
    env: E,
    statistics: RunningMeanStd,
    updating: bool,
    space: Space,
}

impl<E: Env> NormalizeObservation<E> {
    const EPSILON: f64 = 1e-8;

    /// Wraps `env`, whose observations must be a `Box`.
    ///
    /// # Errors
    ///
    /// [`EnvError::Wrapper`] if they are not.
    pub fn new(env: E) -> Result<Self, EnvError> {
        let Space::Box { shape, .. } = env.observation_space() else {
            return Err(EnvError::Wrapper {
                wrapper: "NormalizeObservation",
                reason: format!("needs observations in a Box, not in {}", env.observation_space()),
            });
        };
        let space = Space::uniform_box(f32::NEG_INFINITY, f32::INFINITY, shape);
        Ok(Self { statistics: RunningMeanStd::new(space.flat_dim()), env, updating: true, space })
    }

    /// Whether new observations change the statistics (they do unless this is called with `false`).
    pub fn set_updating(&mut self, updating: bool) {
        self.updating = updating;
    }

    /// The statistics so far.
    pub fn statistics(&self) -> &RunningMeanStd {
        &self.statistics
    }

    fn normalize(&mut self, observation: &mut [f32]) {
        if self.updating {
            self.statistics.update(observation.iter().map(|&v| f64::from(v)));
        }
        let moments = self.statistics.mean().iter().zip(self.statistics.variance());
        for (value, (mean, variance)) in observation.iter_mut().zip(moments) {
            *value = ((f64::from(*value) - mean) / (variance + Self::EPSILON).sqrt()) as f32;
        }
    }
}

impl<E: Env> Env for NormalizeObservation<E> {
    forward!(action_space, attributes, render);

    fn running_statistics(&self) -> Option<String> {
        Some("NormalizeObservation".to_owned())
    }

    fn observation_space(&self) -> &Space {
        &self.space
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        self.env.reset(rng, observation)?;
        self.normalize(observation);
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        let step = self.env.step(action, rng, observation)?;
        self.normalize(observation);
        Ok(step)
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        self.statistics.save_state(state);
        self.env.save_state(state)
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let mut reader = StateReader::new("NormalizeObservation", state);
        let statistics = RunningMeanStd::read_state(self.space.flat_dim(), &mut reader)?;
        self.env.load_state(state)?;
        self.statistics = statistics;
        Ok(())
    }
}

//! `ObservationScale`: a fixed linear map of the observation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forward;
use crate::{ActionRef, Env, EnvError, EnvRng, Space, Step};

/// One number for every element, or one for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PerElement {
    /// The same number for all elements.
    All(f32),
    /// One number for each element.
    Each(Vec<f32>),
}

impl PerElement {
    pub(super) fn one() -> Self {
        Self::All(1.0)
    }

    pub(super) fn zero() -> Self {
        Self::All(0.0)
    }

    fn expand(&self, what: &str, dim: usize) -> Result<Vec<f32>, EnvError> {
        let values = match self {
            Self::All(value) => vec![*value; dim],
            Self::Each(values) => values.clone(),
        };
        let refuse = |reason| Err(EnvError::Wrapper { wrapper: "ObservationScale", reason });
        if values.len() != dim {
            return refuse(format!(
                "`{what}` has {} values, but the observation has {dim}; give one number or {dim}",
                values.len()
            ));
        }
        match values.iter().position(|v| !v.is_finite()) {
            Some(i) => refuse(format!("`{what}`[{i}] is {}, which is not finite", values[i])),
            None => Ok(values),
        }
    }
}

/// `observation · scale + offset`, element by element, with the space's bounds mapped along.
#[derive(Clone, Debug)]
pub struct ObservationScale<E> {
    env: E,
    scale: Vec<f32>,
    offset: Vec<f32>,
    space: Space,
}

impl<E: Env> ObservationScale<E> {
    /// Wraps `env`, whose observations must be a `Box`.
    ///
    /// # Errors
    ///
    /// [`EnvError::Wrapper`] if they are not, or if `scale` or `offset` has the wrong length, is not finite, or the scale is 0.
    pub fn new(env: E, scale: &PerElement, offset: &PerElement) -> Result<Self, EnvError> {
        let refuse = |reason| Err(EnvError::Wrapper { wrapper: "ObservationScale", reason });
        let Space::Box { low, high, shape } = env.observation_space() else {
            return refuse(format!("needs observations in a Box, not in {}", env.observation_space()));
        };
        let (scale, offset) = (scale.expand("scale", low.len())?, offset.expand("offset", low.len())?);
        if let Some(i) = scale.iter().position(|&v| v == 0.0) {
            return refuse(format!("`scale`[{i}] is 0, which would erase the element"));
        }
        let bounds = low.iter().zip(high).zip(scale.iter().zip(&offset));
        let (low, high) = bounds
            .map(|((low, high), (scale, offset))| {
                let (a, b) = (low * scale + offset, high * scale + offset);
                (a.min(b), a.max(b))
            })
            .unzip();
        let space = Space::Box { low, high, shape: shape.clone() };
        Ok(Self { env, scale, offset, space })
    }

    fn map(&self, observation: &mut [f32]) {
        for ((value, scale), offset) in observation.iter_mut().zip(&self.scale).zip(&self.offset) {
            *value = *value * scale + offset;
        }
    }
}

impl<E: Env> Env for ObservationScale<E> {
    forward!(action_space, running_statistics, attributes, render, state);

    fn observation_space(&self) -> &Space {
        &self.space
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        self.env.reset(rng, observation)?;
        self.map(observation);
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        let step = self.env.step(action, rng, observation)?;
        self.map(observation);
        Ok(step)
    }
}

//! From the action that a policy chose to the one that an environment takes.

use crate::AgentError;
use relax_envs::{Actions, Space};

/// The bounds of a continuous action space, and room for actions on their way into the environment.
///
/// [`Distribution::execute`](crate::Distribution::execute) says what becomes of an action: a Gaussian policy's is clipped to
/// the bounds, a deterministic policy's in [−1, 1] is stretched to them.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionRange {
    low: Vec<f32>,
    high: Vec<f32>,
    executed: Vec<f32>,
    indices: Vec<usize>,
    flags: Vec<bool>,
}

impl ActionRange {
    /// The bounds of `space`; none for a space without.
    #[must_use]
    pub fn new(space: &Space) -> Self {
        let (low, high) = match space {
            Space::Box { low, high, .. } => (low.clone(), high.clone()),
            _ => (Vec::new(), Vec::new()),
        };
        Self { low, high, executed: Vec::new(), indices: Vec::new(), flags: Vec::new() }
    }

    /// Refuses spaces to which [−1, 1] cannot be stretched, in the name of the agent `kind`.
    ///
    /// # Errors
    /// If the space is not a box, or if its bounds are infinite, the largest numbers there are (which say that there is no
    /// bound), or further apart than any number.
    pub fn check_bounded(kind: &str, space: &Space) -> Result<(), AgentError> {
        let others = "\"relax-a2c\" and \"a2c\" act in every Discrete and Box space";
        let Space::Box { low, high, .. } = space else {
            return Err(AgentError::Config(format!(
                "agent.kind = \"{kind}\" acts in a Box with finite bounds, not in {space}; {others}"
            )));
        };
        let bounded = |bound: &f32| bound.abs() < f32::MAX;
        match low
            .iter()
            .zip(high)
            .position(|(low, high)| !(bounded(low) && bounded(high) && (high - low).is_finite()))
        {
            None => Ok(()),
            Some(at) => Err(AgentError::Config(format!(
                "agent.kind = \"{kind}\" stretches its actions from [-1, 1] to the bounds of the action space, and those of \
                 element {at}, {:e} and {:e}, are too far apart for that; give the environment narrower ones (the wrapper \
                 RescaleAction for gym: environments), or take another agent: {others}",
                low[at], high[at]
            ))),
        }
    }

    /// `values` `[rows, dim]`, each changed by `change(value, low, high)` with the bounds of its place.
    pub fn map(&mut self, values: &[f32], dim: usize, change: impl Fn(f32, f32, f32) -> f32) -> Actions<'_> {
        self.executed.clear();
        for row in values.chunks_exact(dim) {
            let bounds = row.iter().zip(&self.low).zip(&self.high);
            self.executed.extend(bounds.map(|((&value, &low), &high)| change(value, low, high)));
        }
        Actions::Box { values: &self.executed, dim }
    }

    /// `choices` `[rows, dim]` as indices.
    pub fn indices(&mut self, choices: &[u32], dim: usize) -> Actions<'_> {
        self.indices.clear();
        self.indices.extend(choices.iter().map(|&choice| choice as usize));
        Actions::MultiDiscrete { values: &self.indices, dim }
    }

    /// `choices` `[rows, dim]`, each 0 or 1, as no and yes.
    pub fn flags(&mut self, choices: &[u32], dim: usize) -> Actions<'_> {
        self.flags.clear();
        self.flags.extend(choices.iter().map(|&choice| choice != 0));
        Actions::MultiBinary { values: &self.flags, dim }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ActionBuffer;
    use crate::distribution::{Deterministic, Distribution, Gaussian};

    #[test]
    fn gaussian_actions_are_clipped_and_deterministic_ones_stretched() {
        let space = Space::bounded(&[-2.0, 0.0], &[2.0, 10.0]);
        let mut range = ActionRange::new(&space);
        let drawn = ActionBuffer::Box { values: vec![9.0, 9.0, -3.0, -1.0, 0.5, 0.5], dim: 2 };
        let gaussian =
            Gaussian { dim: 2, state_dependent: false, initial_log_std: Vec::new(), bounds: Vec::new() };
        let executed = gaussian.execute(&drawn, 1..3, &mut range);
        assert_eq!(executed, Actions::Box { values: &[-2.0, 0.0, 0.5, 0.5], dim: 2 });
        let unit = ActionBuffer::Box { values: vec![-1.0, 1.0, 0.5, 0.0], dim: 2 };
        let executed = Deterministic { dim: 2 }.execute(&unit, 0..2, &mut range);
        assert_eq!(executed, Actions::Box { values: &[-2.0, 10.0, 1.0, 5.0], dim: 2 });
    }

    #[test]
    fn an_unbounded_space_is_refused() {
        assert!(ActionRange::check_bounded("ddpg", &Space::uniform_box(-1.0, 1.0, &[2])).is_ok());
        let unbounded = Space::uniform_box(f32::NEG_INFINITY, 1.0, &[2]);
        assert!(ActionRange::check_bounded("ddpg", &unbounded).is_err());
        let widest = Space::uniform_box(-f32::MAX, f32::MAX, &[2]);
        // Neither bound is the largest number, but their distance is none.
        let overflows = Space::bounded(&[0.0, -2e38], &[1.0, 2e38]);
        for (space, element) in [(widest, "element 0"), (overflows, "element 1")] {
            let refused = ActionRange::check_bounded("ddpg", &space).expect_err("too wide").to_string();
            assert!(refused.contains(element) && refused.contains("too far apart"), "{refused}");
        }
        assert!(ActionRange::check_bounded("ddpg", &Space::uniform_box(-1e38, 1e38, &[2])).is_ok());
        assert!(ActionRange::check_bounded("ddpg", &Space::discrete(2)).is_err());
    }
}

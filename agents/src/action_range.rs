//! From the action that a policy chose to the one that an environment takes.

use crate::rollout::ActionBuffer;
use crate::{AgentError, Node};
use relax_envs::{Actions, Space};
use std::ops::Range;

/// The bounds of a continuous action space.
///
/// A Gaussian policy's action is clipped to them here, on its way into the environment, and nowhere before: estimators see
/// the action that was drawn. A deterministic policy's action in [−1, 1] is stretched to them.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionRange {
    low: Vec<f32>,
    high: Vec<f32>,
    executed: Vec<f32>,
}

impl ActionRange {
    /// The bounds of `space`; none for a space without.
    #[must_use]
    pub fn new(space: &Space) -> Self {
        let (low, high) = match space {
            Space::Box { low, high, .. } => (low.clone(), high.clone()),
            _ => (Vec::new(), Vec::new()),
        };
        Self { low, high, executed: Vec::new() }
    }

    /// Refuses spaces to which [−1, 1] cannot be stretched.
    ///
    /// # Errors
    /// If the space is not a box with finite bounds.
    pub fn check_bounded(space: &Space) -> Result<(), AgentError> {
        match space {
            Space::Box { low, high, .. } if low.iter().chain(high).all(|bound| bound.is_finite()) => Ok(()),
            other => Err(AgentError::Config(format!(
                "agent.kind = \"ddpg\" acts in a Box with finite bounds, not in {other}; \
                 \"relax-a2c\" and \"a2c\" act in every Discrete and Box space"
            ))),
        }
    }

    /// What the environment is given for `rows` of `actions`.
    pub fn execute<'a>(
        &'a mut self,
        node: Node,
        actions: &'a ActionBuffer,
        rows: Range<usize>,
    ) -> Actions<'a> {
        let chosen = actions.rows(rows);
        let Actions::Box { values, dim } = chosen else { return chosen };
        self.executed.clear();
        for row in values.chunks_exact(dim) {
            for ((&value, &low), &high) in row.iter().zip(&self.low).zip(&self.high) {
                self.executed.push(match node {
                    Node::Deterministic { .. } => (low + 0.5 * (value + 1.0) * (high - low)).clamp(low, high),
                    // `clamp` would hide NaN from the environment's own check no more than this does.
                    _ => value.max(low).min(high),
                });
            }
        }
        Actions::Box { values: &self.executed, dim }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaussian_actions_are_clipped_and_deterministic_ones_stretched() {
        let space = Space::bounded(&[-2.0, 0.0], &[2.0, 10.0]);
        let mut range = ActionRange::new(&space);
        let drawn = ActionBuffer::Box { values: vec![9.0, 9.0, -3.0, -1.0, 0.5, 0.5], dim: 2 };
        let gaussian = Node::Gaussian { dim: 2, state_dependent: false };
        let executed = range.execute(gaussian, &drawn, 1..3);
        assert_eq!(executed, Actions::Box { values: &[-2.0, 0.0, 0.5, 0.5], dim: 2 });
        let unit = ActionBuffer::Box { values: vec![-1.0, 1.0, 0.5, 0.0], dim: 2 };
        let executed = range.execute(Node::Deterministic { dim: 2 }, &unit, 0..2);
        assert_eq!(executed, Actions::Box { values: &[-2.0, 10.0, 1.0, 5.0], dim: 2 });
    }

    #[test]
    fn an_unbounded_space_is_refused() {
        assert!(ActionRange::check_bounded(&Space::uniform_box(-1.0, 1.0, &[2])).is_ok());
        let unbounded = Space::uniform_box(f32::NEG_INFINITY, 1.0, &[2]);
        assert!(ActionRange::check_bounded(&unbounded).is_err());
        assert!(ActionRange::check_bounded(&Space::discrete(2)).is_err());
    }
}
